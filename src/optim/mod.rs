//! Optimizers: gradients and update operations added to a training graph, so that a step of training
//! is one run of one plan and the host computes nothing in between.
//!
//! Moments are state named `optimizer.exp_avg.features.0.weight`, in `f32` whatever the parameter's
//! type, and checkpoints save them. The number of steps done is the graph's state `step`.
//!
//! [`Optimizer::accumulate`] makes one update of several runs, [`Optimizer::average`] keeps a running mean
//! of the parameters. Both are part of the same plan: a run is one submit, whether it updates or not.

mod adagrad;
mod adam;
mod clip;
mod lion;
mod loss_scale;
mod rmsprop;
mod schedule;
mod sgd;

pub use adagrad::{Adagrad, AdagradRule};
pub use adam::{Adam, AdamRule, AdamW};
pub use lion::{Lion, LionRule};
pub use loss_scale::LossScale;
pub use rmsprop::{RmsProp, RmsPropRule};
pub use schedule::{OneCycle, Schedule};
pub use sgd::{Sgd, SgdRule};

use loss_scale::Advance;

use crate::{
    autodiff,
    data::{DType, TensorDesc},
    error::{Error, ErrorKind, Place},
    graph::{Graph, Init, Mode, Role, Tensor},
};
use std::{fmt, sync::Arc};

/// An update rule with what all of them share: learning rate, schedule, clipping, micro-batches, average.
///
/// [`Sgd`], [`Adam`], [`AdamW`], [`RmsProp`], [`Adagrad`] and [`Lion`] are optimizers; [`Optimizer::of`] makes one
/// from a rule of your own.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer<R> {
    rule: R,
    rate: f64,
    schedule: Schedule,
    largest: Option<f64>,
    most: Option<f64>,
    every: u32,
    average: Option<f64>,
    scale: Option<LossScale>,
}

/// How one parameter moves along its gradient.
///
/// ```
/// use wgrad::{graph::Tensor, optim::{Optimizer, Rule, Update}, prelude::*};
///
/// /// p ← p − rate·sign(g)
/// #[derive(Debug)]
/// struct SignDescent;
///
/// impl Rule for SignDescent {
///     fn update(&self, at: &Update<'_>) -> Tensor {
///         at.parameter() - at.rate() * at.gradient().sign()
///     }
/// }
///
/// let graph = Graph::new(Mode::Train);
/// let loss = graph.parameter("w", [3], Init::ones()).square().sum_all();
/// Optimizer::of(SignDescent, 0.01).minimise(&loss);
/// # graph.check().unwrap();
/// ```
pub trait Rule: fmt::Debug {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// The reason.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The new value of a parameter, `f32`, and with [`Update::keep`] of its state.
    fn update(&self, at: &Update<'_>) -> Tensor;
}

/// What a rule sees of one parameter.
#[derive(Debug)]
pub struct Update<'a> {
    name: &'a str,
    parameter: Tensor,
    gradient: &'a Tensor,
    step: &'a Step,
}

/// What all parameters share in one step.
#[derive(Debug)]
struct Step {
    /// The learning rate, `f32`.
    rate: Tensor,
    /// How many updates were made, `u32`.
    done: Tensor,
    /// A mask of whether this run updates, where not all do.
    updates: Option<Tensor>,
}

impl Step {
    /// The new value in runs that update, the old one in others.
    #[track_caller]
    fn choose(&self, old: &Tensor, new: &Tensor) -> Tensor {
        self.updates.as_ref().map_or_else(|| new.clone(), |updates| updates.where_(new, old))
    }
}

