//! schedule: the learning rate of step t: step decay a·γ^⌊t/n⌋, cosine b + (a − b)·(1 + cos(π·t/n))/2, warm-up
//! a·min((t + 1)/n, 1), Noam's a·min(s^−½, s·n^−3⁄2) with s = t + 1, and phases between two rates, the functions
//! that [`Schedule`](crate::optim::Schedule) is put together from; and which runs update.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
enum Schedule {
    Decay { rate: f32, ln_gamma: f32, every: u32 },
    Cosine { high: f32, low: f32, steps: u32 },
    Warmup { steps: u32 },
    Since { step: u32 },
    Noam { rate: f32, steps: u32 },
    Phase { begin: f32, end: f32, from: f32, to: f32, cosine: bool },
    Updates { every: u32 },
    IsLast { every: u32 },
}

impl Op for Schedule {
    fn name(&self) -> &'static str {
        match self {
            Schedule::Decay { .. } => "schedule_decay",
            Schedule::Cosine { .. } => "schedule_cosine",
            Schedule::Warmup { .. } => "schedule_warmup",
            Schedule::Since { .. } => "schedule_since",
            Schedule::Noam { .. } => "schedule_noam",
            Schedule::Phase { .. } => "schedule_phase",
            Schedule::Updates { .. } => "schedule_updates",
            Schedule::IsLast { .. } => "schedule_is_last",
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let counter = &inputs[inputs.len() - 1];
        if counter.dtype != DType::U32 {
            return Err(Misfit::dtype(format!("counts steps in u32, not {counter}")));
        }
        let dtype = match *self {
            Schedule::Decay { every: 0, .. } | Schedule::Cosine { steps: 0, .. } | Schedule::Warmup { steps: 0 } | Schedule::Noam { steps: 0, .. } | Schedule::Updates { every: 0 } | Schedule::IsLast { every: 0 } => {
                return Err(Misfit::shape("needs at least one step"));
            }
            Schedule::Decay { ln_gamma, .. } if ln_gamma.is_nan() => {
                return Err(Misfit::shape("gamma must not be negative"));
            }
            Schedule::Since { .. } | Schedule::Updates { .. } | Schedule::IsLast { .. } => DType::U32,
            _ => DType::F32,
        };
        Ok(vec![TensorDesc::new(&counter.shape, dtype)])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = Pointwise::new(shader!("schedule"), self.name());
        Some(match *self {
            Schedule::Decay { rate, ln_gamma, every } => function.scalar(rate).scalar(ln_gamma).scalar_u32(every),
            Schedule::Cosine { high, low, steps } => function.scalar(high).scalar(low).scalar_u32(steps),
            Schedule::Warmup { steps } | Schedule::Since { step: steps } => function.scalar_u32(steps),
            Schedule::Noam { rate, steps } => function.scalar(rate).scalar_u32(steps),
            Schedule::Phase { begin, end, from, to, cosine } => {
                function.scalar(begin).scalar(end).scalar(from).scalar(to).scalar_u32(cosine.into())
            }
            Schedule::Updates { every } | Schedule::IsLast { every } => function.scalar_u32(every),
        })
    }
}

impl Tensor {
    /// rate·γ^⌊t/every⌋ for t = `self`.
    #[track_caller]
    pub(crate) fn schedule_decay(&self, rate: f64, gamma: f64, every: u32) -> Tensor {
        // Every finite gamma has a logarithm; that of 0 would be none in WGSL. `max` would hide NaN.
        let ln_gamma = if gamma == 0.0 { -1e4 } else { gamma.ln() as f32 };
        self.graph().apply1(Schedule::Decay { rate: rate as f32, ln_gamma, every }, &[self])
    }

    /// low + (high − low)·(1 + cos(π·t/steps))/2 for t = `self`, low behind it.
    #[track_caller]
    pub(crate) fn schedule_cosine(&self, high: f64, low: f64, steps: u32) -> Tensor {
        self.graph().apply1(Schedule::Cosine { high: high as f32, low: low as f32, steps }, &[self])
    }

    /// `self`·min((t + 1)/steps, 1) for a rate `self`.
    #[track_caller]
    pub(crate) fn schedule_warmup(&self, t: &Tensor, steps: u32) -> Tensor {
        self.graph().apply1(Schedule::Warmup { steps }, &[self, t])
    }

    /// rate·min(s^−½, s·steps^−3⁄2) for s = `self` + 1.
    #[track_caller]
    pub(crate) fn schedule_noam(&self, rate: f64, steps: u32) -> Tensor {
        self.graph().apply1(Schedule::Noam { rate: rate as f32, steps }, &[self])
    }

    /// The rate `self` up to step `begin`, then from one rate to another until step `end`, along half a cosine
    /// or a line.
    #[track_caller]
    pub(crate) fn schedule_phase(&self, t: &Tensor, steps: [f64; 2], rates: [f64; 2], cosine: bool) -> Tensor {
        let ([begin, end], [from, to]) = (steps.map(|step| step as f32), rates.map(|rate| rate as f32));
        self.graph().apply1(Schedule::Phase { begin, end, from, to, cosine }, &[self, t])
    }

