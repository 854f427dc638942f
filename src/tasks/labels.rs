//! Texts into classes.

use super::{Task, pick, refuse, run::Examination};
use crate::{
    data::{Array, DType},
    error::Error,
    gpu::Context,
    graph::{Graph, Mode, Tensor},
    models::{conv_text_classifier, text_classifier},
    nn::{Layer, collapse, lstm},
    ops::{CrossEntropy, Reduction},
    session::{Session, Weights},
    train::{Batch, Dataset, Shuffle, Unit, Vocabulary, sweep},
};

/// What looks at the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classifier {
    /// An LSTM, and the state behind the last word.
    Lstm,
    /// Convolutions over three to five words, and the strongest of each.
    Conv,
    /// The mean of the words: their order does not count.
    Bag,
}

/// The sizes of a text classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelsSize {
    /// What looks at the words.
    pub classifier: Classifier,
    /// The width of embeddings, and the units of the LSTM.
    pub width: usize,
    /// Tokens of the longest text; what is longer is cut.
    pub length: usize,
}

/// Texts with labels, which a classifier learns to tell.
pub struct Labels {
    /// The words of the texts.
    pub vocabulary: Vocabulary,
    /// The names of the classes.
    pub classes: Vec<String>,
    size: LabelsSize,
    training: Examples,
    held_out: Examples,
}

impl Labels {
    /// The task of texts `[text, label]` to train with, and of some that are held out.
    ///
    /// # Errors
    /// No texts on one side; less than two labels; a held-out label that no text to train with has.
    pub fn new(
        classifier: Classifier,
        width: usize,
        training: &[[String; 2]],
        held_out: &[[String; 2]],
    ) -> Result<Labels, Error> {
        if training.is_empty() || held_out.is_empty() {
            let (train, test) = (training.len(), held_out.len());
            return Err(refuse(format!("{train} and {test} texts are too few to train and test with")));
        }
        let vocabulary = Vocabulary::of(Unit::Word, training.iter().map(|[text, _]| text.as_str()), 20_000);
        let mut classes: Vec<String> = training.iter().map(|[_, label]| label.clone()).collect();
        classes.sort_unstable();
        classes.dedup();
        if classes.len() < 2 {
            return Err(refuse(format!("all texts have the label {:?}", classes[0])));
        }
        let longest = training.iter().map(|[text, _]| vocabulary.encode(text).len()).max().unwrap_or(0);
        // Convolutions look at five words.
        let size = LabelsSize { classifier, width, length: longest.clamp(5, 512) };
        let examples = |texts: &[[String; 2]]| {
            let labels = texts.iter().map(|[_, label]| {
                let class = classes.binary_search(label);
                class
                    .map(|class| class as u32)
                    .map_err(|_| refuse(format!("no text to train with has the label {label:?}")))
            });
            let labels = labels.collect::<Result<_, _>>()?;
            let texts = texts.iter().map(|[text, _]| vocabulary.encode(text)).collect();
            Ok(Examples { texts, labels, length: size.length, has_lengths: classifier != Classifier::Conv })
        };
        let (training, held_out) = (examples(training)?, examples(held_out)?);
        Ok(Labels { vocabulary, classes, size, training, held_out })
    }

    /// The sizes of the network.
    pub fn size(&self) -> LabelsSize {
        self.size
    }

    /// How many texts are trained with, and how many held out.
    pub fn counts(&self) -> [usize; 2] {
        [self.training.texts.len(), self.held_out.texts.len()]
    }

    /// Inputs `ids [B, T]` and `lengths [B]`, and the logits of the classes.
    pub fn network(graph: &Graph, vocabulary: usize, classes: usize, size: LabelsSize, batch: usize) -> Tensor {
        let ids = graph.input_of("ids", [batch, size.length], DType::U32);
        let lengths = graph.input_of("lengths", [batch], DType::U32);
        let width = size.width;
        let same = |x: &Tensor| x.clone();
        match size.classifier {
            Classifier::Lstm => {
                let last = collapse::last().lengths(&lengths);
                text_classifier(vocabulary, width, classes, lstm(width), last).apply(&ids)
            }
            Classifier::Conv => conv_text_classifier(vocabulary, width, width, classes).apply(&ids),
            Classifier::Bag => {
                let mean = collapse::average().lengths(&lengths);
                text_classifier(vocabulary, width, classes, same, mean).apply(&ids)
            }
        }
    }

