//! RMSProp.

use super::{Optimizer, Rule, Update};
use crate::graph::Tensor;

/// RMSProp (Tieleman and Hinton 2012), `torch.optim.RMSprop`: steps along the gradient, divided by the root of
/// the running mean of its square.
///
/// v ← α·v + (1 − α)·g², d = g/(√v + ε), p ← p − rate·d, or with momentum μ: b ← μ·b + d, p ← p − rate·b. Centered
/// (Graves 2013): a ← a + (1 − α)·(g − a), and v − a² in place of v. Weight decay λ adds λ·p to g.
///
/// ```
/// # use wgrad::prelude::*;
/// use wgrad::optim::RmsProp;
/// # let graph = Graph::new(Mode::Train);
/// # let loss = graph.parameter("w", [3], Init::ones()).sum_all();
/// RmsProp::new(1e-2).momentum(0.9).centered(true).minimise(&loss);
/// # graph.check().unwrap();
/// ```
pub type RmsProp = Optimizer<RmsPropRule>;

/// The update rule of [`RmsProp`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsPropRule {
    alpha: f64,
    eps: f64,
    momentum: f64,
    weight_decay: f64,
    centered: bool,
}

impl RmsProp {
    /// PyTorch's defaults with a learning rate: α = 0.99, ε = 10⁻⁸.
    pub fn new(rate: f64) -> RmsProp {
        let rule = RmsPropRule { alpha: 0.99, eps: 1e-8, momentum: 0.0, weight_decay: 0.0, centered: false };
        Optimizer::of(rule, rate)
    }

    /// The weight α of the past in the running means.
    pub fn alpha(mut self, alpha: f64) -> RmsProp {
        self.rule.alpha = alpha;
        self
    }

    /// The ε that keeps the divisor from zero.
    pub fn eps(mut self, eps: f64) -> RmsProp {
        self.rule.eps = eps;
        self
    }

    /// The momentum μ, 0 if not said.
    pub fn momentum(mut self, momentum: f64) -> RmsProp {
        self.rule.momentum = momentum;
        self
    }

    /// Whether to divide by the deviation instead of the root of the mean square.
    pub fn centered(mut self, centered: bool) -> RmsProp {
        self.rule.centered = centered;
        self
    }

    /// The weight decay λ, 0 if not said.
    pub fn weight_decay(mut self, decay: f64) -> RmsProp {
        self.rule.weight_decay = decay;
        self
    }
}

impl Rule for RmsPropRule {
    fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.alpha) {
            return Err(format!("alpha must be from 0 to 1, not {}", self.alpha));
        }
        super::not_negative("eps", self.eps)?;
        super::not_negative("momentum", self.momentum)?;
        super::not_negative("weight decay", self.weight_decay)
    }

    fn update(&self, at: &Update<'_>) -> Tensor {
        let g = at.decayed_gradient(self.weight_decay);
        let v = at.state("square_avg");
        let mut square = at.keep(&v, v.adam_v(&g, self.alpha));
        if self.centered {
            let mean = at.state("grad_avg");
            let mean = at.keep(&mean, mean.adam_m(&g, self.alpha));
            // By rounding alone it may come out below 0.
            square = (square - mean.square()).relu();
        }
        let mut direction = g / (square.sqrt() + self.eps as f32);
        if self.momentum > 0.0 {
            let b = at.state("momentum_buffer");
            direction = at.keep(&b, direction + &b * self.momentum as f32);
        }
        at.parameter().sgd_step(&direction, at.rate())
    }
}
