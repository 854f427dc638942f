//! wgrad trains and runs neural networks on any GPU, with compute shaders one can read.
//!
//! A network is written as a graph of plain data, the graph is differentiated into a longer graph, the
//! graph is planned into a list of dispatches, and the list is run on any wgpu device.
//!
//! ```
//! use wgrad::{chain, nn::*, optim::Adam, prelude::*};
//!
//! # fn main() -> Result<(), Error> {
//! let graph = Graph::new(Mode::Train);
//! let x = graph.input("x", [8, 3]);
//! let loss = chain![linear(16), relu(), linear(1)].apply(&x).square().mean_all();
//! Adam::new(1e-3).minimise(&loss);
//!
//! let context = pollster::block_on(Context::new())?;
//! let plan = graph.plan(&[("loss", &loss)], context.target())?;
//! let weights = Weights::init(&context, &plan, 42)?;
//! let session = Session::new(&context, plan, &weights)?;
//! session.write("x", &Array::from_f32([8, 3], &[0.5; 24])?)?;
//! session.run()?; // forward, backward and update in one submit
//! println!("{:?}", session.read_blocking("loss")?.to_f32());
//! # Ok(())
//! # }
//! ```
//!
//! # The types, in the order one meets them
//!
//! - [`Graph`](graph::Graph): values and the operations between them. Writing it never fails; the first
//!   mistake is kept with its line and layer.
//! - [`Tensor`](graph::Tensor): a handle to a value. Every operation is a method on it.
//! - [`Layer`](nn::Layer): a recipe that declares parameters and applies operations; [`chain!`] puts
//!   layers together, closures are layers, [`models`] are layers.
//! - [`autodiff::gradients`] and [`optim`]: the same graph, longer. Every operation has a checked gradient,
//!   or asking for it is an error.
//! - [`Plan`](plan::Plan): what runs in which order, in which memory: [`memory`](plan::Plan::memory) and
//!   [`report`](plan::Plan::report) say it before anything is allocated.
//! - [`Context`](gpu::Context): a device, the library's own or an app's.
//! - [`Weights`](session::Weights): parameters and state on the device, shared by sessions;
//!   [`checkpoint`] saves and loads them, [`pretrained`] opens published models.
//! - [`Session`](session::Session): a plan with its buffers and pipelines. One run is one submit.
//! - [`Generator`](generate::Generator): texts from any causal model or translator, greedy, drawn or by beam search, all on
//!   the device.
//!
//! # The lecture
//!
//! [`lecture`] goes from one linear layer to translation, with the definition, the shapes, the reason and a program
//! for each block on the way.
//!
//! # Adding an operation
//!
//! [`Op`](graph::Op), [`shader!`] and [`Graph::apply`](graph::Graph::apply) are public: an app adds
//! operations of its own the way the library does, and tests them with [`testing::check_op`].

pub mod autodiff;
#[cfg(not(target_arch = "wasm32"))]
pub mod catalogue;
pub mod checkpoint;
#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod error;
pub mod generate;
pub mod gpu;
pub mod graph;
pub mod kernel;
#[doc = include_str!("../docs/lecture.md")]
pub mod lecture {}
#[cfg(not(target_arch = "wasm32"))]
pub mod measure;
pub mod models;
pub mod nn;
#[doc = include_str!("../docs/operations.md")]
pub mod ops;
pub mod optim;
pub mod plan;
#[cfg(not(target_arch = "wasm32"))]
pub mod pretrained;
pub mod session;
#[cfg(not(target_arch = "wasm32"))]
pub mod tasks;
#[cfg(not(target_arch = "wasm32"))]
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

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