    /// One row of ids, and its length, of a text.
    ///
    /// # Errors
    /// None that a text can cause.
    pub fn row(text: &[u32], length: usize) -> Result<[Array; 2], Error> {
        let text = &text[..text.len().min(length)];
        let mut ids = text.to_vec();
        ids.resize(length, Vocabulary::PAD);
        Ok([Array::from_u32([1, length], &ids)?, Array::from_u32([1], &[text.len().max(1) as u32])?])
    }
}

impl Task for Labels {
    fn examples(&self) -> &dyn Dataset {
        &self.training
    }

    fn logits(&self, graph: &Graph, batch: usize) -> [Tensor; 2] {
        let logits = Labels::network(graph, self.vocabulary.len(), self.classes.len(), self.size, batch);
        [logits, graph.input_of("label", [batch], DType::U32)]
    }

    fn examine<'a>(&'a self, context: &Context, weights: &Weights) -> Result<Examination<'a>, Error> {
        let batch = self.held_out.len().min(128);
        let graph = Graph::new(Mode::Infer);
        let [logits, label] = self.logits(&graph, batch);
        examine(context, weights, &graph, [&logits, &label], &self.held_out, batch)
    }
}

/// Loss and accuracy of held-out examples.
pub(super) fn examine<'a>(
    context: &Context,
    weights: &Weights,
    graph: &Graph,
    [logits, label]: [&Tensor; 2],
    held_out: &'a dyn Dataset,
    batch: usize,
) -> Result<Examination<'a>, Error> {
    let loss = CrossEntropy::new().reduction(Reduction::None).apply(logits, label);
    let right = logits.argmax(1).eq(label).cast(DType::F32);
    let plan = graph.plan(&[("loss", &loss), ("right", &right)], context.target())?;
    weights.extend(&plan)?;
    let session = Session::new(context, plan, weights)?;
    Ok(Box::new(move || {
        let mut figures = [("valid_loss", 0.0), ("valid_accuracy", 0.0)];
        sweep(&session, held_out, batch, |examples| {
            for ((_, sum), name) in figures.iter_mut().zip(["loss", "right"]) {
                let values = session.read_blocking(name)?.to_f32();
                *sum += values[..examples.len()].iter().map(|&x| f64::from(x)).sum::<f64>();
            }
            Ok(())
        })?;
        Ok(figures.map(|(name, sum)| (name.to_owned(), sum / held_out.len() as f64)).to_vec())
    }))
}

/// Texts as numbers, with the numbers of their classes.
struct Examples {
    texts: Vec<Vec<u32>>,
    labels: Vec<u32>,
    length: usize,
    /// Convolutions look at the padding too, and ask for no lengths.
    has_lengths: bool,
}

impl Dataset for Examples {
    fn len(&self) -> usize {
        self.texts.len()
    }

    fn batch(&self, examples: &[usize]) -> Result<Batch<'_>, Error> {
        let mut ids = vec![Vocabulary::PAD; examples.len() * self.length];
        let mut lengths = Vec::with_capacity(examples.len());
        for (row, &example) in examples.iter().enumerate() {
            let text = &self.texts[example];
            let text = &text[..text.len().min(self.length)];
            ids[row * self.length..][..text.len()].copy_from_slice(text);
            // An empty text is one padding mark.
            lengths.push(text.len().max(1) as u32);
        }
        let label: Vec<u32> = examples.iter().map(|&example| self.labels[example]).collect();
        let count = examples.len();
        let mut batch =
            vec![("ids", Array::from_u32([count, self.length], &ids)?), ("label", Array::from_u32([count], &label)?)];
        if self.has_lengths {
            batch.push(("lengths", Array::from_u32([count], &lengths)?));
        }
        Ok(batch)
    }
}

const GOOD: [&str; 10] =
    ["good", "lovely", "great", "fresh", "pleasant", "perfect", "delicious", "wonderful", "fine", "excellent"];
const BAD: [&str; 10] =
    ["bad", "awful", "poor", "stale", "boring", "terrible", "salty", "cold", "dreadful", "horrible"];
