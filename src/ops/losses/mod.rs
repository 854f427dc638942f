//! losses: pointwise work and one reduction, as `torch.nn.functional` has them.
//!
//! Every loss is computed in `f32` and has the element type of its first argument. They are put
//! together from other operations, so that the planner fuses them and second gradients exist wherever
//! those of the parts do.

mod classes;
mod numbers;
mod pick;

pub use classes::{MultiMargin, NllLoss};
pub use numbers::BinaryCrossEntropy;

use crate::{
    data::{DType, Shape},
    error::Misfit,
    graph::Tensor,
};

/// How the losses of the elements or rows become the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The mean over all that counts; NaN where nothing does.
    #[default]
    Mean,
    /// The sum.
    Sum,
    /// The sum divided by the size of dimension 0: `"batchmean"` of `torch.nn.functional.kl_div`.
    BatchMean,
    /// No reduction: the loss of each.
    None,
}

impl Reduction {
    /// Reduces losses of which each counts as 1, in an element type.
    #[track_caller]
    pub(in crate::ops) fn of(self, losses: &Tensor, dtype: DType) -> Tensor {
        self.weighted(losses, None, dtype)
    }

    /// Reduces losses whose mean is over the sum of other weights than 1, in an element type.
    #[track_caller]
    pub(in crate::ops) fn weighted(self, losses: &Tensor, weights: Option<&Tensor>, dtype: DType) -> Tensor {
        let result = match (self, weights) {
            (Reduction::None, _) => losses.clone(),
            (Reduction::Sum, _) => losses.sum_all(),
            (Reduction::Mean, None) => losses.mean_all(),
            (Reduction::Mean, Some(weights)) => losses.sum_all() / weights.sum_all(),
            (Reduction::BatchMean, _) => {
                let rows = losses.shape().first().copied().unwrap_or(1);
                losses.sum_all() / rows as f32
            }
        };
        result.cast(dtype)
    }
}

/// The arguments of a loss in `f32`, or `None` and a recorded mistake where shapes or types differ.
#[track_caller]
fn operands<const N: usize>(loss: &str, tensors: [&Tensor; N]) -> Option<[Tensor; N]> {
    if tensors.iter().any(|tensor| tensor.is_failed()) {
        return None;
    }
    let first = tensors[0].desc();
    for other in tensors[1..].iter().map(|tensor| tensor.desc()) {
        let misfit = if !first.dtype.is_float() || other.dtype != first.dtype {
            Misfit::dtype(format!("needs floating point numbers of one type, not {first} and {other}"))
        } else if other.shape != first.shape {
            Misfit::shape(format!("shapes {} and {} differ", first.shape, other.shape))
        } else {
            continue;
        };
        tensors[0].graph().fail(misfit.of(loss));
        return None;
    }
    Some(tensors.map(|tensor| tensor.cast(DType::F32)))
}

/// Class weights `[C]` in `f32`, through which no gradient flows, or `None` and a recorded mistake.
#[track_caller]
pub(in crate::ops) fn class_weights(loss: &str, weight: &Tensor, classes: usize) -> Option<Tensor> {
    if weight.is_failed() {
        return None;
    }
    let desc = weight.desc();
    if desc.dtype.is_float() && *desc.shape == [classes] {
        return Some(weight.cast(DType::F32).detach());
    }
    let misfit = Misfit::shape(format!("weights {desc} do not fit {classes} classes"));
    weight.graph().fail(misfit.of(loss));
    None
}

/// Numbers for the classes as they lie in `[N, C, d…]`, for which they broadcast.
#[track_caller]
pub(in crate::ops) fn along_classes(weight: &Tensor, rank: usize) -> Tensor {
    let shape: Shape = weight.shape().iter().copied().chain(std::iter::repeat_n(1, rank - 2)).collect();
    weight.reshape(shape)
}

#[cfg(test)]
mod tests;
