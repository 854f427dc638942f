//! The command line: `wgrad train`, `wgrad predict`, `wgrad devices`, `wgrad bench`, `wgrad profile`.

mod bench;
mod device;
mod devices;
mod digits;
mod inspect;
mod models;
mod plot;
mod profile;
mod summary;

use crate::error::Error;
use clap::{Args, Parser, Subcommand};
use models::Model;
use std::{path::PathBuf, process::ExitCode};

/// Trains and runs neural networks on any GPU, with WGSL shaders one can read.
#[derive(Debug, Parser)]
#[command(name = "wgrad", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains a network.
    Train {
        #[command(subcommand)]
        task: TrainTask,
    },
    /// Uses a trained network.
    Predict {
        #[command(subcommand)]
        task: PredictTask,
    },
    /// Lists the GPUs of this machine with their class, features and limits.
    ///
    /// WGRAD_ADAPTER=NAME makes the other commands use the one whose name contains NAME.
    #[command(after_help = "Example:\n  wgrad devices --json")]
    Devices {
        /// Prints one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Times every operation, forward and backward, against what this device computes and copies at most.
    ///
    /// Times are the device's own (timestamps around each kernel), the median of several runs.
    #[command(after_help = "Example:\n  wgrad bench softmax layer_norm --size large")]
    Bench(Bench),
    /// Lists the tensors of a safetensors file, or of the files that an index names.
    #[command(after_help = "Example:\n  wgrad inspect digits.safetensors")]
    Inspect {
        /// A .safetensors file, or model.safetensors.index.json.
        file: PathBuf,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Shows a model's layers, parameters, operations and memory, before anything is allocated.
    #[command(after_help = "Example:\n  wgrad summary alexnet --batch 4")]
    Summary(Summary),
    /// Shows where a model spends its time, layer by layer.
    ///
    /// Weights and inputs are random: times do not depend on them.
    #[command(after_help = "Example:\n  wgrad profile alexnet --batch 4 --train --trace alexnet.json")]
    Profile(Profile),
}

#[derive(Debug, Args)]
struct Bench {
    /// The operations, or parts of their names; all if none is given.
    names: Vec<String>,
    /// How large the inputs are; may be given several times, all sizes if not.
    #[arg(long, value_enum)]
    size: Vec<SizeOption>,
    /// The element type.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: DTypeOption,
    /// Milliseconds each figure may take, beside the compilation of its kernels.
    #[arg(long, default_value_t = 200)]
    budget: u64,
    /// Prints one JSON object for the device and one for each figure.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SizeOption {
    Small,
    Medium,
    Large,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DTypeOption {
    F32,
    F16,
}

#[derive(Debug, Args)]
struct Profile {
    /// The model.
    #[arg(value_enum)]
    model: Model,
    /// How many images at once.
    #[arg(long, default_value_t = 1, value_parser = parse_batch)]
    batch: usize,
    /// Profiles a training step: forward, backward and AdamW.
    #[arg(long)]
    train: bool,
    /// How many runs the times are the median of.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Writes a trace that ui.perfetto.dev and chrome://tracing show.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Prints one JSON object for each layer and one for the whole.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Summary {
    /// The model.
    #[arg(value_enum)]
    model: Model,
    /// How many images at once.
    #[arg(long, default_value_t = 1, value_parser = parse_batch)]
    batch: usize,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum TrainTask {
    /// A small convolutional network on 1,797 handwritten digits that are part of the program.
    #[command(after_help = "Example:\n  wgrad train digits --epochs 10 --checkpoint my.safetensors --plot my.png")]
    Digits(TrainDigits),
}

#[derive(Debug, Subcommand)]
enum PredictTask {
    /// Shows a digit, the class a trained network gives it, and the probabilities.
    #[command(after_help = "Example:\n  wgrad predict digits --checkpoint digits.safetensors --index 17")]
    Digits(PredictDigits),
}

#[derive(Debug, Args)]
struct TrainDigits {
    /// Passes over the training digits.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: u64,
    /// Digits per step.
    #[arg(long, default_value_t = 32, value_parser = parse_batch)]
    batch: usize,
    /// The learning rate at the start; it falls to zero along a cosine.
    #[arg(long, default_value_t = 5e-3)]
    lr: f64,
    /// The seed of initial values, shuffles and dropout: the same seed gives the same checkpoint.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the trained network goes.
    #[arg(long, default_value = "digits.safetensors")]
    checkpoint: PathBuf,
    /// Where the picture of the loss and accuracy curves goes.
    #[arg(long, default_value = "digits.png")]
    plot: PathBuf,
    /// Goes on from the checkpoint instead of starting anew; give the other options as before.
    #[arg(long)]
    resume: bool,
    /// Stops after this many epochs in all, to be resumed later.
    #[arg(long)]
    stop_after: Option<u64>,
    /// Other digits: a CSV file of 64 pixels from 0 to 16 and a label, plain or gzipped.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Prints one JSON object for each epoch and one for the result.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct PredictDigits {
    /// A network that `wgrad train digits` made.
    #[arg(long, default_value = "digits.safetensors")]
    checkpoint: PathBuf,
    /// Which digit, counted from 0.
    #[arg(long)]
    index: usize,
    /// Other digits: a CSV file of 64 pixels from 0 to 16 and a label, plain or gzipped.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

fn parse_batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(batch @ 1..=4096) => Ok(batch),
        _ => Err("a batch has 1 to 4096 digits".to_owned()),
    }
}

/// Runs the program and says whether it succeeded.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Train { task: TrainTask::Digits(options) } => digits::train(&options),
        Command::Predict { task: PredictTask::Digits(options) } => digits::predict(&options),
        Command::Devices { json } => devices::list(json),
        Command::Inspect { file, json } => inspect::run(&file, json),
        Command::Bench(options) => bench::run(&options),
        Command::Summary(options) => summary::run(&options),
        Command::Profile(options) => profile::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line; a reader that has gone away is no mistake.
fn say(line: impl std::fmt::Display) -> Result<(), Error> {
    use std::io::{ErrorKind, Write};
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new(crate::error::ErrorKind::Data, format!("cannot write to the terminal: {error}")))
        }
        _ => Ok(()),
    }
}
