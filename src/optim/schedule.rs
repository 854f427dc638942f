//! Learning rates that change with the step.

use crate::{data::DType, graph::Tensor};

/// How the learning rate follows from the number of steps done, on the device.
///
/// ```
/// use wgrad::optim::Schedule;
/// // Rises over 100 steps, then falls over 900 along half a cosine to 10⁻⁵.
/// let schedule = Schedule::Cosine { steps: 900, min: 1e-5 }.after_warmup(100);
/// // The same down to zero.
/// let schedule = Schedule::cosine(900).after_warmup(100);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Schedule {
    /// The same at every step.
    #[default]
    Constant,
    /// Times `gamma` after every so many steps: `torch.optim.lr_scheduler.StepLR`.
    Step {
        /// The number of steps.
        every: u32,
        /// The factor.
        gamma: f64,
    },
    /// Half a cosine from the learning rate to `min`, which then stays:
    /// `torch.optim.lr_scheduler.CosineAnnealingLR` within its first period.
    Cosine {
        /// The number of steps until `min` is reached.
        steps: u32,
        /// The lowest learning rate.
        min: f64,
    },
    /// The first of `steps` steps with 1/`steps` of the learning rate, the next with 2/`steps`, and so
    /// on; behind them another schedule, which counts from there.
    LinearWarmup {
        /// The number of steps.
        steps: u32,
        /// What follows.
        then: Box<Schedule>,
    },
}

impl Schedule {
    /// Times `gamma` after every so many steps.
    pub fn step(every: u32, gamma: f64) -> Schedule {
        Schedule::Step { every, gamma }
    }

    /// Half a cosine down to zero.
    pub fn cosine(steps: u32) -> Schedule {
        Schedule::Cosine { steps, min: 0.0 }
    }

    /// This schedule behind `steps` steps of linear warm-up.
    pub fn after_warmup(self, steps: u32) -> Schedule {
        Schedule::LinearWarmup { steps, then: Box::new(self) }
    }

    /// The learning rate after `done` steps (`u32`), as an `f32` tensor of the same shape.
    #[track_caller]
    pub fn rate(&self, rate: f64, done: &Tensor) -> Tensor {
        match self {
            Schedule::Constant => done.graph().constant(rate as f32, DType::F32),
            Schedule::Step { every, gamma } => done.schedule_decay(rate, *gamma, *every),
            Schedule::Cosine { steps, min } => done.schedule_cosine(rate, *min, *steps),
            Schedule::LinearWarmup { steps, then } => {
                then.rate(rate, &done.schedule_since(*steps)).schedule_warmup(done, *steps)
            }
        }
    }
}
