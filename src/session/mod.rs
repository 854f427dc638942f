//! Running plans: weights, sessions, and an app's own buffers and encoder.

#[cfg(not(target_arch = "wasm32"))]
mod profile;
mod run;
mod weights;

#[cfg(not(target_arch = "wasm32"))]
pub use profile::Timing;
pub use run::Session;
pub use weights::Weights;
