//! Losses of scores of classes against class indices.

use super::{Reduction, class_weights};
use crate::{data::DType, error::Misfit, graph::Tensor};

/// The index whose rows do not count where nothing else is said: the `u32` with the bits of −100.
const IGNORED: u32 = -100_i32 as u32;

/// Negative log likelihood with its options: `torch.nn.NLLLoss`.
#[derive(Clone, Debug)]
pub struct NllLoss {
    /// How the losses of the rows become the result; the mean if not said.
    pub reduction: Reduction,
    /// The target of rows that do not count. The `u32` with the bits of −100 if not said.
    pub ignore_index: Option<u32>,
    /// A factor for each class.
    pub weight: Option<Tensor>,
}

impl Default for NllLoss {
    fn default() -> NllLoss {
        NllLoss { reduction: Reduction::Mean, ignore_index: Some(IGNORED), weight: None }
    }
}

impl NllLoss {
    /// The mean over all rows but those with target −100, without weights.
    pub fn new() -> NllLoss {
        NllLoss::default()
    }

    /// How the losses of the rows become the result.
    pub fn reduction(self, reduction: Reduction) -> NllLoss {
        NllLoss { reduction, ..self }
    }

    /// The target of rows that do not count, as [`CrossEntropy::ignore_index`](crate::ops::CrossEntropy::ignore_index).
    pub fn ignore_index(self, index: i64) -> NllLoss {
        NllLoss { ignore_index: Some(index as u32), ..self }
    }

    /// A factor for each class, `[C]`; the mean divides by the sum of those of the targets. No gradient
    /// flows through it.
    pub fn weight(self, weight: &Tensor) -> NllLoss {
        NllLoss { weight: Some(weight.clone()), ..self }
    }

    /// `−w[t]·x[t]` of logarithms of probabilities `x [N, C, d…]` and class indices `target [N, d…]`, `u32`: a
    /// scalar, or `[N, d…]` without reduction.
    ///
    /// A row whose target is not below C, and is not the ignored index, has loss and gradient NaN.
    ///
    /// # Gradient
    /// `−w[t]` at the target's class, 0 elsewhere; a second one exists, and is 0.
    ///
    /// # Errors
    /// Recorded in the graph: a target or weights whose shapes do not fit x.
    #[track_caller]
    pub fn apply(&self, x: &Tensor, target: &Tensor) -> Tensor {
        let graph = x.graph();
        if !is_scores("nll_loss", x, target) {
            return graph.failed();
        }
        let picked = -x.cast(DType::F32).pick(target, self.ignore_index);
        let weights = match &self.weight {
            None => counts(target, self.ignore_index),
            Some(weight) => match class_weights("nll_loss", weight, x.shape()[1]) {
                Some(weight) => weight.pick(target, self.ignore_index),
                None => return graph.failed(),
            },
        };
        self.reduction.weighted(&(picked * &weights), Some(&weights), x.dtype())
    }
}

/// Multi-class hinge loss with its options: `torch.nn.MultiMarginLoss`.
#[derive(Clone, Debug)]
pub struct MultiMargin {
    /// How the losses of the rows become the result; the mean if not said.
    pub reduction: Reduction,
    /// How far the target's score is to be above the others; 1 if not said.
    pub margin: f32,
    /// Whether what is missing is squared.
    pub squared: bool,
    /// A factor for the losses of each class.
    pub weight: Option<Tensor>,
}

impl Default for MultiMargin {
    fn default() -> MultiMargin {
        MultiMargin { reduction: Reduction::Mean, margin: 1.0, squared: false, weight: None }
    }
}

impl MultiMargin {
    /// The mean with margin 1, not squared, without weights.
    pub fn new() -> MultiMargin {
        MultiMargin::default()
    }

    /// How the losses of the rows become the result.
    pub fn reduction(self, reduction: Reduction) -> MultiMargin {
        MultiMargin { reduction, ..self }
    }

