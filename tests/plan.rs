//! Plans without a device, and fused plans against unfused ones.

use proptest::prelude::*;
use wgrad::{
    autodiff::gradients,
    chain,
    kernel::{DeviceClass, Target},
    nn::*,
    optim::{AdamW, Schedule},
    plan::PlanOptions,
    prelude::*,
    testing::{classes, context, run_on},
};

fn plan(graph: &Graph, outputs: &[(&str, &Tensor)]) -> Plan {
    graph.plan(outputs, &Target::baseline()).unwrap()
}

fn operations(plan: &Plan) -> Vec<String> {
    plan.report().steps.iter().map(|step| step.ops.clone()).collect()
}

#[test]
fn a_pointwise_chain_with_broadcasting_is_one_dispatch() {
    let graph = Graph::new(Mode::Infer);
    let (x, row, column) = (graph.input("x", [8, 16]), graph.input("row", [16]), graph.input("column", [8, 1]));
    let y = (&x * &row + &column).tanh().mul(&x.sigmoid()) + 1.0;
    let plan = plan(&graph, &[("y", &y)]);
    assert_eq!(plan.report().steps.len(), 1, "{}", plan.report());
}

#[test]
fn two_hundred_tiny_operations_are_few_dispatches() {
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [32]);
    let y = (0..100).fold(x, |x, _| (x * 1.01).tanh());
    assert!(plan(&graph, &[("y", &y)]).report().steps.len() <= 5);
}

#[test]
fn an_lstm_layer_is_at_most_four_dispatches() {
    let graph = Graph::new(Mode::Infer);
    let y = lstm(256).apply(&graph.input("x", [8, 64, 256]));
    for class in [DeviceClass::Software, DeviceClass::Portable, DeviceClass::Discrete] {
        let plan = graph.plan(&[("y", &y)], &Target::baseline().with_class(class)).unwrap();
        assert!(plan.report().steps.len() <= 4, "{}", plan.report());
    }
}

#[test]
fn bias_activation_and_residual_go_behind_matmul_and_convolution() {
    let graph = Graph::new(Mode::Infer);
    let (x, r) = (graph.input("x", [4, 8]), graph.input("r", [4, 16]));
    let y = linear(16).apply(&x).gelu() + &r;
    let z = chain![conv(4, 3).pad(1), relu()].apply(&graph.input("image", [1, 3, 8, 8]));
    let plan = plan(&graph, &[("y", &y), ("z", &z)]);
    assert_eq!(plan.report().steps.len(), 2, "{}", plan.report());
}

#[test]
fn dead_code_goes_and_equal_code_is_computed_once() {
    let graph = Graph::new(Mode::Infer);
    let (x, w) = (graph.input("x", [4, 8]), graph.input("w", [8, 8]));
    let _dead = x.matmul(&w).exp();
    let (a, b) = (x.matmul(&w), x.matmul(&w));
    let y = a.softmax(-1) + b;
    let plan = plan(&graph, &[("y", &y)]);
    let matmuls = operations(&plan).iter().filter(|ops| ops.contains("matmul")).count();
    assert_eq!(matmuls, 1, "{}", plan.report());
}

#[test]
fn slots_are_reused_by_lifetime() {
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [64, 64]);
    let y = (0..12).fold(x, |x, i| chain![linear(64), gelu()].named(&format!("{i}")).apply(&x).softmax(-1));
    let memory = plan(&graph, &[("y", &y)]).memory();
    assert_eq!(memory.outputs, 64 * 64 * 4);
    assert!(memory.activations <= 2 * 64 * 64 * 4, "{memory}");
    assert!(memory.activations_without_reuse >= 20 * 64 * 64 * 4, "{memory}");
    assert_eq!(memory.parameters, 12 * (64 * 64 + 64) * 4);
}

#[test]
fn a_training_step_of_one_layer_updates_in_place() {
    let graph = Graph::new(Mode::Train);
    let loss = linear(4).apply(&graph.input("x", [8, 3])).square().mean_all();
    AdamW::new(1e-3).minimise(&loss);
    let plan = plan(&graph, &[("loss", &loss)]);
    let updates = operations(&plan).iter().filter(|ops| ops.contains("assign")).count();
    assert_eq!(updates, 2, "one update for the weight, one for the bias:\n{}", plan.report());
}

