//! Sequences that go on: what the layers of a model keep from run to run.

use super::Cache;
use crate::{
    data::{DType, TensorDesc},
    error::{Error, ErrorKind},
    graph::{Continuing, Graph, Init, Tensor},
};

/// Lets any causal model take its sequences in pieces: first the prompts, then token after token. In inference graphs.
///
/// Layers applied [`within`](Continuation::within) it keep what they need in states: attention to the sequence itself
/// keys and values, attention to a memory those of the memory, recurrent networks their last states. Positions count on,
/// and [`generate_token`](super::generate_token) looks at each prompt's last token only. Nothing of it is read by the
/// host, so that one plan makes any number of tokens.
///
/// ```
/// # use wgrad::{models::lstm_lm, nn::*, prelude::*};
/// let model = lstm_lm(100, 32, 1);
/// let begin = Graph::new(Mode::Infer);
/// let [ids, lengths] = [("ids", vec![2, 7]), ("lengths", vec![2])].map(|(name, shape)| begin.input_of(name, shape, DType::U32));
/// let logits = Continuation::begin(&lengths, 1, 50).within(|| model.apply(&ids));
/// assert_eq!(logits.shape(), [2, 1, 100].into());
///
/// let next = Graph::new(Mode::Infer);
/// let token = next.input_of("token", [2, 1], DType::U32);
/// let logits = Continuation::next(&next, 2, 50).within(|| model.apply(&token));
/// assert_eq!(logits.shape(), [2, 1, 100].into());
/// ```
#[derive(Clone, Debug)]
pub struct Continuation {
    cache: Cache,
    begins: Option<(Tensor, usize)>,
    source: Option<(Tensor, usize)>,
}

impl Continuation {
    /// The run that brings prompts, `[B, T]` ids of which `lengths`, `u32 [B]`, count: `copies` sequences go on from
    /// each, to at most `most` tokens.
    #[track_caller]
    pub fn begin(lengths: &Tensor, copies: usize, most: usize) -> Continuation {
        let cache = Cache::new(lengths.graph(), lengths.size(0) * copies, most);
        Continuation { cache, begins: Some((lengths.clone(), copies)), source: None }
    }

    /// A run that brings one more token of each sequence, `[sequences, 1]` ids.
    #[track_caller]
    pub fn next(graph: &Graph, sequences: usize, most: usize) -> Continuation {
        Continuation { cache: Cache::new(graph, sequences, most), begins: None, source: None }
    }

    /// Lets each sequence first take over the past of another of its `group` neighbours: `source`, `u32`, names it for
    /// each. What beam search does.
    pub fn taking_over(self, source: &Tensor, group: usize) -> Continuation {
        Continuation { source: Some((source.clone(), group)), ..self }
    }

    /// Applies a model, and counts its tokens.
    pub fn within<T>(&self, body: impl FnOnce() -> T) -> T {
        let seen = self.cache.seen();
        let graph = seen.graph();
        let id = |pair: &Option<(Tensor, usize)>| pair.as_ref().map(|(tensor, count)| (tensor.id(), *count));
        let (begins, source) = (id(&self.begins), id(&self.source));
        let how = Continuing { seen: seen.id(), most: self.cache.most(), begins, source };
        let result = graph.continuing(how, body);
        match &self.begins {
            Some((lengths, copies)) => graph.assign(seen, &lengths.repeat_interleave(*copies, 0)),
            None => graph.advance(seen, 1),
        };
        result
    }

    /// How the layers that are being applied go on, if they do.
    pub fn of(graph: &Graph) -> Option<Continuation> {
        let how = graph.continues()?;
        let tensor = |pair: Option<(_, usize)>| pair.map(|(value, count)| (graph.tensor(value), count));
        let cache = Cache::known(graph.tensor(how.seen), how.most);
        Some(Continuation { cache, begins: tensor(how.begins), source: tensor(how.source) })
    }

    /// How many tokens of each sequence there are, and how many there is room for.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// How many tokens of each prompt count, `u32 [B]`, in the run that brings them.
    pub fn lengths(&self) -> Option<&Tensor> {
        self.begins.as_ref().map(|(lengths, _)| lengths)
    }

    /// How many sequences go on from each prompt, in the run that brings them.
    pub fn copies(&self) -> Option<usize> {
        self.begins.as_ref().map(|(_, copies)| *copies)
    }

    /// The sequence whose past each takes over, and how many exchange theirs.
    pub fn source(&self) -> Option<(&Tensor, usize)> {
        self.source.as_ref().map(|(source, group)| (source, *group))
    }

    /// Where `count` tokens stand, `u32 [B, count]`; `None` in the run that begins, where they stand at 0, 1, ….
    pub fn positions(&self, count: usize) -> Option<Tensor> {
        self.begins.is_none().then(|| self.cache.positions(count))
    }

    /// Of vectors `[B, T, E]` those of the last token of each prompt, `[B, 1, E]`.
    pub fn last(&self, x: &Tensor) -> Tensor {
        let (Some(lengths), graph) = (self.lengths(), x.graph()) else { return x.clone() };
        let Some([batch, time, width]) = x.dims("continuation", ["B", "T", "E"]) else { return x.clone() };
        if time == 1 {
            return x.clone();
        }
        let firsts = graph.arange(0.0, (batch * time) as f64, time as f64, DType::F32);
        let rows = (firsts + lengths.cast(DType::F32) - 1.0).cast(DType::U32);
        x.reshape([batch * time, width]).index_select(0, &rows).reshape([batch, 1, width])
    }

    /// What a layer kept as the state `name` in the run before, each sequence's at an index along `dim`; `None` in the
    /// run that begins.
    pub fn recall(&self, name: &str, graph: &Graph, desc: TensorDesc, dim: isize) -> Option<Tensor> {
        if self.begins.is_some() {
            return None;
        }
        let state = graph.state(name, desc, Init::zeros());
        Some(match &self.source {
            Some((source, group)) => state.index_select(dim, &Continuation::rows(source, *group)),
            None => state,
        })
    }

    /// Which row each of `source`'s indices among `group` neighbours is, `u32`.
    pub fn rows(source: &Tensor, group: usize) -> Tensor {
        let graph = source.graph();
        let firsts = graph.arange(0.0, source.size(0) as f64, group as f64, DType::F32).repeat_interleave(group, 0);
        (firsts + source.cast(DType::F32)).cast(DType::U32)
    }

    /// Keeps a value as the state `name` for the next run, each sequence's at an index along `dim`.
    pub fn keep(&self, name: &str, value: &Tensor, dim: isize) {
        let value = value.repeat_interleave(self.copies().unwrap_or(1), dim);
        let state = value.graph().state(name, value.desc(), Init::zeros());
        value.graph().assign(&state, &value);
    }

    /// Records that a layer cannot go on, for a reason.
    #[track_caller]
    pub fn refuse(&self, layer: &str, reason: &str) {
        let message = format!("{layer}: cannot go on token by token, as {reason}");
        self.cache.seen().graph().fail(Error::new(ErrorKind::Shape, message));
    }
}
