//! `wgrad train translate`, and the use of what it trained.

use super::{
    fit::{self, FitOptions, Kind, Settings},
    say,
    train_text::named,
};
use crate::{
    data::DType,
    error::{Error, ErrorKind},
    gpu::Context,
    graph::{Graph, Mode},
    models::Translator,
    session::Weights,
    tasks::{Pairs, PairsSize, dates, source_of, translator},
    train::{Goal, Unit, Vocabulary},
};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct TrainTranslate {
    /// Lines of a source, a tab and its translation, in UTF-8; dates in many formats, made on the fly, if not given.
    #[arg(long)]
    pairs: Option<PathBuf>,
    /// What texts are made of; characters if not said.
    #[arg(long, value_enum)]
    unit: Option<UnitOption>,
    /// How many LSTMs stand one on another on either side.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=16))]
    layers: Option<u16>,
    #[command(flatten)]
    fit: FitOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum UnitOption {
    Char,
    Word,
}

const KIND: Kind = Kind {
    name: "translate",
    steps: 300,
    batch: 64,
    rate: 8e-3,
    width: 96,
    measure_every: 100,
    watch: ("valid_exact", Goal::Highest),
    panels: &[
        ("loss (nats per token)", false, &["loss", "valid_loss"]),
        ("right", true, &["valid_exact", "valid_accuracy", "accuracy"]),
    ],
};

fn parse(text: &str, name: &str) -> Result<Vec<[String; 2]>, Error> {
    let refuse = |what: String| Error::new(ErrorKind::Data, format!("{name}: {what}"));
    let mut pairs = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match line.split('\t').map(str::trim).collect::<Vec<_>>()[..] {
            [source, target] if !source.is_empty() && !target.is_empty() => {
                pairs.push([source.to_owned(), target.to_owned()]);
            }
            _ => return Err(refuse(format!("line {} is not a source, a tab and its translation", i + 1))),
        }
    }
    if pairs.len() < 2 {
        return Err(refuse(format!("{} pairs are too few to train and test with", pairs.len())));
    }
    Ok(pairs)
}

pub(super) fn train(options: &TrainTranslate) -> Result<(), Error> {
    let unit = options.unit.map(|unit| match unit {
        UnitOption::Char => "char",
        UnitOption::Word => "word",
    });
    let more = [
        ("pairs", options.pairs.as_ref().map(|path| json!(path)), Value::Null),
        ("unit", unit.map(Value::from), json!("char")),
        ("layers", options.layers.map(Value::from), json!(1)),
    ];
    let settings = Settings::new(&options.fit, &KIND, &more)?;
    let seed = settings.whole("seed")? as u64;
    let file = settings.text("pairs")?;
    let [training, held_out] = match file {
        Some(path) => fit::split(&parse(&fit::read_text(path.as_ref())?, path)?, seed),
        None => dates([50_000, 1000], seed),
    };
    let unit = if settings.text("unit")? == Some("word") { Unit::Word } else { Unit::Character };
    let sizes = [settings.whole("width")?, settings.whole("layers")?];
    let task = Pairs::new(unit, sizes, &training, &held_out).map_err(|error| named(file, error))?;
    let [trained, held_out] = task.counts();
    let what = file.map_or("dates".to_owned(), |path| format!("pairs of {path}"));
    let data = format!("{trained} {what} to train on, {held_out} held out");
    let size = task.size();
    let kept = json!({
        "source": task.vocabularies[0].to_json(), "target": task.vocabularies[1].to_json(),
        "longest_source": size.source, "longest_target": size.target, "pairs": [trained, held_out],
    });
    fit::fit(&options.fit, &KIND, &settings, &task, &data, &kept)
}

/// Translates texts with what a training left in a folder.
pub(super) fn translate(folder: &Path, texts: &[String], as_json: bool) -> Result<(), Error> {
    let settings = Settings::open(folder, KIND.name)?;
    let vocabularies =
        [Vocabulary::from_json(settings.kept("source")?)?, Vocabulary::from_json(settings.kept("target")?)?];
    let size = PairsSize {
        width: settings.whole("width")?,
        layers: settings.whole("layers")?,
        source: settings.kept_whole("longest_source")?,
        target: settings.kept_whole("longest_target")?,
    };
    let mut sources = Vec::with_capacity(texts.len());
    for text in texts {
        let source = vocabularies[0].encode(text);
        if source.len() > size.source {
            let message = format!("{text:?} has {} tokens, the longest of the training {}", source.len(), size.source);
            return Err(Error::new(ErrorKind::Data, message));
        }
        if let Some(unknown) = vocabularies[0].unknown(text) {
            eprintln!("the training has not seen {unknown:?}");
        }
        sources.push(source);
    }
    let context = pollster::block_on(Context::new())?;
    let sizes = vocabularies.each_ref().map(Vocabulary::len);
    let graph = Graph::new(Mode::Infer);
    let [source, target] = [size.source, size.target].map(|length| [1, length]);
    let [source, target] =
        [("source", source), ("target", target)].map(|(name, shape)| graph.input_of(name, shape, DType::U32));
    let logits = Pairs::network(sizes, size).logits(&source, None, &target);
    let weights = Weights::init(&context, &graph.plan(&[("logits", &logits)], context.target())?, 0)?;
    settings.load(&weights)?;
    let sources: Vec<&[u32]> = sources.iter().map(|source| source_of(source)).collect();
    let found = translator(&context, &weights, sizes, size)?.run(&sources)?;
    let found: Vec<String> = found.iter().map(|found| vocabularies[1].decode(found)).collect();
    if as_json {
        return say(json!({ "texts": texts, "translations": found }));
    }
    found.iter().try_for_each(say)
}
