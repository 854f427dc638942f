//! Adagrad.

use super::{Optimizer, Rule, Update};
use crate::{data::DType, graph::Tensor};

/// Adagrad (Duchi et al. 2011), `torch.optim.Adagrad`: steps along the gradient, divided by the root of the sum of
/// all its squares so far.
///
/// s ← s + g², p ← p − rate/(1 + η·done)·g/(√s + ε), with the rate's decay η and the number of steps done. Weight
/// decay λ adds λ·p to g.
///
/// ```
/// # use wgrad::prelude::*;
/// use wgrad::optim::Adagrad;
/// # let graph = Graph::new(Mode::Train);
/// # let loss = graph.parameter("w", [3], Init::ones()).sum_all();
/// Adagrad::new(1e-2).initial_accumulator(0.1).minimise(&loss);
/// # graph.check().unwrap();
/// ```
pub type Adagrad = Optimizer<AdagradRule>;

/// The update rule of [`Adagrad`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdagradRule {
    rate_decay: f64,
    weight_decay: f64,
    initial: f64,
    eps: f64,
}

impl Adagrad {
    /// PyTorch's defaults with a learning rate: ε = 10⁻¹⁰.
    pub fn new(rate: f64) -> Adagrad {
        Optimizer::of(AdagradRule { rate_decay: 0.0, weight_decay: 0.0, initial: 0.0, eps: 1e-10 }, rate)
    }

    /// The decay η of the learning rate, 0 if not said.
    pub fn rate_decay(mut self, decay: f64) -> Adagrad {
        self.rule.rate_decay = decay;
        self
    }

    /// The weight decay λ, 0 if not said.
    pub fn weight_decay(mut self, decay: f64) -> Adagrad {
        self.rule.weight_decay = decay;
        self
    }

    /// What the sums begin with, 0 if not said.
    pub fn initial_accumulator(mut self, value: f64) -> Adagrad {
        self.rule.initial = value;
        self
    }

    /// The ε that keeps the divisor from zero.
    pub fn eps(mut self, eps: f64) -> Adagrad {
        self.rule.eps = eps;
        self
    }
}

impl Rule for AdagradRule {
    fn check(&self) -> Result<(), String> {
        super::not_negative("decay of the learning rate", self.rate_decay)?;
        super::not_negative("weight decay", self.weight_decay)?;
        super::not_negative("initial accumulator", self.initial)?;
        super::not_negative("eps", self.eps)
    }

    fn update(&self, at: &Update<'_>) -> Tensor {
        let g = at.decayed_gradient(self.weight_decay);
        let sum = at.state_from("sum", self.initial as f32);
        let sum = at.keep(&sum, &sum + g.square());
        let direction = g / (sum.sqrt() + self.eps as f32);
        let rate = match self.rate_decay {
            0.0 => at.rate().clone(),
            decay => at.rate() / (at.done().cast(DType::F32) * decay as f32 + 1.0),
        };
        at.parameter().sgd_step(&direction, &rate)
    }
}
