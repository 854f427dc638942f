//! What the GPU is told, as plain data: shader text, dispatches, and what a device can do.

mod dispatch;
mod shader;
mod target;
mod tuning;

pub use dispatch::{Arg, Cost, Dispatch, Params, Slice};
pub use shader::{ChainText, Kernel, Shader, assemble};
pub use target::{CooperativeMatrix, DeviceClass, Target};
pub(crate) use target::{TEXTURE_ROW, TEXTURE_ROW_BYTES, texture_rows};
pub use tuning::{Choice, Tuning};
