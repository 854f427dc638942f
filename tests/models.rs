//! Whole models against PyTorch.

use crate::fixture::{Fixture, assert_close};
use wgrad::{
    autodiff::gradients,
    models::alexnet,
    optim::{Adam, AdamW},
    prelude::*,
    testing::context,
};

/// The input's stream: `FIRST` of `fixtures/make.py`.
const FIRST: u32 = 1200;

/// The numbers of a tensor: `uniform` of `fixtures/make.py`, to the bit.
fn uniform(stream: u32, count: usize, bound: f64) -> Vec<f32> {
    let hash = |i: u32| {
        let h = i ^ stream.wrapping_mul(0x9E37_79B9);
        let h = (h ^ (h >> 16)).wrapping_mul(0x7FEB_352D);
        let h = (h ^ (h >> 15)).wrapping_mul(0x846C_A68B);
        h ^ (h >> 16)
    };
    (0..count as u32).map(|i| ((hash(i) >> 8) as f32 / 8_388_608.0 - 1.0) * bound as f32).collect()
}

/// Writes the parameters of `alexnet` in `fixtures/make.py`.
fn fill(fixture: &Fixture, weights: &Weights) {
    for (k, layer) in fixture.table.iter().enumerate() {
        let shape: Vec<usize> =
            layer["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let (name, fan_in) = (layer["name"].as_str().unwrap(), shape[1..].iter().product::<usize>() as f64);
        let stream = FIRST + 2 * k as u32 + 1;
        let weight = uniform(stream, shape.iter().product(), (6.0 / fan_in).sqrt());
        let bias = uniform(stream + 1, shape[0], (1.0 / fan_in).sqrt());
        weights.write(&format!("{name}.weight"), &Array::from_f32(&shape[..], &weight).unwrap()).unwrap();
        weights.write(&format!("{name}.bias"), &Array::from_f32([shape[0]], &bias).unwrap()).unwrap();
    }
}

#[test]
fn alexnets_loss_and_gradients_equal_pytorchs() {
    let fixture = Fixture::open("alexnet");
    // Without dropout, which draws other numbers than PyTorch's.
    let graph = Graph::new(Mode::Infer);
    let (x, label) = (graph.input("x", [1, 3, 224, 224]), graph.input_of("label", [1], DType::U32));
    let logits = alexnet(1000).apply(&x);
    let loss = logits.cross_entropy(&label);
    let parameters = graph.parameters();
    let found = gradients(&loss, &parameters);
    graph.check().unwrap();
    let names: Vec<String> =
        graph.variables().iter().filter(|v| v.init.is_some()).map(|v| v.name.to_string()).collect();
    assert_eq!(parameters.iter().map(|p| p.shape().numel()).sum::<usize>(), 61_100_840);

    let mut outputs = vec![("loss", &loss), ("logits", &logits)];
    for (name, gradient) in names.iter().zip(&found) {
        outputs.push((name, gradient.as_ref().unwrap_or_else(|| panic!("no gradient of {name}"))));
    }
    let plan = graph.plan(&outputs, context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 0).unwrap();
    fill(&fixture, &weights);
    let session = Session::new(context(), plan, &weights).unwrap();
    session.write("x", &Array::from_f32([1, 3, 224, 224], &uniform(FIRST, 3 * 224 * 224, 1.0)).unwrap()).unwrap();
    session.write("label", fixture.get("label")).unwrap();
    session.run().unwrap();

    let read = |name: &str| session.read_blocking(name).unwrap().to_f32();
    assert_close("loss", &read("loss"), &fixture.get("loss").to_f32(), 1e-4);
    assert_close("logits", &read("logits"), &fixture.get("logits").to_f32(), 1e-4);
    for name in &names {
        let gradient = read(name);
        let of = |what: &str| fixture.get(&format!("{name}.{what}"));
        let &[norm, sum, largest] = &of("summary").to_f32()[..] else { panic!("{name}: no summary") };
        let doubles = || gradient.iter().map(|&x| f64::from(x));
        let near = |what: &str, found: f64, expected: f32, scale: f32| {
            let error = (found - f64::from(expected)).abs();
            assert!(
                error <= 1e-4 * f64::from(scale),
                "{what} of the gradient of {name} is {found}, PyTorch has {expected}"
            );
        };
        near("norm", doubles().map(|x| x * x).sum::<f64>().sqrt(), norm, norm);
        near("sum", doubles().sum(), sum, sum.abs().max(norm));
        near("largest magnitude", doubles().fold(0.0, |largest, x| x.abs().max(largest)), largest, largest);
        for (&i, value) in of("index").to_u32().iter().zip(of("value").to_f32()) {
            near(&format!("element {i}"), f64::from(gradient[i as usize]), value, largest);
        }
    }
}

#[test]
fn twenty_steps_of_alexnet_equal_pytorchs() {
    let fixture = Fixture::open("alexnet");
    let graph = Graph::new(Mode::Train);
    let (x, label) = (graph.input("x", [2, 3, 95, 127]), graph.input_of("label", [2], DType::U32));
    // Without dropout, which draws other numbers than PyTorch's.
    let loss = alexnet(1000).dropout(0.0).apply(&x).cross_entropy(&label);
    AdamW::new(1e-5).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 0).unwrap();
    fill(&fixture, &weights);
    let session = Session::new(context(), plan, &weights).unwrap();
    let numbers = uniform(FIRST + 99, 2 * 3 * 95 * 127, 1.0);
    session.write("x", &Array::from_f32([2, 3, 95, 127], &numbers).unwrap()).unwrap();
    let class = fixture.get("label").to_u32()[0];
    session.write("label", &Array::from_u32([2], &[class, 4 * class]).unwrap()).unwrap();
    let step = |_| {
        session.run().unwrap();
        session.read_blocking("loss").unwrap().to_f32()[0]
    };
    let curve: Vec<f32> = (0..20).map(step).collect();
    assert_close("losses", &curve, &fixture.get("curve").to_f32(), 1e-3);
}