const THINGS: [&str; 12] =
    ["soup", "bread", "service", "music", "room", "view", "coffee", "film", "book", "play", "wine", "fish"];
const GUESTS: [&str; 8] =
    ["my sister", "the waiter", "our neighbour", "my friend", "the critic", "he", "she", "my aunt"];

/// How many ways there are to put a review.
const WAYS: usize = 6;

/// Reviews with the label `positive` or `negative`, made on the fly: every one praises and blames, and only the order of
/// its words says which is the verdict.
///
/// They come in pairs of the same words with opposite labels, both on the same side of the split: whoever counts words
/// and knows no order is right about one of two. There are 115,200 of them at most.
///
/// ```
/// let [training, held_out] = wgrad::tasks::reviews([200, 20], 0);
/// assert_eq!((training.len(), held_out.len()), (200, 20));
/// let words = |text: &str| { let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect(); words.sort(); words };
/// let [[a, label_a], [b, label_b]] = [&training[0], &training[1]];
/// assert!(words(a) == words(b) && label_a != label_b);
/// ```
pub fn reviews([training, held_out]: [usize; 2], seed: u64) -> [Vec<[String; 2]>; 2] {
    let mut random = Shuffle::new(seed, 0);
    let mut seen = std::collections::HashSet::new();
    let most = GOOD.len() * BAD.len() * THINGS.len() * GUESTS.len() * WAYS;
    let mut draw = |count: usize| {
        let mut reviews = Vec::with_capacity(count + 1);
        while reviews.len() < count && seen.len() < most {
            let (good, bad, thing) = (pick(&mut random, &GOOD), pick(&mut random, &BAD), pick(&mut random, &THINGS));
            let (guest, way) = (pick(&mut random, &GUESTS), random.below(WAYS));
            // No review is drawn twice, so that held-out ones are new.
            if !seen.insert((good, bad, thing, guest, way)) {
                continue;
            }
            reviews.push([review(way, thing, guest, bad, good), "positive".to_owned()]);
            reviews.push([review(way, thing, guest, good, bad), "negative".to_owned()]);
        }
        reviews.truncate(count);
        reviews
    };
    let training = draw(training);
    [training, draw(held_out)]
}

/// A review with what it says in passing and what its verdict is.
fn review(way: usize, thing: &str, guest: &str, passing: &str, verdict: &str) -> String {
    match way {
        0 => format!("at first the {thing} was {passing} but in the end it was {verdict}"),
        1 => format!("the {thing} is {verdict} although {guest} called it {passing}"),
        2 => format!("{guest} said the {thing} was {passing} but i found it {verdict}"),
        3 => format!("not {passing} but {verdict} was the {thing}"),
        4 => format!("i expected a {passing} {thing} and got a {verdict} one"),
        _ => format!("a {verdict} {thing} even if {guest} expected a {passing} one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bag_of_words_has_both_labels() {
        let [training, held_out] = reviews([400, 100], 3);
        let bag = |text: &str| {
            let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        for pair in training.chunks(2).chain(held_out.chunks(2)) {
            assert_eq!(bag(&pair[0][0]), bag(&pair[1][0]));
            assert_eq!([pair[0][1].as_str(), pair[1][1].as_str()], ["positive", "negative"]);
        }
        assert!(held_out.iter().all(|review| !training.contains(review)));
        assert_eq!(reviews([400, 100], 3)[1], held_out);
        assert_ne!(reviews([400, 100], 4)[1], held_out);
    }

    #[test]
    fn mistakes_are_said() {
        let texts =
            |labels: &[&str]| labels.iter().map(|label| ["a b".to_owned(), (*label).to_owned()]).collect::<Vec<_>>();
        let said = |training: &[&str], held_out: &[&str]| {
            Labels::new(Classifier::Lstm, 4, &texts(training), &texts(held_out)).err().unwrap().to_string()
        };
        assert_eq!(said(&["x"], &[]), "1 and 0 texts are too few to train and test with");
        assert_eq!(said(&["x", "x"], &["x"]), "all texts have the label \"x\"");
        assert_eq!(said(&["x", "y"], &["z"]), "no text to train with has the label \"z\"");
    }
}
