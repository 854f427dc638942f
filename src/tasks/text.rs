//! Which character comes next.

use super::{Task, pick, refuse, run::Examination};
use crate::{
    data::{Array, DType},
    error::Error,
    gpu::Context,
    graph::{Graph, Mode, Tensor},
    models::lstm_lm,
    nn::Layer,
    ops::{CrossEntropy, Reduction},
    session::{Session, Weights},
    train::{Batch, Dataset, Shuffle, Unit, Vocabulary, sweep},
};

/// The sizes of a character language model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextSize {
    /// Units of each LSTM.
    pub width: usize,
    /// LSTMs one on another.
    pub layers: usize,
    /// Characters of an example.
    pub length: usize,
}

/// A text whose characters an LSTM learns to continue; the last tenth is held out.
pub struct Text {
    /// The characters of the text.
    pub vocabulary: Vocabulary,
    size: TextSize,
    training: Windows,
    held_out: Windows,
}

impl Text {
    /// The task of a text.
    ///
    /// # Errors
    /// A text of which a tenth is no example.
    pub fn new(text: &str, size: TextSize) -> Result<Text, Error> {
        Text::with(Vocabulary::of(Unit::Character, [text], usize::MAX), text, size)
    }

    /// [`Text::new`] with a vocabulary that is known.
    ///
    /// # Errors
    /// As there, and a character that the vocabulary lacks.
    pub fn with(vocabulary: Vocabulary, text: &str, size: TextSize) -> Result<Text, Error> {
        if let Some(character) = vocabulary.unknown(text) {
            return Err(refuse(format!("the text has a {character:?}, which the training has not seen")));
        }
        let mut training = vocabulary.encode(text);
        let held_out = training.split_off(training.len() - training.len() / 10);
        if size.length == 0 || held_out.len() <= size.length {
            let least = 10 * (size.length + 1);
            let message = format!(
                "a text of {} characters is too short: examples of {} need at least {least}",
                training.len() + held_out.len(),
                size.length
            );
            return Err(refuse(message));
        }
        let windows = |ids| Windows { ids, length: size.length };
        Ok(Text { vocabulary, size, training: windows(training), held_out: windows(held_out) })
    }

    /// How many characters are trained with, and how many held out.
    pub fn characters(&self) -> [usize; 2] {
        [self.training.ids.len(), self.held_out.ids.len()]
    }

    /// The network: ids `[B, T]` → logits of each next character.
    pub fn network(vocabulary: usize, size: TextSize) -> impl Layer {
        lstm_lm(vocabulary, size.width, size.layers)
    }
}

impl Task for Text {
    fn examples(&self) -> &dyn Dataset {
        &self.training
    }

    fn logits(&self, graph: &Graph, batch: usize) -> [Tensor; 2] {
        let ids = graph.input_of("ids", [batch, self.size.length], DType::U32);
        let next = graph.input_of("next", [batch, self.size.length], DType::U32);
        let logits = Text::network(self.vocabulary.len(), self.size).apply(&ids);
        [logits.flatten(0, 1), next.flatten(0, 1)]
    }

    fn examine<'a>(&'a self, context: &Context, weights: &Weights) -> Result<Examination<'a>, Error> {
        let batch = self.held_out.len().min(64);
        let graph = Graph::new(Mode::Infer);
        let [logits, next] = self.logits(&graph, batch);
        let each = CrossEntropy::new().reduction(Reduction::None).apply(&logits, &next);
        let loss = each.reshape([batch, self.size.length]).mean(&[1], false);
        let right = logits.argmax(1).eq(&next).cast(DType::F32).reshape([batch, self.size.length]).mean(&[1], false);
        let plan = graph.plan(&[("loss", &loss), ("right", &right)], context.target())?;
        weights.extend(&plan)?;
        let session = Session::new(context, plan, weights)?;
        Ok(Box::new(move || {
            let mut sums = [0.0; 2];
            sweep(&session, &self.held_out, batch, |examples| {
                for (sum, name) in sums.iter_mut().zip(["loss", "right"]) {
                    let values = session.read_blocking(name)?.to_f32();
                    *sum += values[..examples.len()].iter().map(|&x| f64::from(x)).sum::<f64>();
                }
                Ok(())
            })?;
            let [loss, right] = sums.map(|sum| sum / self.held_out.len() as f64);
            let figures = [("valid_loss", loss), ("valid_perplexity", loss.exp()), ("valid_accuracy", right)];
            Ok(figures.map(|(name, value)| (name.to_owned(), value)).to_vec())
        }))
    }
}

/// Pieces of a text, one behind the other, each with the characters that come next.
struct Windows {
    ids: Vec<u32>,
    length: usize,
}

