//! What `wgrad train text`, `translate`, `classify` and `video` have in common: options, settings that a folder keeps,
//! the training with its progress, and Ctrl-C.

use super::{
    plot::{self, Curve, Panel},
    say,
};
use crate::{
    checkpoint,
    error::{Error, ErrorKind},
    gpu::Context,
    session::Weights,
    tasks::{Recipe, Run, Task},
    train::{Ended, Epoch, Event, EventFile, Goal, History},
};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

#[derive(Debug, Args)]
pub(super) struct FitOptions {
    /// The folder for checkpoints, settings and curves.
    #[arg(long)]
    pub checkpoint: Option<PathBuf>,
    /// Goes on with the training in the folder, with the settings it was begun with.
    #[arg(long)]
    pub resume: bool,
    /// How many steps the training has.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=u64::from(u32::MAX)))]
    pub steps: Option<u64>,
    /// How many examples make a step.
    #[arg(long, value_parser = super::parse_batch)]
    pub batch: Option<usize>,
    /// The highest learning rate: it rises for a twentieth of the steps and falls to zero along a cosine.
    #[arg(long)]
    pub lr: Option<f64>,
    /// The seed of initial values, shuffles and dropout: the same seed gives the same weights.
    #[arg(long)]
    pub seed: Option<u64>,
    /// The width of the network.
    #[arg(long, value_parser = parse_width)]
    pub width: Option<usize>,
    /// Trains with activations of 16 bits, weights of 32, and a loss scale that finds its size.
    #[arg(long)]
    pub mixed: bool,
    /// After how many steps the held-out examples are looked at, and a line is printed.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub measure_every: Option<u64>,
    /// After how many steps a checkpoint is written; as often as is measured if not said.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub every: Option<u64>,
    /// How many checkpoints are kept, beside the best.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    pub keep: u16,
    /// Ends the training when so many measurements in a row bring nothing better.
    #[arg(long)]
    pub patience: Option<usize>,
    /// Stops after this many steps in all, to be resumed later.
    #[arg(long)]
    pub stop_after: Option<u64>,
    /// Where the picture of the curves goes; into the folder if not said.
    #[arg(long)]
    pub plot: Option<PathBuf>,
    /// Where the figures go as well: a file ending in .csv, or a folder for TensorBoard.
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// Prints one JSON object for each measurement and one for the result.
    #[arg(long)]
    pub json: bool,
}

fn parse_width(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(width @ 1..=4096) => Ok(width),
        _ => Err("a network is 1 to 4096 wide".to_owned()),
    }
}

/// What a training of a kind is like if not said.
pub(super) struct Kind {
    /// `text`: its name in the command line and in the folder.
    pub name: &'static str,
    pub steps: u64,
    pub batch: usize,
    pub rate: f64,
    pub width: usize,
    pub measure_every: u64,
    /// The figure of held-out examples that says which weights are best.
    pub watch: (&'static str, Goal),
    /// The panels of the picture: a title, whether its figures are shares, and the figures.
    pub panels: &'static [(&'static str, bool, &'static [&'static str])],
}

/// The name of the file with the settings in a folder.
const SETTINGS: &str = "task.json";

/// What a training was begun with, as the folder keeps it.
pub(super) struct Settings {
    pub folder: PathBuf,
    values: Map<String, Value>,
    /// What the folder has beside the settings, where it has any: the vocabulary and the like.
    kept: Option<Value>,
}

impl Settings {
    /// The settings of a new training, or of the one in the folder. `more` are those of this kind: name, value given,
    /// value if not said.
    pub fn new(options: &FitOptions, kind: &Kind, more: &[(&str, Option<Value>, Value)]) -> Result<Settings, Error> {
        let folder = options.checkpoint.clone().unwrap_or_else(|| PathBuf::from(format!("wgrad-{}", kind.name)));
        let mut all = vec![
            ("steps", options.steps.map(Value::from), json!(kind.steps)),
            ("batch", options.batch.map(Value::from), json!(kind.batch)),
            ("lr", options.lr.map(Value::from), json!(kind.rate)),
            ("seed", options.seed.map(Value::from), json!(0)),
            ("width", options.width.map(Value::from), json!(kind.width)),
            ("mixed", options.mixed.then_some(json!(true)), json!(false)),
            ("measure-every", options.measure_every.map(Value::from), json!(kind.measure_every)),
        ];
        all.extend(more.iter().cloned());
        if !options.resume {
            if folder.join(SETTINGS).exists() {
                let message = format!("{}: holds a training already", folder.display());
                let hint = "go on with it with --resume, or give another folder with --checkpoint";
                return Err(Error::new(ErrorKind::Checkpoint, message).hint(hint));
            }
            let values =
                all.into_iter().map(|(name, given, other)| (name.to_owned(), given.unwrap_or(other))).collect();
            return Ok(Settings { folder, values, kept: None });
        }
        let settings = Settings::open(&folder, kind.name)?;
        for (name, given, _) in all {
            let begun = settings.value(name)?;
            if given.as_ref().is_some_and(|given| given != begun) {
                let message = format!("{}: was begun with --{name} {begun}", folder.display());
                return Err(Error::new(ErrorKind::Checkpoint, message).hint("leave the option out to go on with it"));
            }
        }
        Ok(settings)
    }

