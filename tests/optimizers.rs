//! Optimizers, schedules, micro-batches and averages of weights against PyTorch.

use crate::fixture::{Fixture, assert_close};
use wgrad::{
    chain, checkpoint,
    kernel::{DeviceClass, Target},
    nn::*,
    optim::{Adagrad, Adam, AdamW, Lion, OneCycle, Optimizer, RmsProp, Rule, Schedule, Sgd},
    prelude::*,
    testing::{context, run},
};

const NAMES: [&str; 4] = ["0.weight", "0.bias", "2.weight", "2.bias"];

/// The optimizer of a run of `fixtures/optimizers.py`.
fn minimise(run: &str, loss: &Tensor) {
    match run {
        "rmsprop" => RmsProp::new(0.01).minimise(loss),
        "rmsprop_momentum" => RmsProp::new(0.005).alpha(0.9).eps(1e-3).momentum(0.8).minimise(loss),
        "rmsprop_centered" => RmsProp::new(0.01).alpha(0.95).centered(true).weight_decay(0.1).minimise(loss),
        "rmsprop_all" => {
            RmsProp::new(0.003).alpha(0.8).momentum(0.9).centered(true).weight_decay(0.01).minimise(loss);
        }
        "adagrad" => Adagrad::new(0.05).minimise(loss),
        "adagrad_all" => {
            let adagrad = Adagrad::new(0.1).rate_decay(0.2).weight_decay(0.05).initial_accumulator(0.3).eps(1e-6);
            adagrad.minimise(loss);
        }
        "lion" => Lion::new(0.01).minimise(loss),
        "lion_decay" => Lion::new(0.003).betas(0.8, 0.95).weight_decay(0.5).minimise(loss),
        "sgd_clip_value" => Sgd::new(0.5).momentum(0.9).clip_value(0.05).minimise(loss),
        "adamw_average" => AdamW::new(0.05).weight_decay(0.1).average(0.8).minimise(loss),
        "rmsprop_clip_average" => RmsProp::new(0.02).clip_value(0.1).average(0.5).minimise(loss),
        _ => panic!("no run {run}"),
    }
}

/// The network of the fixture on a number of examples.
fn net(graph: &Graph, batch: usize) -> Tensor {
    chain![linear(7), tanh(), linear(3)].apply(&graph.input("x", [batch, 5]))
}

/// A session that trains the network of the fixture from its first weights.
fn start(fixture: &Fixture, batch: usize, target: &Target, minimise: impl Fn(&Tensor)) -> (Weights, Session) {
    let graph = Graph::new(Mode::Train);
    let loss = net(&graph, batch).cross_entropy(&graph.input_of("label", [batch], DType::U32));
    minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], target).unwrap();
    let weights = Weights::init(context(), &plan, 0).unwrap();
    let session = Session::new(context(), plan, &weights).unwrap();
    for name in NAMES {
        weights.write(name, fixture.get(&format!("initial.{name}"))).unwrap();
    }
    (weights, session)
}

/// Runs a session on examples of the fixture.
fn step(session: &Session, fixture: &Fixture, examples: std::ops::Range<usize>) {
    let (x, label) = (fixture.get("x").to_f32(), fixture.get("label").to_u32());
    let numbers = &x[examples.start * 5..examples.end * 5];
    session.write("x", &Array::from_f32([examples.len(), 5], numbers).unwrap()).unwrap();
    session.write("label", &Array::from_u32([examples.len()], &label[examples]).unwrap()).unwrap();
    session.run().unwrap();
}

fn named<'a>(fixture: &'a Fixture, kind: &str) -> Vec<&'a str> {
    let of_kind = fixture.table.iter().filter(|entry| entry["kind"] == kind);
    of_kind.map(|entry| entry["name"].as_str().unwrap()).collect()
}

