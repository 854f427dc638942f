//! Losses of numbers against numbers.

use super::{Reduction, operands};
use crate::{data::DType, error::Misfit, graph::Tensor};

/// Binary cross-entropy of logits with its options: `torch.nn.BCEWithLogitsLoss`.
///
/// ```
/// # use wgrad::{ops::BinaryCrossEntropy, prelude::*};
/// let graph = Graph::new(Mode::Train);
/// let (logits, target) = (graph.input("logits", [32, 5]), graph.input("target", [32, 5]));
/// let often = graph.input("often", [5]);
/// let loss = BinaryCrossEntropy::new().pos_weight(&often).apply(&logits, &target);
/// assert_eq!(loss.rank(), 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct BinaryCrossEntropy {
    /// How the losses become the result; the mean if not said.
    pub reduction: Reduction,
    /// Factors of the losses, which broadcast to them.
    pub weight: Option<Tensor>,
    /// Factors of the losses of positive targets, which broadcast to them.
    pub pos_weight: Option<Tensor>,
}

impl BinaryCrossEntropy {
    /// The mean, without weights.
    pub fn new() -> BinaryCrossEntropy {
        BinaryCrossEntropy::default()
    }

    /// How the losses become the result.
    pub fn reduction(self, reduction: Reduction) -> BinaryCrossEntropy {
        BinaryCrossEntropy { reduction, ..self }
    }

    /// Factors of the losses, which broadcast to them; no gradient flows through them.
    pub fn weight(self, weight: &Tensor) -> BinaryCrossEntropy {
        BinaryCrossEntropy { weight: Some(weight.clone()), ..self }
    }

    /// Factors of the losses of positive targets, which broadcast to them; no gradient flows through them.
    pub fn pos_weight(self, weight: &Tensor) -> BinaryCrossEntropy {
        BinaryCrossEntropy { pos_weight: Some(weight.clone()), ..self }
    }

    /// w·((1 − t)·softplus(x) + p·t·softplus(−x)) of logits x and targets t from 0 to 1, of one shape.
    ///
    /// # Gradient
    /// Flows into logits and targets; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types of logits and target that differ; weights that do not broadcast.
    #[track_caller]
    pub fn apply(&self, logits: &Tensor, target: &Tensor) -> Tensor {
        let Some([x, t]) = operands("binary_cross_entropy", [logits, target]) else { return logits.graph().failed() };
        let mut positive = &t * (-&x).softplus();
        if let Some(weight) = &self.pos_weight {
            positive = positive * weight.detach().cast(DType::F32);
        }
        let mut loss = (1.0 - &t) * x.softplus() + positive;
        if let Some(weight) = &self.weight {
            loss = loss * weight.detach().cast(DType::F32);
        }
        if !loss.is_failed() && loss.shape() != x.shape() {
            let misfit = Misfit::shape(format!("weights make {} of losses {}", loss.shape(), x.shape()));
            logits.graph().fail(misfit.of("binary_cross_entropy"));
            return logits.graph().failed();
        }
        self.reduction.of(&loss, logits.dtype())
    }
}

/// c·(d − c/2) with c = d brought into ±delta: d²/2 near 0, straight lines beyond.
fn huber(difference: &Tensor, delta: f32) -> Tensor {
    let near = difference.clamp(-delta, delta);
    &near * (difference - &near * 0.5)
}

