//! Dropout.

use super::Layer;
use crate::{error::Place, graph::Tensor};

/// Drops elements in training (Srivastava et al. 2014), `torch.nn.Dropout`: see [`dropout`].
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    probability: f32,
    place: Place,
}

/// In a training graph sets each element to 0 with this probability and scales the others by
/// 1/(1 − probability); in an inference graph passes its input on.
#[track_caller]
pub fn dropout(probability: f32) -> Dropout {
    Dropout { probability, place: Place::here() }
}

impl Layer for Dropout {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || x.dropout(self.probability))
    }
}
