//! Normalisation against PyTorch: batch normalisation over steps of training and in use, the others with
//! their gradients.

use crate::fixture::{Fixture, assert_close};
use wgrad::{
    autodiff::gradients,
    chain, checkpoint,
    kernel::{DeviceClass, Target},
    nn,
    plan::PlanOptions,
    prelude::*,
    testing::{classes, context, run_on},
};

/// All kernels of the device, and those for GPUs without subgroups.
fn targets() -> Vec<Target> {
    let plain = Target { subgroups: false, ..context().target().with_class(DeviceClass::Portable) };
    classes().iter().map(|&class| context().target().with_class(class)).chain([plain]).collect()
}

#[test]
fn batch_norm_trains_and_is_used_as_in_pytorch() {
    let fixture = Fixture::open("norms");
    let layer = || nn::batch_norm().momentum(0.3).eps(1e-4).named("norm");
    for target in targets() {
        let graph = Graph::new(Mode::Train);
        let (x, w) = (graph.input("x", [3, 5, 4, 6]), graph.input("w", [3, 5, 4, 6]));
        let y = layer().apply(&x);
        let parameters = graph.parameters();
        let loss = y.mul(&w).sum_all();
        let found = gradients(&loss, &[x, parameters[0].clone(), parameters[1].clone()]);
        let [dx, dweight, dbias] = [0, 1, 2].map(|i| found[i].clone().unwrap());
        let outputs = [("y", &y), ("dx", &dx), ("dweight", &dweight), ("dbias", &dbias)];
        let plan = graph.plan(&outputs, &target).unwrap();
        let weights = Weights::init(context(), &plan, 0).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        for name in ["weight", "bias"] {
            weights.write(&format!("norm.{name}"), fixture.get(&format!("batch.{name}"))).unwrap();
        }
        let close = |what: &str, found: &Array, expected: &str| {
            let expected = fixture.get(expected).to_f32();
            assert_close(&format!("{:?} {what}", target.class), &found.to_f32(), &expected, 2e-5);
        };
        for step in 0..5 {
            for input in ["x", "w"] {
                session.write(input, fixture.get(&format!("batch.{step}.{input}"))).unwrap();
            }
            session.run().unwrap();
            for (name, _) in outputs {
                close(name, &session.read_blocking(name).unwrap(), &format!("batch.{step}.{name}"));
            }
            close("mean", &weights.read("norm.running_mean").unwrap(), &format!("batch.{step}.mean"));
            close("variance", &weights.read("norm.running_var").unwrap(), &format!("batch.{step}.var"));
            assert_eq!(weights.read("norm.num_batches_tracked").unwrap().to_u32(), [step + 1]);
        }

        let graph = Graph::new(Mode::Infer);
        let y = layer().apply(&graph.input("x", [3, 5, 4, 6]));
        let plan = graph.plan(&[("y", &y)], &target).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        session.write("x", fixture.get("batch.4.x")).unwrap();
        session.run().unwrap();
        close("in use", &session.read_blocking("y").unwrap(), "batch.use");
    }
}

#[test]
fn running_statistics_may_be_means_of_all_batches_or_missing() {
    let fixture = Fixture::open("norms");
    for target in targets() {
        let close = |what: &str, found: &Array, expected: &str| {
            let expected = fixture.get(expected).to_f32();
            assert_close(&format!("{:?} {what}", target.class), &found.to_f32(), &expected, 2e-5);
        };
        let graph = Graph::new(Mode::Train);
        let y = nn::batch_norm().cumulative().apply(&graph.input("x", [3, 5, 4, 6]));
        let plan = graph.plan(&[("y", &y)], &target).unwrap();
        let weights = Weights::init(context(), &plan, 0).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        for step in 0..5 {
            session.write("x", fixture.get(&format!("batch.{step}.x"))).unwrap();
            session.run().unwrap();
            close("mean", &weights.read("running_mean").unwrap(), &format!("batch.{step}.cumulative_mean"));
            close("variance", &weights.read("running_var").unwrap(), &format!("batch.{step}.cumulative_var"));
        }

        let graph = Graph::new(Mode::Infer);
        let y = nn::batch_norm().affine(false).tracked(false).apply(&graph.input("x", [3, 5, 4, 6]));
        let plan = graph.plan(&[("y", &y)], &target).unwrap();
        assert_eq!(plan.variables().len(), 1, "only x");
        let session = Session::new(context(), plan, &weights).unwrap();
        session.write("x", fixture.get("batch.4.x")).unwrap();
        session.run().unwrap();
        close("without statistics", &session.read_blocking("y").unwrap(), "batch.untracked");
    }
}

