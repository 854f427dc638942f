//! One text into another.

use super::{
    Task, refuse,
    run::{Examination, IGNORED},
};
use crate::{
    data::{Array, DType},
    error::Error,
    generate::{Generator, Options},
    gpu::Context,
    graph::{Graph, Mode, Tensor},
    models::{LstmSeq2Seq, Translator, lstm_seq2seq},
    ops::{CrossEntropy, Reduction},
    session::{Session, Weights},
    train::{Batch, Bleu, Dataset, Shuffle, Unit, Vocabulary, sweep},
};

/// The sizes of a translator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairsSize {
    /// Units of each LSTM.
    pub width: usize,
    /// LSTMs one on another.
    pub layers: usize,
    /// Tokens of the longest source.
    pub source: usize,
    /// Tokens of the longest target, its end mark included.
    pub target: usize,
}

/// Pairs of texts: two LSTMs with attention learn to make the second of the first.
pub struct Pairs {
    /// What the texts on either side are made of.
    pub vocabularies: [Vocabulary; 2],
    unit: Unit,
    size: PairsSize,
    training: Sentences,
    held_out: Sentences,
}

impl Pairs {
    /// The task of pairs to train with, and of some that are held out.
    ///
    /// # Errors
    /// No pairs on one side.
    pub fn new(
        unit: Unit,
        [width, layers]: [usize; 2],
        training: &[[String; 2]],
        held_out: &[[String; 2]],
    ) -> Result<Pairs, Error> {
        if training.is_empty() || held_out.is_empty() {
            return Err(refuse(format!(
                "{} and {} pairs are too few to train and test with",
                training.len(),
                held_out.len()
            )));
        }
        let side = |i: usize| training.iter().map(move |pair| pair[i].as_str());
        let vocabularies = [0, 1].map(|i| Vocabulary::of(unit, side(i), 20_000));
        let all = || training.iter().chain(held_out);
        let longest = |i: usize| all().map(|pair| vocabularies[i].encode(&pair[i]).len()).max().unwrap_or(0);
        let size = PairsSize { width, layers, source: longest(0).max(1), target: longest(1) + 1 };
        let sentences = |pairs: &[[String; 2]]| {
            let encoded = pairs.iter().map(|[a, b]| [vocabularies[0].encode(a), vocabularies[1].encode(b)]);
            Sentences { pairs: encoded.collect(), size }
        };
        let (training, held_out) = (sentences(training), sentences(held_out));
        Ok(Pairs { vocabularies, unit, size, training, held_out })
    }

    /// The sizes of the network.
    pub fn size(&self) -> PairsSize {
        self.size
    }

    /// How many pairs are trained with, and how many held out.
    pub fn counts(&self) -> [usize; 2] {
        [self.training.pairs.len(), self.held_out.pairs.len()]
    }

    /// The inputs `source`, `lengths`, `target` and `next`.
    fn inputs(&self, graph: &Graph, batch: usize) -> [Tensor; 4] {
        let row = |name, length| graph.input_of(name, [batch, length], DType::U32);
        let lengths = graph.input_of("lengths", [batch], DType::U32);
        [row("source", self.size.source), lengths, row("target", self.size.target), row("next", self.size.target)]
    }

    /// The network.
    pub fn network(vocabularies: [usize; 2], size: PairsSize) -> LstmSeq2Seq {
        lstm_seq2seq(vocabularies, size.width, size.layers)
    }
}

impl Task for Pairs {
    fn examples(&self) -> &dyn Dataset {
        &self.training
    }

    fn logits(&self, graph: &Graph, batch: usize) -> [Tensor; 2] {
        let [source, lengths, target, next] = self.inputs(graph, batch);
        let network = Pairs::network(self.vocabularies.each_ref().map(Vocabulary::len), self.size);
        [network.logits(&source, Some(&lengths), &target).flatten(0, 1), next.flatten(0, 1)]
    }

