//! Optimizers: gradients and update operations added to a training graph, so that a step of training
//! is one run of one plan and the host computes nothing in between.
//!
//! Moments are state named `optimizer.exp_avg.features.0.weight`, in `f32` whatever the parameter's
//! type, and checkpoints save them. The number of steps done is the graph's state `step`.

mod adam;
mod clip;
mod schedule;
mod sgd;

pub use adam::{Adam, AdamRule, AdamW};
pub use schedule::Schedule;
pub use sgd::{Sgd, SgdRule};

use crate::{
    autodiff,
    data::{DType, TensorDesc},
    error::{Error, ErrorKind, Place},
    graph::{Graph, Init, Mode, Role, Tensor},
};
use std::{fmt, sync::Arc};

/// An update rule with what all of them share: learning rate, schedule and clipping.
///
/// [`Sgd`], [`Adam`] and [`AdamW`] are optimizers; [`Optimizer::of`] makes one from a rule of your own.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer<R> {
    rule: R,
    rate: f64,
    schedule: Schedule,
    most: Option<f64>,
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
    rate: &'a Tensor,
    done: &'a Tensor,
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
        self.rate
    }

    /// The number of steps done, a `u32` scalar: 0 in the first.
    pub fn done(&self) -> &Tensor {
        self.done
    }

    /// A piece of state of the parameter's shape, `f32`, zero at first: `optimizer.KIND.PARAMETER`.
    #[track_caller]
    pub fn state(&self, kind: &str) -> Tensor {
        let desc = TensorDesc::new(self.parameter.shape(), DType::F32);
        self.parameter.graph().state(&format!("optimizer.{kind}.{}", self.name), desc, Init::zeros())
    }

    /// Replaces a piece of state in place and returns the new value.
    #[track_caller]
    pub fn keep(&self, state: &Tensor, new: Tensor) -> Tensor {
        self.parameter.graph().assign(state, &new);
        new
    }
}

impl<R: Rule> Optimizer<R> {
    /// An optimizer from a rule and a learning rate.
    pub fn of(rule: R, rate: f64) -> Optimizer<R> {
        Optimizer { rule, rate, schedule: Schedule::Constant, most: None }
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
            let gradients = autodiff::gradients(loss, &parameters);
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

    /// Adds updates of parameters, or of state, with gradients of your own making.
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
            let (parameters, gradients): (Vec<_>, Vec<_>) = gradients.iter().cloned().unzip();
            let gradients = match self.most {
                Some(most) => clip::clip_norm(&gradients, most),
                None => gradients.iter().map(|gradient| gradient.cast(DType::F32)).collect(),
            };
            let done = graph.step();
            let rate = self.schedule.rate(self.rate, &done);
            for (parameter, gradient) in parameters.iter().zip(&gradients) {
                self.update_one(parameter, gradient, &rate, &done);
            }
        });
    }

    fn check(&self, graph: &Graph) -> Result<(), Error> {
        if graph.mode() != Mode::Train {
            let error = Error::new(ErrorKind::Gradient, "minimise: the graph is one for use, which counts no steps");
            return Err(error.hint("write it with Graph::new(Mode::Train)"));
        }
        not_negative("learning rate", self.rate)
            .and_then(|()| self.rule.check())
            .map_err(|reason| Error::new(ErrorKind::Shape, format!("minimise: {reason}")))
    }

    fn update_one(&self, parameter: &Tensor, gradient: &Tensor, rate: &Tensor, done: &Tensor) {
        let graph = parameter.graph();
        if parameter.is_failed() || gradient.is_failed() {
            return;
        }
        let Some(name) = variable_name(parameter) else {
            let message = format!("minimise: {parameter:?} is neither a parameter nor state");
            return graph.fail(Error::new(ErrorKind::Name, message));
        };
        if gradient.shape() != parameter.shape() {
            let message =
                format!("minimise: the gradient of {name} is {}, the parameter {}", gradient.desc(), parameter.desc());
            return graph.fail(Error::new(ErrorKind::Shape, message));
        }
        let at = Update { name: &name, parameter: parameter.cast(DType::F32), gradient, rate, done };
        let new = self.rule.update(&at);
        graph.assign(parameter, &new.cast(parameter.dtype()));
    }
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
