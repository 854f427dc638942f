//! Optimizers against PyTorch's, and training that can be stopped, resumed and repeated.

use crate::fixture::{Fixture, assert_close};
use std::sync::atomic::{AtomicBool, Ordering};
use wgrad::{
    chain, checkpoint,
    graph::Role,
    kernel::{DeviceClass, Target},
    nn::*,
    optim::{Adam, AdamW, Optimizer, Rule, Schedule, Sgd, Update},
    prelude::*,
    testing::context,
    train::{Ended, Event, Goal, Table, Training},
};

/// The optimizer of a run of `fixtures/make.py`.
fn minimise(run: &str, loss: &Tensor) {
    match run {
        "sgd" => Sgd::new(0.1).minimise(loss),
        "sgd_momentum" => Sgd::new(0.1).momentum(0.9).dampening(0.3).minimise(loss),
        "sgd_nesterov" => Sgd::new(0.1).momentum(0.9).nesterov(true).weight_decay(0.01).minimise(loss),
        "sgd_step" => Sgd::new(0.1).schedule(Schedule::step(3, 0.5)).minimise(loss),
        "adam" => Adam::new(0.01).minimise(loss),
        "adam_decay" => Adam::new(0.01).betas(0.8, 0.95).eps(1e-6).weight_decay(0.1).minimise(loss),
        "adamw" => AdamW::new(0.01).minimise(loss),
        "adamw_clip_cosine" => {
            let schedule = Schedule::Cosine { steps: 8, min: 0.002 }.after_warmup(3);
            AdamW::new(0.05).weight_decay(0.1).clip_norm(0.25).schedule(schedule).minimise(loss);
        }
        _ => panic!("no run {run}"),
    }
}

fn compare_with_pytorch(class: DeviceClass) {
    let fixture = Fixture::open("training");
    let target = context().target().with_class(class);
    for run in fixture.table.iter().map(|run| run.as_str().unwrap()) {
        let graph = Graph::new(Mode::Train);
        let (x, label) = (graph.input("x", [6, 5]), graph.input_of("label", [6], DType::U32));
        let loss = chain![linear(7), tanh(), linear(3)].apply(&x).cross_entropy(&label);
        minimise(run, &loss);
        let plan = graph.plan(&[("loss", &loss)], &target).unwrap();
        let weights = Weights::init(context(), &plan, 0).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        let names = ["0.weight", "0.bias", "2.weight", "2.bias"];
        for name in names {
            weights.write(name, fixture.get(&format!("initial.{name}"))).unwrap();
        }
        session.write("x", fixture.get("x")).unwrap();
        session.write("label", fixture.get("label")).unwrap();
        let mut losses = Vec::new();
        for step in 1..=10 {
            session.run().unwrap();
            losses.extend(session.read_blocking("loss").unwrap().to_f32());
            for name in names.iter().filter(|_| [1, 5, 10].contains(&step)) {
                let expected = fixture.get(&format!("{run}.{step}.{name}")).to_f32();
                let found = weights.read(name).unwrap().to_f32();
                assert_close(&format!("{run} {class:?}: {name} after step {step}"), &found, &expected, 1e-5);
            }
        }
        assert_close(&format!("{run} {class:?}: losses"), &losses, &fixture.get(&format!("{run}.loss")).to_f32(), 1e-5);
        assert_eq!(weights.read("step").unwrap().to_u32(), [10], "{run}: steps counted");
    }
}

#[test]
fn ten_steps_equal_pytorchs_on_software_drivers() {
    compare_with_pytorch(DeviceClass::Software);
}

#[test]
fn ten_steps_equal_pytorchs_on_gpus() {
    compare_with_pytorch(DeviceClass::Portable);
}

/// A network with dropout, its optimizer with every kind of state, and a session on new weights.
fn start(seed: u64) -> (Weights, Session) {
    let graph = Graph::new(Mode::Train);
    let (x, label) = (graph.input("x", [16, 5]), graph.input_of("label", [16], DType::U32));
    let net = chain![linear(32), gelu(), dropout(0.3), linear(3)];
    let loss = net.apply(&x).cross_entropy(&label);
    AdamW::new(0.05).clip_norm(1.0).schedule(Schedule::cosine(20).after_warmup(4)).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, seed).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    (weights, session)
}

/// Runs the steps of a range, each with its own batch.
fn train(session: &Session, steps: std::ops::Range<u32>) -> Vec<f32> {
    let step = |step: u32| {
        let labels: Vec<u32> = (0..16).map(|i| (i * 7 + step) % 3).collect();
        let x: Vec<f32> =
            (0..80).map(|i| (labels[i / 5] as f32 - 1.0) * ((i % 5) as f32 - 2.0) + (i as f32).sin()).collect();
        session.write("x", &Array::from_f32([16, 5], &x).unwrap()).unwrap();
        session.write("label", &Array::from_u32([16], &labels).unwrap()).unwrap();
        session.run().unwrap();
        session.read_blocking("loss").unwrap().to_f32()[0]
    };
    steps.map(step).collect()
}

