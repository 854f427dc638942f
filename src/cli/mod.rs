//! The command line: `wgrad train`, `predict`, `embed`, `generate`, `translate`, `devices`, `bench`, `tune`, `profile`, `summary`, `inspect`.

mod bench;
mod device;
mod devices;
mod digits;
mod embed;
mod fit;
mod inspect;
mod models;
mod plot;
mod profile;
mod summary;
mod text;
mod train_classify;
mod train_text;
mod train_translate;
mod train_video;
mod tune;

use crate::{data::DType, error::Error};
use clap::{Args, Parser, Subcommand};
use models::{Model, Sizes};
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
        task: Box<TrainTask>,
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
    /// Measures which of several kernels for products is fastest here, by size, and keeps what beats the rules of planning.
    ///
    /// The table is for this device and driver. It lies in the folder for caches, or that of WGRAD_CACHE, and every later
    /// program reads it when it opens the device. Nothing is ever measured but by this command.
    #[command(after_help = "Example:\n  wgrad tune --largest 256")]
    Tune(Tune),
    /// Lists the tensors of a safetensors file, or of the files that an index names.
    #[command(after_help = "Example:\n  wgrad inspect digits.safetensors")]
    Inspect {
        /// A .safetensors file, or model.safetensors.index.json.
        file: PathBuf,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Makes sentences vectors with a published BERT, and shows how alike they are.
    ///
    /// The directory is one that Hugging Face's libraries wrote: config.json, model.safetensors, tokenizer.json. What
    /// sentence-transformers' files say of pooling and length is done, if they are there.
    #[command(
        after_help = "Example:\n  wgrad embed --model all-MiniLM-L6-v2 \"A cat sits.\" \"A kitten lies.\" \"Rates rose.\""
    )]
    Embed(Embed),
    /// Goes on with texts by what `wgrad train text` made, or a published GPT-2.
    ///
    /// The directory of a published model is one that Hugging Face's libraries wrote. What is not asked for is as its generation_config.json
    /// says, and otherwise the likeliest tokens are taken.
    #[command(
        after_help = "Example:\n  wgrad generate --checkpoint wgrad-text --prompt \"One day \"\n  wgrad generate --model gpt2 \"Once upon a time\" --temperature 0.8 --top-k 50 --seed 7"
    )]
    Generate(Generate),
    /// Translates texts by what `wgrad train translate` made, or a published MarianMT.
    ///
    /// The directory of a published model is one that Hugging Face's libraries wrote. What is not asked for is as its generation_config.json
    /// says.
    #[command(
        after_help = "Example:\n  wgrad translate --checkpoint wgrad-translate \"3 March 1997\"\n  wgrad translate --model opus-mt-en-de \"Good morning!\" \"The cat sits on the mat.\""
    )]
    Translate(Translate),
    /// Shows a model's layers, parameters, operations and memory, before anything is allocated.
    #[command(
        after_help = "Example:\n  wgrad summary alexnet --batch 4\n  wgrad summary all-MiniLM-L6-v2 --length 256"
    )]
    Summary(Summary),
    /// Shows where a model spends its time, layer by layer.
    ///
    /// Weights and inputs are random: times do not depend on them.
    #[command(
        after_help = "Example:\n  wgrad profile alexnet --batch 4 --train --trace alexnet.json\n  wgrad profile bert-base --train --batch 8 --length 128"
    )]
    Profile(Profile),
}

#[derive(Debug, Args)]
struct Tune {
    /// The largest number of rows, columns and sums [default: 1024 on software drivers, 4096 on GPUs].
    #[arg(long)]
    largest: Option<usize>,
    /// Forgets what was measured.
    #[arg(long)]
    reset: bool,
}

