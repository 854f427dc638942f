//! Adam, and Adam with decoupled weight decay.

use super::{Optimizer, Rule, Update};
use crate::graph::Tensor;

/// Adam (Kingma and Ba 2015), `torch.optim.Adam`: steps along the running mean of the gradient, divided by the
/// root of the running mean of its square.
///
/// m ← m + (1 − β₁)·(g − m), v ← β₂·v + (1 − β₂)·g², p ← p − rate·(m/c₁)/(√(v/c₂) + ε), with
/// cᵢ = 1 − βᵢᵗ in step t = 1, 2, …. Weight decay λ adds λ·p to g.
///
/// ```
/// # use wgrad::prelude::*;
/// use wgrad::optim::{Adam, Schedule};
/// # let graph = Graph::new(Mode::Train);
/// # let loss = graph.parameter("w", [3], Init::ones()).sum_all();
/// Adam::new(1e-3).betas(0.9, 0.99).schedule(Schedule::step(1000, 0.5)).minimise(&loss);
/// # graph.check().unwrap();
/// ```
pub type Adam = Optimizer<AdamRule<false>>;

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019), `torch.optim.AdamW`: [`Adam`] after
/// p ← (1 − rate·λ)·p, with λ = 0.01 if not said.
///
/// ```
/// # use wgrad::prelude::*;
/// use wgrad::optim::{AdamW, Schedule};
/// # let graph = Graph::new(Mode::Train);
/// # let loss = graph.parameter("w", [3], Init::ones()).sum_all();
/// let schedule = Schedule::cosine(10_000).after_warmup(500);
/// AdamW::new(3e-4).weight_decay(0.1).clip_norm(1.0).schedule(schedule).minimise(&loss);
/// # graph.check().unwrap();
/// ```
pub type AdamW = Optimizer<AdamRule<true>>;

/// The update rule of [`Adam`] and, with decoupled weight decay, of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamRule<const DECOUPLED: bool> {
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
}

impl<const DECOUPLED: bool> Optimizer<AdamRule<DECOUPLED>> {
    /// PyTorch's defaults with a learning rate: β = (0.9, 0.999), ε = 10⁻⁸.
    pub fn new(rate: f64) -> Self {
        let weight_decay = if DECOUPLED { 0.01 } else { 0.0 };
        Optimizer::of(AdamRule { betas: [0.9, 0.999], eps: 1e-8, weight_decay }, rate)
    }

    /// The weights β₁ and β₂ of the past in the running means.
    ///
    /// They are `f64` because 1 − 0.999 in `f32` is wrong in the fifth digit.
    pub fn betas(mut self, first: f64, second: f64) -> Self {
        self.rule.betas = [first, second];
        self
    }

    /// The ε that keeps the divisor from zero.
    pub fn eps(mut self, eps: f64) -> Self {
        self.rule.eps = eps;
        self
    }

    /// The weight decay λ.
    pub fn weight_decay(mut self, decay: f64) -> Self {
        self.rule.weight_decay = decay;
        self
    }
}

/// Refuses weights of the past with which running means do not move, or run away.
pub(super) fn check_betas(betas: [f64; 2]) -> Result<(), String> {
    match betas.into_iter().find(|beta| !(0.0..1.0).contains(beta)) {
        Some(beta) => Err(format!("beta must be at least 0 and less than 1, not {beta}")),
        None => Ok(()),
    }
}

impl<const DECOUPLED: bool> Rule for AdamRule<DECOUPLED> {
    fn check(&self) -> Result<(), String> {
        check_betas(self.betas)?;
        super::not_negative("eps", self.eps)?;
        super::not_negative("weight decay", self.weight_decay)
    }

    fn update(&self, at: &Update<'_>) -> Tensor {
        let [beta1, beta2] = self.betas;
        let (coupled, decoupled) = if DECOUPLED { (0.0, self.weight_decay) } else { (self.weight_decay, 0.0) };
        let g = at.decayed_gradient(coupled);
        let (m, v) = (at.state("exp_avg"), at.state("exp_avg_sq"));
        let m = at.keep(&m, m.adam_m(&g, beta1));
        let v = at.keep(&v, v.adam_v(&g, beta2));
        let corrections = [&at.done().adam_correction(beta1), &at.done().adam_correction(beta2)];
        at.parameter().adam_step([&m, &v], at.rate(), corrections, self.eps, decoupled)
    }
}