impl Dataset for Windows {
    fn len(&self) -> usize {
        (self.ids.len() - 1) / self.length
    }

    fn batch(&self, examples: &[usize]) -> Result<Batch<'_>, Error> {
        let rows = |ahead: usize| -> Vec<u32> {
            examples.iter().flat_map(|&i| &self.ids[i * self.length + ahead..][..self.length]).copied().collect()
        };
        let shape = [examples.len(), self.length];
        Ok(vec![("ids", Array::from_u32(shape, &rows(0))?), ("next", Array::from_u32(shape, &rows(1))?)])
    }
}

/// A text of at least `bytes` bytes: small stories of people who fetch and give things, made on the fly.
///
/// Pronouns agree with the names before them, and what is given was fetched, so that there is something to learn at
/// every distance.
///
/// ```
/// let text = wgrad::tasks::stories(1000, 7);
/// assert!(text.len() >= 1000 && text == wgrad::tasks::stories(1000, 7));
/// ```
pub fn stories(bytes: usize, seed: u64) -> String {
    let mut random = Shuffle::new(seed, 0);
    let mut text = String::with_capacity(bytes + 400);
    while text.len() < bytes {
        story(&mut random, &mut text);
        text.push('\n');
    }
    text
}

/// Names with what stands for them.
const PEOPLE: [&[&str; 3]; 12] = [
    &["Anna", "she", "her"],
    &["Ben", "he", "him"],
    &["Clara", "she", "her"],
    &["David", "he", "him"],
    &["Emma", "she", "her"],
    &["Felix", "he", "him"],
    &["Grace", "she", "her"],
    &["Henry", "he", "him"],
    &["Iris", "she", "her"],
    &["Jacob", "he", "him"],
    &["Laura", "she", "her"],
    &["Martin", "he", "him"],
];
const THINGS: [&str; 14] = [
    "letter",
    "lamp",
    "loaf of bread",
    "basket",
    "coat",
    "drum",
    "key",
    "map",
    "jug of water",
    "book",
    "ladder",
    "rope",
    "bell",
    "stone",
];
const KINDS: [&str; 10] = ["old", "small", "heavy", "red", "green", "broken", "new", "strange", "golden", "wooden"];
const PLACES: [&str; 12] = [
    "the mill",
    "the river",
    "the market",
    "the old bridge",
    "the tower",
    "the harbour",
    "the garden",
    "the school",
    "the forest",
    "the station",
    "the farm",
    "the church",
];
const TIMES: [&str; 8] = [
    "In the morning",
    "At noon",
    "In the evening",
    "On Monday",
    "After the rain",
    "Before sunrise",
    "Last winter",
    "One day",
];
const MOODS: [&str; 8] = ["happy", "tired", "hungry", "angry", "afraid", "proud", "sad", "quiet"];

fn story(random: &mut Shuffle, text: &mut String) {
    let person = random.below(PEOPLE.len());
    let [name, he, him] = *PEOPLE[person];
    let [other, other_he, _] = *PEOPLE[(person + 1 + random.below(PEOPLE.len() - 1)) % PEOPLE.len()];
    let (thing, kind) = (pick(random, &THINGS), pick(random, &KINDS));
    let (place, time, mood) = (pick(random, &PLACES), pick(random, &TIMES), pick(random, &MOODS));
    let upper = |word: &str| word[..1].to_uppercase() + &word[1..];
    let beginning = match random.below(3) {
        0 => format!("{time} {name} went to {place}. "),
        1 => format!("{time} {name} and {other} met at {place}. "),
        _ => format!("{name} lived near {place}. {time} {he} went for a walk. "),
    };
    let a = if kind.starts_with('o') { "an" } else { "a" };
    let finding = match random.below(3) {
        0 => format!("There {he} found {a} {kind} {thing}. "),
        1 => format!("{} was looking for {a} {kind} {thing}. ", upper(he)),
        _ => format!("{} had {a} {kind} {thing} with {him}. ", upper(he)),
    };
    let middle = match random.below(4) {
        0 => format!("\"Whose {thing} is this?\" asked {other}. \"It is mine,\" said {name}. "),
        1 => format!("\"Give me the {thing},\" said {other}, but {name} did not want to. "),
        2 => format!("{} gave the {thing} to {other}, and {other_he} was {mood}. ", upper(he)),
        _ => format!("{other} saw the {thing} and laughed. "),
    };
    let end = match random.below(3) {
        0 => format!("So {name} was {mood} and went home with the {thing}."),
        1 => format!("Then {he} went back to {place}."),
        _ => format!("Nobody saw the {kind} {thing} again."),
    };
    text.push_str(&[beginning, finding, middle, end].concat());
}