    fn examine<'a>(&'a self, context: &Context, weights: &Weights) -> Result<Examination<'a>, Error> {
        let batch = self.held_out.len().min(128);
        let sizes = self.vocabularies.each_ref().map(Vocabulary::len);
        let graph = Graph::new(Mode::Infer);
        let [logits, next] = self.logits(&graph, batch);
        let loss = CrossEntropy::new().reduction(Reduction::None).apply(&logits, &next);
        let loss = loss.reshape([batch, self.size.target]).sum(&[1], false);
        let plan = graph.plan(&[("loss", &loss), ("best", &logits.argmax(-1))], context.target())?;
        weights.extend(&plan)?;
        let session = Session::new(context, plan, weights)?;
        let mut translator = translator(context, weights, sizes, self.size)?;
        Ok(Box::new(move || {
            let (pairs, width) = (&self.held_out.pairs, self.size.target);
            let (mut loss, mut tokens, mut right, mut exact) = (0.0, 0, 0, 0);
            sweep(&session, &self.held_out, batch, |examples| {
                let losses = session.read_blocking("loss")?.to_f32();
                let best = session.read_blocking("best")?.to_u32();
                for (row, &example) in examples.iter().enumerate() {
                    loss += f64::from(losses[row]);
                    let expected = pairs[example][1].iter().chain(&[Vocabulary::END]);
                    let hits = expected.zip(&best[row * width..]).filter(|(a, b)| a == b).count();
                    tokens += pairs[example][1].len() + 1;
                    right += hits;
                    // With every token right behind right ones, greedy decoding finds just these.
                    exact += usize::from(hits == pairs[example][1].len() + 1);
                }
                Ok(())
            })?;
            let share = |part: usize, of: usize| part as f64 / of as f64;
            let mut figures = vec![
                ("valid_loss".to_owned(), loss / tokens as f64),
                ("valid_accuracy".to_owned(), share(right, tokens)),
                ("valid_exact".to_owned(), share(exact, pairs.len())),
            ];
            if self.unit == Unit::Word {
                let mut bleu = Bleu::default();
                for chunk in pairs.chunks(batch) {
                    let sources: Vec<&[u32]> = chunk.iter().map(|[source, _]| source_of(source)).collect();
                    for ([_, expected], found) in chunk.iter().zip(translator.run(&sources)?) {
                        bleu.add(expected, found.strip_suffix(&[Vocabulary::END]).unwrap_or(&found));
                    }
                }
                figures.push(("valid_bleu".to_owned(), bleu.score()));
            }
            Ok(figures)
        }))
    }
}

/// What a trained translator is used by: sources without marks go in, targets with their end mark come out.
///
/// # Errors
/// None that sizes of a training can cause.
pub fn translator(
    context: &Context,
    weights: &Weights,
    vocabularies: [usize; 2],
    size: PairsSize,
) -> Result<Generator, Error> {
    let mut options = Options::greedy().max_new_tokens(size.target).eos(Vocabulary::END).start(Vocabulary::BEGIN);
    options.suppress = vec![Vocabulary::PAD, Vocabulary::BEGIN];
    Generator::translator(context, weights, Pairs::network(vocabularies, size), options)
}

/// A source as a prompt: an empty one is a padding mark.
pub fn source_of(source: &[u32]) -> &[u32] {
    if source.is_empty() { &[Vocabulary::PAD] } else { source }
}

/// Pairs as numbers.
struct Sentences {
    pairs: Vec<[Vec<u32>; 2]>,
    size: PairsSize,
}

