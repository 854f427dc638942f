//! adam: m ← m + (1 − β₁)·(g − m), v ← β₂·v + (1 − β₂)·g², p ← (1 − rate·λ)·p − rate·(m/c₁)/(√(v/c₂) + ε), with
//! cᵢ = 1 − βᵢᵗ, the functions that [`Adam`](crate::optim::Adam) is put together from.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
enum Adam {
    /// The running mean of gradients.
    Mean { weight: f32 },
    /// The running mean of squared gradients.
    Square { beta: f32, weight: f32 },
    /// What the running means lack after few steps, for having begun at zero.
    Correction { ln_beta: f32 },
    /// The parameter's new value.
    Step { eps: f32, decay: f32 },
}

impl Op for Adam {
    fn name(&self) -> &'static str {
        match self {
            Adam::Mean { .. } => "adam_m",
            Adam::Square { .. } => "adam_v",
            Adam::Correction { .. } => "adam_correction",
            Adam::Step { .. } => "adam_step",
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        match self {
            Adam::Correction { .. } => Ok(vec![TensorDesc::new(&inputs[0].shape, DType::F32)]),
            _ => Pointwise::infer(inputs),
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = Pointwise::new(shader!("adam"), self.name());
        Some(match *self {
            Adam::Mean { weight } => function.scalar(weight),
            Adam::Square { beta, weight } => function.scalar(beta).scalar(weight),
            Adam::Correction { ln_beta } => function.scalar(ln_beta),
            Adam::Step { eps, decay } => function.scalar(eps).scalar(decay),
        })
    }
}

impl Tensor {
    /// m + (1 − β)·(g − m) for the running mean `self`.
    #[track_caller]
    pub(crate) fn adam_m(&self, g: &Tensor, beta: f64) -> Tensor {
        self.graph().apply1(Adam::Mean { weight: (1.0 - beta) as f32 }, &[self, g])
    }

    /// β·v + (1 − β)·g² for the running mean `self`.
    #[track_caller]
    pub(crate) fn adam_v(&self, g: &Tensor, beta: f64) -> Tensor {
        self.graph().apply1(Adam::Square { beta: beta as f32, weight: (1.0 - beta) as f32 }, &[self, g])
    }

    /// 1 − βᵗ for `self` steps done, t = `self` + 1.
    #[track_caller]
    pub(crate) fn adam_correction(&self, beta: f64) -> Tensor {
        self.graph().apply1(Adam::Correction { ln_beta: beta.ln().max(-1e4) as f32 }, &[self])
    }

    /// The new value of parameter `self`.
    #[track_caller]
    pub(crate) fn adam_step(
        &self,
        [m, v]: [&Tensor; 2],
        rate: &Tensor,
        [c1, c2]: [&Tensor; 2],
        eps: f64,
        decay: f64,
    ) -> Tensor {
        self.graph().apply1(Adam::Step { eps: eps as f32, decay: decay as f32 }, &[self, m, v, rate, c1, c2])
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        data::{Array, DType},
        graph::{Graph, Mode},
        testing::{Check, run},
    };

    #[test]
    fn the_running_means_match_their_definitions() {
        for shape in [&[1][..], &[3, 5], &[4500]] {
            Check::new(|[m, g]| m.adam_m(&g, 0.9), |[m, g]| m.zip(&g, |m, g| 0.9 * m + 0.1 * g))
                .shapes([shape, shape])
                .no_gradient()
                .run();
            Check::new(|[v, g]| v.adam_v(&g, 0.99), |[v, g]| v.zip(&g, |v, g| 0.99 * v + 0.01 * g * g))
                .shapes([shape, shape])
                .no_gradient()
                .run();
        }
    }

    #[test]
    fn the_step_matches_its_definition() {
        Check::new(
            |[p, m, v, rate, c1, c2]| p.adam_step([&m, &v], &rate, [&c1, &c2], 1e-3, 0.1),
            |[p, m, v, rate, c1, c2]| {
                let size = rate.zip(&c1, |rate, c1| rate / c1);
                let root = v.zip(&c2, |v, c2| (v / c2).sqrt() + 1e-3);
                let kept = p.zip(&rate, |p, rate| p * (1.0 - 0.1 * rate));
                kept.zip(&m.zip(&root, |m, root| m / root).zip(&size, |x, size| x * size), |p, step| p - step)
            },
        )
        .shapes([&[3, 5][..], &[3, 5], &[3, 5], &[], &[], &[]])
        .shapes([&[4500][..], &[4500], &[4500], &[], &[], &[]])
        .range(0.1, 2.0)
        .no_gradient()
        .run();
    }

    #[test]
    fn corrections_are_exact_at_few_and_at_many_steps() {
        let steps: Vec<u32> = (0..12).chain([99, 999, 4_321, 9_999, 99_999, 16_000_000]).collect();
        for beta in [0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.999_999] {
            let graph = Graph::new(Mode::Infer);
            let done = graph.input_of("done", [steps.len()], DType::U32);
            let correction = done.adam_correction(beta);
            let array = Array::from_u32([steps.len()], &steps).unwrap();
            let found = run(&graph, &[("c", &correction)], &[("done", array)]).unwrap()[0].to_f32();
            for (&done, found) in steps.iter().zip(found) {
                let expected = 1.0 - beta.powi(done as i32 + 1);
                let error = (f64::from(found) / expected - 1.0).abs();
                assert!(error < 1e-6, "1 − {beta}^{} is {found}, not {expected}", done + 1);
            }
        }
    }
}