#[derive(Debug, Args)]
struct Embed {
    /// A directory with a BERT.
    #[arg(long)]
    model: PathBuf,
    /// The sentences.
    #[arg(required = true)]
    texts: Vec<String>,
    /// The element type of parameters and activations.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: DTypeOption,
    /// Prints one JSON object: {"embeddings": [[…], …]}.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Generate {
    /// A directory with a published GPT-2.
    #[arg(long, conflicts_with = "checkpoint")]
    model: Option<PathBuf>,
    /// The folder of a training by `wgrad train text`, whose tokens are characters.
    #[arg(long, default_value = "wgrad-text")]
    checkpoint: PathBuf,
    /// What to go on from; a new line if nothing is given for a training.
    prompts: Vec<String>,
    /// The same as an option.
    #[arg(long)]
    prompt: Vec<String>,
    /// The most tokens to add: 400 for a training, else what the directory says, or 64.
    #[arg(long, value_parser = parse_length)]
    max_new_tokens: Option<usize>,
    /// Draws tokens, with logits divided by this: below 1 likely tokens become likelier. 0.8 for a training, where 0 takes
    /// the likeliest always.
    #[arg(long, conflicts_with = "beams")]
    temperature: Option<f32>,
    /// Draws from so many of the likeliest tokens.
    #[arg(long, conflicts_with = "beams")]
    top_k: Option<usize>,
    /// Draws from the fewest tokens whose probabilities reach this sum.
    #[arg(long, conflicts_with = "beams")]
    top_p: Option<f32>,
    /// The seed of what is drawn: the same seed gives the same text.
    #[arg(long, conflicts_with = "beams")]
    seed: Option<u64>,
    /// Searches with so many beams.
    #[arg(long)]
    beams: Option<u8>,
    /// Prints one JSON object: {"prompts": […], "texts": […]}.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Translate {
    /// A directory with a published MarianMT.
    #[arg(long, conflicts_with = "checkpoint")]
    model: Option<PathBuf>,
    /// The folder of a training by `wgrad train translate`.
    #[arg(long, default_value = "wgrad-translate")]
    checkpoint: PathBuf,
    /// What to translate.
    #[arg(required = true)]
    texts: Vec<String>,
    /// The most tokens of a translation.
    #[arg(long, requires = "model")]
    max_new_tokens: Option<usize>,
    /// Searches with so many beams; 1 takes the likeliest token each time.
    #[arg(long, requires = "model")]
    beams: Option<u8>,
    /// Prints one JSON object: {"texts": […], "translations": […]}.
    #[arg(long)]
    json: bool,
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

impl From<DTypeOption> for DType {
    fn from(option: DTypeOption) -> DType {
        match option {
            DTypeOption::F32 => DType::F32,
            DTypeOption::F16 => DType::F16,
        }
    }
}

/// What a model is made for.
#[derive(Debug, Args)]
struct SizeOptions {
    /// How many images, texts or videos at once.
    #[arg(long, default_value_t = 1, value_parser = parse_batch)]
    batch: usize,
    /// How many tokens a text has, 128 if not said, or frames a video, 16 if not said.
    #[arg(long, value_parser = parse_length)]
    length: Option<usize>,
    /// The element type of parameters and activations.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: DTypeOption,
}

impl SizeOptions {
    fn sizes(&self) -> Sizes {
        Sizes { batch: self.batch, length: self.length, dtype: self.dtype.into() }
    }
}

#[derive(Debug, Args)]
struct Profile {
    #[arg(value_parser = models::parse, help = models::short_help(), long_help = models::long_help())]
    model: Model,
    #[command(flatten)]
    sizes: SizeOptions,
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
    #[arg(value_parser = models::parse, help = models::short_help(), long_help = models::long_help())]
    model: Model,
    #[command(flatten)]
    sizes: SizeOptions,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum TrainTask {
    /// A small convolutional network on 1,797 handwritten digits that are part of the program.
    #[command(after_help = "Example:\n  wgrad train digits --epochs 10 --checkpoint my.safetensors --plot my.png")]
    Digits(TrainDigits),
    /// A language model of characters: an LSTM on a text.
    #[command(after_help = "Example:\n  wgrad train text --file shakespeare.txt --checkpoint plays --log runs/plays")]
    Text(train_text::TrainText),
    /// A translator: two LSTMs with attention on pairs of texts.
    #[command(
        after_help = "Example:\n  wgrad train translate --pairs english-french.tsv --unit word --checkpoint french"
    )]
    Translate(train_translate::TrainTranslate),
    /// A classifier of texts.
    #[command(after_help = "Example:\n  wgrad train classify --csv reviews.csv --label stars --checkpoint stars")]
    Classify(train_classify::TrainClassify),
    /// A classifier of videos: which way something moves.
    #[command(after_help = "Example:\n  wgrad train video --steps 300 --checkpoint motion")]
    Video(train_video::TrainVideo),
}

#[derive(Debug, Subcommand)]
enum PredictTask {
    /// Shows a digit, the class a trained network gives it, and the probabilities.
    #[command(after_help = "Example:\n  wgrad predict digits --checkpoint digits.safetensors --index 17")]
    Digits(PredictDigits),
    /// Tells the classes of texts by a classifier that `wgrad train classify` made.
    #[command(
        after_help = "Example:\n  wgrad predict text \"at first the soup was awful but in the end it was great\""
    )]
    Text(PredictText),
}

#[derive(Debug, Args)]
struct PredictText {
    /// The texts.
    #[arg(required = true)]
    texts: Vec<String>,
    /// The folder of the training.
    #[arg(long, default_value = "wgrad-classify")]
    checkpoint: PathBuf,
    /// Prints one JSON object for each text.
    #[arg(long)]
    json: bool,
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
        _ => Err("a batch has 1 to 4096 examples".to_owned()),
    }
}

fn parse_length(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(length @ 1..=1_048_576) => Ok(length),
        _ => Err("a length is from 1 to 1048576".to_owned()),
    }
}

/// Runs the program and says whether it succeeded.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Train { task } => train(&task),
        Command::Predict { task: PredictTask::Digits(options) } => digits::predict(&options),
        Command::Predict { task: PredictTask::Text(options) } => {
            train_classify::predict(&options.checkpoint, &options.texts, options.json)
        }
        Command::Generate(options) => match &options.model {
            Some(model) => text::generate(model, &options),
            None => train_text::generate(&options),
        },
        Command::Translate(options) => match &options.model {
            Some(model) => text::translate(model, &options),
            None => train_translate::translate(&options.checkpoint, &options.texts, options.json),
        },
        Command::Devices { json } => devices::list(json),
        Command::Inspect { file, json } => inspect::run(&file, json),
        Command::Embed(options) => embed::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Tune(options) => tune::run(&options),
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

fn train(task: &TrainTask) -> Result<(), Error> {
    match task {
        TrainTask::Digits(options) => digits::train(options),
        TrainTask::Text(options) => train_text::train(options),
        TrainTask::Translate(options) => train_translate::train(options),
        TrainTask::Classify(options) => train_classify::train(options),
        TrainTask::Video(options) => train_video::train(options),
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
