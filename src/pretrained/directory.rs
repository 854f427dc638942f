//! A directory of a published model.

use super::{GenerationSettings, SentenceSettings, json, refuse, text};
use crate::{
    checkpoint::Load,
    error::Error,
    models::{BertConfig, Gpt2Config, MarianConfig},
    session::Weights,
};
use std::path::{Path, PathBuf};

/// Which model a directory holds, with its sizes.
#[derive(Clone, Debug)]
pub enum Published {
    /// For [`bert`](crate::models::bert).
    Bert(BertConfig),
    /// For [`gpt2`](crate::models::gpt2).
    Gpt2(Gpt2Config),
    /// For [`marian`](crate::models::marian).
    Marian(MarianConfig),
}

/// A directory of a published model, its sizes read: see [`Directory::open`].
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
    model: Published,
}

impl Directory {
    /// Reads `config.json`; the weights stay where they are.
    ///
    /// ```no_run
    /// # use wgrad::{models::*, prelude::*, pretrained::*};
    /// # fn go(context: &Context) -> Result<(), Error> {
    /// let directory = Directory::open("bert-base-uncased")?;
    /// let Published::Bert(config) = directory.model() else { panic!("a BERT is wanted") };
    /// let graph = Graph::new(Mode::Infer);
    /// let logits = bert(config).masked_lm(&graph.input_of("ids", [1, 16], DType::U32));
    /// let plan = graph.plan(&[("logits", &logits)], context.target())?;
    /// let weights = Weights::init(context, &plan, 0)?;
    /// directory.load(&weights)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// No directory, no `config.json` in it, one that is no JSON, or describes a model that this library does not have or
    /// one with an option that it does not compute.
    pub fn open(path: impl AsRef<Path>) -> Result<Directory, Error> {
        let path = path.as_ref();
        if !path.is_dir() {
            let what =
                if path.exists() { "is a file, not a directory of a model" } else { "there is no such directory" };
            return Err(refuse(path, what));
        }
        let file = path.join("config.json");
        let Some(text) = text(&file)? else {
            return Err(refuse(path, "has no config.json").hint("give a directory that save_pretrained wrote"));
        };
        let kind = json(&file)?.and_then(|config| Some(config.get("model_type")?.as_str()?.to_owned()));
        let within = |error: Error| refuse(path, error.message());
        let model = match kind.as_deref() {
            Some("bert") => Published::Bert(BertConfig::from_json(&text).map_err(within)?),
            Some("gpt2") => Published::Gpt2(Gpt2Config::from_json(&text).map_err(within)?),
            Some("marian") => Published::Marian(MarianConfig::from_json(&text).map_err(within)?),
            Some(other) => {
                return Err(refuse(&file, format!("describes a {other}; bert, gpt2 and marian are known")));
            }
            None => return Err(refuse(&file, "has no model_type; bert, gpt2 and marian are known")),
        };
        Ok(Directory { path: path.to_owned(), model })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which model it holds.
    pub fn model(&self) -> &Published {
        &self.model
    }

    /// `bert`, `gpt2` or `marian`.
    pub fn kind(&self) -> &'static str {
        match &self.model {
            Published::Bert(_) => "bert",
            Published::Gpt2(_) => "gpt2",
            Published::Marian(_) => "marian",
        }
    }

    /// The error of a directory that holds another model than the one wanted.
    pub(super) fn not(&self, wanted: &str, remedy: &str) -> Error {
        refuse(&self.path, format!("holds a {}, not a {wanted}", self.kind())).hint(remedy)
    }

    /// The file of the weights: `model.safetensors`, or the index of several files.
    ///
    /// # Errors
    /// Neither is there.
    pub fn weights(&self) -> Result<PathBuf, Error> {
        let names = ["model.safetensors", "model.safetensors.index.json"];
        if let Some(found) = names.iter().map(|name| self.path.join(name)).find(|file| file.is_file()) {
            return Ok(found);
        }
        let error = refuse(&self.path, "has neither model.safetensors nor model.safetensors.index.json");
        let older = ["pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack"];
        Err(match older.iter().find(|name| self.path.join(name).exists()) {
            Some(older) => error.hint(format!(
                "{older} is of another format: transformers' save_pretrained(…, safe_serialization=True) converts it"
            )),
            None => error,
        })
    }

    /// What published files of this model call its variables, and what they hold besides.
    pub fn names(&self) -> Load {
        let ignore = |load: Load, names: &[&str]| names.iter().fold(load, |load, name| load.ignore_unexpected(name));
        match &self.model {
            // Files of the bare model and of one with a head; TensorFlow's names of a norm's parameters; heads, and the
            // numbers 0, 1, 2, … that older versions of transformers saved.
            Published::Bert(_) => {
                let load = Load::new().optional_prefix("bert.");
                let load =
                    load.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
                let unused = ["pooler.", "bert.pooler.", "cls.", "classifier.", "qa_outputs."];
                let positions = ["embeddings.position_ids", "bert.embeddings.position_ids"];
                ignore(ignore(load, &unused), &positions)
            }
            // The first files have no prefix; each layer's causal mask was saved once; the output matrix is that of the
            // tokens, and may be kept under either name.
            Published::Gpt2(config) => {
                let load = Load::new().optional_prefix("transformer.");
                let load =
                    load.stand_in("transformer.wte.weight", "lm_head.weight").ignore_unexpected("lm_head.weight");
                (0..config.n_layer).fold(load, |load, layer| {
                    ["", "transformer."].iter().fold(load, |load, prefix| {
                        let at = format!("{prefix}h.{layer}.attn.");
                        load.ignore_unexpected(&format!("{at}bias")).ignore_unexpected(&format!("{at}masked_bias"))
                    })
                })
            }
            // Positions are computed; one matrix has up to four names.
            Published::Marian(_) => {
                let copies =
                    ["lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"];
                let load = copies.iter().fold(Load::new(), |load, copy| load.stand_in("model.shared.weight", copy));
                let positions = ["model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight"];
                ignore(ignore(load, &copies), &positions)
            }
        }
        .without_training_state()
    }

    /// Loads the weights: [`names`](Directory::names) for [`weights`](Directory::weights). What the model that the
    /// weights belong to does not use, such as the head of another task, is passed over.
    ///
    /// # Errors
    /// As [`Load::file`], and no file of weights.
    pub fn load(&self, weights: &Weights) -> Result<(), Error> {
        self.names().file(weights, self.weights()?)
    }

    /// How sentences become vectors: what sentence-transformers' files say, or the mean, of norm 1.
    ///
    /// # Errors
    /// A file that says something that this library does not compute.
    pub fn sentences(&self) -> Result<SentenceSettings, Error> {
        SentenceSettings::read(&self.path)
    }

    /// How texts are to be generated: `generation_config.json`, and `config.json` for what that does not say.
    ///
    /// # Errors
    /// A file that is no JSON, or has a value of another type.
    pub fn generation(&self) -> Result<GenerationSettings, Error> {
        GenerationSettings::read(&self.path)
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// None of the files that could be one, or one that cannot be used.
    #[cfg(feature = "tokenizers")]
    pub fn tokenizer(&self) -> Result<super::Tokenizer, Error> {
        super::Tokenizer::of(self)
    }
}
