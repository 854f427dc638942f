//! Models, each written like its one-line definition.

mod alexnet;
mod bert;
mod config;
mod lenet;

pub use alexnet::alexnet;
pub use bert::{Bert, BertConfig, bert};
pub use lenet::lenet;
