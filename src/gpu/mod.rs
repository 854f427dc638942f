//! The device: adapters, buffers, pipelines and readback.

mod buffer;
mod cache;
mod compile;
mod context;
#[cfg(not(target_arch = "wasm32"))]
mod exit;
mod pipeline;
mod readback;
mod words;

pub(crate) use buffer::Buffer;
#[cfg(feature = "cli")]
pub(crate) use cache::folder as cache_folder;
pub use compile::Progress;
pub(crate) use compile::Use;
#[cfg(feature = "cli")]
pub(crate) use context::no_adapter;
pub use context::{AdapterReport, Context, DriverMemory, adapters, required_features, required_limits};
pub(crate) use pipeline::Pipeline;
pub use readback::Readback;
pub(crate) use readback::Staging;
