//! Plain data about tensors: element types, shapes, descriptions, and numbers on the host.

mod array;
mod dtype;
mod shape;

pub use array::Array;
pub use dtype::DType;
pub use shape::{Shape, TensorDesc};