#[test]
fn values_and_gradients_are_pytorchs() {
    let fixture = Fixture::open("norms");
    for (case, target) in fixture.table.iter().flat_map(|case| targets().into_iter().map(move |target| (case, target)))
    {
        let name = case["name"].as_str().unwrap();
        let stored = |key: &str| fixture.get(&format!("{name}.{key}"));
        let graph = Graph::new(Mode::Infer);
        let keys: Vec<&str> = case["inputs"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        let inputs: Vec<Tensor> = keys.iter().map(|key| graph.input(key, stored(key).shape())).collect();
        let of = |key: &str| keys.iter().position(|known| *known == key).map(|i| &inputs[i]);
        let (x, weight, bias) = (&inputs[0], of("weight"), of("bias"));
        let y = match case["op"].as_str().unwrap() {
            "group_norm" => x.group_norm(case["groups"].as_u64().unwrap() as usize, weight, bias, 1e-5),
            "instance_norm" => x.instance_norm(weight, bias, 1e-5),
            "rms_norm" => x.rms_norm(weight, 1e-5),
            _ => x.layer_norm(weight, bias, 1e-5),
        };
        let loss = y.mul(&graph.input("w", y.shape())).sum_all();
        let names: Vec<String> = keys.iter().map(|key| format!("d{key}")).collect();
        let found: Vec<Tensor> = gradients(&loss, &inputs).into_iter().map(Option::unwrap).collect();
        let outputs: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&found).chain([("y", &y)]).collect();
        let written: Vec<(&str, Array)> = keys.iter().chain(&["w"]).map(|&key| (key, stored(key).clone())).collect();
        let found = run_on(&graph, &outputs, &written, &target, PlanOptions::default()).unwrap();
        for ((key, _), found) in outputs.iter().zip(found) {
            let what = format!("{name}.{key} {:?}", target.class);
            assert_close(&what, &found.to_f32(), &stored(key).to_f32(), 2e-5);
        }
    }
}

