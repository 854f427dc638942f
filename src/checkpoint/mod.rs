//! Checkpoints: parameters, state and the state of training in one safetensors file.
//!
//! A file has one tensor for each variable of the weights, under its name: parameters
//! (`features.0.weight`), state, and what only training needs: `step`, `seed.0`, `seed.1` and
//! `optimizer.…`, and the batches that batch normalisation counts. Files of PyTorch and Hugging Face models have the first of these and load with
//! [`load_parameters`].
//!
//! ```no_run
//! # fn go(weights: &wgrad::session::Weights) -> Result<(), wgrad::error::Error> {
//! use wgrad::checkpoint;
//! checkpoint::save(weights, "digits.safetensors")?; // and, in another process,
//! checkpoint::load(weights, "digits.safetensors")?; // training goes on with the same bits
//! # Ok(())
//! # }
//! ```

mod inspect;
mod load;
#[cfg(not(target_arch = "wasm32"))]
mod save;
mod source;

pub use inspect::{Contents, StoredTensor, inspect};
pub use load::{Load, load, load_parameters};
#[cfg(not(target_arch = "wasm32"))]
pub use save::{save, save_with_notes};

use crate::error::{Error, ErrorKind};
use std::path::Path;

/// Whether a name belongs to training and not to the model.
fn is_of_training(name: &str) -> bool {
    name == "step"
        || name.starts_with("seed.")
        || name.starts_with("optimizer.")
        || name.ends_with("num_batches_tracked")
}

/// An error about a file.
fn refuse(file: &str, reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("{file}: {reason}"))
}

fn file_name(path: &Path) -> String {
    path.display().to_string()
}
