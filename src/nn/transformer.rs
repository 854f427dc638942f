//! TransformerBlock(x) = AddNorm(FeedForward, AddNorm(SelfAttention, x)).

use super::{Activation, Cache, Layer, LayerNorm, Projections, feed_forward, layer_norm, multi_head_attention, relu};
use crate::{error::Place, graph::Tensor, ops::Attention};

/// A layer beside which its input goes on, with a norm: see [`add_norm`] and [`pre_norm`].
#[derive(Clone, Debug)]
pub struct AddNorm<F> {
    layer: F,
    norm: LayerNorm,
    name: String,
    first: bool,
    dropout: f32,
    place: Place,
}

/// AddNorm(f, x) = LN(x + f(x)), the norm named `norm`.
#[track_caller]
pub fn add_norm<F: Layer>(layer: F) -> AddNorm<F> {
    let (norm, name, place) = (layer_norm(), "norm".to_owned(), Place::here());
    AddNorm { layer, norm, name, first: false, dropout: 0.0, place }
}

/// x + f(LN(x)): [`add_norm`] with the norm in front, as in GPT-2.
#[track_caller]
pub fn pre_norm<F: Layer>(layer: F) -> AddNorm<F> {
    AddNorm { first: true, ..add_norm(layer) }
}

impl<F> AddNorm<F> {
    /// The norm and its name.
    pub fn norm(mut self, name: &str, norm: LayerNorm) -> AddNorm<F> {
        (self.name, self.norm) = (name.to_owned(), norm);
        self
    }

    /// Dropout of f(x) with this probability, in training.
    pub fn dropout(self, probability: f32) -> AddNorm<F> {
        AddNorm { dropout: probability, ..self }
    }
}

impl<F: Layer> Layer for AddNorm<F> {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || {
            let norm = |x: &Tensor| self.norm.apply_at(&self.name, x);
            let f = |x: &Tensor| self.layer.apply(x).dropout(self.dropout);
            if self.first { x + f(&norm(x)) } else { norm(&(x + f(x))) }
        })
    }
}

/// What the parts of a block are called in a file.
#[derive(Clone, Copy, Debug)]
pub struct BlockNames {
    /// Attention to the sequence itself.
    pub self_attn: &'static str,
    /// Attention to the memory.
    pub cross_attn: &'static str,
    /// Queries, keys, values and results of both.
    pub projections: Projections,
    /// The norms of attention to itself, of attention to the memory, and of the two linear layers.
    pub norms: [&'static str; 3],
    /// The two linear layers.
    pub feed_forward: [&'static str; 2],
}

/// Those of `torch.nn.TransformerEncoderLayer`.
const ENCODER: BlockNames = BlockNames {
    self_attn: "self_attn",
    cross_attn: "multihead_attn",
    projections: Projections::Packed,
    norms: ["norm1", "", "norm2"],
    feed_forward: ["linear1", "linear2"],
};

/// Those of `torch.nn.TransformerDecoderLayer`.
const DECODER: BlockNames = BlockNames { norms: ["norm1", "norm2", "norm3"], ..ENCODER };

/// The block of all transformers: see [`transformer_block`].
#[derive(Clone, Debug)]
pub struct TransformerBlock {
    names: BlockNames,
    heads: usize,
    hidden: usize,
    activation: Activation,
    norm: LayerNorm,
    norm_first: bool,
    bias: bool,
    rotary: bool,
    /// Probabilities for weights of attention, the hidden units, and what is added.
    dropout: [f32; 3],
    sight: Attention,
    memory: Option<(Tensor, Attention)>,
    cache: Option<Cache>,
    place: Place,
}

/// `[B, T, E]` → `[B, T, E]`: TransformerBlock(x) = AddNorm(FeedForward, AddNorm(SelfAttention, x)) (Vaswani et al.
/// 2017), with a third AddNorm for attention to a [`memory`](TransformerBlock::memory) between the two.
///
/// `heads` heads, `hidden` units; ReLU, dropout 0.1 and norms behind the sums if not said. Parameters as those of
/// [`encoder_layer`] if not [`named`](TransformerBlock::names) otherwise.
#[track_caller]
pub fn transformer_block(heads: usize, hidden: usize) -> TransformerBlock {
    TransformerBlock {
        names: ENCODER,
        heads,
        hidden,
        activation: relu(),
        norm: layer_norm(),
        norm_first: false,
        bias: true,
        rotary: false,
        dropout: [0.1; 3],
        sight: Attention::default(),
        memory: None,
        cache: None,
        place: Place::here(),
    }
}

/// `torch.nn.TransformerEncoderLayer` with `batch_first=True`: layers `self_attn`, `linear1`, `linear2`, `norm1` and
/// `norm2`.
#[track_caller]
pub fn encoder_layer(heads: usize, hidden: usize) -> TransformerBlock {
    transformer_block(heads, hidden)
}

/// `torch.nn.TransformerDecoderLayer` with `batch_first=True`: layers `self_attn`, `multihead_attn`, `linear1`,
/// `linear2` and `norm1` to `norm3`. It sees no later position of its own sequence, and all of the memory `[B, S, E]`.
///
/// ```
/// # use wgrad::{nn::*, prelude::*};
/// let graph = Graph::new(Mode::Train);
/// let (y, memory) = (graph.input("y", [2, 7, 64]), graph.input("memory", [2, 9, 64]));
/// let lengths = graph.input_of("lengths", [2], DType::U32);
/// let block = decoder_layer(4, 256, &memory).memory_lengths(&lengths);
/// assert_eq!(stack("layers", 6, block).apply(&y).shape(), [2, 7, 64].into());
/// ```
#[track_caller]
pub fn decoder_layer(heads: usize, hidden: usize, memory: &Tensor) -> TransformerBlock {
    transformer_block(heads, hidden).names(DECODER).causal().memory(memory)
}

impl TransformerBlock {
    /// What the parts are called.
    pub fn names(self, names: BlockNames) -> TransformerBlock {
        TransformerBlock { names, ..self }
    }

    /// The function between the two linear layers.
    pub fn activation(self, activation: Activation) -> TransformerBlock {
        TransformerBlock { activation, ..self }
    }

    /// The norm with its ε.
    pub fn norm(self, norm: LayerNorm) -> TransformerBlock {
        TransformerBlock { norm, ..self }
    }

    /// x + f(LN(x)) instead of LN(x + f(x)): PyTorch's `norm_first`.
    pub fn norm_first(self, first: bool) -> TransformerBlock {
        TransformerBlock { norm_first: first, ..self }
    }

    /// Whether there are biases, in all parts; there are if not said.
    pub fn bias(self, bias: bool) -> TransformerBlock {
        TransformerBlock { bias, ..self }
    }

    /// Turns queries and keys of the sequence itself by their positions: [`Tensor::rotary`].
    pub fn rotary(self) -> TransformerBlock {
        TransformerBlock { rotary: true, ..self }
    }

    /// Probability that something is dropped in training: for the weights of attention, the hidden units, and
    /// what each part adds.
    pub fn dropout(self, attention: f32, hidden: f32, added: f32) -> TransformerBlock {
        TransformerBlock { dropout: [attention, hidden, added], ..self }
    }

    /// Lets every position see only itself and those before it.
    pub fn causal(mut self) -> TransformerBlock {
        self.sight.causal = true;
        self
    }

    /// Puts the sequence behind all that the cache has of it: [`MultiHeadAttention::attend_cached`].
    ///
    /// [`MultiHeadAttention::attend_cached`]: super::MultiHeadAttention::attend_cached
    pub fn cached<'a>(self, cache: impl Into<Option<&'a Cache>>) -> TransformerBlock {
        TransformerBlock { cache: cache.into().cloned(), ..self }
    }

    /// `u32 [B]`: how many positions of each sequence there are; the rest is padding that none sees.
    pub fn lengths<'a>(mut self, lengths: impl Into<Option<&'a Tensor>>) -> TransformerBlock {
        self.sight.lengths = lengths.into().cloned();
        self
    }

