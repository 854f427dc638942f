//! `wgrad train text`, and `wgrad generate` from what it trained.

use super::{
    Generate,
    fit::{self, FitOptions, Kind, Settings},
    say,
    text::drawn,
};
use crate::{
    data::DType,
    error::{Error, ErrorKind},
    generate::{Generator, Options},
    gpu::Context,
    graph::{Graph, Mode},
    nn::Layer,
    session::Weights,
    tasks::{Text, TextSize, stories},
    train::{Goal, Vocabulary},
};
use clap::Args;
use serde_json::{Value, json};
use std::{io::Write, ops::ControlFlow, path::PathBuf};

#[derive(Debug, Args)]
pub(super) struct TrainText {
    /// A text in UTF-8; a megabyte of small stories made on the fly if not given.
    #[arg(long)]
    file: Option<PathBuf>,
    /// How many LSTMs stand one on another.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=16))]
    layers: Option<u16>,
    /// How many characters an example has.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4096))]
    length: Option<u16>,
    #[command(flatten)]
    fit: FitOptions,
}

pub(super) const KIND: Kind = Kind {
    name: "text",
    steps: 400,
    batch: 32,
    rate: 8e-3,
    width: 128,
    measure_every: 100,
    watch: ("valid_loss", Goal::Lowest),
    panels: &[
        ("loss (nats per character)", false, &["loss", "valid_loss"]),
        ("next character right", true, &["accuracy", "valid_accuracy"]),
    ],
};

pub(super) fn size(settings: &Settings) -> Result<TextSize, Error> {
    Ok(TextSize {
        width: settings.whole("width")?,
        layers: settings.whole("layers")?,
        length: settings.whole("length")?,
    })
}

pub(super) fn train(options: &TrainText) -> Result<(), Error> {
    let more = [
        ("file", options.file.as_ref().map(|path| json!(path)), Value::Null),
        ("layers", options.layers.map(Value::from), json!(1)),
        ("length", options.length.map(Value::from), json!(64)),
    ];
    let settings = Settings::new(&options.fit, &KIND, &more)?;
    let file = settings.text("file")?;
    let text = match file {
        Some(path) => fit::read_text(path.as_ref())?,
        None => stories(1_000_000, settings.whole("seed")? as u64),
    };
    let task = Text::new(&text, size(&settings)?).map_err(|error| named(file, error))?;
    let [training, held_out] = task.characters();
    let data = format!(
        "{training} characters of {} to train on, {held_out} held out, {} different ones",
        file.unwrap_or("small stories"),
        task.vocabulary.len()
    );
    let kept = json!({ "vocabulary": task.vocabulary.to_json(), "characters": [training, held_out] });
    fit::fit(&options.fit, &KIND, &settings, &task, &data, &kept)
}

/// An error about the contents of a file.
pub(super) fn named(file: Option<&str>, error: Error) -> Error {
    match file {
        Some(path) => Error::new(error.kind(), format!("{path}: {}", error.message())),
        None => error,
    }
}

/// Goes on with texts by what a training left in a folder.
pub(super) fn generate(options: &Generate) -> Result<(), Error> {
    let settings = Settings::open(&options.checkpoint, KIND.name)?;
    let vocabulary = Vocabulary::from_json(settings.kept("vocabulary")?)?;
    let size = size(&settings)?;
    let mut prompts: Vec<&str> = options.prompts.iter().chain(&options.prompt).map(String::as_str).collect();
    if prompts.is_empty() {
        prompts.push("\n");
    }
    if prompts.contains(&"") {
        return Err(Error::new(ErrorKind::Data, "a prompt needs at least one character"));
    }
    if let Some(character) = prompts.iter().find_map(|prompt| vocabulary.unknown(prompt)) {
        let message = format!("the prompt has a {character:?}, which the training has not seen");
        return Err(Error::new(ErrorKind::Data, message));
    }

    let context = pollster::block_on(Context::new())?;
    let graph = Graph::new(Mode::Infer);
    let logits = Text::network(vocabulary.len(), size).apply(&graph.input_of("ids", [1, 1], DType::U32));
    let weights = Weights::init(&context, &graph.plan(&[("logits", &logits)], context.target())?, 0)?;
    settings.load(&weights)?;
    let mut choice = match options.temperature {
        Some(0.0) => Options::greedy(),
        _ => drawn(options, 0.8).unwrap_or_else(|| Options::sample(0).temperature(0.8)),
    };
    choice = choice.max_new_tokens(options.max_new_tokens.unwrap_or(400));
    choice.suppress = vec![Vocabulary::PAD, Vocabulary::BEGIN, Vocabulary::END, Vocabulary::UNKNOWN];
    let mut generator = Generator::new(&context, &weights, Text::network(vocabulary.len(), size), choice)?;
    if options.json {
        let ids: Vec<Vec<u32>> = prompts.iter().map(|prompt| vocabulary.encode(prompt)).collect();
        let texts: Vec<String> = generator.run(&ids)?.iter().map(|text| vocabulary.decode(text)).collect();
        return say(json!({ "prompts": prompts, "texts": texts }));
    }
    for prompt in prompts {
        if write(prompt).is_continue() {
            generator.run_with(&[vocabulary.encode(prompt)], |new| write(&vocabulary.decode(&new[0])))?;
        }
        say("")?;
    }
    Ok(())
}

/// Prints a part of a line at once; a reader that has gone away wants no more.
fn write(text: &str) -> ControlFlow<()> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}
