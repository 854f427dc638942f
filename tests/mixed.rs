//! Mixed precision: f16 in between, f32 weights, a loss scale that the device decides.

use wgrad::{
    chain, checkpoint,
    nn::*,
    optim::{AdamW, LossScale, Optimizer, Sgd},
    prelude::*,
    testing::context,
};

/// A network in both precisions: its weights, and its losses over some steps on one batch.
fn curves(network: impl Fn(&Graph) -> (Tensor, Tensor), inputs: &[(&str, Array)], steps: usize) -> [Vec<f32>; 2] {
    [false, true].map(|mixed| {
        let graph = Graph::new(Mode::Train);
        let (logits, label) = if mixed { graph.mixed(|| network(&graph)) } else { network(&graph) };
        assert_eq!(logits.dtype(), if mixed { DType::F16 } else { DType::F32 });
        let loss = logits.cast(DType::F32).cross_entropy(&label);
        let optimizer = AdamW::new(5e-3).clip_norm(1.0);
        if mixed { optimizer.loss_scale(LossScale::default()) } else { optimizer }.minimise(&loss);
        assert!(graph.parameters().iter().all(|parameter| parameter.dtype() == DType::F32));
        let plan = graph.plan(&[("loss", &loss)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 4).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        for (name, array) in inputs {
            session.write(name, array).unwrap();
        }
        let step = |_| {
            session.run().unwrap();
            session.read_blocking("loss").unwrap().to_f32()[0]
        };
        (0..steps).map(step).collect()
    })
}

fn waves(shape: &[usize]) -> Array {
    let count: usize = shape.iter().product();
    Array::from_f32(shape, &(0..count).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>()).unwrap()
}

fn assert_curves(name: &str, [single, mixed]: [Vec<f32>; 2]) {
    assert!(single.last() < Some(&(0.8 * single[0])), "{name} does not learn: {single:?}");
    for (step, (a, b)) in single.iter().zip(&mixed).enumerate() {
        assert!((a - b).abs() < 0.02 * a.max(0.5), "{name}, step {step}: {b}, not {a}\n{single:?}\n{mixed:?}");
    }
    assert_ne!(single, mixed, "{name} did not use half precision");
}

/// Whether the device has what mixed precision is about; says so where it has not.
fn has_halves() -> bool {
    let found = context().target().f16;
    if !found {
        println!("SKIPPED: {} has no 16-bit floats", context().name());
    }
    found
}

#[test]
fn losses_in_mixed_precision_are_close_to_those_in_single() {
    if !has_halves() {
        return;
    }
    let labels =
        |count: u32| Array::from_u32([count as usize], &(0..count).map(|i| i % 3).collect::<Vec<_>>()).unwrap();
    let dense = |graph: &Graph| {
        let x = graph.input("x", [8, 10]);
        let net = chain![linear(32), gelu(), layer_norm(), dropout(0.1), linear(3)];
        (net.apply(&x), graph.input_of("label", [8], DType::U32))
    };
    assert_curves("dense", curves(dense, &[("x", waves(&[8, 10])), ("label", labels(8))], 20));
    let images = |graph: &Graph| {
        let x = graph.input("x", [6, 1, 8, 8]);
        let net = chain![conv(8, 3).pad(1), batch_norm(), relu(), max_pool(2, 2), flatten(), linear(3)];
        (net.apply(&x), graph.input_of("label", [6], DType::U32))
    };
    assert_curves("images", curves(images, &[("x", waves(&[6, 1, 8, 8])), ("label", labels(6))], 15));
    let ids = Array::from_u32([4, 6], &(0..24).map(|i| i * i % 11).collect::<Vec<_>>()).unwrap();
    let sequences = |graph: &Graph| {
        let ids = graph.input_of("ids", [4, 6], DType::U32);
        let block = transformer_block(2, 32).rotary().causal();
        let net = chain![embed(11, 16), block, lstm(16), collapse::average(), linear(3)];
        (net.apply(&ids), graph.input_of("label", [4], DType::U32))
    };
    assert_curves("sequences", curves(sequences, &[("ids", ids), ("label", labels(4))], 20));
}

/// y = x·w in half precision with a loss scale, an optimizer with state, and a session on its weights.
fn product(scale: LossScale, accumulate: u32) -> (Weights, Session) {
    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", [4, 3]);
    let y = graph.mixed(|| linear(2).apply(&x));
    let loss = y.cast(DType::F32).square().mean_all();
    AdamW::new(0.1).accumulate(accumulate).clip_value(10.0).average(0.9).loss_scale(scale).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 2).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    (weights, session)
}

fn step(session: &Session, size: f32) {
    let x: Vec<f32> = (0..12).map(|i| size * (i as f32 - 5.0)).collect();
    session.write("x", &Array::from_f32([4, 3], &x).unwrap()).unwrap();
    session.run().unwrap();
}

fn all(weights: &Weights) -> Vec<(String, Array)> {
    weights.variables().iter().map(|v| (v.name.to_string(), weights.read(&v.name).unwrap())).collect()
}

/// The variables but the scale and what counts runs.
fn trained(weights: &Weights) -> Vec<(String, Array)> {
    let counts = |name: &str| name == "step" || name.starts_with("optimizer.loss_scale");
    all(weights).into_iter().filter(|(name, _)| !counts(name)).collect()
}

fn number(weights: &Weights, name: &str) -> f64 {
    let array = weights.read(name).unwrap();
    if array.desc().dtype == DType::U32 { f64::from(array.to_u32()[0]) } else { f64::from(array.to_f32()[0]) }
}

