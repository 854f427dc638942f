//! wgrad: a GPU compute engine for neural networks.

pub mod autodiff;
pub mod checkpoint;
#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod models;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod plan;
pub mod session;
pub mod testing;
pub mod train;

pub mod prelude {
    //! What most programs import.
    pub use crate::{
        data::{Array, DType, Shape, TensorDesc},
        error::Error,
        gpu::Context,
        graph::{Graph, Init, Mode, Tensor},
        nn::Layer,
        plan::Plan,
        session::{Session, Weights},
    };
}