impl Dataset for Sentences {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    /// `source` with its `lengths`, `target` behind the begin mark, and the tokens that come `next`, the end mark last.
    fn batch(&self, examples: &[usize]) -> Result<Batch<'_>, Error> {
        let (count, PairsSize { source: from, target: to, .. }) = (examples.len(), self.size);
        let mut source = vec![Vocabulary::PAD; count * from];
        let mut target = vec![Vocabulary::PAD; count * to];
        let mut next = vec![IGNORED; count * to];
        let mut lengths = Vec::with_capacity(count);
        for (row, &example) in examples.iter().enumerate() {
            let [a, b] = &self.pairs[example];
            let (a, b) = (&a[..a.len().min(from)], &b[..b.len().min(to - 1)]);
            source[row * from..][..a.len()].copy_from_slice(a);
            // An empty source is one padding mark.
            lengths.push(a.len().max(1) as u32);
            target[row * to] = Vocabulary::BEGIN;
            target[row * to + 1..][..b.len()].copy_from_slice(b);
            next[row * to..][..b.len()].copy_from_slice(b);
            next[row * to + b.len()] = Vocabulary::END;
        }
        Ok(vec![
            ("source", Array::from_u32([count, from], &source)?),
            ("lengths", Array::from_u32([count], &lengths)?),
            ("target", Array::from_u32([count, to], &target)?),
            ("next", Array::from_u32([count, to], &next)?),
        ])
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A day from 1950 to 2049.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Date {
    year: u32,
    month: u32,
    day: u32,
    /// 0 for Monday.
    weekday: u32,
}

/// All days whose last two digits of the year tell the year.
fn days() -> Vec<Date> {
    let leap = |year: u32| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = |year: u32, month: u32| match month {
        2 => 28 + u32::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let mut days = Vec::with_capacity(36_525);
    // 1 January 1950 was a Sunday.
    let mut weekday = 6;
    for year in 1950..2050 {
        for month in 1..=12 {
            for day in 1..=length(year, month) {
                days.push(Date { year, month, day, weekday });
                weekday = (weekday + 1) % 7;
            }
        }
    }
    days
}

impl Date {
    fn iso(self) -> String {
        format!("{}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// One of twelve ways to write it. Numbers alone are day, month, year, with strokes, and month, day, year nowhere.
    fn written(self, way: usize) -> String {
        let Date { year, month, day, .. } = self;
        let name = MONTHS[month as usize - 1];
        let (short, two) = (&name[..3], format!("{:02}", year % 100));
        let weekday = WEEKDAYS[self.weekday as usize];
        let th = match day {
            1 | 21 | 31 => "st",
            2 | 22 => "nd",
            3 | 23 => "rd",
            _ => "th",
        };
        match way {
            0 => format!("{day} {name} {year}"),
            1 => format!("{name} {day}, {year}"),
            2 => format!("{short} {day}{th}, {two}"),
            3 => format!("{day:02}/{month:02}/{year}"),
            4 => format!("{day}/{month}/{two}"),
            5 => format!("{day}.{month}.{year}"),
            6 => format!("{weekday}, {day} {name} {year}"),
            7 => format!("the {day}{th} of {name}, {year}"),
            8 => format!("{year} {short} {day}"),
            9 => format!("{day}-{short}-{two}"),
            10 => format!("{} {short} {day} {year}", &weekday[..3]),
            _ => format!("{year}{month:02}{day:02}"),
        }
    }
}

/// How many ways there are to write a date.
const WAYS: usize = 12;

/// Dates from 1950 to 2049, written in one of twelve ways, beside `1997-03-05`: some to train with, and some of other
/// days.
///
/// ```
/// let [training, held_out] = wgrad::tasks::dates([1000, 100], 0);
/// assert_eq!((training.len(), held_out.len()), (1000, 100));
/// assert!(training.iter().all(|[_, date]| held_out.iter().all(|[_, other]| date != other)));
/// ```
pub fn dates([training, held_out]: [usize; 2], seed: u64) -> [Vec<[String; 2]>; 2] {
    let days = days();
    let order = Shuffle::new(seed, 0).order(days.len());
    // A tenth of all days is for tests only, however many dates there are.
    let (test, rest) = order.split_at(days.len() / 10);
    let mut random = Shuffle::new(seed, 1);
    let mut draw = |count: usize, from: &[usize]| -> Vec<[String; 2]> {
        let date = |_| {
            let date = days[from[random.below(from.len())]];
            [date.written(random.below(WAYS)), date.iso()]
        };
        (0..count).map(date).collect()
    };
    [draw(training, rest), draw(held_out, test)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let days = days();
        assert_eq!(days.len(), 36_525);
        let find = |iso: &str| *days.iter().find(|date| date.iso() == iso).unwrap();
        let leap = find("2000-02-29");
        assert_eq!(WEEKDAYS[leap.weekday as usize], "Tuesday");
        assert_eq!(WEEKDAYS[find("1969-07-20").weekday as usize], "Sunday");
        let ways: Vec<String> = (0..WAYS).map(|way| find("1997-03-03").written(way)).collect();
        let expected = [
            "3 March 1997",
            "March 3, 1997",
            "Mar 3rd, 97",
            "03/03/1997",
            "3/3/97",
            "3.3.1997",
            "Monday, 3 March 1997",
            "the 3rd of March, 1997",
            "1997 Mar 3",
            "3-Mar-97",
            "Mon Mar 3 1997",
            "19970303",
        ];
        assert_eq!(ways, expected);
        assert!(!days.iter().any(|date| date.iso() == "1999-02-29"));
    }

    #[test]
    fn pairs_become_rows_with_marks() {
        let pair = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let pairs = [pair("ab", "xyz"), pair("", "x"), pair("b", "")];
        let task = Pairs::new(Unit::Character, [4, 1], &pairs, &pairs[..1]).unwrap();
        assert_eq!((task.size().source, task.size().target), (2, 4));
        let batch = task.examples().batch(&[0, 1, 2]).unwrap();
        let numbers = |i: usize| batch[i].1.to_u32();
        let [a, b] = [5, 4]; // "b" is more frequent than "a".
        let [x, y, z] = [4, 5, 6];
        assert_eq!(numbers(0), [a, b, 0, 0, b, 0]);
        assert_eq!(numbers(1), [2, 1, 1]);
        assert_eq!(numbers(2), [1, x, y, z, 1, x, 0, 0, 1, 0, 0, 0]);
        let no = IGNORED;
        assert_eq!(numbers(3), [x, y, z, 2, x, 2, no, no, 2, no, no, no]);
        let error = Pairs::new(Unit::Word, [4, 1], &pairs, &[]).err().unwrap().to_string();
        assert_eq!(error, "3 and 0 pairs are too few to train and test with");
    }
}