#[test]
fn a_learning_rate_that_is_written_last_delays_no_update() {
    let memory = |schedule: Schedule| {
        let graph = Graph::new(Mode::Train);
        let net = stack("layers", 8, chain![linear(64), gelu()]);
        let loss = net.apply(&graph.input("x", [32, 64])).square().mean_all();
        AdamW::new(1e-3).schedule(schedule).minimise(&loss);
        plan(&graph, &[("loss", &loss)]).memory().activations
    };
    let (constant, cosine) = (memory(Schedule::Constant), memory(Schedule::Cosine { steps: 10, min: 0.0 }));
    assert!(cosine <= constant + 1024, "{cosine} bytes with a schedule, {constant} without");
}

#[test]
fn plans_are_the_same_every_time() {
    let build = || {
        let graph = Graph::new(Mode::Train);
        let (x, label) = (graph.input("x", [8, 1, 8, 8]), graph.input_of("label", [8], DType::U32));
        let loss = wgrad::models::lenet(10).apply(&x).cross_entropy(&label);
        AdamW::new(1e-3).minimise(&loss);
        let plan = plan(&graph, &[("loss", &loss)]);
        (format!("{}", plan.report()), plan.memory())
    };
    assert_eq!(build(), build());
}

#[test]
fn a_doubled_output_name_is_an_error() {
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [2]);
    let error = graph.plan(&[("y", &x), ("y", &x)], &Target::baseline()).unwrap_err();
    assert_eq!(error.to_string(), "output name \"y\" is given twice");
}

#[test]
fn no_way_of_saving_memory_takes_more() {
    let networks: [fn(&Tensor) -> Tensor; 3] = [
        |x| stack("layers", 3, encoder_layer(2, 64)).apply(x),
        |x| (0..6).fold(x.clone(), |x, _| (x.tanh() + x.sigmoid().transpose(1, 2).softmax(-1).transpose(1, 2)).exp()),
        // Two branches of which the second makes more: it had better run first.
        |x| x.tanh().sum(&[0], true) + (x.repeat(&[1, 1, 2])).tanh().sum(&[0], true).slice(2, 0..16),
    ];
    for (i, network) in networks.into_iter().enumerate() {
        for train in [false, true] {
            let graph = Graph::new(if train { Mode::Train } else { Mode::Infer });
            let x = graph.parameter("x", [4, 16, 16], Init::normal(1.0));
            let y = network(&x).mean_all();
            if train {
                AdamW::new(1e-3).minimise(&y);
            }
            let bytes = |in_place, reorder| {
                let options = PlanOptions { fuse: true, in_place, reorder };
                graph.plan_with(&[("y", &y)], &Target::baseline(), options).unwrap().memory().session()
            };
            let plain = bytes(false, false);
            println!(
                "network {i}, training {train}: {plain} bytes, {} in place, {} reordered, {} both",
                bytes(true, false),
                bytes(false, true),
                bytes(true, true)
            );
            assert!(bytes(true, false) <= plain && bytes(false, true) <= plain);
            assert!(bytes(true, true) <= bytes(true, false).min(bytes(false, true)));
        }
    }
}

#[test]
fn what_is_fused_into_kernels_reads_and_writes_vectors_where_they_do() {
    for (n, vectors) in [(72, 3), (70, 0)] {
        let graph = Graph::new(Mode::Infer);
        let (x, same) = (graph.input("x", [2, 20, 40]), graph.input("same", [2, 20, n]));
        let (column, row) = (graph.input("column", [2, 20, 1]), graph.input("row", [n]));
        let (matrix, number) = (graph.input("matrix", [n, 40]), graph.input("number", []));
        let y = &(&x.linear(&matrix, Some(&row)).gelu() * &same + &column) * &number;
        let weights = &same.softmax(-1) * &column + &row;
        let normal = (&same.layer_norm(&row, &row, 1e-5) * &number).tanh() + &same;
        let outputs = [("y", &y), ("weights", &weights), ("normal", &normal)];

        let numbers = |tensor: &Tensor, step: usize| {
            let numbers: Vec<f32> = (0..tensor.shape().numel()).map(|i| (i * step % 23) as f32 / 11.0 - 1.0).collect();
            Array::from_f32(tensor.shape(), &numbers).unwrap()
        };
        let inputs = [
            ("x", numbers(&x, 5)),
            ("same", numbers(&same, 7)),
            ("column", numbers(&column, 3)),
            ("row", numbers(&row, 9)),
            ("matrix", numbers(&matrix, 4)),
            ("number", Array::from_f32([], &[1.5]).unwrap()),
        ];
        for &class in classes() {
            let target = context().target().with_class(class);
            let plan = graph.plan(&outputs, &target).unwrap();
            let texts = plan.kernels().filter_map(|kernel| kernel.chain.as_ref()).map(|chain| &chain.text);
            let found =
                texts.filter(|text| text.contains("fn store4(i: u32, value: vec4<f32>) {\n    let e = i;")).count();
            assert_eq!(found, vectors, "{class:?}, rows of {n}");

            let run = |fuse| {
                let options = PlanOptions { fuse, ..PlanOptions::default() };
                run_on(&graph, &outputs, &inputs, &target, options).unwrap()
            };
            for (fused, plain) in run(true).iter().zip(run(false)) {
                for (i, (a, b)) in fused.to_f32().iter().zip(plain.to_f32()).enumerate() {
                    assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{class:?}, rows of {n}, {i}: {a} {b}");
                }
            }
        }
    }
}