    /// The settings in a folder.
    pub fn open(folder: &Path, name: &str) -> Result<Settings, Error> {
        let path = folder.join(SETTINGS);
        let refuse = |what: String| Error::new(ErrorKind::Checkpoint, format!("{}: {what}", path.display()));
        let text = fs::read_to_string(&path).map_err(|error| {
            let hint = format!("make a training with `wgrad train {name} --checkpoint {}`", folder.display());
            refuse(format!("cannot be read: {error}")).hint(hint).caused_by(error)
        })?;
        let mut whole: Value = serde_json::from_str(&text).map_err(|error| refuse(format!("is no JSON: {error}")))?;
        if whole["task"] != name {
            return Err(refuse(format!("is of a training of {}, not of {name:?}", whole["task"])));
        }
        match (whole["settings"].take(), whole["kept"].take()) {
            (Value::Object(values), kept @ Value::Object(_)) => {
                Ok(Settings { folder: folder.to_owned(), values, kept: Some(kept) })
            }
            _ => Err(refuse("is not what a training writes".to_owned())),
        }
    }

    fn refuse(&self, what: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Checkpoint, format!("{}: {what}", self.folder.join(SETTINGS).display()))
    }

    fn value(&self, name: &str) -> Result<&Value, Error> {
        self.values.get(name).ok_or_else(|| self.refuse(format_args!("says nothing of {name:?}")))
    }

    pub fn whole(&self, name: &str) -> Result<usize, Error> {
        let value = self.value(name)?;
        value.as_u64().map(|number| number as usize).ok_or_else(|| self.refuse(format_args!("{name} is {value}")))
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.value(name)? {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            value => Err(self.refuse(format_args!("{name} is {value}"))),
        }
    }

    fn recipe(&self) -> Result<Recipe, Error> {
        let lr = self.value("lr")?;
        Ok(Recipe {
            steps: self.whole("steps")? as u64,
            batch: self.whole("batch")?,
            rate: lr.as_f64().ok_or_else(|| self.refuse(format_args!("lr is {lr}")))?,
            seed: self.whole("seed")? as u64,
            measure_every: self.whole("measure-every")? as u64,
            mixed: *self.value("mixed")? == json!(true),
        })
    }

    /// A part of what is kept beside the settings.
    pub fn kept(&self, name: &str) -> Result<&Value, Error> {
        let value = self.kept.as_ref().map_or(&Value::Null, |kept| &kept[name]);
        if value.is_null() { Err(self.refuse(format_args!("has no {name}"))) } else { Ok(value) }
    }

    pub fn kept_whole(&self, name: &str) -> Result<usize, Error> {
        let value = self.kept(name)?;
        value.as_u64().map(|number| number as usize).ok_or_else(|| self.refuse(format_args!("{name} is {value}")))
    }

    /// The best weights in the folder, or the last.
    pub fn load(&self, weights: &Weights) -> Result<(), Error> {
        let best = self.folder.join("best.safetensors");
        let path = if best.exists() { best } else { self.last()? };
        checkpoint::load_parameters(weights, path)
    }

    fn last(&self) -> Result<PathBuf, Error> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Checkpoint, format!("{}: {error}", self.folder.display())).caused_by(error)
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with("step-") && name.ends_with(".safetensors") {
                found.push(path);
            }
        }
        found
            .into_iter()
            .max()
            .ok_or_else(|| Error::new(ErrorKind::Checkpoint, format!("{}: has no checkpoint", self.folder.display())))
    }

    /// Writes the settings, or makes sure that what a resumed training is made of is what it was begun with.
    fn keep(&self, name: &str, kept: &Value) -> Result<(), Error> {
        if let Some(before) = &self.kept {
            let changed = kept.as_object().into_iter().flatten().find(|(key, value)| before[key.as_str()] != **value);
            return match changed {
                None => Ok(()),
                Some((key, _)) => {
                    Err(self.refuse(format_args!("the data has changed since the training began: another {key}")))
                }
            };
        }
        let path = self.folder.join(SETTINGS);
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Checkpoint, format!("{}: cannot be written: {error}", path.display()))
                .caused_by(error)
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let whole = json!({ "task": name, "settings": self.values, "kept": kept });
        fs::write(&path, format!("{whole:#}\n")).map_err(failed)
    }
}

