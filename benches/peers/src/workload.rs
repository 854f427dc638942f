//! A workload: a name, its passes, and a session that runs one of them.

use wgrad::prelude::*;

/// What of a workload is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// y = f(inputs).
    Forward,
    /// y, Σ y⊙g and its gradients with respect to every input.
    ForwardBackward,
    /// A step of gradient descent.
    TrainSgd,
    /// A step of Adam.
    TrainAdam,
}

impl Pass {
    /// What the JSON lines call it.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "fwd",
            Pass::ForwardBackward => "fwd_bwd",
            Pass::TrainSgd => "train_sgd",
            Pass::TrainAdam => "train_adam",
        }
    }

    /// Whether it changes parameters, so that later runs have other results.
    pub fn trains(self) -> bool {
        matches!(self, Pass::TrainSgd | Pass::TrainAdam)
    }
}

/// A session with its inputs written, and the outputs whose mean absolute value is the check.
pub struct Ready {
    pub session: Session,
    pub checked: Vec<String>,
}

/// Makes a session of a pass.
pub type Make = Box<dyn Fn(&Context, Pass) -> Result<Ready, Error>>;

/// One row or two of the table.
pub struct Workload {
    pub name: &'static str,
    pub passes: &'static [Pass],
    pub make: Make,
}
