//! `wgrad train text`.

use super::fit::{self, FitOptions, Kind, Settings};
use crate::{
    error::Error,
    tasks::{Text, TextSize, stories},
    train::Goal,
};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

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
    steps: 1500,
    batch: 32,
    rate: 8e-3,
    width: 128,
    measure_every: 100,
    watch: ("valid_loss", Goal::Lowest),
    panels: &[
        ("loss (nats per character)", false, &["loss", "valid_loss"]),
        ("next character right", true, &["valid_accuracy"]),
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
