//! What models that translate have in common.

use crate::{graph::Tensor, nn::Cache, ops::Attention};

/// What a decoder knows of the source.
#[derive(Clone, Debug)]
pub struct Memory {
    /// A vector for each token, `[B, S, E]`.
    pub states: Tensor,
    /// `u32 [B]`: how many tokens each source has; all if not said.
    pub lengths: Option<Tensor>,
    /// The states a recurrent decoder begins with; none for a transformer.
    pub initial: Vec<Tensor>,
    /// Where a transformer keeps keys and values of the target's earlier tokens, if it is given it in pieces.
    pub cache: Option<Cache>,
}

impl Memory {
    /// The memory of a transformer's decoder.
    pub fn new(states: Tensor, lengths: Option<&Tensor>) -> Memory {
        Memory { states, lengths: lengths.cloned(), initial: Vec::new(), cache: None }
    }

    /// Lets a transformer's decoder put the target behind those of earlier runs, up to `most` tokens. In inference graphs.
    #[track_caller]
    pub fn cached(self, most: usize) -> Memory {
        let cache = Cache::new(self.states.graph(), self.states.size(0), most);
        Memory { cache: Some(cache), ..self }
    }

    /// Looks from `[B, T, E]` at the states without heads: one or several sequences of each source.
    pub(super) fn attend(&self, h: &Tensor) -> Tensor {
        let (sources, shape) = (self.states.size(0).max(1), h.shape());
        let sight = Attention { lengths: self.lengths.clone(), ..Attention::default() };
        let folded = h.reshape([sources, h.size(0) / sources * h.size(1), h.size(2)]);
        folded.attention(&self.states, &self.states, sight).reshape(shape)
    }

    /// Counts the tokens of the target behind the decoder's last layer.
    pub(super) fn advance(&self, count: usize) {
        if let Some(cache) = &self.cache {
            cache.advance(count, None);
        }
    }

    /// Where `count` tokens of the target stand, if it is given in pieces.
    pub(super) fn positions(&self, count: usize) -> Option<Tensor> {
        self.cache.as_ref().map(|cache| cache.positions(count))
    }
}

/// A model that generates yᵢ from x and y before i.
pub trait Translator {
    /// Reads the source ids `u32 [B, S]`, of which `lengths` `u32 [B]` count.
    fn encode(&self, source: &Tensor, lengths: Option<&Tensor>) -> Memory;

    /// Logits of each next token `[B, T, vocabulary]` from the target's ids so far, `u32 [B, T]`; those since the last
    /// run where the memory is [`cached`](Memory::cached).
    fn decode(&self, target: &Tensor, memory: &Memory) -> Tensor;

    /// Both: what training needs.
    fn logits(&self, source: &Tensor, lengths: Option<&Tensor>, target: &Tensor) -> Tensor {
        self.decode(target, &self.encode(source, lengths))
    }
}
