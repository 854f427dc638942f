//! The loop: epochs of steps, means that come back late, validation, checkpoints, resuming.

use super::{
    Dataset, each_batch,
    history::{Epoch, History},
};
use crate::{
    checkpoint,
    data::DType,
    error::{Error, ErrorKind},
    gpu::Readback,
    session::{Session, Weights},
};
use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// How many steps a figure may be on its way back before the loop waits for it.
const LATE: usize = 4;

/// Which values of a figure are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Small ones: a loss.
    Lowest,
    /// Large ones: an accuracy.
    Highest,
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All its steps are made.
    Done,
    /// The watched figure did not get better for as many epochs as it was given.
    NoProgress,
    /// It was told to: by the switch, or by the limit of steps for this run. It can be resumed.
    Stopped,
}

/// What a training tells while it runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step was submitted.
    Step {
        /// Its number among all steps, from 1.
        step: u64,
        /// How many steps the training has in all.
        total: u64,
        /// The means since the last measurement; some steps are still on their way.
        means: &'a [(String, f64)],
    },
    /// An epoch ended, or as many steps as [`measure_every`](Training::measure_every) says were made.
    Epoch(&'a Epoch),
    /// A checkpoint was written.
    Saved(&'a Path),
}

/// A training of a session on a dataset. Every scalar `f32` output of the session's plan is a figure: its mean
/// over an epoch is told and kept.
///
/// What a run does depends on the weights, the dataset, the batch and the seed only. The state `step` of the
/// weights says where it is, so a run that goes on from a checkpoint makes the same bits as one that was never
/// interrupted.
///
/// ```
/// use wgrad::{nn::*, optim::Sgd, prelude::*, train::{Table, Training}};
///
/// # fn main() -> Result<(), Error> {
/// let graph = Graph::new(Mode::Train);
/// let (x, y) = (graph.input("x", [2, 1]), graph.input("y", [2, 1]));
/// let loss = (linear(1).apply(&x) - &y).square().mean_all();
/// Sgd::new(0.1).minimise(&loss);
/// let context = pollster::block_on(Context::new())?;
/// let plan = graph.plan(&[("loss", &loss)], context.target())?;
/// let weights = Weights::init(&context, &plan, 1)?;
/// let session = Session::new(&context, plan, &weights)?;
///
/// let numbers = [0.0, 0.5, 1.0, 1.5];
/// let data = Table::new([
///     ("x", Array::from_f32([4, 1], &numbers)?),
///     ("y", Array::from_f32([4, 1], &numbers.map(|x| 2.0 * x - 1.0))?),
/// ])?;
/// let (history, _) = Training::new(&session, &weights, &data, 2).epochs(60).run(|_| Ok(()))?;
/// assert!(history.series("loss")[59] < 1e-2);
/// # Ok(())
/// # }
/// ```
pub struct Training<'a> {
    session: &'a Session,
    weights: &'a Weights,
    data: &'a dyn Dataset,
    batch: usize,
    epochs: u64,
    steps: Option<u64>,
    period: Option<u64>,
    seed: u64,
    most_steps: Option<u64>,
    validate: Option<Validation<'a>>,
    watch: Option<(String, Goal, usize)>,
    folder: Option<PathBuf>,
    every: Option<u64>,
    keep: usize,
    switch: Option<&'a AtomicBool>,
}

type Validation<'a> = Box<dyn FnMut() -> Result<Vec<(String, f64)>, Error> + 'a>;