impl Update<'_> {
    /// The parameter, as `f32`.
    pub fn parameter(&self) -> &Tensor {
        &self.parameter
    }

    /// Its gradient, clipped, as `f32`.
    pub fn gradient(&self) -> &Tensor {
        self.gradient
    }

    /// The gradient of the loss plus λ/2·‖p‖².
    #[track_caller]
    pub fn decayed_gradient(&self, decay: f64) -> Tensor {
        if decay == 0.0 { self.gradient.clone() } else { self.gradient + &self.parameter * decay as f32 }
    }

    /// The learning rate, an `f32` scalar.
    pub fn rate(&self) -> &Tensor {
        &self.step.rate
    }

    /// The number of updates done, a `u32` scalar: 0 in the first.
    pub fn done(&self) -> &Tensor {
        &self.step.done
    }

    /// A piece of state of the parameter's shape, `f32`, zero at first: `optimizer.KIND.PARAMETER`.
    #[track_caller]
    pub fn state(&self, kind: &str) -> Tensor {
        self.state_from(kind, 0.0)
    }

    /// [`state`](Update::state) with another number at first.
    #[track_caller]
    pub fn state_from(&self, kind: &str, first: f32) -> Tensor {
        state_of(&format!("optimizer.{kind}.{}", self.name), &self.parameter, first)
    }

    /// Replaces a piece of state in place, in runs that update, and returns the new value.
    #[track_caller]
    pub fn keep(&self, state: &Tensor, new: Tensor) -> Tensor {
        self.parameter.graph().assign(state, &self.step.choose(state, &new));
        new
    }
}

impl<R: Rule> Optimizer<R> {
    /// An optimizer from a rule and a learning rate.
    pub fn of(rule: R, rate: f64) -> Optimizer<R> {
        Optimizer {
            rule,
            rate,
            schedule: Schedule::Constant,
            largest: None,
            most: None,
            every: 1,
            average: None,
            scale: None,
        }
    }

    /// How the learning rate changes; constant if not said.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Scales all gradients together so that their Euclidean norm is at most `most`,
    /// `torch.nn.utils.clip_grad_norm_`.
    pub fn clip_norm(mut self, most: f64) -> Self {
        self.most = Some(most);
        self
    }

    /// Brings every number of the gradients into ±`most`, before [`clip_norm`](Optimizer::clip_norm) where both
    /// are asked for: `torch.nn.utils.clip_grad_value_`.
    pub fn clip_value(mut self, most: f64) -> Self {
        self.largest = Some(most);
        self
    }

    /// Updates in every `runs`-th run only, with the mean of the gradients of the runs since the last one.
    ///
    /// So `runs` micro-batches of one size, each with the mean of its losses, make the update of one batch
    /// of all of them, and take the memory of a small one. The sums are state `optimizer.accumulated.NAME`;
    /// other state and the parameters stay as they are in between, the schedule counts updates. The
    /// graph's `step` counts runs, so that dropout drops others in each.
    ///
    /// ```
    /// # use wgrad::{optim::AdamW, prelude::*};
    /// # let graph = Graph::new(Mode::Train);
    /// # let loss = graph.parameter("w", [3], Init::ones()).sum_all();
    /// AdamW::new(3e-4).accumulate(8).minimise(&loss);
    /// # graph.check().unwrap();
    /// ```
    pub fn accumulate(mut self, runs: u32) -> Self {
        self.every = runs;
        self
    }

    /// Keeps a running mean of each parameter, state `average.NAME`: the parameter after the first update, then
    /// mean ← decay·mean + (1 − decay)·parameter after each.
    ///
    /// That is `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)`. The means are saved
    /// with checkpoints; [`Weights::averaged`](crate::session::Weights::averaged) puts them in the parameters' place.
    pub fn average(mut self, decay: f64) -> Self {
        self.average = Some(decay);
        self
    }

    /// Multiplies the loss by a scale and divides the gradients by it, for networks of half precision; runs with
    /// gradients that are not finite update nothing: see [`LossScale`] and [`Graph::mixed`].
    ///
    /// Schedules and rules count updates then, which are state `optimizer.updates`, and not runs.
    pub fn loss_scale(mut self, scale: LossScale) -> Self {
        self.scale = Some(scale);
        self
    }

