//! What generation keeps from token to token.

use crate::{
    data::{DType, TensorDesc},
    graph::{Graph, Init, Tensor},
};

/// Keys and values of the tokens a model has seen, so that each is looked at once: how many they are. In inference
/// graphs.
///
/// The number is the state `position [B]`. It is read on the device, so one plan makes any number of tokens, and a plan
/// for the prompts and one for single tokens share it through their weights.
#[derive(Clone, Debug)]
pub struct Cache {
    seen: Tensor,
    most: usize,
}

impl Cache {
    /// The cache of `batch` sequences of at most `most` tokens; its state is named below the current layer.
    #[track_caller]
    pub fn new(graph: &Graph, batch: usize, most: usize) -> Cache {
        Cache { seen: graph.state("position", TensorDesc::new([batch], DType::U32), Init::zeros()), most }
    }

    /// The cache that has seen so many.
    pub(super) fn known(seen: Tensor, most: usize) -> Cache {
        Cache { seen, most }
    }

    /// How many tokens of each sequence there are, `u32 [B]`.
    pub fn seen(&self) -> &Tensor {
        &self.seen
    }

    /// How many tokens there is room for.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many there are with another `count`, `u32 [B]`.
    pub fn with(&self, count: usize) -> Tensor {
        (self.seen.cast(DType::F32) + count as f32).cast(DType::U32)
    }

    /// Where `count` new tokens stand, `u32 [B, count]`.
    pub fn positions(&self, count: usize) -> Tensor {
        let numbers = self.seen.graph().arange(0.0, count as f64, 1.0, DType::F32);
        (self.seen.cast(DType::F32).unsqueeze(1) + numbers).cast(DType::U32)
    }

    /// Counts new tokens: `lengths`, `u32 [B]`, of each sequence, or as many of all. The last that a model does.
    pub fn advance(&self, count: usize, lengths: Option<&Tensor>) {
        let seen = match lengths {
            Some(lengths) => (self.seen.cast(DType::F32) + lengths.cast(DType::F32)).cast(DType::U32),
            None => self.with(count),
        };
        self.seen.graph().assign(&self.seen, &seen);
    }
}
