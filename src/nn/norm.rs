//! Normalisation layers.

use super::Layer;
use crate::{
    error::Place,
    graph::{Init, Tensor},
};

/// γ⊙(x − mean)/√(variance + ε) + β over the last dimension (Ba et al. 2016), `torch.nn.LayerNorm`:
/// see [`layer_norm`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    eps: f32,
    place: Place,
}

/// `[…, width]` → `[…, width]`; parameters `weight [width]` = 1 and `bias [width]` = 0, ε = 1e-5.
#[track_caller]
pub fn layer_norm() -> LayerNorm {
    LayerNorm { eps: 1e-5, place: Place::here() }
}

impl LayerNorm {
    /// The number added to the variance.
    pub fn eps(self, eps: f32) -> LayerNorm {
        LayerNorm { eps, ..self }
    }
}

impl Layer for LayerNorm {
    fn apply(&self, x: &Tensor) -> Tensor {
        let graph = x.graph();
        graph.placed(self.place, || {
            if x.is_failed() {
                return x.clone();
            }
            let width = x.size(-1);
            let weight = graph.parameter("weight", [width], Init::ones());
            let bias = graph.parameter("bias", [width], Init::zeros());
            x.layer_norm(&weight, &bias, self.eps)
        })
    }
}