    /// The loss as [`update`](Optimizer::update) expects gradients of it: multiplied by the loss scale, if there is one.
    #[track_caller]
    pub fn scaled(&self, loss: &Tensor) -> Tensor {
        match &self.scale {
            None => loss.clone(),
            Some(_) if loss.dtype() == DType::F16 => {
                let error = Error::new(ErrorKind::DType, "minimise: a loss that is scaled must be f32, not f16");
                loss.graph().fail(error.hint("cast the logits to f32 in front of it"));
                loss.clone()
            }
            Some(scale) => loss.mul(&scale.scale(loss.graph())),
        }
    }

    /// Adds to the loss's graph the gradients of all its parameters and their updates.
    ///
    /// Parameters the loss does not depend on are left alone. It is the last that is written of a
    /// graph: what reads a parameter after its update is a mistake that planning reports.
    ///
    /// # Errors
    /// Recorded in the graph: see [`gradients`](autodiff::gradients); a graph that is not in
    /// [`Mode::Train`]; a loss that depends on no parameter; settings that make no sense.
    #[track_caller]
    pub fn minimise(&self, loss: &Tensor) {
        let graph = loss.graph();
        graph.placed(Place::here(), || {
            let parameters = graph.parameters();
            let gradients = autodiff::gradients(&self.scaled(loss), &parameters);
            let found: Vec<(Tensor, Tensor)> = parameters
                .into_iter()
                .zip(gradients)
                .filter_map(|(parameter, gradient)| Some((parameter, gradient?)))
                .collect();
            if found.is_empty() && graph.check().is_ok() {
                graph.fail(Error::new(ErrorKind::Gradient, "minimise: the loss depends on no parameter"));
            }
            self.update(&found);
        });
    }

    /// Adds updates of parameters, or of state, with gradients of your own making: of the loss, or of the
    /// [`scaled`](Optimizer::scaled) one where there is a loss scale.
    ///
    /// # Errors
    /// Recorded in the graph, as for [`minimise`](Optimizer::minimise).
    #[track_caller]
    pub fn update(&self, gradients: &[(Tensor, Tensor)]) {
        let Some((first, _)) = gradients.first() else { return };
        let graph = first.graph();
        graph.placed(Place::here(), || {
            if let Err(error) = self.check(graph) {
                return graph.fail(error);
            }
            let mut step = self.step(graph);
            let mut moves = None;
            let found = gradients.iter().map(|(parameter, gradient)| self.gradient(parameter, gradient, &step));
            let Some(mut found) = found.collect::<Option<Vec<Pending>>>() else { return };
            if let Some(scale) = &self.scale {
                let last = step.updates.take().unwrap_or_else(|| graph.constant(1.0, DType::U32));
                let gradients: Vec<&Tensor> = found.iter().map(|found| &found.gradient).collect();
                let Some(advance) = scale.advance(&gradients, &last) else { return };
                step.updates = Some(advance.updates.clone());
                moves = Some(advance);
            }
            if let Some(most) = self.largest {
                for found in &mut found {
                    found.gradient = found.gradient.clamp(-most as f32, most as f32);
                }
            }
            if let Some(most) = self.most {
                let clipped = clip::clip_norm(found.iter().map(|found| &found.gradient), most);
                found.iter_mut().zip(clipped).for_each(|(found, gradient)| found.gradient = gradient);
            }
            for found in &found {
                self.update_one(found, &step);
            }
            // Behind all that reads them.
            if let Some(Advance { updates, state }) = moves {
                graph.assign(&step.done, &step.done.loss_scale_count(&updates));
                for (variable, value) in &state {
                    graph.assign(variable, value);
                }
            }
        });
    }

    fn step(&self, graph: &Graph) -> Step {
        let runs = graph.step();
        let (mut done, updates) = match self.every {
            1 => (runs, None),
            every => (runs.schedule_updates(every), Some(runs.schedule_is_last(every))),
        };
        if self.scale.is_some() {
            // Not every run that could update does.
            done = graph.state("optimizer.updates", TensorDesc::new([], DType::U32), Init::zeros());
        }
        Step { rate: self.schedule.rate(self.rate, &done), done, updates }
    }