fn compare_with_pytorch(class: DeviceClass) {
    let fixture = Fixture::open("optimizers");
    let target = context().target().with_class(class);
    let runs = named(&fixture, "runs");
    assert_eq!(runs.len(), 11);
    for run in runs {
        let (weights, session) = start(&fixture, 12, &target, |loss| minimise(run, loss));
        let mut losses = Vec::new();
        for count in 1..=10 {
            step(&session, &fixture, 0..12);
            losses.extend(session.read_blocking("loss").unwrap().to_f32());
            for name in NAMES.iter().filter(|_| [1, 5, 10].contains(&count)) {
                for name in [(*name).to_owned(), format!("average.{name}")] {
                    let Some(expected) = fixture.find(&format!("{run}.{count}.{name}")) else { continue };
                    let found = weights.read(&name).unwrap().to_f32();
                    let what = format!("{run} {class:?}: {name} after step {count}");
                    assert_close(&what, &found, &expected.to_f32(), 1e-5);
                }
            }
        }
        assert_close(&format!("{run} {class:?}: losses"), &losses, &fixture.get(&format!("{run}.loss")).to_f32(), 1e-5);
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

#[test]
fn a_hundred_rates_equal_pytorchs() {
    let fixture = Fixture::open("optimizers");
    let names = named(&fixture, "schedules");
    assert_eq!(names.len(), 10);
    for name in names {
        let (schedule, rate) = match name {
            "constant" => (Schedule::Constant, 0.1),
            "step" => (Schedule::step(7, 0.8), 0.1),
            "cosine" => (Schedule::Cosine { steps: 99, min: 0.003 }, 0.1),
            "linear_warmup" => (Schedule::Constant.after_warmup(20), 0.1),
            "noam" => (Schedule::noam(512, 30), 0.1),
            "one_cycle" => (Schedule::one_cycle(100), 0.1),
            "one_cycle_linear" => (OneCycle::new(100).rise(0.27).linear().into(), 0.1),
            "one_cycle_three" => (OneCycle::new(100).rise(0.4).three_phases().first_divisor(10.0).into(), 0.1),
            "one_cycle_three_linear" => (OneCycle::new(100).three_phases().linear().last_divisor(50.0).into(), 0.1),
            "one_cycle_odd" => (OneCycle::new(101).rise(0.333).into(), 0.1),
            _ => panic!("no schedule {name}"),
        };
        let graph = Graph::new(Mode::Infer);
        let steps: Vec<u32> = (0..100).collect();
        let done = graph.input_of("done", [100], DType::U32);
        let found = schedule.rate(rate, &done).expand([100]);
        let array = Array::from_u32([100], &steps).unwrap();
        let inputs = if schedule == Schedule::Constant { vec![] } else { vec![("done", array)] };
        let found = run(&graph, &[("rate", &found)], &inputs).unwrap()[0].to_f32();
        let expected = fixture.get(&format!("rates.{name}")).to_f32();
        assert_close(name, &found, &expected, 2e-6);
        // The smallest rates too, each by itself.
        for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!((found / expected - 1.0).abs() < 1e-3, "{name} {step}: {found}, PyTorch has {expected}");
        }
    }
}

/// Trains on micro-batches and on whole ones, and compares all weights and moments after some updates.
fn micro_batches_equal_a_large_one<R: Rule + Clone>(optimizer: &Optimizer<R>, class: DeviceClass) {
    let fixture = Fixture::open("optimizers");
    let target = context().target().with_class(class);
    let (large, whole) = start(&fixture, 12, &target, |loss| optimizer.minimise(loss));
    let (small, parts) = start(&fixture, 4, &target, |loss| optimizer.clone().accumulate(3).minimise(loss));
    let variables = large.variables();
    for update in 0..4 {
        let before: Vec<Array> = variables.iter().map(|v| small.read(&v.name).unwrap()).collect();
        for part in 0..3 {
            step(&parts, &fixture, 4 * part..4 * part + 4);
            for (variable, before) in variables.iter().zip(&before).filter(|(v, _)| part < 2 && &*v.name != "step") {
                let now = small.read(&variable.name).unwrap();
                assert_eq!(&now, before, "{} stays as it is within a batch", variable.name);
            }
        }
        step(&whole, &fixture, 0..12);
        for variable in variables.iter().filter(|variable| &*variable.name != "step") {
            let [found, expected] = [&small, &large].map(|weights| weights.read(&variable.name).unwrap().to_f32());
            assert_close(&format!("{class:?} {} after {update}", variable.name), &found, &expected, 2e-6);
        }
    }
    assert_eq!(large.read("step").unwrap().to_u32(), [4]);
    assert_eq!(small.read("step").unwrap().to_u32(), [12]);
    for name in NAMES {
        let left = small.read(&format!("optimizer.accumulated.{name}")).unwrap().to_f32();
        assert!(left.iter().all(|&x| x == 0.0), "{name}: {left:?}");
    }
}

#[test]
fn accumulated_micro_batches_equal_a_large_batch() {
    for class in [DeviceClass::Software, DeviceClass::Portable] {
        let schedule = Schedule::cosine(9).after_warmup(2);
        micro_batches_equal_a_large_one(&Sgd::new(0.3).momentum(0.9).dampening(0.2), class);
        micro_batches_equal_a_large_one(&AdamW::new(0.02).clip_norm(0.3).schedule(schedule).average(0.7), class);
        micro_batches_equal_a_large_one(&Adagrad::new(0.02).rate_decay(0.1).clip_value(0.1), class);
    }
}

#[test]
fn averages_are_saved_and_stand_in_for_the_parameters() {
    let fixture = Fixture::open("optimizers");
    let target = context().target();
    let train = |loss: &Tensor| AdamW::new(0.05).weight_decay(0.1).average(0.8).minimise(loss);
    let (weights, session) = start(&fixture, 12, target, train);
    (0..10).for_each(|_| step(&session, &fixture, 0..12));

    let graph = Graph::new(Mode::Infer);
    let y = net(&graph, 12);
    let plan = graph.plan(&[("y", &y)], target).unwrap();
    let averaged = weights.averaged().unwrap();
    let evaluate = |weights: &Weights| {
        let session = Session::new(context(), plan.clone(), weights).unwrap();
        session.write("x", fixture.get("x")).unwrap();
        session.run().unwrap();
        session.read_blocking("y").unwrap().to_f32()
    };
    let found = evaluate(&averaged);
    assert_ne!(found, evaluate(&weights));

    // The same from weights that really are the means.
    let copy = Weights::init(context(), &plan, 0).unwrap();
    for name in NAMES {
        let mean = weights.read(&format!("average.{name}")).unwrap();
        assert_eq!(averaged.read(name).unwrap(), mean);
        copy.write(name, &mean).unwrap();
    }
    assert_eq!(found, evaluate(&copy));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("averages.safetensors");
    checkpoint::save(&weights, &path).unwrap();
    let (resumed, _) = start(&fixture, 12, target, train);
    checkpoint::load(&resumed, &path).unwrap();
    assert_eq!(evaluate(&resumed.averaged().unwrap()), found);

    let error = copy.averaged().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the weights have no running means\n  help: train them with an optimizer's average(decay)"
    );
}