fn bits(weights: &Weights) -> Vec<(String, Array)> {
    weights.variables().iter().map(|v| (v.name.to_string(), weights.read(&v.name).unwrap())).collect()
}

#[test]
fn a_small_net_learns() {
    let (_, session) = start(1);
    let losses = train(&session, 0..24);
    assert!(losses[23] < 0.3 * losses[0], "{losses:?}");
}

#[test]
fn one_seed_gives_the_same_bits_and_another_seed_others() {
    let runs: Vec<_> = [5, 5, 6]
        .into_iter()
        .map(|seed| {
            let (weights, session) = start(seed);
            (train(&session, 0..6), bits(&weights))
        })
        .collect();
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0].0, runs[2].0);
}

#[test]
fn a_resumed_run_equals_an_unbroken_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    let (weights, session) = start(7);
    train(&session, 0..5);
    checkpoint::save(&weights, &path).unwrap();
    let losses = train(&session, 5..10);

    let (resumed, session) = start(8);
    checkpoint::load(&resumed, &path).unwrap();
    assert_eq!(train(&session, 5..10), losses);
    assert_eq!(bits(&resumed), bits(&weights));
}

#[test]
fn moments_are_state_below_optimizer() {
    let (weights, _) = start(1);
    let variables = weights.variables();
    let state: Vec<&str> = variables.iter().filter(|v| v.role == Role::State).map(|v| &*v.name).collect();
    let expected = [
        "optimizer.exp_avg.0.bias",
        "optimizer.exp_avg.0.weight",
        "optimizer.exp_avg.3.bias",
        "optimizer.exp_avg.3.weight",
        "optimizer.exp_avg_sq.0.bias",
        "optimizer.exp_avg_sq.0.weight",
        "optimizer.exp_avg_sq.3.bias",
        "optimizer.exp_avg_sq.3.weight",
        "seed.0",
        "seed.1",
        "step",
    ];
    assert_eq!(state, expected);
}

/// The dispatches of a plan that change something in place.
fn updates(plan: &Plan) -> Vec<String> {
    plan.report().steps.into_iter().map(|step| step.ops).filter(|ops| ops.contains("assign")).collect()
}

#[test]
fn each_parameter_is_updated_by_one_dispatch_within_the_limits_of_any_device() {
    let graph = Graph::new(Mode::Train);
    let loss = chain![linear(7), linear(3)].apply(&graph.input("x", [6, 5])).square().mean_all();
    AdamW::new(0.1).clip_norm(1.0).schedule(Schedule::cosine(9)).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], &Target::baseline()).unwrap();
    assert_eq!(updates(&plan).len(), 4, "\n{}", plan.report());
}

#[test]
fn what_the_loss_does_not_depend_on_is_left_alone() {
    let graph = Graph::new(Mode::Train);
    let used = graph.parameter("used", [3], Init::ones());
    let unused = graph.parameter("unused", [3], Init::ones());
    let loss = used.square().sum_all();
    AdamW::new(0.1).weight_decay(0.5).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss), ("unused", &unused)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 0).unwrap();
    Session::new(context(), plan, &weights).unwrap().run().unwrap();
    assert_eq!(weights.read("unused").unwrap().to_f32(), [1.0; 3]);
    // (1 − 0.1·0.5)·1 − 0.1
    assert_close("used", &weights.read("used").unwrap().to_f32(), &[0.85; 3], 1e-6);
}

#[test]
fn two_optimizers_share_a_graph_and_its_step() {
    let graph = Graph::new(Mode::Train);
    let (a, b) = (graph.parameter("a", [2], Init::ones()), graph.parameter("b", [2], Init::ones()));
    let loss = (&a * 3.0).sum_all() + (&b * 2.0).sum_all();
    let found = wgrad::autodiff::gradients(&loss, &[a.clone(), b.clone()]);
    let [da, db] = [0, 1].map(|i| found[i].clone().unwrap());
    Sgd::new(0.1).update(&[(a, da)]);
    Sgd::new(0.5).update(&[(b, db)]);
    let plan = graph.plan(&[], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 0).unwrap();
    Session::new(context(), plan, &weights).unwrap().run().unwrap();
    assert_close("a", &weights.read("a").unwrap().to_f32(), &[0.7, 0.7], 1e-6);
    assert_close("b", &weights.read("b").unwrap().to_f32(), &[0.0, 0.0], 1e-6);
    assert_eq!(weights.read("step").unwrap().to_u32(), [1]);
}

