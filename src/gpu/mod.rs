//! The device: adapters, buffers, pipelines and readback.

#[cfg(any(windows, target_os = "linux"))]
mod block;
#[cfg(not(any(windows, target_os = "linux")))]
#[path = "no_block.rs"]
mod block;
mod buffer;
mod cache;
mod compile;
mod context;
#[cfg(not(target_arch = "wasm32"))]
mod exit;
mod pipeline;
mod readback;
mod software;
mod texture;

pub(crate) use buffer::Buffer;
#[cfg(feature = "cli")]
pub(crate) use cache::folder as cache_folder;
pub use compile::Progress;
pub(crate) use compile::Use;
#[cfg(feature = "cli")]
pub(crate) use context::no_adapter;
pub use context::{AdapterReport, Context, DriverMemory, adapters, required_features, required_limits};
pub(crate) use pipeline::{Kind, Pipeline, parts};
pub use readback::Readback;
pub(crate) use readback::Staging;
pub(crate) use software::Software;
