//! Models, each written like its one-line definition.

mod alexnet;
mod lenet;

pub use alexnet::alexnet;
pub use lenet::lenet;
