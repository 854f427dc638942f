//! Measuring: the rooflines of a device, each operation against them, and the layers of a model.

mod layers;
mod operation;
mod roofline;
mod trace;
mod tune;

pub use layers::{LayerTime, Profile, StepTime};
pub use operation::{Measurement, Pass, measure};
pub use roofline::Roofline;
pub use tune::{Tuned, tune};