    /// How far the target's score is to be above the others.
    pub fn margin(self, margin: f32) -> MultiMargin {
        MultiMargin { margin, ..self }
    }

    /// Squares what is missing: `p=2`.
    pub fn squared(self) -> MultiMargin {
        MultiMargin { squared: true, ..self }
    }

    /// A factor for the losses of each target class, `[C]`; unlike in other losses the mean is over the rows.
    /// No gradient flows through it.
    pub fn weight(self, weight: &Tensor) -> MultiMargin {
        MultiMargin { weight: Some(weight.clone()), ..self }
    }

    /// `w[t]·Σ max(0, margin − x[t] + x[k])ᵖ/C` over the k ≠ t of scores `x [N, C]` and class indices
    /// `target [N]`, `u32`: a scalar, or `[N]` without reduction.
    ///
    /// A row whose target is not below C has loss and gradient NaN.
    ///
    /// # Gradient
    /// Flows into the scores; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: a target or weights whose shapes do not fit x.
    #[track_caller]
    pub fn apply(&self, x: &Tensor, target: &Tensor) -> Tensor {
        let graph = x.graph();
        if !is_scores("multi_margin_loss", x, target) {
            return graph.failed();
        }
        if x.rank() != 2 {
            graph.fail(Misfit::shape(format!("scores must be [N, C], not {}", x.shape())).of("multi_margin_loss"));
            return graph.failed();
        }
        let (scores, classes) = (x.cast(DType::F32), x.shape()[1]);
        let margin = graph.constant(self.margin, DType::F32);
        // The margin of the target's own class is 0, which leaves nothing of it.
        let margins = &margin - target.spread(&margin, classes, None);
        let missing = (margins + (&scores - scores.pick(target, None).unsqueeze(1))).relu();
        let missing = if self.squared { missing.square() } else { missing };
        let mut loss = missing.sum(&[1], false) / classes as f32;
        if let Some(weight) = &self.weight {
            let Some(weight) = class_weights("multi_margin_loss", weight, classes) else { return graph.failed() };
            loss = loss * weight.pick(target, None);
        }
        self.reduction.of(&loss, x.dtype())
    }
}

/// 1 for each target that counts, 0 for those that are the ignored index; `f32`.
#[track_caller]
fn counts(target: &Tensor, ignored: Option<u32>) -> Tensor {
    let graph = target.graph();
    let [zero, one] = [0.0, 1.0].map(|value| graph.constant(value, DType::F32));
    match ignored {
        Some(ignored) => target.ne(&graph.full_u32([], ignored)).where_(&one, &zero),
        None => one.expand(target.shape()),
    }
}

/// Whether these are scores of classes and indices of some; else a mistake is recorded.
#[track_caller]
fn is_scores(loss: &str, x: &Tensor, target: &Tensor) -> bool {
    if x.is_failed() || target.is_failed() {
        return false;
    }
    let misfit = if x.rank() < 2 {
        Misfit::shape(format!("scores must be [N, C, ...], not {}", x.shape()))
    } else {
        match super::pick::check(&x.desc(), &target.desc()) {
            Ok(()) => return true,
            Err(misfit) => misfit,
        }
    };
    x.graph().fail(misfit.of(loss));
    false
}

/// Losses of scores against class indices.
impl Tensor {
    /// [`NllLoss`] of these logarithms of probabilities without weights: `torch.nn.functional.nll_loss`.
    ///
    /// # Gradient
    /// −1 at the target's class, 0 elsewhere; a second one exists, and is 0.
    ///
    /// # Errors
    /// Recorded in the graph: a target whose shape does not fit.
    #[track_caller]
    pub fn nll_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        NllLoss::new().reduction(reduction).apply(self, target)
    }

    /// [`MultiMargin`] of these scores with margin 1: `torch.nn.functional.multi_margin_loss`.
    ///
    /// # Gradient
    /// Flows into the scores; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: a target whose shape does not fit.
    #[track_caller]
    pub fn multi_margin_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        MultiMargin::new().reduction(reduction).apply(self, target)
    }
}