/// One random operation on the values so far; all are [3, 4] or broadcast to it.
pub fn grow(values: &mut Vec<Tensor>, choice: usize, a: usize, b: usize) {
    let (a, b) = (values[a % values.len()].clone(), values[b % values.len()].clone());
    let whole = |t: &Tensor| t.expand([3, 4]);
    values.push(match choice % 12 {
        0 => &a + &b,
        1 => &a * &b,
        2 => a.tanh(),
        3 => a.maximum(&b),
        4 => whole(&a).softmax(-1),
        5 => whole(&a).sum(&[1], true),
        6 => whole(&a).mean(&[0], true),
        7 => whole(&a).matmul(&whole(&b).transpose(0, 1)).matmul(&whole(&b)) * 0.1,
        8 => whole(&a).reshape([2, 6]).relu().reshape([3, 4]),
        9 => a.detach().sigmoid(),
        10 => whole(&a).transpose(0, 1).reshape([3, 4]),
        _ => a * 0.5 + 0.25,
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn fused_reordered_and_in_place_equals_plain(choices in prop::collection::vec((0usize..12, 0usize..100, 0usize..100), 3..18)) {
        let graph = Graph::new(Mode::Train);
        let x = graph.input("x", [3, 4]);
        let mut values = vec![x.clone(), graph.input("row", [4]), graph.constant(0.5, DType::F32)];
        for (choice, a, b) in choices {
            grow(&mut values, choice, a, b);
        }
        let last = values[values.len() - 1].expand([3, 4]);
        let middle = values[values.len() / 2].expand([3, 4]);
        let loss = last.mul(&middle).mean_all();
        let mut outputs = vec![("last", last), ("middle", middle), ("loss", loss.clone())];
        if let Some(gradient) = gradients(&loss, &[x])[0].clone() {
            outputs.push(("dx", gradient));
        }
        graph.check().unwrap();
        let names: Vec<(&str, &Tensor)> = outputs.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let numbers: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin()).collect();
        let inputs = [
            ("x", Array::from_f32([3, 4], &numbers).unwrap()),
            ("row", Array::from_f32([4], &[0.3, -0.2, 0.9, -1.1]).unwrap()),
        ];
        let run = |fuse, in_place, reorder| {
            let plan = graph.plan_with(&names, context().target(), PlanOptions { fuse, in_place, reorder }).unwrap();
            let used: Vec<String> = plan.variables().iter().map(|v| v.name.to_string()).collect();
            let inputs: Vec<(&str, Array)> = inputs.iter().filter(|(name, _)| used.iter().any(|u| u == name)).cloned().collect();
            run_on(&graph, &names, &inputs, context().target(), PlanOptions { fuse, in_place, reorder }).unwrap()
        };
        let fused = run(true, true, true);
        for (in_place, apart) in fused.iter().zip(run(true, false, false)) {
            prop_assert_eq!(in_place.bytes(), apart.bytes(), "in place, reordered, and plain\n{}", graph);
        }
        for (fused, unfused) in fused.iter().zip(run(false, true, true)) {
            for (a, b) in fused.to_f32().iter().zip(unfused.to_f32()) {
                prop_assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0) || (a.is_nan() && b.is_nan()), "{a} {b}\n{graph}");
            }
        }
    }
}
