//! sgd: b ← g in the first step, then μ·b + (1 − d)·g; p ← p − rate·b, with Nesterov p ← p − rate·(g + μ·b), the
//! functions that [`Sgd`](crate::optim::Sgd) is put together from.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
enum Sgd {
    /// The running sum of gradients; the step counter is its last input.
    Momentum { momentum: f32, weight: f32 },
    /// The direction a step ahead.
    Nesterov { momentum: f32 },
    /// The parameter's new value.
    Step,
}

impl Op for Sgd {
    fn name(&self) -> &'static str {
        match self {
            Sgd::Momentum { .. } => "sgd_momentum",
            Sgd::Nesterov { .. } => "sgd_nesterov",
            Sgd::Step => "sgd_step",
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        match self {
            Sgd::Momentum { .. } if inputs[2].dtype != DType::U32 => {
                Err(Misfit::dtype(format!("counts steps in u32, not {}", inputs[2])))
            }
            Sgd::Momentum { .. } => Pointwise::infer(&inputs[..2]),
            _ => Pointwise::infer(inputs),
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = Pointwise::new(shader!("sgd"), self.name());
        Some(match *self {
            Sgd::Momentum { momentum, weight } => function.scalar(momentum).scalar(weight),
            Sgd::Nesterov { momentum } => function.scalar(momentum),
            Sgd::Step => function,
        })
    }
}

impl Tensor {
    /// μ·b + (1 − d)·g for the running sum `self`; g where no step is done.
    #[track_caller]
    pub(crate) fn sgd_momentum(&self, g: &Tensor, done: &Tensor, momentum: f64, dampening: f64) -> Tensor {
        let op = Sgd::Momentum { momentum: momentum as f32, weight: (1.0 - dampening) as f32 };
        self.graph().apply1(op, &[self, g, done])
    }

    /// g + μ·b for the running sum `self`.
    #[track_caller]
    pub(crate) fn sgd_nesterov(&self, g: &Tensor, momentum: f64) -> Tensor {
        self.graph().apply1(Sgd::Nesterov { momentum: momentum as f32 }, &[self, g])
    }

    /// The new value of parameter `self`.
    #[track_caller]
    pub(crate) fn sgd_step(&self, direction: &Tensor, rate: &Tensor) -> Tensor {
        self.graph().apply1(Sgd::Step, &[self, direction, rate])
    }
}

#[cfg(test)]
mod tests {
    use crate::{data::DType, testing::Check};

    #[test]
    fn the_first_step_takes_the_gradient_and_later_ones_damp_it() {
        for (done, kept, weight) in [(0, 0.0, 1.0), (1, 0.9, 0.7), (7, 0.9, 0.7)] {
            Check::new(
                |[b, g]| {
                    let done = b.graph().input_of("done", [], DType::U32);
                    b.sgd_momentum(&g, &done, 0.9, 0.3)
                },
                |[b, g]| b.zip(&g, |b, g| kept * b + weight * g),
            )
            .shapes([[3, 5], [3, 5]])
            .index("done", [], &[done])
            .no_gradient()
            .run();
        }
    }

    #[test]
    fn directions_and_steps_match_their_definitions() {
        Check::new(|[b, g]| b.sgd_nesterov(&g, 0.9), |[b, g]| b.zip(&g, |b, g| g + 0.9 * b))
            .shapes([[4500], [4500]])
            .no_gradient()
            .run();
        Check::new(
            |[p, d, rate]| p.sgd_step(&d, &rate),
            |[p, d, rate]| p.zip(&d.zip(&rate, |d, r| d * r), |p, d| p - d),
        )
        .shapes([&[3, 5][..], &[3, 5], &[]])
        .shapes([&[1][..], &[1], &[]])
        .no_gradient()
        .run();
    }
}
