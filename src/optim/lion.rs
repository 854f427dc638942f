//! Lion.

use super::{Optimizer, Rule, Update};
use crate::graph::Tensor;

/// Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms"): steps of one size along the signs of a
/// running mean of the gradient. PyTorch has none.
///
/// u = sign(β₁·m + (1 − β₁)·g), p ← p − rate·(u + λ·p), m ← β₂·m + (1 − β₂)·g. The learning rate is usually 3 to 10
/// times smaller than that of AdamW, the weight decay λ as much larger.
///
/// ```
/// # use wgrad::prelude::*;
/// use wgrad::optim::Lion;
/// # let graph = Graph::new(Mode::Train);
/// # let loss = graph.parameter("w", [3], Init::ones()).sum_all();
/// Lion::new(1e-4).weight_decay(1.0).minimise(&loss);
/// # graph.check().unwrap();
/// ```
pub type Lion = Optimizer<LionRule>;

/// The update rule of [`Lion`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LionRule {
    betas: [f64; 2],
    weight_decay: f64,
}

impl Lion {
    /// The paper's defaults with a learning rate: β = (0.9, 0.99), no weight decay.
    pub fn new(rate: f64) -> Lion {
        Optimizer::of(LionRule { betas: [0.9, 0.99], weight_decay: 0.0 }, rate)
    }

    /// The weights of the past: β₁ in the step's direction, β₂ in the running mean.
    pub fn betas(mut self, first: f64, second: f64) -> Lion {
        self.rule.betas = [first, second];
        self
    }

    /// The decoupled weight decay λ.
    pub fn weight_decay(mut self, decay: f64) -> Lion {
        self.rule.weight_decay = decay;
        self
    }
}

impl Rule for LionRule {
    fn check(&self) -> Result<(), String> {
        super::adam::check_betas(self.betas)?;
        super::not_negative("weight decay", self.weight_decay)
    }

    fn update(&self, at: &Update<'_>) -> Tensor {
        let m = at.state("exp_avg");
        // One value that both running means begin with, which brings their work into one kernel.
        let ahead = at.gradient() - &m;
        let toward = |beta: f64| &m + &ahead * (1.0 - beta) as f32;
        let mut direction = toward(self.betas[0]).sign();
        if self.weight_decay > 0.0 {
            direction = direction + at.parameter() * self.weight_decay as f32;
        }
        at.keep(&m, toward(self.betas[1]));
        at.parameter().sgd_step(&direction, at.rate())
    }
}