/// The dispatches that change something in place.
fn updates(minimise: impl Fn(&Tensor)) -> (usize, String) {
    let graph = Graph::new(Mode::Train);
    let loss = chain![linear(7), linear(3)].apply(&graph.input("x", [6, 5])).square().mean_all();
    minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], &Target::baseline()).unwrap();
    let steps = plan.report().steps;
    (steps.iter().filter(|step| step.ops.contains("assign")).count(), plan.report().to_string())
}

#[test]
fn updates_fuse_to_one_dispatch_for_each_parameter() {
    let check = |minimise: &dyn Fn(&Tensor), expected: usize| {
        let (found, report) = updates(minimise);
        assert_eq!(found, expected, "{report}");
    };
    check(&|loss| RmsProp::new(0.1).momentum(0.9).centered(true).weight_decay(0.1).clip_norm(1.0).minimise(loss), 4);
    check(&|loss| Adagrad::new(0.1).rate_decay(0.1).clip_value(0.1).minimise(loss), 4);
    check(&|loss| Lion::new(0.1).weight_decay(0.1).schedule(Schedule::one_cycle(20)).minimise(loss), 4);
    check(&|loss| Sgd::new(0.1).momentum(0.9).average(0.9).minimise(loss), 4);
    check(&|loss| Sgd::new(0.1).momentum(0.9).accumulate(4).minimise(loss), 4);
    // Behind the products that make their gradients, the weights' updates would need more than 8 buffers.
    check(&|loss| Adam::new(0.1).accumulate(4).minimise(loss), 6);
}

#[test]
fn mistakes_are_said() {
    let said = |minimise: &dyn Fn(&Tensor)| {
        let graph = Graph::new(Mode::Train);
        minimise(&graph.parameter("w", [2], Init::ones()).sum_all());
        graph.check().unwrap_err().message().to_owned()
    };
    assert_eq!(said(&|loss| Sgd::new(0.1).accumulate(0).minimise(loss)), "minimise: an update needs at least one run");
    assert_eq!(said(&|loss| Sgd::new(0.1).average(1.5).minimise(loss)), "minimise: decay must be from 0 to 1, not 1.5");
    assert_eq!(
        said(&|loss| Sgd::new(0.1).clip_value(-1.0).minimise(loss)),
        "minimise: the largest value must be a number not below 0, not -1"
    );
    assert_eq!(
        said(&|loss| RmsProp::new(0.1).alpha(1.5).minimise(loss)),
        "minimise: alpha must be from 0 to 1, not 1.5"
    );
    assert_eq!(
        said(&|loss| Adagrad::new(0.1).initial_accumulator(-1.0).minimise(loss)),
        "minimise: initial accumulator must be a number not below 0, not -1"
    );
    assert_eq!(
        said(&|loss| Lion::new(0.1).betas(1.0, 0.9).minimise(loss)),
        "minimise: beta must be at least 0 and less than 1, not 1"
    );
    assert_eq!(
        said(&|loss| Sgd::new(0.1).schedule(OneCycle::new(100).rise(1.0).into()).minimise(loss)),
        "one_cycle: 100 steps, 1 of them up, and divisors 25 and 10000 make no cycle"
    );
    assert_eq!(
        said(&|loss| Sgd::new(0.1).schedule(Schedule::noam(512, 0)).minimise(loss)),
        "schedule_noam: needs at least one step"
    );
}
