//! What sentence-transformers' files say.

use super::{json, refuse};
use crate::error::Error;
use serde_json::Value;
use std::path::Path;

/// How the vectors of tokens become that of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The mean over the tokens.
    Mean,
    /// The vector of the first token, `[CLS]`.
    First,
    /// The vector of the last token.
    Last,
}

/// How a directory's model makes a sentence a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentenceSettings {
    /// How tokens become one.
    pub pooling: Pooling,
    /// Whether the vector is divided by its norm.
    pub normalize: bool,
    /// How many tokens of a text count at most, if that is said.
    pub most: Option<usize>,
    /// Whether texts are made lower case before the tokenizer sees them.
    pub lower_case: bool,
}

impl SentenceSettings {
    /// Reads `modules.json` and what it names, `sentence_bert_config.json` and `tokenizer_config.json`; all may be missing.
    pub(super) fn read(directory: &Path) -> Result<SentenceSettings, Error> {
        let (pooling, normalize) = match json(&directory.join("modules.json"))? {
            Some(modules) => read_modules(directory, &modules)?,
            None => (Pooling::Mean, true),
        };
        let sentences = json(&directory.join("sentence_bert_config.json"))?.unwrap_or(Value::Null);
        let tokenizer = json(&directory.join("tokenizer_config.json"))?.unwrap_or(Value::Null);
        // A tokenizer without a bound says 10^30.
        let most =
            |of: &Value, key: &str| of.get(key)?.as_u64().filter(|&most| most < 1 << 31).map(|most| most as usize);
        Ok(SentenceSettings {
            pooling,
            normalize,
            most: most(&sentences, "max_seq_length").or_else(|| most(&tokenizer, "model_max_length")),
            lower_case: sentences.get("do_lower_case").and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

fn read_modules(directory: &Path, modules: &Value) -> Result<(Pooling, bool), Error> {
    let file = directory.join("modules.json");
    let (mut pooling, mut normalize) = (None, false);
    for (i, module) in modules.as_array().into_iter().flatten().enumerate() {
        let of = |key: &str| module.get(key).and_then(Value::as_str).unwrap_or_default();
        // `sentence_transformers.models.Pooling`, whatever the package in front is called.
        match (i, of("type").rsplit('.').next().unwrap_or_default()) {
            (0, "Transformer") if of("path").is_empty() => {}
            (1, "Pooling") => pooling = Some(read_pooling(&directory.join(of("path")).join("config.json"))?),
            (2, "Normalize") => normalize = true,
            _ => {
                let reason = format!(
                    "module {i} is {:?} in {:?}; a Transformer in \"\", a Pooling and a Normalize are known",
                    of("type"),
                    of("path")
                );
                return Err(refuse(&file, reason));
            }
        }
    }
    pooling.map(|pooling| (pooling, normalize)).ok_or_else(|| refuse(&file, "has no Transformer and Pooling"))
}

fn read_pooling(file: &Path) -> Result<Pooling, Error> {
    let Some(config) = json(file)? else { return Err(refuse(file, "is not there, though modules.json names it")) };
    let switches = config
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| key.starts_with("pooling_mode_") && **value == Value::Bool(true));
    let mut modes: Vec<&str> = switches.map(|(key, _)| key.trim_start_matches("pooling_mode_")).collect();
    modes.extend(config.get("pooling_mode").and_then(Value::as_str));
    match modes[..] {
        ["mean_tokens" | "mean"] => Ok(Pooling::Mean),
        ["cls_token" | "cls"] => Ok(Pooling::First),
        ["lasttoken"] => Ok(Pooling::Last),
        _ => Err(refuse(file, format!("pools by {modes:?}; one of mean_tokens, cls_token and lasttoken is known"))),
    }
}