    /// How many updates were made after `self` runs, of which every so many make one.
    #[track_caller]
    pub(crate) fn schedule_updates(&self, every: u32) -> Tensor {
        self.graph().apply1(Schedule::Updates { every }, &[self])
    }

    /// Whether the run after `self` runs makes an update.
    #[track_caller]
    pub(crate) fn schedule_is_last(&self, every: u32) -> Tensor {
        self.graph().apply1(Schedule::IsLast { every }, &[self])
    }

    /// The steps of `self` beyond `step`.
    #[track_caller]
    pub(crate) fn schedule_since(&self, step: u32) -> Tensor {
        self.graph().apply1(Schedule::Since { step }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        data::{Array, DType},
        graph::{Graph, Mode, Tensor},
        testing::run,
    };

    /// Checks a rate at many steps against its definition.
    fn check(rate: impl Fn(&Tensor) -> Tensor, definition: impl Fn(u32) -> f64) {
        let steps: Vec<u32> = (0..60).chain([99, 100, 101, 499, 500, 501, 999, 1000, 1_000_000, 16_000_000]).collect();
        let graph = Graph::new(Mode::Infer);
        let t = graph.input_of("t", [steps.len()], DType::U32);
        let array = Array::from_u32([steps.len()], &steps).unwrap();
        let found = run(&graph, &[("rate", &rate(&t))], &[("t", array)]).unwrap()[0].to_f32();
        for (&step, found) in steps.iter().zip(found) {
            let expected = definition(step);
            // 1e-30 is where f32 ends.
            let error = (f64::from(found) - expected).abs();
            assert!(error <= 5e-6 * expected.abs() + 1e-30, "step {step}: {found}, not {expected}");
        }
    }

    #[test]
    fn steps_decay() {
        for (gamma, every) in [(0.5, 1), (0.9, 7), (0.0, 30), (1.0, 1), (0.999, 1), (1.000_001, 3)] {
            check(|t| t.schedule_decay(0.1, gamma, every), |t| 0.1 * f64::powi(gamma, (t / every) as i32));
        }
    }

    #[test]
    fn cosines_fall_to_their_end_and_stay() {
        for (low, steps) in [(0.0, 1000), (0.001, 500), (0.2, 50), (0.0, 1)] {
            let definition = |t: u32| {
                let done = f64::from(t.min(steps)) / f64::from(steps);
                low + (0.1 - low) * (1.0 + (std::f64::consts::PI * done).cos()) / 2.0
            };
            check(|t| t.schedule_cosine(0.1, low, steps), definition);
        }
    }

    #[test]
    fn warm_ups_rise_before_what_follows() {
        let rate = |t: &Tensor| t.schedule_since(40).schedule_decay(0.1, 0.5, 100).schedule_warmup(t, 40);
        check(rate, |t| match t {
            0..40 => 0.1 * f64::from(t + 1) / 40.0,
            _ => 0.1 * f64::powi(0.5, ((t - 40) / 100) as i32),
        });
    }

    #[test]
    fn noam_rises_and_falls_with_the_root() {
        for steps in [1, 10, 4000] {
            let definition = |t: u32| {
                let s = f64::from(t) + 1.0;
                0.2 * s.powf(-0.5).min(s * f64::from(steps).powf(-1.5))
            };
            check(|t| t.schedule_noam(0.2, steps), definition);
        }
    }

    #[test]
    fn phases_follow_each_other() {
        for cosine in [false, true] {
            let blend = |from: f64, to: f64, share: f64| {
                let share = if cosine { (1.0 - (std::f64::consts::PI * share).cos()) / 2.0 } else { share };
                from + (to - from) * share
            };
            let rate = |t: &Tensor| {
                let first = t.graph().constant(0.1, DType::F32);
                let rise = first.schedule_phase(t, [0.0, 14.5], [0.1, 1.0], cosine);
                rise.schedule_phase(t, [14.5, 500.0], [1.0, 0.01], cosine)
            };
            check(rate, |t| match t {
                0..=14 => blend(0.1, 1.0, f64::from(t) / 14.5),
                15..=500 => blend(1.0, 0.01, (f64::from(t) - 14.5) / 485.5),
                _ => 0.01,
            });
        }
    }

    #[test]
    fn every_so_many_runs_update() {
        check(|t| t.schedule_updates(7).cast(DType::F32), |t| f64::from(t / 7));
        check(|t| t.schedule_is_last(7).cast(DType::F32), |t| f64::from(u32::from(t % 7 == 6)));
    }

    #[test]
    fn a_schedule_of_no_steps_is_a_mistake() {
        let graph = Graph::new(Mode::Train);
        graph.step().schedule_cosine(0.1, 0.0, 0);
        assert_eq!(graph.check().unwrap_err().message(), "schedule_cosine: needs at least one step");
    }
}
