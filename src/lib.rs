//! wgrad: a GPU compute engine for neural networks.

pub mod autodiff;
pub mod checkpoint;
pub mod data;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod kernel;
pub mod ops;
pub mod optim;
pub mod plan;
pub mod session;
pub mod testing;

pub mod prelude {
    //! What most programs import.
    pub use crate::{
        data::{Array, DType, Shape, TensorDesc},
        error::Error,
        gpu::Context,
        graph::{Graph, Init, Mode, Tensor},
        plan::Plan,
        session::{Session, Weights},
    };
}
