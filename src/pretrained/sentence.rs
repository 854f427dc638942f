//! Sentences as vectors.

use super::{Directory, Pooling, Published, SentenceSettings};
use crate::{
    data::{Array, DType},
    error::{Error, ErrorKind},
    gpu::Context,
    graph::{Graph, Mode, Tensor},
    models::{BertConfig, bert},
    nn::{Layer, collapse},
    plan::Plan,
    session::{Session, Weights},
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// How many tokens, padding included, a run has at most; one text may have more.
const TOKENS: usize = 4096;

/// How many texts a run has at most.
const TEXTS: usize = 32;

/// The fewest tokens a plan is made for.
const SHORTEST: usize = 8;

/// A BERT that makes sentences vectors, as the library sentence-transformers does: see [`SentenceEncoder::open`].
#[derive(Debug)]
pub struct SentenceEncoder {
    context: Context,
    config: BertConfig,
    settings: SentenceSettings,
    dtype: DType,
    weights: Weights,
    /// For each number of texts and of tokens that a run has had.
    sessions: Mutex<BTreeMap<(usize, usize), Session>>,
    #[cfg(feature = "tokenizers")]
    tokenizer: super::Tokenizer,
}

impl SentenceEncoder {
    /// Opens a directory with a BERT: sizes, weights, tokenizer, and what sentence-transformers' files say of pooling, the
    /// norm and the longest text. Where there are no such files the mean over the tokens is taken, of norm 1.
    ///
    /// Texts of any lengths may be asked for together. They are sorted into plans for 8, 16, 32, … tokens and 1, 2, 4, …
    /// texts, so that few kernels are set up and little padding computed; a vector does not depend on the others of its run.
    ///
    /// ```no_run
    /// # #[cfg(feature = "tokenizers")]
    /// # fn go(context: &wgrad::gpu::Context) -> Result<(), wgrad::error::Error> {
    /// # use wgrad::pretrained::SentenceEncoder;
    /// let encoder = SentenceEncoder::open(context, "MiniLM")?;
    /// let [a, b] = &encoder.embed(&["A cat sits on the mat.", "There is a kitten on the rug."])?[..] else { panic!() };
    /// let similarity: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Directory::open`] and [`Directory::load`]; another model; a tokenizer that cannot be used; an error of the device.
    pub fn open(context: &Context, directory: impl AsRef<Path>) -> Result<SentenceEncoder, Error> {
        SentenceEncoder::open_as(context, directory, DType::F32)
    }

    /// [`open`](SentenceEncoder::open) with parameters and activations of a type: [`DType::F16`] needs half the memory.
    ///
    /// # Errors
    /// As [`open`](SentenceEncoder::open), and a device without that type.
    pub fn open_as(context: &Context, directory: impl AsRef<Path>, dtype: DType) -> Result<SentenceEncoder, Error> {
        let directory = Directory::open(directory)?;
        let Published::Bert(config) = directory.model() else {
            return Err(directory.not("bert", "vectors of sentences are made by a BERT, such as all-MiniLM-L6-v2"));
        };
        let settings = directory.sentences()?;
        let most =
            settings.most.map_or(config.max_position_embeddings, |most| most.min(config.max_position_embeddings));
        let settings = SentenceSettings { most: Some(most), ..settings };
        // What is wrong with the small files is said before the large one is read.
        #[cfg(feature = "tokenizers")]
        let tokenizer = {
            let tokenizer = directory.tokenizer()?.truncated(most)?;
            if tokenizer.vocabulary() > config.vocab_size {
                let (tokens, rows) = (tokenizer.vocabulary(), config.vocab_size);
                let reason =
                    format!("the tokenizer has {tokens} tokens, the model {rows}: they do not belong together");
                return Err(super::refuse(directory.path(), reason));
            }
            tokenizer
        };
        directory.weights()?;
        let plan = plan(context, config, settings, dtype, [1, SHORTEST.min(most)])?;
        let weights = Weights::init(context, &plan, 0)?;
        directory.load(&weights)?;
        Ok(SentenceEncoder {
            context: context.clone(),
            config: config.clone(),
            settings,
            dtype,
            weights,
            sessions: Mutex::default(),
            #[cfg(feature = "tokenizers")]
            tokenizer,
        })
    }

    /// How many numbers a vector has.
    pub fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// How many tokens of a text count at most; what is behind them is cut off.
    pub fn most(&self) -> usize {
        self.settings.most.unwrap_or(self.config.max_position_embeddings)
    }

    /// How it pools, and what else its directory says.
    pub fn settings(&self) -> SentenceSettings {
        self.settings
    }

    /// The tokenizer.
    #[cfg(feature = "tokenizers")]
    pub fn tokenizer(&self) -> &super::Tokenizer {
        &self.tokenizer
    }

    /// The weights, to share with sessions of other graphs.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The vector of each text.
    ///
    /// # Errors
    /// An error of the tokenizer or the device, or too little memory.
    #[cfg(feature = "tokenizers")]
    pub fn embed(&self, texts: &[impl AsRef<str>]) -> Result<Vec<Vec<f32>>, Error> {
        let ids = texts.iter().map(|text| {
            let text = text.as_ref();
            if self.settings.lower_case {
                self.tokenizer.encode(&text.to_lowercase())
            } else {
                self.tokenizer.encode(text)
            }
        });
        self.embed_ids(&ids.collect::<Result<Vec<_>, Error>>()?)
    }

    /// The vector of each text, given its tokens' ids, those of `[CLS]` and `[SEP]` included.
    ///
    /// # Errors
    /// A text without tokens, or with more than the model has positions; an id outside the vocabulary; an error of the
    /// device, or too little memory.
    pub fn embed_ids(&self, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, Error> {
        for (i, ids) in texts.iter().enumerate() {
            let refuse = |reason: String| Err(Error::new(ErrorKind::Data, format!("embed: text {i} {reason}")));
            if ids.is_empty() || ids.len() > self.most() {
                return refuse(format!("has {} tokens, not 1 to {}", ids.len(), self.most()));
            }
            if let Some(id) = ids.iter().find(|&&id| id as usize >= self.config.vocab_size) {
                return refuse(format!("has token {id}, the model knows {}", self.config.vocab_size));
            }
        }
        let bucket = |i: usize| texts[i].len().next_power_of_two().max(SHORTEST).min(self.most());
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| bucket(i));
        let mut vectors = vec![Vec::new(); texts.len()];
        for alike in order.chunk_by(|&a, &b| bucket(a) == bucket(b)) {
            let length = bucket(alike[0]);
            let most = (TOKENS / length).clamp(1, TEXTS);
            for run in alike.chunks(most) {
                let found =
                    self.run(run.iter().map(|&i| &texts[i][..]), run.len().next_power_of_two().min(most), length)?;
                for (&i, vector) in run.iter().zip(found.chunks_exact(self.width())) {
                    vectors[i] = vector.to_vec();
                }
            }
        }
        Ok(vectors)
    }

    /// The vectors of a few texts, padded.
    fn run<'a>(&self, texts: impl Iterator<Item = &'a [u32]>, batch: usize, length: usize) -> Result<Vec<f32>, Error> {
        let mut ids = vec![self.config.pad_token_id as u32; batch * length];
        let mut lengths = vec![1; batch];
        for ((text, row), count) in texts.zip(ids.chunks_exact_mut(length)).zip(&mut lengths) {
            row[..text.len()].copy_from_slice(text);
            *count = text.len() as u32;
        }
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = match sessions.entry((batch, length)) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let plan = plan(&self.context, &self.config, self.settings, self.dtype, [batch, length])?;
                new.insert(Session::new(&self.context, plan, &self.weights)?)
            }
        };
        session.write("ids", &Array::from_u32([batch, length], &ids)?)?;
        session.write("lengths", &Array::from_u32([batch], &lengths)?)?;
        session.run()?;
        Ok(session.read_blocking("sentence")?.to_f32())
    }
}

fn plan(
    context: &Context,
    config: &BertConfig,
    settings: SentenceSettings,
    dtype: DType,
    shape: [usize; 2],
) -> Result<Plan, Error> {
    let graph = Graph::new(Mode::Infer);
    let y = graph.floats(dtype, || sentence(&graph, config, settings, shape));
    graph.plan(&[("sentence", &y)], context.target())
}

/// The vectors `[B, width]` of texts of `[B, T]` tokens.
fn sentence(graph: &Graph, config: &BertConfig, settings: SentenceSettings, shape: [usize; 2]) -> Tensor {
    let (ids, lengths) = (graph.input_of("ids", shape, DType::U32), graph.input_of("lengths", [shape[0]], DType::U32));
    let x = bert(config).lengths(&lengths).apply(&ids);
    let collapse = match settings.pooling {
        Pooling::Mean => collapse::average(),
        Pooling::First => collapse::first(),
        Pooling::Last => collapse::last(),
    };
    let y = collapse.lengths(&lengths).apply(&x).cast(DType::F32);
    if settings.normalize { y.normalize(2.0, -1, 1e-12) } else { y }
}