#[test]
fn half_precision_parameters_have_single_precision_moments() {
    if !context().target().f16 {
        return;
    }
    let graph = Graph::new(Mode::Train);
    let w = graph.parameter_of("w", TensorDesc::new([5], DType::F16), Init::ones());
    let loss = w.mul(&w).cast(DType::F32).sum_all();
    Adam::new(0.25).clip_norm(1.0).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 0).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    session.run().unwrap();
    assert_eq!(weights.read("w").unwrap(), Array::from_f32_as(DType::F16, [5], &[0.75; 5]).unwrap());
    let m = weights.read("optimizer.exp_avg.w").unwrap();
    assert_eq!(m.desc(), &TensorDesc::new([5], DType::F32));
    // Clipped to 1/√5, times 1 − 0.9.
    assert_close("m", &m.to_f32(), &[0.1 / 5f32.sqrt(); 5], 1e-3);
}

#[test]
fn an_app_brings_its_own_rule() {
    /// p ← p − rate·sign(g + b), b ← sign(g)
    #[derive(Debug)]
    struct Signs;
    impl Rule for Signs {
        fn update(&self, at: &Update<'_>) -> Tensor {
            let b = at.state("signs");
            let direction = (at.gradient() + &b).sign();
            at.keep(&b, at.gradient().sign());
            at.parameter() - at.rate() * direction
        }
    }
    let graph = Graph::new(Mode::Train);
    let w = graph.parameter("w", [3], Init::ones());
    let loss = (&w * graph.input("x", [3])).sum_all();
    Optimizer::of(Signs, 0.25).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, 0).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    session.write("x", &Array::from_f32([3], &[2.0, -0.5, 0.0]).unwrap()).unwrap();
    session.run().unwrap();
    session.write("x", &Array::from_f32([3], &[-0.5, -0.5, 0.0]).unwrap()).unwrap();
    session.run().unwrap();
    assert_eq!(weights.read("w").unwrap().to_f32(), [0.5, 1.5, 1.0]);
    assert_eq!(weights.read("optimizer.signs.w").unwrap().to_f32(), [-1.0, -1.0, 0.0]);
}

/// What a graph says after a loss over one parameter was given to `minimise`.
fn mistake(mode: Mode, minimise: impl Fn(&Graph, &Tensor)) -> String {
    let graph = Graph::new(mode);
    let loss = graph.parameter("w", [2], Init::ones()).sum_all();
    minimise(&graph, &loss);
    let error = graph.check().unwrap_err();
    // The place is this file; its line is not the point here.
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("  at tests/training.rs:")).collect();
    assert_eq!(lines.len() + 1, text.lines().count(), "{text}");
    lines.join("\n")
}

#[test]
fn mistakes_are_said_in_full() {
    let said = mistake(Mode::Infer, |_, loss| Adam::new(0.1).minimise(loss));
    let expected =
        "minimise: the graph is one for use, which counts no steps\n  help: write it with Graph::new(Mode::Train)";
    assert_eq!(said, expected);
    let said = mistake(Mode::Train, |graph, _| Adam::new(0.1).minimise(&graph.input("x", [])));
    assert_eq!(said, "minimise: the loss depends on no parameter");
    let said = mistake(Mode::Train, |_, loss| Adam::new(f64::NAN).minimise(loss));
    assert_eq!(said, "minimise: learning rate must be a number not below 0, not NaN");
    let said = mistake(Mode::Train, |_, loss| AdamW::new(0.1).betas(0.9, 1.0).minimise(loss));
    assert_eq!(said, "minimise: beta must be at least 0 and less than 1, not 1");
    let said = mistake(Mode::Train, |_, loss| Sgd::new(0.1).momentum(-0.5).minimise(loss));
    assert_eq!(said, "minimise: momentum must be a number not below 0, not -0.5");
    let said = mistake(Mode::Train, |_, loss| Sgd::new(0.1).nesterov(true).minimise(loss));
    assert_eq!(said, "minimise: Nesterov needs a momentum and no dampening");
    let said = mistake(Mode::Train, |_, loss| Sgd::new(0.1).clip_norm(0.0).minimise(loss));
    assert_eq!(said, "clip_norm: the largest norm must be positive, not 0");
    let said = mistake(Mode::Train, |_, loss| Sgd::new(0.1).schedule(Schedule::cosine(0)).minimise(loss));
    assert_eq!(said, "schedule_cosine: needs at least one step");
    let said = mistake(Mode::Train, |graph, loss| {
        let x = graph.input("x", [2]);
        Sgd::new(0.1).update(&[(loss.clone(), loss.clone()), (x.clone(), x)]);
    });
    assert_eq!(said, "minimise: Tensor(1, f32[]) is neither a parameter nor state");
    let said =
        mistake(Mode::Train, |graph, loss| Sgd::new(0.1).update(&[(graph.parameters()[0].clone(), loss.clone())]));
    assert_eq!(said, "minimise: the gradient of w is f32[], the parameter f32[2]");
}

