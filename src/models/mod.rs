//! Models, each written like its one-line definition.

mod alexnet;
mod bert;
mod bert_heads;
mod config;
mod gpt2;
mod language_model;
mod lenet;
mod lstm_seq2seq;
mod marian;
mod seq2seq;
mod text_classifier;
mod translate;
mod video_classifier;

pub use alexnet::{AlexNet, alexnet};
pub use bert::{Bert, BertConfig, bert};
pub use gpt2::{Gpt2, Gpt2Config, gpt2};
pub use language_model::{language_model, lstm_lm};
pub use lenet::lenet;
pub use lstm_seq2seq::{LstmSeq2Seq, lstm_seq2seq};
pub use marian::{Marian, MarianConfig, marian};
pub use seq2seq::{Seq2Seq, seq2seq};
pub use text_classifier::{conv_text_classifier, text_classifier};
pub use translate::{Memory, Translator};
pub use video_classifier::video_classifier;
