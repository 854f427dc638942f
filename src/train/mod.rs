//! What training needs around a session: batches, shuffles, counts.

mod batches;
#[cfg(feature = "cli")]
mod digits;
mod metrics;

pub use batches::{Batches, Shuffle};
#[cfg(feature = "cli")]
pub use digits::Digits;
pub use metrics::Confusion;
