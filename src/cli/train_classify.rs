//! `wgrad train classify`, and `wgrad predict text`.

use super::{
    fit::{self, FitOptions, Kind, Settings},
    say,
    train_text::named,
};
use crate::{
    error::{Error, ErrorKind},
    gpu::Context,
    graph::{Graph, Mode},
    session::{Session, Weights},
    tasks::{Classifier, Labels, LabelsSize, reviews},
    train::{Goal, Vocabulary},
};
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct TrainClassify {
    /// A CSV file with a column `text` and a column `label`; reviews made on the fly, whose words alone do not tell, if
    /// not given.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// The column with the texts, if not `text`.
    #[arg(long)]
    text: Option<String>,
    /// The column with the labels, if not `label`.
    #[arg(long)]
    label: Option<String>,
    /// What looks at the words: an LSTM, convolutions, or their mean; the LSTM if not said.
    #[arg(long, value_enum)]
    model: Option<ModelOption>,
    #[command(flatten)]
    fit: FitOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ModelOption {
    Lstm,
    Conv,
    Bag,
}

const KIND: Kind = Kind {
    name: "classify",
    steps: 200,
    batch: 64,
    rate: 5e-3,
    width: 64,
    measure_every: 50,
    watch: ("valid_accuracy", Goal::Highest),
    panels: &[
        ("loss (cross-entropy)", false, &["loss", "valid_loss"]),
        ("accuracy", true, &["accuracy", "valid_accuracy"]),
    ],
};

/// The texts and labels of a CSV file.
fn parse(text: &str, name: &str, columns: [&str; 2]) -> Result<Vec<[String; 2]>, Error> {
    let refuse = |what: String| Error::new(ErrorKind::Data, format!("{name}: {what}"));
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let head = reader.headers().map_err(|error| refuse(error.to_string()))?.clone();
    let mut numbers = [0; 2];
    for (number, column) in numbers.iter_mut().zip(columns) {
        *number = head.iter().position(|known| known == column).ok_or_else(|| {
            let known: Vec<&str> = head.iter().collect();
            refuse(format!("has no column {column:?}, but {}", known.join(", ")))
                .hint("name the columns with --text and --label")
        })?;
    }
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| refuse(error.to_string()))?;
        // The reader has refused rows of another width.
        rows.push(numbers.map(|number| row.get(number).unwrap_or_default().to_owned()));
    }
    if rows.len() < 2 {
        return Err(refuse(format!("{} texts are too few to train and test with", rows.len())));
    }
    Ok(rows)
}

fn size(settings: &Settings, length: usize) -> Result<LabelsSize, Error> {
    let classifier = match settings.text("model")? {
        Some("conv") => Classifier::Conv,
        Some("bag") => Classifier::Bag,
        _ => Classifier::Lstm,
    };
    Ok(LabelsSize { classifier, width: settings.whole("width")?, length })
}

pub(super) fn train(options: &TrainClassify) -> Result<(), Error> {
    let model = options.model.map(|model| match model {
        ModelOption::Lstm => "lstm",
        ModelOption::Conv => "conv",
        ModelOption::Bag => "bag",
    });
    let more = [
        ("csv", options.csv.as_ref().map(|path| json!(path)), Value::Null),
        ("text", options.text.clone().map(Value::from), json!("text")),
        ("label", options.label.clone().map(Value::from), json!("label")),
        ("model", model.map(Value::from), json!("lstm")),
    ];
    let settings = Settings::new(&options.fit, &KIND, &more)?;
    let seed = settings.whole("seed")? as u64;
    let file = settings.text("csv")?;
    let [training, held_out] = match file {
        Some(path) => {
            let columns = [settings.text("text")?.unwrap_or("text"), settings.text("label")?.unwrap_or("label")];
            fit::split(&parse(&fit::read_text(path.as_ref())?, path, columns)?, seed)
        }
        None => reviews([8000, 1000], seed),
    };
    let LabelsSize { classifier, width, .. } = size(&settings, 0)?;
    let task = Labels::new(classifier, width, &training, &held_out).map_err(|error| named(file, error))?;
    let [trained, held_out] = task.counts();
    let what = file.map_or("reviews".to_owned(), |path| format!("texts of {path}"));
    let data = format!("{trained} {what} to train on, {held_out} held out, {} classes", task.classes.len());
    let kept = json!({
        "vocabulary": task.vocabulary.to_json(), "classes": task.classes, "longest": task.size().length,
        "texts": [trained, held_out],
    });
    fit::fit(&options.fit, &KIND, &settings, &task, &data, &kept)
}

/// The classes of texts, by what a training left in a folder.
pub(super) fn predict(folder: &Path, texts: &[String], as_json: bool) -> Result<(), Error> {
    let settings = Settings::open(folder, KIND.name)?;
    let vocabulary = Vocabulary::from_json(settings.kept("vocabulary")?)?;
    let classes = settings.kept("classes")?.as_array().into_iter().flatten().filter_map(Value::as_str);
    let classes: Vec<&str> = classes.collect();
    let size = size(&settings, settings.kept_whole("longest")?)?;

    let context = pollster::block_on(Context::new())?;
    let graph = Graph::new(Mode::Infer);
    let shares = Labels::network(&graph, vocabulary.len(), classes.len(), size, 1).softmax(-1);
    let plan = graph.plan(&[("shares", &shares)], context.target())?;
    let weights = Weights::init(&context, &plan, 0)?;
    settings.load(&weights)?;
    let session = Session::new(&context, plan, &weights)?;
    let uses_lengths = session.plan().variables().iter().any(|variable| &*variable.name == "lengths");
    for text in texts {
        let [ids, lengths] = Labels::row(&vocabulary.encode(text), size.length)?;
        session.write("ids", &ids)?;
        if uses_lengths {
            session.write("lengths", &lengths)?;
        }
        session.run()?;
        let shares = session.read_blocking("shares")?.to_f32();
        let mut found: Vec<(&str, f32)> = classes.iter().copied().zip(shares).collect();
        found.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let (class, share) = found.first().copied().unwrap_or_default();
        if as_json {
            let shares: serde_json::Map<String, Value> =
                found.iter().map(|(class, share)| ((*class).to_owned(), json!(share))).collect();
            say(json!({ "text": text, "class": class, "probabilities": shares }))?;
        } else {
            say(format_args!("{class} ({:.1} %)", 100.0 * share))?;
        }
    }
    Ok(())
}