#[test]
fn an_overflow_skips_one_update_and_halves_the_scale() {
    if !has_halves() {
        return;
    }
    let (weights, session) = product(LossScale { first: 1024.0, interval: 3, ..LossScale::default() }, 1);
    step(&session, 0.1);
    step(&session, 0.1);
    let before = trained(&weights);
    assert_eq!((number(&weights, "optimizer.loss_scale"), number(&weights, "optimizer.updates")), (1024.0, 2.0));
    step(&session, 2e4);
    assert!(trained(&weights) == before, "a gradient that is not finite changed something");
    assert_eq!((number(&weights, "optimizer.loss_scale"), number(&weights, "step")), (512.0, 3.0));
    // The count of good updates began anew: the third from here doubles the scale.
    for (run, expected) in [512.0, 512.0, 1024.0, 1024.0].into_iter().enumerate() {
        step(&session, 0.1);
        assert_eq!(number(&weights, "optimizer.loss_scale"), expected, "run {run}");
        assert_eq!(number(&weights, "optimizer.updates"), 3.0 + run as f64);
    }
    assert!(trained(&weights) != before);
}

#[test]
fn a_skipped_run_leaves_the_curve_as_if_it_had_not_been() {
    if !has_halves() {
        return;
    }
    // A scale that is a power of two changes no bit of gradients that neither overflow nor vanish.
    let [whole, skipped] = [false, true].map(|overflow| {
        let (weights, session) = product(LossScale { first: 1024.0, ..LossScale::default() }, 1);
        for run in 0..6 {
            if overflow && run == 3 {
                step(&session, f32::INFINITY);
            }
            step(&session, 0.1);
        }
        trained(&weights)
    });
    assert!(whole == skipped);
}

#[test]
fn an_overflow_in_a_micro_batch_skips_the_update_of_all_of_them() {
    if !has_halves() {
        return;
    }
    let (weights, session) = product(LossScale { first: 64.0, ..LossScale::default() }, 3);
    for _ in 0..3 {
        step(&session, 0.1);
    }
    let before = trained(&weights);
    for size in [0.1, 2e4, 0.1] {
        assert_eq!(number(&weights, "optimizer.loss_scale"), 64.0);
        step(&session, size);
    }
    assert_eq!(number(&weights, "optimizer.loss_scale"), 32.0);
    assert!(trained(&weights) == before, "sums of gradients are zero again and nothing else moved");
    for _ in 0..3 {
        step(&session, 0.1);
    }
    assert_eq!(number(&weights, "optimizer.updates"), 2.0);
}

#[test]
fn a_resumed_training_keeps_the_scale() {
    if !has_halves() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    let scale = LossScale { first: 256.0, interval: 4, ..LossScale::default() };
    let (weights, session) = product(scale, 1);
    for size in [0.1, 2e4, 0.1, 0.1] {
        step(&session, size);
    }
    checkpoint::save(&weights, &path).unwrap();
    let (resumed, other) = product(LossScale { first: 2.0, ..scale }, 1);
    checkpoint::load(&resumed, &path).unwrap();
    assert_eq!(number(&resumed, "optimizer.loss_scale"), 128.0);
    for _ in 0..3 {
        step(&session, 0.1);
        step(&other, 0.1);
    }
    assert!(all(&weights) == all(&resumed));
    assert_eq!(number(&resumed, "optimizer.loss_scale"), 256.0, "doubled after four updates, two of them resumed");
}

#[test]
fn a_loss_scale_works_without_half_precision_too() {
    let losses = |optimizer: Optimizer<wgrad::optim::SgdRule>| {
        let graph = Graph::new(Mode::Train);
        let w = graph.parameter("w", [3], Init::ones());
        let loss = (&w * &graph.input("x", [3])).square().sum_all();
        optimizer.minimise(&loss);
        let plan = graph.plan(&[("loss", &loss)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 0).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        session.write("x", &Array::from_f32([3], &[1.0, 2.0, -0.5]).unwrap()).unwrap();
        for _ in 0..3 {
            session.run().unwrap();
        }
        weights.read("w").unwrap().to_f32()
    };
    assert_eq!(losses(Sgd::new(0.01)), losses(Sgd::new(0.01).loss_scale(LossScale::default())));
}

#[test]
fn mistakes_are_said() {
    let said = |scale: LossScale| {
        let graph = Graph::new(Mode::Train);
        Sgd::new(0.1).loss_scale(scale).minimise(&graph.parameter("w", [2], Init::ones()).sum_all());
        graph.check().unwrap_err().message().to_owned()
    };
    let normal = LossScale::default();
    let expected = "minimise: the loss scale must be a positive number, not NaN";
    assert_eq!(said(LossScale { first: f32::NAN, ..normal }), expected);
    let expected = "minimise: the growth of the loss scale must be at least 1, not 0.5";
    assert_eq!(said(LossScale { growth: 0.5, ..normal }), expected);
    let expected = "minimise: the backoff of the loss scale must be between 0 and 1, not 1";
    assert_eq!(said(LossScale { backoff: 1.0, ..normal }), expected);
    assert_eq!(said(LossScale { interval: 0, ..normal }), "minimise: the loss scale grows after at least one update");
    let graph = Graph::new(Mode::Train);
    let w = graph.parameter("w", [2], Init::ones());
    Sgd::new(0.1).loss_scale(normal).minimise(&graph.mixed(|| w.cast(DType::F16).max(&[0], false)));
    assert_eq!(graph.check().unwrap_err().message(), "minimise: a loss that is scaled must be f32, not f16");
}
