//! Published models: a directory as Hugging Face's libraries write it, opened in one call.
//!
//! ```no_run
//! # #[cfg(feature = "tokenizers")]
//! # fn go() -> Result<(), wgrad::error::Error> {
//! use wgrad::{prelude::*, pretrained::SentenceEncoder};
//! let context = pollster::block_on(Context::new())?;
//! let encoder = SentenceEncoder::open(&context, "MiniLM")?;
//! let embeddings = encoder.embed(&["A cat sits on the mat.", "Rates of interest rose."])?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Directory`] is what is below that: the sizes in `config.json`, the weights in `model.safetensors` or the files its
//! index names, under every name that a published file has for them, and, with the feature `tokenizers`, the tokenizer.
//!
//! | `model_type` | model | tokenizer |
//! |---|---|---|
//! | `bert` | [`bert`](crate::models::bert) | `tokenizer.json`, or `vocab.txt` |
//! | `gpt2` | [`gpt2`](crate::models::gpt2) | `tokenizer.json`, or `vocab.json` and `merges.txt` |
//! | `marian` | [`marian`](crate::models::marian) | `source.spm`, `target.spm` and `vocab.json`, or `tokenizer.json` |

mod directory;
#[cfg(feature = "tokenizers")]
mod generation;
mod pooling;
mod sentence;
mod settings;
#[cfg(feature = "tokenizers")]
mod spm;
#[cfg(feature = "tokenizers")]
mod tokenizer;

pub use directory::{Directory, Published};
#[cfg(feature = "tokenizers")]
pub use generation::TextModel;
pub use pooling::{Pooling, SentenceSettings};
pub use sentence::SentenceEncoder;
pub use settings::GenerationSettings;
#[cfg(feature = "tokenizers")]
pub use tokenizer::Tokenizer;

use crate::error::{Error, ErrorKind};
use serde_json::Value;
use std::{fs, io, path::Path};

/// An error about a file or a directory.
fn refuse(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("{}: {reason}", path.display()))
}

/// A file's text, or none where there is no such file.
fn text(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(refuse(path, format!("cannot be read: {error}")).caused_by(error)),
    }
}

/// What a JSON file says, or none where there is no such file.
fn json(path: &Path) -> Result<Option<Value>, Error> {
    let parse = |text: String| {
        serde_json::from_str(&text).map_err(|error| refuse(path, format!("is no JSON: {error}")).caused_by(error))
    };
    text(path)?.map(parse).transpose()
}
