//! Pooling layers.

use super::Layer;
use crate::{error::Place, graph::Tensor, ops::MaxPool2d};

/// The largest element of each window, `torch.nn.MaxPool2d`: see [`max_pool`].
#[derive(Clone, Debug)]
pub struct MaxPool {
    options: MaxPool2d,
    place: Place,
}

/// `[N, C, H, W]` → `[N, C, H′, W′]` with windows of `kernel`×`kernel` every `stride` elements.
#[track_caller]
pub fn max_pool(kernel: usize, stride: usize) -> MaxPool {
    let options = MaxPool2d { stride: Some([stride; 2]), ..MaxPool2d::new(kernel) };
    MaxPool { options, place: Place::here() }
}

impl MaxPool {
    /// −∞ added on every side, at most half a window.
    pub fn pad(mut self, padding: usize) -> MaxPool {
        self.options.padding = [padding; 2];
        self
    }
}

impl Layer for MaxPool {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || x.max_pool2d(self.options))
    }
}
