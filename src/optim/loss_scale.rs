//! A factor in front of the loss, so that small gradients do not vanish in half precision.

use crate::{
    data::{DType, TensorDesc},
    graph::{Graph, Init, Tensor},
};

/// A loss scale that finds its own size on the device: `torch.amp.GradScaler`.
///
/// The loss is multiplied by it and gradients are divided by it. Where any number of any gradient is infinite or NaN,
/// the run updates nothing, and the scale is halved; after `interval` updates in a row it is doubled. The host takes no
/// part in it. The scale is state `optimizer.loss_scale`, so a resumed training goes on with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossScale {
    /// The scale at first.
    pub first: f32,
    /// What it is multiplied by after many updates.
    pub growth: f32,
    /// What it is multiplied by after a gradient that is not finite.
    pub backoff: f32,
    /// After how many updates in a row it grows.
    pub interval: u32,
}

impl Default for LossScale {
    /// PyTorch's: 65536, doubled after 2000 updates, halved.
    fn default() -> LossScale {
        LossScale { first: 65536.0, growth: 2.0, backoff: 0.5, interval: 2000 }
    }
}

impl LossScale {
    pub(super) fn check(&self) -> Result<(), String> {
        let LossScale { first, growth, backoff, interval } = *self;
        if !(first > 0.0 && first.is_finite()) {
            Err(format!("the loss scale must be a positive number, not {first}"))
        } else if !(growth >= 1.0 && growth.is_finite()) {
            Err(format!("the growth of the loss scale must be at least 1, not {growth}"))
        } else if !(backoff > 0.0 && backoff < 1.0) {
            Err(format!("the backoff of the loss scale must be between 0 and 1, not {backoff}"))
        } else if interval == 0 {
            Err("the loss scale grows after at least one update".to_owned())
        } else {
            Ok(())
        }
    }

    #[track_caller]
    pub(super) fn scale(&self, graph: &Graph) -> Tensor {
        graph.state("optimizer.loss_scale", TensorDesc::new([], DType::F32), Init::Constant(self.first))
    }

    /// Whether a run with these gradients updates, and the state that moves on behind all updates, with its new values.
    #[track_caller]
    pub(super) fn advance(&self, gradients: &[&Tensor], last: &Tensor) -> Option<Advance> {
        let graph = last.graph();
        // One number tells: a sum of squares is finite if and only if all of them are and none is too large for f32.
        let sum = gradients.iter().map(|gradient| gradient.sum_squares()).reduce(|sum, square| sum.add(&square))?;
        let finite = sum.is_finite();
        let scale = self.scale(graph);
        let good = graph.state("optimizer.loss_scale_good", TensorDesc::new([], DType::U32), Init::zeros());
        let next = scale.loss_scale_next([&finite, last, &good], self.growth, self.backoff, self.interval);
        let count = good.loss_scale_good([&finite, last], self.interval);
        Some(Advance { updates: finite.logical_and(last), state: [(scale, next), (good, count)] })
    }
}

/// What follows from the gradients of a run.
pub(super) struct Advance {
    /// A mask of whether the run updates.
    pub updates: Tensor,
    /// What changes, and into what.
    pub state: [(Tensor, Tensor); 2],
}
