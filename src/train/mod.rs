//! What training needs around a session: datasets, shuffled batches, vocabularies, the loop, figures and where they go.

mod batches;
mod bleu;
#[cfg(not(target_arch = "wasm32"))]
mod dataset;
#[cfg(feature = "cli")]
mod digits;
#[cfg(not(target_arch = "wasm32"))]
mod event_file;
mod history;
mod metrics;
#[cfg(not(target_arch = "wasm32"))]
mod training;
mod vocabulary;

pub use batches::{Batches, Shuffle};
pub use bleu::Bleu;
#[cfg(not(target_arch = "wasm32"))]
pub use dataset::{Batch, Dataset, Table, each_batch, sweep};
#[cfg(feature = "cli")]
pub use digits::Digits;
#[cfg(not(target_arch = "wasm32"))]
pub use event_file::EventFile;
pub use history::{Epoch, History};
pub use metrics::Confusion;
#[cfg(not(target_arch = "wasm32"))]
pub use training::{Ended, Event, Goal, Training};
pub use vocabulary::{Unit, Vocabulary};