impl<'a> Training<'a> {
    /// One epoch in batches of `batch` examples, shuffled with seed 0.
    pub fn new(session: &'a Session, weights: &'a Weights, data: &'a dyn Dataset, batch: usize) -> Training<'a> {
        Training {
            session,
            weights,
            data,
            batch,
            epochs: 1,
            steps: None,
            period: None,
            seed: 0,
            most_steps: None,
            validate: None,
            watch: None,
            folder: None,
            every: None,
            keep: 2,
            switch: None,
        }
    }

    /// How often every example is seen, epochs before a resumed checkpoint included.
    pub fn epochs(mut self, epochs: u64) -> Self {
        self.epochs = epochs;
        self
    }

    /// How many steps are made instead of whole epochs, those before a resumed checkpoint included.
    pub fn steps(mut self, steps: u64) -> Self {
        self.steps = Some(steps);
        self
    }

    /// Measures and validates after every so many steps, and at the end, instead of after every epoch: for data of
    /// which one pass is long.
    pub fn measure_every(mut self, steps: u64) -> Self {
        self.period = Some(steps.max(1));
        self
    }

    /// The seed of the shuffles.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Stops, to be resumed, when this many steps have been made in all.
    pub fn stop_after(mut self, steps: u64) -> Self {
        self.most_steps = Some(steps);
        self
    }

    /// What to measure at the end of each epoch, or as often as [`measure_every`](Training::measure_every) says:
    /// `[("valid_loss", 0.31)]`.
    pub fn validate(mut self, validate: impl FnMut() -> Result<Vec<(String, f64)>, Error> + 'a) -> Self {
        self.validate = Some(Box::new(validate));
        self
    }

    /// Ends the training when a figure has not got better for `patience` epochs. With checkpoints, the weights
    /// of the best epoch are in `best.safetensors`.
    pub fn watch(mut self, figure: &str, goal: Goal, patience: usize) -> Self {
        self.watch = Some((figure.to_owned(), goal, patience));
        self
    }

    /// Writes checkpoints `step-00001200.safetensors` to a folder, at the end of the run and of every epoch
    /// unless [`every`](Training::every) says otherwise, keeps the last two, and goes on from the last one
    /// where the folder has any.
    pub fn checkpoints(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Writes a checkpoint every so many steps instead of every epoch.
    pub fn every(mut self, steps: u64) -> Self {
        self.every = Some(steps.max(1));
        self
    }

    /// How many checkpoints are kept, at least one.
    pub fn keep(mut self, checkpoints: usize) -> Self {
        self.keep = checkpoints.max(1);
        self
    }

    /// A switch that stops the run after the current step, with a checkpoint: what Ctrl-C sets.
    pub fn switch(mut self, switch: &'a AtomicBool) -> Self {
        self.switch = Some(switch);
        self
    }

    /// Trains, and returns what was measured and why it ended.
    ///
    /// # Errors
    /// An error of the device, the dataset, the validation, the observer or a file; a watched figure that nothing
    /// measures; a session whose graph counts no steps.
    pub fn run(mut self, mut observe: impl FnMut(Event<'_>) -> Result<(), Error>) -> Result<(History, Ended), Error> {
        let per_epoch = (self.data.len() / self.batch.max(1)) as u64;
        if per_epoch == 0 || self.batch == 0 {
            let message = format!("batches of {} cannot be taken from {} examples", self.batch, self.data.len());
            return Err(Error::new(ErrorKind::Data, message));
        }
        let names = self.figures();
        let mut history = History::default();
        let mut sums = Sums::new(&names);
        if let Some((path, _)) = self.saved()?.pop() {
            checkpoint::load(self.weights, &path)?;
            let notes = checkpoint::inspect(&path)?.notes;
            let broken = |note: &str| {
                Error::new(ErrorKind::Checkpoint, format!("{}: has no note {note:?} of a training", path.display()))
            };
            history = History::from_csv(notes.get("history").ok_or_else(|| broken("history"))?)?;
            sums.read(notes.get("sums").ok_or_else(|| broken("sums"))?).ok_or_else(|| broken("sums"))?;
        }
        let mut step = u64::from(self.weights.read("step")?.to_u32().first().copied().unwrap_or(0));
        let total = self.steps.unwrap_or(self.epochs * per_epoch);
        let period = self.period.unwrap_or(per_epoch);
        let is_measured = |step: u64| step.is_multiple_of(period) || step == total;
        let last = self.most_steps.map_or(total, |most| most.min(total));
        let mut ended = if step < total && step >= last { Ended::Stopped } else { Ended::Done };

        while step < last && ended == Ended::Done {
            let epoch = step / per_epoch;
            let first = step % per_epoch;
            each_batch(self.data, self.batch, (self.seed, epoch), first as usize, LATE, |batch| {
                for (name, array) in batch {
                    self.session.write(name, &array)?;
                }
                self.session.run()?;
                for (i, name) in names.iter().enumerate() {
                    sums.add(i, self.session.fetch(name)?)?;
                }
                step += 1;
                observe(Event::Step { step, total, means: &sums.means() })?;
                let off = self.switch.is_some_and(|switch| switch.load(Ordering::Relaxed));
                if (off || step == last) && step < total {
                    ended = Ended::Stopped;
                }
                if is_measured(step) {
                    return Ok(ControlFlow::Break(()));
                }
                if ended == Ended::Stopped || self.every.is_some_and(|every| step.is_multiple_of(every)) {
                    sums.settle()?;
                    self.save(step, &history, &sums, &mut observe)?;
                }
                Ok(if ended == Ended::Stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
            if !is_measured(step) {
                continue; // The epoch is over, or the training stopped.
            }
            sums.settle()?;
            let mut figures = sums.means();
            sums = Sums::new(&names);
            if let Some(validate) = &mut self.validate {
                figures.extend(validate()?);
            }
            history.epochs.push(Epoch { epoch: step.div_ceil(per_epoch), step, figures });
            if let Some(epoch) = history.epochs.last() {
                observe(Event::Epoch(epoch))?;
            }
            if self.no_progress(&history)? && ended == Ended::Done {
                ended = Ended::NoProgress;
            }
            if self.every.is_none_or(|every| step.is_multiple_of(every)) || step == last || ended != Ended::Done {
                self.save(step, &history, &sums, &mut observe)?;
            }
        }
        Ok((history, ended))
    }

    /// The outputs that are one number each.
    fn figures(&self) -> Vec<String> {
        let scalar = |desc: &crate::data::TensorDesc| desc.dtype == DType::F32 && desc.shape.numel() == 1;
        self.session.plan().outputs().filter(|(_, desc)| scalar(desc)).map(|(name, _)| name.to_owned()).collect()
    }

    /// Whether the watched figure has run out of patience; keeps the best weights.
    fn no_progress(&self, history: &History) -> Result<bool, Error> {
        let Some((figure, goal, patience)) = &self.watch else { return Ok(false) };
        let series = history.series(figure);
        if series.len() != history.epochs.len() {
            let message = format!("the training watches {figure:?}, which it does not measure");
            return Err(Error::new(ErrorKind::Name, message));
        }
        let better = |a: f64, b: f64| match goal {
            Goal::Lowest => a < b,
            Goal::Highest => a > b,
        };
        let mut best = 0;
        for (i, &value) in series.iter().enumerate() {
            if better(value, series[best]) || series[best].is_nan() {
                best = i;
            }
        }
        if let Some(folder) = self.folder.as_ref().filter(|_| best + 1 == series.len()) {
            make(folder)?;
            checkpoint::save(self.weights, folder.join("best.safetensors"))?;
        }
        Ok(series.len() - 1 - best >= *patience)
    }

    /// Writes a checkpoint and removes those that are too many.
    fn save(
        &self,
        step: u64,
        history: &History,
        sums: &Sums,
        observe: &mut impl FnMut(Event<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(folder) = &self.folder else { return Ok(()) };
        make(folder)?;
        let path = folder.join(format!("step-{step:08}.safetensors"));
        let notes = BTreeMap::from([("history".to_owned(), history.to_csv()), ("sums".to_owned(), sums.write())]);
        checkpoint::save_with_notes(self.weights, &path, &notes)?;
        observe(Event::Saved(&path))?;
        let saved = self.saved()?;
        for (old, _) in &saved[..saved.len().saturating_sub(self.keep)] {
            fs::remove_file(old).map_err(|error| failed(old, &error))?;
        }
        Ok(())
    }

    /// The checkpoints of the folder in the order of their steps.
    fn saved(&self) -> Result<Vec<(PathBuf, u64)>, Error> {
        let Some(folder) = self.folder.as_ref().filter(|folder| folder.exists()) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
            let path = entry.map_err(|error| failed(folder, &error))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let step = name.strip_prefix("step-").and_then(|name| name.strip_suffix(".safetensors"));
            if let Some(step) = step.and_then(|step| step.parse().ok()) {
                found.push((path, step));
            }
        }
        found.sort_by_key(|(_, step)| *step);
        Ok(found)
    }
}

fn make(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Data, format!("{}: {error}", path.display()))
}

/// Sums of the figures of an epoch, of which some are still on their way.
struct Sums {
    figures: Vec<Sum>,
}

struct Sum {
    name: String,
    pending: VecDeque<Readback>,
    total: f64,
    count: u64,
}

impl Sums {
    fn new(names: &[String]) -> Sums {
        let sum = |name: &String| Sum { name: name.clone(), pending: VecDeque::new(), total: 0.0, count: 0 };
        Sums { figures: names.iter().map(sum).collect() }
    }

    fn add(&mut self, figure: usize, readback: Readback) -> Result<(), Error> {
        let sum = &mut self.figures[figure];
        sum.pending.push_back(readback);
        if sum.pending.len() > LATE { sum.settle_one() } else { Ok(()) }
    }

    /// Waits for all that is on its way.
    fn settle(&mut self) -> Result<(), Error> {
        for sum in &mut self.figures {
            while !sum.pending.is_empty() {
                sum.settle_one()?;
            }
        }
        Ok(())
    }

    fn means(&self) -> Vec<(String, f64)> {
        self.figures.iter().map(|sum| (sum.name.clone(), sum.total / sum.count as f64)).collect()
    }

    fn write(&self) -> String {
        let lines = self.figures.iter().map(|sum| format!("{},{},{}", sum.name, sum.total, sum.count));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Takes over what [`write`](Sums::write) wrote of the same figures.
    fn read(&mut self, text: &str) -> Option<()> {
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() != self.figures.len() {
            return None;
        }
        for (sum, line) in self.figures.iter_mut().zip(lines) {
            let mut fields = line.strip_prefix(sum.name.as_str())?.strip_prefix(',')?.split(',');
            sum.total = fields.next()?.parse().ok()?;
            sum.count = fields.next()?.parse().ok()?;
        }
        Some(())
    }
}

impl Sum {
    fn settle_one(&mut self) -> Result<(), Error> {
        if let Some(readback) = self.pending.pop_front() {
            let array = readback.wait()?;
            self.total += array.to_f32().first().map_or(f64::NAN, |&x| f64::from(x));
            self.count += 1;
        }
        Ok(())
    }
}
