//! Tests across modules, as one program.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod architecture;
mod attention;
mod autodiff;
mod checkpoint;
mod checkpointed;
#[cfg(feature = "cli")]
mod cli;
mod conv;
mod cooperative;
mod errors;
mod fixture;
mod hostile;
mod interop;
mod lecture_models;
mod limits;
mod long;
mod losses;
mod minilm;
mod models;
mod norms;
mod operations;
mod optimizers;
mod plan;
mod pool;
mod recurrent;
mod reference;
mod shaders;
mod training;