#[test]
fn alexnet_takes_a_training_step_where_a_binding_ends_before_its_largest_weight() {
    let graph = Graph::new(Mode::Train);
    let (x, label) = (graph.input("x", [1, 3, 224, 224]), graph.input_of("label", [1], DType::U32));
    let loss = alexnet(1000).apply(&x).cross_entropy(&label);
    Adam::new(1e-3).minimise(&loss);
    let mut target = context().target().clone();
    target.max_binding_bytes = target.max_binding_bytes.min(128 << 20);
    let plan = graph.plan(&[("loss", &loss)], &target).unwrap();
    let weights = Weights::init(context(), &plan, 1).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    session.write("x", &Array::from_f32([1, 3, 224, 224], &uniform(FIRST, 3 * 224 * 224, 1.0)).unwrap()).unwrap();
    session.write("label", &Array::from_u32([1], &[7]).unwrap()).unwrap();
    let before = weights.read("classifier.1.weight").unwrap().to_f32();
    session.run().unwrap();
    let after = weights.read("classifier.1.weight").unwrap().to_f32();

    let loss = session.read_blocking("loss").unwrap().to_f32()[0];
    assert!((6.0..8.0).contains(&loss), "a new network guesses among 1000 classes: ln 1000, not {loss}");
    assert_eq!(weights.read("step").unwrap().to_u32(), [1]);
    // Adam's first step moves by the learning rate whatever has a gradient, on both sides of the binding's end.
    for half in [0..before.len() / 2, before.len() * 9 / 10..before.len()] {
        let steps = || after[half.clone()].iter().zip(&before[half.clone()]).map(|(new, old)| (new - old).abs());
        let moved = steps().filter(|&step| (step - 1e-3).abs() < 1e-6).count();
        assert!(moved > half.len() / 50, "{moved} of {} elements moved", half.len());
        assert!(steps().all(|step| step < 1.001e-3), "the largest step is {}", steps().fold(0.0, f32::max));
    }
}
