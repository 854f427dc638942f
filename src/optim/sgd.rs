//! Stochastic gradient descent.

use super::{Optimizer, Rule, Update};
use crate::graph::Tensor;

/// Stochastic gradient descent, `torch.optim.SGD`: p ← p − rate·g.
///
/// With momentum μ and dampening d (Sutskever et al. 2013): b ← g in the first step, then
/// μ·b + (1 − d)·g; p ← p − rate·b, or with Nesterov p ← p − rate·(g + μ·b). Weight decay λ adds λ·p
/// to g.
///
/// ```
/// # use wgrad::prelude::*;
/// use wgrad::optim::Sgd;
/// # let graph = Graph::new(Mode::Train);
/// # let loss = graph.parameter("w", [3], Init::ones()).sum_all();
/// Sgd::new(0.1).momentum(0.9).nesterov(true).weight_decay(5e-4).minimise(&loss);
/// # graph.check().unwrap();
/// ```
pub type Sgd = Optimizer<SgdRule>;

/// The update rule of [`Sgd`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdRule {
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
}

impl Sgd {
    /// Plain gradient descent with a learning rate.
    pub fn new(rate: f64) -> Sgd {
        Optimizer::of(SgdRule::default(), rate)
    }

    /// The momentum μ, 0 if not said.
    pub fn momentum(mut self, momentum: f64) -> Sgd {
        self.rule.momentum = momentum;
        self
    }

    /// The dampening d of momentum, 0 if not said.
    pub fn dampening(mut self, dampening: f64) -> Sgd {
        self.rule.dampening = dampening;
        self
    }

    /// Whether to look a step of momentum ahead.
    pub fn nesterov(mut self, nesterov: bool) -> Sgd {
        self.rule.nesterov = nesterov;
        self
    }

    /// The weight decay λ, 0 if not said.
    pub fn weight_decay(mut self, decay: f64) -> Sgd {
        self.rule.weight_decay = decay;
        self
    }
}

impl Rule for SgdRule {
    fn check(&self) -> Result<(), String> {
        super::not_negative("momentum", self.momentum)?;
        super::not_negative("weight decay", self.weight_decay)?;
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            return Err("Nesterov needs a momentum and no dampening".to_owned());
        }
        Ok(())
    }

    fn update(&self, at: &Update<'_>) -> Tensor {
        let p = at.parameter();
        let g = at.decayed_gradient(self.weight_decay);
        if self.momentum == 0.0 {
            return p.sgd_step(&g, at.rate());
        }
        let b = at.state("momentum_buffer");
        let b = at.keep(&b, b.sgd_momentum(&g, at.done(), self.momentum, self.dampening));
        let direction = if self.nesterov { b.sgd_nesterov(&g, self.momentum) } else { b };
        p.sgd_step(&direction, at.rate())
    }
}
