//! Learning rates that change with the step.

use crate::{data::DType, error::Misfit, graph::Tensor};

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
    /// The learning rate times width^−½·min(s^−½, s·warmup^−3⁄2) in step s = 1, 2, … (Vaswani et al. 2017): a
    /// line up for `warmup` steps, then down with the root. The learning rate is usually 1.
    Noam {
        /// The width of the model.
        width: u32,
        /// The number of steps.
        warmup: u32,
    },
    /// Up to the learning rate and down again over `steps` steps, the lowest rate of which then stays:
    /// `torch.optim.lr_scheduler.OneCycleLR` (Smith and Topin 2019), whose cycles of momentum it has not.
    OneCycle(OneCycle),
}

/// The settings of [`Schedule::OneCycle`], with PyTorch's defaults where nothing else is said.
///
/// ```
/// use wgrad::optim::{OneCycle, Schedule};
/// let schedule: Schedule = OneCycle::new(1000).rise(0.4).linear().into();
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    steps: u32,
    rise: f64,
    cosine: bool,
    first: f64,
    last: f64,
    three_phases: bool,
}

impl OneCycle {
    /// A cycle of so many steps: 30 % of them up from 1/25 of the learning rate and the others down to 10⁻⁴ of that,
    /// along half cosines.
    pub fn new(steps: u32) -> OneCycle {
        OneCycle { steps, rise: 0.3, cosine: true, first: 25.0, last: 1e4, three_phases: false }
    }

    /// The share of the steps in which the rate rises: `pct_start`.
    pub fn rise(self, share: f64) -> OneCycle {
        OneCycle { rise: share, ..self }
    }

    /// Along lines instead of cosines: `anneal_strategy="linear"`.
    pub fn linear(self) -> OneCycle {
        OneCycle { cosine: false, ..self }
    }

    /// What the learning rate is divided by for the first one: `div_factor`.
    pub fn first_divisor(self, divisor: f64) -> OneCycle {
        OneCycle { first: divisor, ..self }
    }

    /// What the first rate is divided by for the last one: `final_div_factor`.
    pub fn last_divisor(self, divisor: f64) -> OneCycle {
        OneCycle { last: divisor, ..self }
    }

    /// Down to the first rate as fast as up, and then to the last: `three_phase=True`.
    pub fn three_phases(self) -> OneCycle {
        OneCycle { three_phases: true, ..self }
    }

    #[track_caller]
    fn rate(&self, rate: f64, done: &Tensor) -> Tensor {
        let graph = done.graph();
        let (first, last) = (rate / self.first, rate / self.first / self.last);
        let (steps, top) = (f64::from(self.steps), self.rise * f64::from(self.steps) - 1.0);
        let mut phases = vec![(top, first, rate)];
        if self.three_phases {
            phases.push((2.0 * top, rate, first));
            phases.push((steps - 1.0, first, last));
        } else {
            phases.push((steps - 1.0, rate, last));
        }
        let follow = phases.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !(follow && self.first > 0.0 && self.last > 0.0) {
            let reason = format!(
                "{} steps, {} of them up, and divisors {} and {} make no cycle",
                self.steps, self.rise, self.first, self.last
            );
            graph.fail(Misfit::shape(reason).of("one_cycle"));
            return graph.failed();
        }
        let start = graph.constant(first as f32, DType::F32);
        let begins = [0.0].into_iter().chain(phases.iter().map(|phase| phase.0));
        phases.iter().zip(begins).fold(start, |before, (&(end, from, to), begin)| {
            before.schedule_phase(done, [begin, end], [from, to], self.cosine)
        })
    }
}

impl From<OneCycle> for Schedule {
    fn from(cycle: OneCycle) -> Schedule {
        Schedule::OneCycle(cycle)
    }
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

    /// One cycle of so many steps with PyTorch's defaults; [`OneCycle`] has the settings.
    pub fn one_cycle(steps: u32) -> Schedule {
        OneCycle::new(steps).into()
    }

    /// Noam's schedule for a model's width.
    pub fn noam(width: u32, warmup: u32) -> Schedule {
        Schedule::Noam { width, warmup }
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
            Schedule::Noam { width, warmup } => done.schedule_noam(rate / f64::from(*width).sqrt(), *warmup),
            Schedule::OneCycle(cycle) => cycle.rate(rate, done),
            Schedule::LinearWarmup { steps, then } => {
                then.rate(rate, &done.schedule_since(*steps)).schedule_warmup(done, *steps)
            }
        }
    }
}
