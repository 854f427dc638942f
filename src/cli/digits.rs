//! `wgrad train digits` and `wgrad predict digits`.

use super::{
    PredictDigits, TrainDigits, device,
    fit::catch_interrupt,
    plot::{self, Curve, Panel},
    say,
};
use crate::{
    checkpoint,
    data::{Array, DType, Shape},
    error::{Error, ErrorKind},
    gpu::{Context, Readback},
    graph::{Graph, Mode},
    models::lenet,
    nn::Layer,
    optim::{AdamW, Schedule},
    session::{Session, Weights},
    train::{Batches, Confusion, Digits},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::{collections::VecDeque, path::Path, sync::atomic::Ordering, time::Instant};

const CLASSES: usize = 10;

/// How many steps a loss may be on its way back before the loop asks for it.
const LATE: usize = 4;

fn load(path: Option<&Path>) -> Result<Digits, Error> {
    path.map_or_else(Digits::shipped, Digits::open)
}

/// Loss, accuracy, gradients and update of one batch: one graph, one submit.
fn training_graph(
    options: &TrainDigits,
    batch: usize,
    steps: u64,
) -> (Graph, [(&'static str, crate::graph::Tensor); 2]) {
    let graph = Graph::new(Mode::Train);
    let (x, label) = (graph.input("x", [batch, 1, 8, 8]), graph.input_of("label", [batch], DType::U32));
    let logits = lenet(CLASSES).apply(&x);
    let loss = logits.cross_entropy(&label);
    let accuracy = logits.argmax(1).eq(&label).cast(DType::F32).mean_all();
    AdamW::new(options.lr).schedule(Schedule::cosine(steps as u32)).minimise(&loss);
    (graph, [("loss", loss), ("accuracy", accuracy)])
}

/// Loss and class probabilities of a batch.
struct Evaluation {
    session: Session,
    labels: Vec<u32>,
}

impl Evaluation {
    fn new(context: &Context, weights: &Weights, digits: &Digits) -> Result<Evaluation, Error> {
        let (graph, count) = (Graph::new(Mode::Infer), digits.len());
        let (x, label) = (graph.input("x", [count, 1, 8, 8]), graph.input_of("label", [count], DType::U32));
        let logits = lenet(CLASSES).apply(&x);
        let (loss, probabilities) = (logits.cross_entropy(&label), logits.softmax(-1));
        let classes = logits.argmax(1);
        let outputs = [("loss", &loss), ("class", &classes), ("probabilities", &probabilities)];
        let plan = graph.plan(&outputs, context.target())?;
        weights.extend(&plan)?;
        let session = Session::new(context, plan, weights)?;
        session.write("x", &digits.images)?;
        session.write("label", &digits.labels)?;
        Ok(Evaluation { session, labels: digits.labels.to_u32() })
    }

    /// The loss and the table of true and predicted classes.
    fn run(&self) -> Result<(f64, Confusion), Error> {
        self.session.run()?;
        let loss = number(&self.session.read_blocking("loss")?);
        let mut confusion = Confusion::new(CLASSES);
        confusion.add(&self.labels, &self.session.read_blocking("class")?.to_u32());
        Ok((loss, confusion))
    }
}

fn number(array: &Array) -> f64 {
    array.to_f32().first().map_or(f64::NAN, |&x| f64::from(x))
}

/// Means of numbers that come back from the device some steps late.
#[derive(Default)]
struct Late {
    pending: VecDeque<Readback>,
    sum: f64,
    count: u64,
}

impl Late {
    fn add(&mut self, readback: Readback) -> Result<(), Error> {
        self.pending.push_back(readback);
        if self.pending.len() > LATE { self.settle_one() } else { Ok(()) }
    }

    fn settle_one(&mut self) -> Result<(), Error> {
        if let Some(readback) = self.pending.pop_front() {
            self.sum += number(&readback.wait()?);
            self.count += 1;
        }
        Ok(())
    }

    fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    fn settle(mut self) -> Result<f64, Error> {
        while !self.pending.is_empty() {
            self.settle_one()?;
        }
        Ok(self.mean())
    }
}

pub(super) fn train(options: &TrainDigits) -> Result<(), Error> {
    let begin = Instant::now();
    let digits = load(options.data.as_deref())?;
    let too_few = || Error::new(ErrorKind::Data, format!("{} digits are too few to train and test with", digits.len()));
    let (training, held_out) = digits.split().filter(|(_, test)| !test.is_empty()).ok_or_else(too_few)?;
    let batch = options.batch.min(training.len());
    let steps_per_epoch = (training.len() / batch) as u64;

    let context = device::open()?;
    let (graph, outputs) = training_graph(options, batch, options.epochs * steps_per_epoch);
    let plan = graph.plan(&outputs.each_ref().map(|(name, tensor)| (*name, tensor)), context.target())?;
    let weights = Weights::init(&context, &plan, options.seed)?;
    let report = plan.report();
    if !options.json {
        say(format_args!("{} on {}", "digits", context.name()))?;
        say(format_args!("{} digits to train on, {} held out", training.len(), held_out.len()))?;
        let memory = plan.memory().total() as f64 / 1e6;
        say(format_args!("a training step: {} dispatches, one submit, {memory:.1} MB planned", report.steps.len()))?;
    }
    let session = Session::new(&context, plan, &weights)?;
    let evaluation = Evaluation::new(&context, &weights, &held_out)?;
    let mut done = 0;
    if options.resume {
        checkpoint::load(&weights, &options.checkpoint)?;
        done = u64::from(weights.read("step")?.to_u32().first().copied().unwrap_or(0));
    }
    let (first_epoch, within) = (done / steps_per_epoch, done % steps_per_epoch);
    let switch = catch_interrupt()?;
    let last_epoch = options.stop_after.map_or(options.epochs, |stop| stop.min(options.epochs));

    let bar = progress_bar(options.json, (last_epoch.saturating_sub(first_epoch)) * steps_per_epoch * batch as u64);
    let [mut losses, mut accuracies, mut test_losses, mut test_accuracies] = [const { Vec::new() }; 4];
    let training_begin = Instant::now();
    for epoch in first_epoch..last_epoch {
        let (mut loss, mut accuracy) = (Late::default(), Late::default());
        let batches = Batches::new(&[&training.images, &training.labels], batch, options.seed, epoch)?;
        for rows in batches.skip(if epoch == first_epoch { within as usize } else { 0 }) {
            session.write("x", &rows[0])?;
            session.write("label", &rows[1])?;
            session.run()?;
            loss.add(session.fetch("loss")?)?;
            accuracy.add(session.fetch("accuracy")?)?;
            bar.inc(batch as u64);
            if loss.count > 0 {
                bar.set_message(format!("loss {:.4}  accuracy {:5.1} %", loss.mean(), 100.0 * accuracy.mean()));
            }
            if switch.load(Ordering::Relaxed) {
                bar.finish_and_clear();
                checkpoint::save(&weights, &options.checkpoint)?;
                eprintln!("wrote {}; go on with --resume and the same options", options.checkpoint.display());
                std::process::exit(130);
            }
        }
        let (loss, accuracy) = (loss.settle()?, accuracy.settle()?);
        let (test_loss, confusion) = evaluation.run()?;
        if options.json {
            say(json!({
                "epoch": epoch + 1, "loss": loss, "accuracy": accuracy,
                "test_loss": test_loss, "test_accuracy": confusion.accuracy(),
            }))?;
        }
        losses.push(loss);
        accuracies.push(accuracy);
        test_losses.push(test_loss);
        test_accuracies.push(confusion.accuracy());
    }
    bar.finish();
    let seconds = training_begin.elapsed().as_secs_f64();

    checkpoint::save(&weights, &options.checkpoint)?;
    let (test_loss, confusion) = evaluation.run()?;
    if !losses.is_empty() {
        let panel = |title, share, training: Vec<f64>, held_out: Vec<f64>| {
            let curve = |name, values: Vec<f64>| {
                let points = values.into_iter().enumerate().map(|(i, y)| (first_epoch as f64 + i as f64 + 1.0, y));
                Curve { name, points: points.collect() }
            };
            Panel { title, x: "epoch", share, curves: vec![curve("training", training), curve("held out", held_out)] }
        };
        let loss = panel("loss (cross-entropy)", false, losses, test_losses);
        let accuracy = panel("accuracy", true, accuracies, test_accuracies);
        plot::draw(&options.plot, &[loss, accuracy])?;
    }
    let trained = last_epoch.saturating_sub(first_epoch) * steps_per_epoch * batch as u64;
    let rate = trained as f64 / seconds;
    if options.json {
        return say(json!({
            "device": context.name(), "test_accuracy": confusion.accuracy(), "test_loss": test_loss,
            "training_seconds": seconds, "samples_per_second": rate, "dispatches": report.steps.len(),
            "checkpoint": options.checkpoint, "plot": options.plot, "confusion": confusion.rows().collect::<Vec<_>>(),
        }));
    }
    say(format_args!("\n{confusion}\n"))?;
    say(format_args!(
        "test accuracy {:.2} %, loss {test_loss:.4}, on {} held-out digits",
        100.0 * confusion.accuracy(),
        held_out.len()
    ))?;
    let total = begin.elapsed().as_secs_f64();
    say(format_args!("trained in {seconds:.1} s ({rate:.0} digits/s), {total:.1} s in all"))?;
    say(format_args!("wrote {} and {}", options.checkpoint.display(), options.plot.display()))
}

fn progress_bar(quiet: bool, length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(
        Some(length),
        if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() },
    );
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {per_sec} digits  {eta} left");
    if let Ok(style) = style {
        bar.set_style(style.with_key("per_sec", |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        }));
    }
    bar
}

pub(super) fn predict(options: &PredictDigits) -> Result<(), Error> {
    let digits = load(options.data.as_deref())?;
    let outside = || {
        Error::new(
            ErrorKind::Data,
            format!("there is no digit {}: there are {}, counted from 0", options.index, digits.len()),
        )
    };
    let digit = (options.index < digits.len()).then(|| digits.take(&[options.index])).flatten().ok_or_else(outside)?;

    let context = device::open()?;
    let graph = Graph::new(Mode::Infer);
    let y = lenet(CLASSES).apply(&graph.input("x", [1, 1, 8, 8]));
    let plan = graph.plan(&[("y", &y)], context.target())?;
    let weights = Weights::init(&context, &plan, 0)?;
    checkpoint::load_parameters(&weights, &options.checkpoint)?;
    let evaluation = Evaluation::new(&context, &weights, &digit)?;
    evaluation.run()?;
    let probabilities = evaluation.session.read_blocking("probabilities")?.to_f32();
    let class = evaluation.session.read_blocking("class")?.to_u32().first().copied().unwrap_or(0);
    let label = digit.labels.to_u32()[0];
    if options.json {
        return say(json!({ "index": options.index, "label": label, "class": class, "probabilities": probabilities }));
    }
    say(picture(&digit.images))?;
    for (class, &probability) in probabilities.iter().enumerate() {
        let bar = "█".repeat((probability * 40.0).round() as usize);
        say(format_args!("{class}  {:6.2} %  {bar}", 100.0 * probability))?;
    }
    let verdict = if class == label { "right" } else { "wrong" };
    say(format_args!("\ndigit {}: taken for {class}, it is a {label} ({verdict})", options.index))
}

/// An image of one channel in characters, two for each pixel.
fn picture(image: &Array) -> String {
    let shape: &Shape = image.shape();
    let width = shape.last().copied().unwrap_or(1);
    let shade = |x: &f32| ["  ", "░░", "▒▒", "▓▓", "██"][((x * 5.0) as usize).min(4)];
    image.to_f32().chunks(width).map(|row| row.iter().map(shade).collect::<String>() + "\n").collect()
}