/// A linear regression that learns y = 2x − 1 from 12 examples, its session and its data.
fn regression(seed: u64) -> (Session, Weights, Table) {
    let graph = Graph::new(Mode::Train);
    let (x, y) = (graph.input("x", [4, 1]), graph.input("y", [4, 1]));
    let loss = (linear(1).apply(&x).dropout(0.1) - &y).square().mean_all();
    Adam::new(0.05).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context().target()).unwrap();
    let weights = Weights::init(context(), &plan, seed).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    let x: Vec<f32> = (0..13).map(|i| i as f32 / 6.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 2.0 * x - 1.0).collect();
    let column = |numbers: &[f32]| Array::from_f32([13, 1], numbers).unwrap();
    let table = Table::new([("x", column(&x)), ("y", column(&y))]).unwrap();
    (session, weights, table)
}

fn all(weights: &Weights) -> Vec<(String, Array)> {
    weights.variables().iter().map(|v| (v.name.to_string(), weights.read(&v.name).unwrap())).collect()
}

#[test]
fn a_training_that_was_stopped_anywhere_goes_on_with_the_same_bits() {
    let (session, weights, table) = regression(3);
    let (whole, ended) = Training::new(&session, &weights, &table, 4).epochs(5).seed(7).run(|_| Ok(())).unwrap();
    assert_eq!((whole.epochs.len(), ended), (5, Ended::Done));
    assert_eq!(whole.epochs[4].step, 15);
    let expected = all(&weights);

    let folder = tempfile::tempdir().unwrap();
    let mut steps = Vec::new();
    for stop in [2, 3, 4, 8, 15] {
        // Other initial values from the second run on: the checkpoint's count.
        let (session, weights, table) = regression(if stop == 2 { 3 } else { stop + 100 });
        let training = Training::new(&session, &weights, &table, 4).epochs(5).seed(7).checkpoints(folder.path());
        let (history, ended) = training
            .stop_after(stop)
            .run(|event| {
                if let Event::Step { step, .. } = event {
                    steps.push(step);
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(ended, if stop == 15 { Ended::Done } else { Ended::Stopped });
        if stop == 15 {
            assert!(all(&weights) == expected, "stopping and resuming gives other bits");
            assert_eq!(history, whole);
        }
    }
    assert_eq!(steps, (1..=15).collect::<Vec<u64>>());
    let mut files: Vec<String> =
        std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["step-00000012.safetensors", "step-00000015.safetensors"]);
}

#[test]
fn a_switch_stops_and_a_watched_figure_ends_a_training() {
    let (session, weights, table) = regression(1);
    let switch = AtomicBool::new(false);
    let folder = tempfile::tempdir().unwrap();
    let training = Training::new(&session, &weights, &table, 4).epochs(100).checkpoints(folder.path()).switch(&switch);
    let mut saved = 0;
    let (_, ended) = training
        .run(|event| {
            match event {
                Event::Step { step: 7, .. } => switch.store(true, Ordering::Relaxed),
                Event::Saved(_) => saved += 1,
                _ => {}
            }
            Ok(())
        })
        .unwrap();
    assert_eq!((ended, saved), (Ended::Stopped, 3));
    assert!(folder.path().join("step-00000007.safetensors").exists());

    let (session, weights, table) = regression(1);
    let folder = tempfile::tempdir().unwrap();
    let mut figures = [3.0, 2.0, 2.5, 2.0, 9.0, 1.0].into_iter();
    let (history, ended) = Training::new(&session, &weights, &table, 4)
        .epochs(100)
        .checkpoints(folder.path())
        .keep(1)
        .validate(|| Ok(vec![("valid_loss".to_owned(), figures.next().unwrap())]))
        .watch("valid_loss", Goal::Lowest, 3)
        .run(|_| Ok(()))
        .unwrap();
    assert_eq!((history.series("valid_loss"), ended), (vec![3.0, 2.0, 2.5, 2.0, 9.0], Ended::NoProgress));
    assert!(folder.path().join("best.safetensors").exists());
    let best = checkpoint::inspect(folder.path().join("best.safetensors")).unwrap();
    assert!(best.tensors.iter().any(|tensor| tensor.name == "step"));

    let (session, weights, table) = regression(1);
    let training = Training::new(&session, &weights, &table, 4).watch("accuracy", Goal::Highest, 3);
    let error = training.run(|_| Ok(())).unwrap_err().to_string();
    assert_eq!(error, "the training watches \"accuracy\", which it does not measure");
    let error = Training::new(&session, &weights, &table, 14).run(|_| Ok(())).unwrap_err().to_string();
    assert_eq!(error, "batches of 14 cannot be taken from 13 examples");
}