/// Set by Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Lets the first Ctrl-C end the training after its step, and the second end the program.
pub(super) fn catch_interrupt() -> Result<&'static AtomicBool, Error> {
    static SET: std::sync::Once = std::sync::Once::new();
    let mut result = Ok(());
    SET.call_once(|| {
        result = ctrlc::set_handler(|| {
            if INTERRUPTED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            eprintln!("\nstopping after this step, with a checkpoint; Ctrl-C again stops at once");
        });
    });
    result.map_err(|error| Error::new(ErrorKind::Device, format!("Ctrl-C cannot be caught: {error}")))?;
    Ok(&INTERRUPTED)
}

/// Trains a task. `data` says in a line what with; `kept` is what its use needs beside the weights.
pub(super) fn fit(
    options: &FitOptions,
    kind: &Kind,
    settings: &Settings,
    task: &dyn Task,
    data: &str,
    kept: &Value,
) -> Result<(), Error> {
    let recipe = settings.recipe()?;
    settings.keep(kind.name, kept)?;
    let switch = catch_interrupt()?;
    let context = pollster::block_on(Context::new())?;
    let mut run = Run::new(&context, task, recipe)?;
    let (report, memory) = (run.session().plan().report(), run.session().plan().memory());
    if !options.json {
        say(format_args!("{} on {}: {data}", kind.name, context.name()))?;
        let megabytes = memory.total() as f64 / 1e6;
        say(format_args!("a training step: {} dispatches, one submit, {megabytes:.1} MB planned", report.steps.len()))?;
    }
    let mut log = options.log.as_deref().map(Log::open).transpose()?;
    let bar = progress_bar(options.json, recipe.steps);
    let begin = Instant::now();
    let mut first = None;
    let mut last = 0;
    let mut training = run.training().checkpoints(&settings.folder).keep(options.keep.into()).switch(switch).watch(
        kind.watch.0,
        kind.watch.1,
        options.patience.unwrap_or(usize::MAX),
    );
    if let Some(every) = options.every {
        training = training.every(every);
    }
    if let Some(steps) = options.stop_after {
        training = training.stop_after(steps);
    }
    let (history, ended) = training.run(|event| {
        match event {
            Event::Step { step, means, .. } => {
                if first.is_none() {
                    first = Some(step - 1);
                    bar.set_position(step - 1);
                    bar.reset_eta();
                }
                last = step;
                bar.inc(1);
                if let Some((_, loss)) = means.iter().find(|(name, loss)| name == "loss" && loss.is_finite()) {
                    bar.set_message(format!("loss {loss:.4}"));
                }
            }
            Event::Epoch(epoch) => {
                bar.suspend(|| say(if options.json { json_line(epoch).to_string() } else { line(epoch) }))?;
                if let Some(log) = &mut log {
                    log.add(epoch)?;
                }
            }
            Event::Saved(_) => {}
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    let seconds = begin.elapsed().as_secs_f64();
    let steps = last.saturating_sub(first.unwrap_or(last));
    history.save(&settings.folder.join("history.csv"))?;
    let plot = options.plot.clone().unwrap_or_else(|| settings.folder.join("curves.png"));
    draw(&plot, kind, &history)?;
    finish(options, kind, settings, &history, ended, (steps, seconds), &plot)?;
    if switch.load(Ordering::Relaxed) && ended == Ended::Stopped {
        // What a shell expects of a program that Ctrl-C ended.
        std::process::exit(130);
    }
    Ok(())
}

fn finish(
    options: &FitOptions,
    kind: &Kind,
    settings: &Settings,
    history: &History,
    ended: Ended,
    (steps, seconds): (u64, f64),
    plot: &Path,
) -> Result<(), Error> {
    let rate = steps as f64 / seconds;
    let best = best(history, kind);
    if options.json {
        let ended = match ended {
            Ended::Done => "done",
            Ended::NoProgress => "no progress",
            Ended::Stopped => "stopped",
        };
        let mut object = json!({
            "ended": ended, "steps": steps, "seconds": seconds, "steps_per_second": rate,
            "checkpoint": settings.folder, "plot": plot,
        });
        if let Some(epoch) = best {
            object["best"] = json_line(epoch);
        }
        return say(object);
    }
    if let Some(epoch) = best {
        say(format_args!("best: {}", line(epoch)))?;
    }
    say(format_args!("{steps} steps in {seconds:.1} s ({rate:.2} a second); wrote {}", settings.folder.display()))?;
    match ended {
        Ended::Done => Ok(()),
        Ended::NoProgress => say("nothing got better any more"),
        Ended::Stopped => {
            let folder = settings.folder.display();
            say(format_args!("go on with: wgrad train {} --checkpoint {folder} --resume", kind.name))
        }
    }
}

/// The measurement whose weights are in `best.safetensors`.
fn best<'a>(history: &'a History, kind: &Kind) -> Option<&'a Epoch> {
    let better = |a: f64, b: f64| match kind.watch.1 {
        Goal::Lowest => a < b,
        Goal::Highest => a > b,
    };
    let mut best: Option<(&Epoch, f64)> = None;
    for epoch in &history.epochs {
        let value = epoch.get(kind.watch.0).filter(|value| !value.is_nan());
        if let Some(value) = value.filter(|&value| best.is_none_or(|(_, best)| better(value, best))) {
            best = Some((epoch, value));
        }
    }
    best.map(|(epoch, _)| epoch)
}

fn line(epoch: &Epoch) -> String {
    let figures = epoch.figures.iter().map(|(name, value)| format!("{name} {value:.4}"));
    format!("step {:>6}  {}", epoch.step, figures.collect::<Vec<_>>().join("  "))
}

fn json_line(epoch: &Epoch) -> Value {
    let mut object = json!({ "step": epoch.step, "epoch": epoch.epoch });
    for (name, value) in &epoch.figures {
        object[name.as_str()] = json!(value);
    }
    object
}

fn draw(path: &Path, kind: &Kind, history: &History) -> Result<(), Error> {
    let panels: Vec<Panel<'_>> = (kind.panels.iter())
        .map(|&(title, share, names)| {
            let curve = |&name: &&'static str| {
                let points = history.epochs.iter().filter_map(|epoch| Some((epoch.step as f64, epoch.get(name)?)));
                Curve { name, points: points.collect() }
            };
            Panel { title, x: "step", share, curves: names.iter().map(curve).collect() }
        })
        .collect();
    if history.epochs.is_empty() { Ok(()) } else { plot::draw(path, &panels) }
}