    /// `u32`, broadcasts to `[B, heads, T, T]`: 0 where a position does not see another.
    pub fn mask(mut self, mask: &Tensor) -> TransformerBlock {
        self.sight = self.sight.mask(mask);
        self
    }

    /// The sequence `[B, S, E]` that is looked at between the two parts: an encoder's result.
    pub fn memory(mut self, memory: &Tensor) -> TransformerBlock {
        self.memory = Some((memory.clone(), Attention::default()));
        self
    }

    /// `u32 [B]`: how many positions of each memory there are.
    pub fn memory_lengths<'a>(mut self, lengths: impl Into<Option<&'a Tensor>>) -> TransformerBlock {
        let lengths = lengths.into().cloned();
        self.memory = self.memory.map(|(memory, sight)| (memory, Attention { lengths, ..sight }));
        self
    }

    /// `u32`, broadcasts to `[B, heads, T, S]`: 0 where a position does not see one of the memory.
    pub fn memory_mask(mut self, mask: &Tensor) -> TransformerBlock {
        self.memory = self.memory.map(|(memory, sight)| (memory, sight.mask(mask)));
        self
    }

    /// A part with its norm, named after the norm.
    fn part<F: Layer>(&self, norm: usize, layer: F) -> AddNorm<F> {
        let part = if self.norm_first { pre_norm(layer) } else { add_norm(layer) };
        let norm_itself = if self.bias { self.norm } else { self.norm.bias(false) };
        part.norm(self.names.norms[norm], norm_itself).dropout(self.dropout[2])
    }
}

impl Layer for TransformerBlock {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || {
            if x.dims("transformer_block", ["B", "T", "E"]).is_none() {
                return x.graph().failed();
            }
            let (names, [attention, hidden, _]) = (&self.names, self.dropout);
            let heads = multi_head_attention(x.size(-1), self.heads).projections(names.projections);
            let heads = heads.bias(self.bias).dropout(attention);
            let itself = heads.rotary(self.rotary);
            let see_itself = |x: &Tensor| match &self.cache {
                Some(cache) => itself.attend_cached(x, cache),
                None => itself.attend(x, x, x, self.sight.clone()),
            };
            let feed_forward = feed_forward(self.hidden)
                .activation(self.activation)
                .dropout(hidden)
                .names(names.feed_forward)
                .bias(self.bias)
                .transposed(matches!(names.projections, Projections::Transposed(_)));

            let mut x = self.part(0, see_itself.named(names.self_attn)).apply(x);
            if let Some((memory, sight)) = &self.memory {
                let see_memory = |x: &Tensor| heads.attend(x, memory, memory, sight.clone());
                x = self.part(1, see_memory.named(names.cross_attn)).apply(&x);
            }
            self.part(2, feed_forward).apply(&x)
        })
    }
}
