//! Embedding layers.

use super::Layer;
use crate::{
    error::Place,
    graph::{Init, Tensor},
};

/// A learned row for each token, `torch.nn.Embedding`: see [`embed`].
#[derive(Clone, Copy, Debug)]
pub struct Embed {
    vocabulary: usize,
    width: usize,
    place: Place,
}

/// `u32` ids `[…]` → `[…, width]`; parameter `weight [vocabulary, width]`, N(0, 1).
#[track_caller]
pub fn embed(vocabulary: usize, width: usize) -> Embed {
    Embed { vocabulary, width, place: Place::here() }
}

impl Layer for Embed {
    fn apply(&self, ids: &Tensor) -> Tensor {
        let graph = ids.graph();
        graph.placed(self.place, || {
            graph.parameter("weight", [self.vocabulary, self.width], Init::normal(1.0)).embedding(ids)
        })
    }
}