/// Where figures go beside the folder of the training.
enum Log {
    Table { path: PathBuf, history: History },
    TensorBoard(EventFile),
}

impl Log {
    fn open(path: &Path) -> Result<Log, Error> {
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")) {
            Ok(Log::Table { path: path.to_owned(), history: History::default() })
        } else {
            Ok(Log::TensorBoard(EventFile::create(path)?))
        }
    }

    fn add(&mut self, epoch: &Epoch) -> Result<(), Error> {
        match self {
            Log::Table { path, history } => {
                history.epochs.push(epoch.clone());
                history.save(path)
            }
            Log::TensorBoard(file) => {
                for (name, value) in &epoch.figures {
                    file.scalar(name, epoch.step, *value)?;
                }
                file.flush()
            }
        }
    }
}

fn progress_bar(quiet: bool, steps: u64) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(steps), target);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {rate}  {eta} left");
    if let Ok(style) = style {
        bar.set_style(style.with_key("rate", |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.1} steps/s", state.per_sec());
        }));
    }
    bar
}

/// A file's text.
pub(super) fn read_text(path: &Path) -> Result<String, Error> {
    let refuse = |what: String| Error::new(ErrorKind::Data, format!("{}: {what}", path.display()));
    let bytes = fs::read(path).map_err(|error| refuse(format!("cannot be read: {error}")).caused_by(error))?;
    String::from_utf8(bytes).map_err(|error| {
        refuse(format!("is no text in UTF-8: byte {} is none of it", error.utf8_error().valid_up_to()))
    })
}

/// Splits rows into those to train with and a tenth, one at least, that are held out.
pub(super) fn split<T: Clone>(rows: &[T], seed: u64) -> [Vec<T>; 2] {
    let order = crate::train::Shuffle::new(seed, 0).order(rows.len());
    let (held_out, training) = order.split_at(rows.len().div_ceil(10).min(rows.len()));
    [training, held_out].map(|numbers| numbers.iter().map(|&number| rows[number].clone()).collect())
}
