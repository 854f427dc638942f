//! How operations are tested, here and in apps that add their own: against an `f64` definition, and
//! gradients against finite differences of that definition.

mod check;
mod numbers;

pub use check::{Check, check_op};
pub use numbers::{Numbers, erf};

use crate::{
    data::Array,
    error::Error,
    gpu::Context,
    graph::{Graph, Tensor},
    kernel::{DeviceClass, Target},
    plan::PlanOptions,
    session::{Session, Weights},
};
use std::sync::OnceLock;

/// The device all tests of a process share.
///
/// # Panics
/// Where there is none, with the text that names the package to install: a test is never skipped.
pub fn context() -> &'static Context {
    static CONTEXT: OnceLock<Context> = OnceLock::new();
    CONTEXT.get_or_init(|| match pollster::block_on(Context::new()) {
        Ok(context) => context,
        Err(error) => panic!("{error}"),
    })
}

/// The classes whose kernels the test device checks: a software driver those of all, a GPU those for GPUs.
///
/// Kernels for software drivers count on exact division, which GPUs do not have.
pub fn classes() -> &'static [DeviceClass] {
    let all = &[DeviceClass::Software, DeviceClass::Portable, DeviceClass::Discrete];
    if context().target().class.is_software() { &all[..2] } else { &all[1..] }
}

/// Plans a graph, runs it once on the test device with seed 1, and reads the outputs.
///
/// # Errors
/// Whatever planning or running returns.
pub fn run(graph: &Graph, outputs: &[(&str, &Tensor)], inputs: &[(&str, Array)]) -> Result<Vec<Array>, Error> {
    run_on(graph, outputs, inputs, context().target(), PlanOptions::default())
}

/// [`run`] for another target on the same device, or with other options.
///
/// # Errors
/// Whatever planning or running returns.
pub fn run_on(
    graph: &Graph,
    outputs: &[(&str, &Tensor)],
    inputs: &[(&str, Array)],
    target: &Target,
    options: PlanOptions,
) -> Result<Vec<Array>, Error> {
    let plan = graph.plan_with(outputs, target, options)?;
    let weights = Weights::init(context(), &plan, 1)?;
    let session = Session::new(context(), plan, &weights)?;
    for (name, array) in inputs {
        session.write(name, array)?;
    }
    session.run()?;
    outputs.iter().map(|(name, _)| session.read_blocking(name)).collect()
}

/// Plans a training graph and runs it `steps` times on one batch, from weights of seed 1: the loss of each run.
///
/// ```
/// use wgrad::{optim::Sgd, prelude::*, testing::losses};
///
/// let graph = Graph::new(Mode::Train);
/// let loss = graph.parameter("w", [], Init::ones()).square();
/// Sgd::new(0.25).minimise(&loss); // w ← w − w/2
/// assert_eq!(losses(&graph, &loss, &[], 3)?, [1.0, 0.25, 0.0625]);
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// Whatever planning or running returns.
pub fn losses(graph: &Graph, loss: &Tensor, inputs: &[(&str, Array)], steps: usize) -> Result<Vec<f32>, Error> {
    let plan = graph.plan(&[("loss", loss)], context().target())?;
    let weights = Weights::init(context(), &plan, 1)?;
    let session = Session::new(context(), plan, &weights)?;
    for (name, array) in inputs {
        session.write(name, array)?;
    }
    let step = |_| {
        session.run()?;
        Ok(session.read_blocking("loss")?.to_f32()[0])
    };
    (0..steps).map(step).collect()
}
