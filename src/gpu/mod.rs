//! The device: adapters, buffers, pipelines and readback.

mod buffer;
mod cache;
mod compile;
mod context;
mod pipeline;
mod readback;

pub(crate) use buffer::Buffer;
pub use compile::Progress;
#[cfg(feature = "cli")]
pub(crate) use context::no_adapter;
pub use context::{AdapterReport, Context, adapters, required_features, required_limits};
pub(crate) use pipeline::Pipeline;
pub use readback::Readback;
pub(crate) use readback::Staging;