/// Losses of numbers against a target of the same shape and element type.
impl Tensor {
    /// (x − t)², `torch.nn.functional.mse_loss`.
    ///
    /// # Gradient
    /// 2·(x − t), and its opposite for the target; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types that differ.
    #[track_caller]
    pub fn mse_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        let Some([x, t]) = operands("mse_loss", [self, target]) else { return self.graph().failed() };
        reduction.of(&(x - t).square(), self.dtype())
    }

    /// |x − t|, `torch.nn.functional.l1_loss`.
    ///
    /// # Gradient
    /// The sign of x − t, 0 where they are equal, and its opposite for the target.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types that differ.
    #[track_caller]
    pub fn l1_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        let Some([x, t]) = operands("l1_loss", [self, target]) else { return self.graph().failed() };
        reduction.of(&(x - t).abs(), self.dtype())
    }

    /// With d = x − t: d²/2 where |d| ≤ δ, else δ·(|d| − δ/2), `torch.nn.functional.huber_loss` (Huber 1964).
    ///
    /// # Gradient
    /// d brought into ±δ, and its opposite for the target; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types that differ; a δ that is not positive.
    #[track_caller]
    pub fn huber_loss(&self, target: &Tensor, delta: f32, reduction: Reduction) -> Tensor {
        let Some([x, t]) = operands("huber_loss", [self, target]) else { return self.graph().failed() };
        if delta.is_nan() || delta <= 0.0 {
            self.graph().fail(Misfit::shape(format!("delta must be positive, not {delta}")).of("huber_loss"));
            return self.graph().failed();
        }
        reduction.of(&huber(&(x - t), delta), self.dtype())
    }

    /// With d = x − t: d²/(2β) where |d| < β, else |d| − β/2, `torch.nn.functional.smooth_l1_loss`; with β = 0 it
    /// is [`l1_loss`](Tensor::l1_loss).
    ///
    /// # Gradient
    /// d/β brought into ±1, and its opposite for the target; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types that differ; a negative β.
    #[track_caller]
    pub fn smooth_l1_loss(&self, target: &Tensor, beta: f32, reduction: Reduction) -> Tensor {
        let Some([x, t]) = operands("smooth_l1_loss", [self, target]) else { return self.graph().failed() };
        if beta.is_nan() || beta < 0.0 {
            self.graph().fail(Misfit::shape(format!("beta must not be negative, not {beta}")).of("smooth_l1_loss"));
            return self.graph().failed();
        }
        let difference = x - t;
        let loss = if beta == 0.0 { difference.abs() } else { huber(&difference, beta) / beta };
        reduction.of(&loss, self.dtype())
    }

    /// [`BinaryCrossEntropy`] of these logits without weights:
    /// `torch.nn.functional.binary_cross_entropy_with_logits`.
    ///
    /// # Gradient
    /// σ(x) − t, and −x for the target; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types that differ.
    #[track_caller]
    pub fn binary_cross_entropy_with_logits(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        BinaryCrossEntropy::new().reduction(reduction).apply(self, target)
    }

    /// t·(log t − x) of logarithms x of probabilities and a target t of probabilities, or eᵗ·(t − x) of a target
    /// of logarithms: `torch.nn.functional.kl_div`. Probabilities of 0 add nothing.
    ///
    /// The divergence of whole distributions is with [`Reduction::BatchMean`].
    ///
    /// # Gradient
    /// Flows into x and the target; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types that differ.
    #[track_caller]
    pub fn kl_div(&self, target: &Tensor, log_target: bool, reduction: Reduction) -> Tensor {
        let Some([x, t]) = operands("kl_div", [self, target]) else { return self.graph().failed() };
        let loss = if log_target {
            t.exp() * (&t - x)
        } else {
            // t·log t, with log 1 in place of log 0, which neither value nor gradient may see.
            let one = self.graph().constant(1.0, DType::F32);
            let nothing = t.eq(&self.graph().constant(0.0, DType::F32));
            &t * nothing.where_(&one, &t).log() - &t * x
        };
        reduction.of(&loss, self.dtype())
    }

    /// max(0, 1 − t·x) of scores x and targets t of ±1: the hinge loss of two classes. No counterpart in PyTorch,
    /// which has that of many classes, [`multi_margin_loss`](Tensor::multi_margin_loss).
    ///
    /// # Gradient
    /// −t where t·x < 1, else 0; −x for the target.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types that differ.
    #[track_caller]
    pub fn hinge_loss(&self, target: &Tensor, reduction: Reduction) -> Tensor {
        let Some([x, t]) = operands("hinge_loss", [self, target]) else { return self.graph().failed() };
        reduction.of(&(1.0 - t * x).relu(), self.dtype())
    }

    /// eˣ − t·x of logarithms x of rates, or x − t·log(x + ε) of rates: `torch.nn.functional.poisson_nll_loss`
    /// without Stirling's approximation of log t!.
    ///
    /// # Gradient
    /// Flows into x and the target; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types that differ.
    #[track_caller]
    pub fn poisson_nll_loss(&self, target: &Tensor, log_input: bool, eps: f32, reduction: Reduction) -> Tensor {
        let Some([x, t]) = operands("poisson_nll_loss", [self, target]) else { return self.graph().failed() };
        let loss = if log_input { x.exp() - t * x } else { &x - t * (&x + eps).log() };
        reduction.of(&loss, self.dtype())
    }

    /// ½·(log v + (x − t)²/v) of means x and variances v, which are at least ε:
    /// `torch.nn.functional.gaussian_nll_loss` without the constant ½·log 2π.
    ///
    /// # Gradient
    /// Flows into x, target and variance, into the last as if it were not raised to ε.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types that differ.
    #[track_caller]
    pub fn gaussian_nll_loss(&self, target: &Tensor, variance: &Tensor, eps: f32, reduction: Reduction) -> Tensor {
        let Some([x, t, v]) = operands("gaussian_nll_loss", [self, target, variance]) else {
            return self.graph().failed();
        };
        let raised = &v + (v.clamp(eps, f32::INFINITY) - &v).detach();
        let loss = (raised.log() + (x - t).square() / &raised) * 0.5;
        reduction.of(&loss, self.dtype())
    }

    /// Σ a·b/(max(‖a‖, ε)·max(‖b‖, ε)) along `dim`: `torch.nn.functional.cosine_similarity`.
    ///
    /// # Gradient
    /// Flows into both; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types that differ; a dimension that does not exist.
    #[track_caller]
    pub fn cosine_similarity(&self, other: &Tensor, dim: isize, eps: f32) -> Tensor {
        let Some([a, b]) = operands("cosine_similarity", [self, other]) else { return self.graph().failed() };
        // The square is bounded, not the root, whose gradient at 0 is infinite.
        let norm = |x: &Tensor| x.square().sum(&[dim], false).clamp(eps * eps, f32::INFINITY).sqrt();
        ((&a * &b).sum(&[dim], false) / (norm(&a) * norm(&b))).cast(self.dtype())
    }
}
