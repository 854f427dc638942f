//! What models that translate have in common.

use crate::graph::Tensor;

/// What a decoder knows of the source.
#[derive(Clone, Debug)]
pub struct Memory {
    /// A vector for each token, `[B, S, E]`.
    pub states: Tensor,
    /// `u32 [B]`: how many tokens each source has; all if not said.
    pub lengths: Option<Tensor>,
    /// The states a recurrent decoder begins with; none for a transformer.
    pub initial: Vec<Tensor>,
}

/// A model that generates yᵢ from x and y before i.
pub trait Translator {
    /// Reads the source ids `u32 [B, S]`, of which `lengths` `u32 [B]` count.
    fn encode(&self, source: &Tensor, lengths: Option<&Tensor>) -> Memory;

    /// Logits of each next token `[B, T, vocabulary]` from the target's ids so far, `u32 [B, T]`.
    fn decode(&self, target: &Tensor, memory: &Memory) -> Tensor;

    /// Both: what training needs.
    fn logits(&self, source: &Tensor, lengths: Option<&Tensor>, target: &Tensor) -> Tensor {
        self.decode(target, &self.encode(source, lengths))
    }
}