#[test]
fn layers_have_pytorchs_names_and_load_its_checkpoints() {
    let network = || chain![nn::conv(4, 3), nn::batch_norm(), nn::relu(), nn::group_norm(2), nn::instance_norm()];
    let plan = |mode| {
        let graph = Graph::new(mode);
        let y = network().apply(&graph.input("x", [2, 3, 8, 8]));
        graph.plan(&[("y", &y)], context().target()).unwrap()
    };
    let (training, using) = (plan(Mode::Train), plan(Mode::Infer));
    let weights = Weights::init(context(), &training, 0).unwrap();
    let names: Vec<String> = weights.variables().iter().map(|variable| variable.name.to_string()).collect();
    let expected = [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.num_batches_tracked",
        "3.weight",
        "3.bias",
    ];
    assert!(expected.iter().all(|name| names.iter().any(|known| known == name)), "{names:?}");
    assert_eq!(names.len(), expected.len(), "{names:?}");

    // As PyTorch writes it: the counter is an i64.
    let floats = |count: usize| (0..count).flat_map(|i| (i as f32).to_le_bytes()).collect::<Vec<u8>>();
    let arrays: Vec<(String, safetensors::Dtype, Vec<usize>, Vec<u8>)> = weights
        .variables()
        .iter()
        .map(|variable| {
            let (name, shape) = (variable.name.to_string(), variable.desc.shape.to_vec());
            match variable.desc.dtype {
                DType::U32 => (name, safetensors::Dtype::I64, shape, 7_i64.to_le_bytes().to_vec()),
                _ => (name, safetensors::Dtype::F32, shape, floats(variable.desc.shape.numel())),
            }
        })
        .collect();
    let views = arrays.iter().map(|(name, dtype, shape, bytes)| {
        (name.as_str(), safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let file = safetensors::serialize(views, None).unwrap();
    let load =
        |weights: &Weights, load: checkpoint::Load| load.reader(weights, "model", std::io::Cursor::new(file.clone()));
    load(&weights, checkpoint::Load::new()).unwrap();
    assert_eq!(weights.read("1.num_batches_tracked").unwrap().to_u32(), [7]);
    assert_eq!(weights.read("1.running_var").unwrap().to_f32(), [0.0, 1.0, 2.0, 3.0]);
    // In use nothing is counted, and the counter of the file is passed over.
    let weights = Weights::init(context(), &using, 0).unwrap();
    load(&weights, checkpoint::Load::new().without_training_state()).unwrap();
    assert_eq!(weights.read("1.running_mean").unwrap().to_f32(), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn memory_is_read_and_written_as_little_as_can_be() {
    // Dispatches, and how often the bytes of x are read or written, forward and with the gradient.
    let cost = |mode: Mode, layer: &dyn Layer| {
        let graph = Graph::new(mode);
        let x = graph.parameter("x", [8, 64, 28, 28], Init::ones());
        let y = layer.apply(&x);
        let of = |outputs: &[(&str, &Tensor)]| {
            let plan = graph.plan(outputs, &Target::baseline()).unwrap();
            let passes = plan.report().bytes() as f64 / x.desc().bytes() as f64;
            (plan.kernels().count(), passes.round() as usize)
        };
        let forward = of(&[("y", &y)]);
        // Beside the 3 passes forward and the 5 backward, two write the gradient of y.
        let dx = gradients(&(y.sum_squares() * 0.5), std::slice::from_ref(&x)).remove(0).unwrap();
        [forward, of(&[("y", &y), ("dx", &dx)])]
    };
    assert_eq!(cost(Mode::Train, &nn::batch_norm()), [(7, 3), (15, 10)]);
    assert_eq!(cost(Mode::Infer, &nn::batch_norm()), [(2, 2), (4, 3)]);
    assert_eq!(cost(Mode::Infer, &nn::group_norm(8)), [(5, 3), (15, 10)]);
}

#[test]
fn groups_longer_than_a_software_drivers_loops() {
    const LONG: usize = 700_000;
    let x: Vec<f32> =
        (0..LONG).map(|i| 1e3 + ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0).collect();
    // The variance of every `step`-th number, in f64.
    let expected = |first: usize, step: usize| {
        let own: Vec<f64> = x.iter().skip(first).step_by(step).map(|&x| f64::from(x)).collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        own.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / own.len() as f64
    };
    let close = |found: f32, expected: f64| {
        assert!((f64::from(found) / expected - 1.0).abs() < 1e-5, "{found}, not {expected}");
    };
    for target in targets() {
        for (rows, columns) in [(1, LONG), (LONG / 2, 2), (LONG / 4, 4)] {
            let graph = Graph::new(Mode::Infer);
            let input = graph.input("x", [rows, columns]);
            let dims: &[isize] = if rows == 1 { &[1] } else { &[0] };
            let y = input.var(dims, false, false);
            let written = [("x", Array::from_f32([rows, columns], &x).unwrap())];
            let found = run_on(&graph, &[("y", &y)], &written, &target, PlanOptions::default()).unwrap();
            let kept = if rows == 1 { 1 } else { columns };
            for (i, found) in found[0].to_f32().into_iter().enumerate() {
                close(found, expected(i, kept));
            }
        }
    }
}
