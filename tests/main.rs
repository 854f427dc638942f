//! Tests across modules, as one program.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod architecture;
mod attention;
mod autodiff;
mod checkpoint;
mod checkpointed;
#[cfg(feature = "cli")]
mod cli;
#[cfg(all(feature = "cli", unix))]
mod cli_training;
mod conv;
mod cooperative;
mod errors;
mod fixture;
mod generation;
mod hostile;
mod initial;
mod interop;
mod learning;
mod lecture_models;
mod limits;
mod long;
mod losses;
mod memory;
#[cfg(feature = "tokenizers")]
mod minilm;
mod mixed;
mod models;
mod norms;
mod operations;
mod optimizers;
mod plan;
mod pool;
#[cfg(feature = "tokenizers")]
mod pretrained;
mod recurrent;
mod reference;
mod shaders;
mod training;