    fn check(&self, graph: &Graph) -> Result<(), Error> {
        if graph.mode() != Mode::Train {
            let error = Error::new(ErrorKind::Gradient, "minimise: the graph is one for use, which counts no steps");
            return Err(error.hint("write it with Graph::new(Mode::Train)"));
        }
        let decay = self.average.unwrap_or(0.0);
        let checks = [
            not_negative("learning rate", self.rate),
            self.rule.check(),
            self.largest.map_or(Ok(()), |most| not_negative("the largest value", most)),
            self.scale.map_or(Ok(()), |scale| scale.check()),
            if self.every > 0 { Ok(()) } else { Err("an update needs at least one run".to_owned()) },
            if (0.0..=1.0).contains(&decay) { Ok(()) } else { Err(format!("decay must be from 0 to 1, not {decay}")) },
        ];
        checks
            .into_iter()
            .collect::<Result<(), String>>()
            .map_err(|reason| Error::new(ErrorKind::Shape, format!("minimise: {reason}")))
    }

    /// The gradient a parameter is updated with, before its norm is clipped, or `None` and a recorded mistake.
    fn gradient(&self, parameter: &Tensor, gradient: &Tensor, step: &Step) -> Option<Pending> {
        let graph = parameter.graph();
        if parameter.is_failed() || gradient.is_failed() {
            return None;
        }
        let Some(name) = variable_name(parameter) else {
            let message = format!("minimise: {parameter:?} is neither a parameter nor state");
            graph.fail(Error::new(ErrorKind::Name, message));
            return None;
        };
        if gradient.shape() != parameter.shape() {
            let message =
                format!("minimise: the gradient of {name} is {}, the parameter {}", gradient.desc(), parameter.desc());
            graph.fail(Error::new(ErrorKind::Shape, message));
            return None;
        }
        let mut gradient = gradient.cast(DType::F32);
        if let Some(scale) = &self.scale {
            gradient = gradient.div(&scale.scale(graph));
        }
        if let Some(updates) = &step.updates {
            let kept = state_of(&format!("optimizer.accumulated.{name}"), parameter, 0.0);
            let sum = &kept + gradient;
            graph.assign(&kept, &updates.where_(&graph.constant(0.0, DType::F32), &sum));
            gradient = sum / self.every as f32;
        }
        Some(Pending { name, parameter: parameter.clone(), gradient })
    }

    fn update_one(&self, found: &Pending, step: &Step) {
        let Pending { name, parameter, gradient } = found;
        let graph = parameter.graph();
        let at = Update { name, parameter: parameter.cast(DType::F32), gradient, step };
        let new = self.rule.update(&at).cast(parameter.dtype());
        graph.assign(parameter, &step.choose(parameter, &new));
        if let Some(decay) = self.average {
            let mean = state_of(&format!("average.{name}"), parameter, 0.0);
            let new = new.cast(DType::F32);
            // A running mean that begins with its first number, like that of momentum.
            let next = mean.sgd_momentum(&new, &step.done, decay, decay);
            graph.assign(&mean, &step.choose(&mean, &next));
        }
    }
}

/// What one parameter is updated with.
struct Pending {
    name: Arc<str>,
    parameter: Tensor,
    gradient: Tensor,
}

/// State in `f32` of a parameter's shape.
#[track_caller]
fn state_of(name: &str, parameter: &Tensor, first: f32) -> Tensor {
    let desc = TensorDesc::new(parameter.shape(), DType::F32);
    parameter.graph().state(name, desc, Init::Constant(first))
}

/// The name of the parameter or state a tensor is.
fn variable_name(tensor: &Tensor) -> Option<Arc<str>> {
    let variables = tensor.graph().variables();
    let found = variables.into_iter().find(|variable| variable.value == tensor.id() && variable.role != Role::Input);
    found.map(|variable| variable.name)
}

fn not_negative(what: &str, x: f64) -> Result<(), String> {
    // Written so that NaN is refused too.
    if x >= 0.0 && x.is_finite() { Ok(()) } else { Err(format!("{what} must be a number not below 0, not {x}")) }
}
