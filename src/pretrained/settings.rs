//! What `generation_config.json` says.

use super::{json, refuse};
use crate::error::Error;
use serde_json::Value;
use std::path::Path;

/// How a directory's model wants texts generated. What its files do not say is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerationSettings {
    /// The token a text begins with.
    pub bos_token_id: Option<usize>,
    /// The tokens that end a text.
    pub eos_token_id: Vec<usize>,
    /// The token of padding.
    pub pad_token_id: Option<usize>,
    /// The token a translation begins with.
    pub decoder_start_token_id: Option<usize>,
    /// The token a text that has become too long ends with.
    pub forced_eos_token_id: Option<usize>,
    /// Tokens that are never generated.
    pub bad_tokens: Vec<usize>,
    /// How many tokens a text has at most.
    pub max_length: Option<usize>,
    /// How many tokens are generated at most.
    pub max_new_tokens: Option<usize>,
    /// How many texts are followed at once.
    pub num_beams: Option<usize>,
    /// The power of its length that a text's score is divided by.
    pub length_penalty: Option<f32>,
    /// Whether tokens are drawn and not the likeliest taken.
    pub do_sample: Option<bool>,
    /// What logits are divided by.
    pub temperature: Option<f32>,
    /// How many of the likeliest tokens are drawn from.
    pub top_k: Option<usize>,
    /// The share of probability that is drawn from.
    pub top_p: Option<f32>,
}

impl GenerationSettings {
    pub(super) fn read(directory: &Path) -> Result<GenerationSettings, Error> {
        let mut files = Vec::new();
        for name in ["generation_config.json", "config.json"] {
            let file = directory.join(name);
            if let Some(value) = json(&file)? {
                files.push((file, value));
            }
        }
        let find = |key: &str| {
            let values = files.iter().filter_map(|(file, value)| Some((file, value.get(key)?)));
            values.into_iter().find(|(_, value)| !value.is_null())
        };
        let wrong =
            |key: &str, file: &Path, value: &Value, what: &str| refuse(file, format!("{key} is {value}, not {what}"));
        let whole = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        let count = |key: &str| -> Result<Option<usize>, Error> {
            let Some((file, value)) = find(key) else { return Ok(None) };
            whole(value).map(Some).ok_or_else(|| wrong(key, file, value, "a whole number"))
        };
        let number = |key: &str| -> Result<Option<f32>, Error> {
            let Some((file, value)) = find(key) else { return Ok(None) };
            value.as_f64().map(|x| Some(x as f32)).ok_or_else(|| wrong(key, file, value, "a number"))
        };
        let all = |key: &str| -> Result<Vec<usize>, Error> {
            let Some((file, value)) = find(key) else { return Ok(Vec::new()) };
            let list = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            let ids: Option<Vec<usize>> = list.iter().map(whole).collect();
            ids.ok_or_else(|| wrong(key, file, value, "a whole number or a list of them"))
        };
        // Lists of tokens one after the other; those of one token are what models never say.
        let mut bad_tokens = Vec::new();
        if let Some((file, value)) = find("bad_words_ids") {
            for word in value.as_array().into_iter().flatten() {
                match word.as_array().map(Vec::as_slice) {
                    Some([token]) if whole(token).is_some() => bad_tokens.extend(whole(token)),
                    _ => return Err(wrong("bad_words_ids", file, value, "a list of lists of one token")),
                }
            }
        }
        Ok(GenerationSettings {
            bos_token_id: count("bos_token_id")?,
            eos_token_id: all("eos_token_id")?,
            pad_token_id: count("pad_token_id")?,
            decoder_start_token_id: count("decoder_start_token_id")?,
            forced_eos_token_id: count("forced_eos_token_id")?,
            bad_tokens,
            max_length: count("max_length")?,
            max_new_tokens: count("max_new_tokens")?,
            num_beams: count("num_beams")?,
            length_penalty: number("length_penalty")?,
            do_sample: match find("do_sample") {
                None => None,
                Some((file, value)) => {
                    Some(value.as_bool().ok_or_else(|| wrong("do_sample", file, value, "true or false"))?)
                }
            },
            temperature: number("temperature")?,
            top_k: count("top_k")?,
            top_p: number("top_p")?,
        })
    }
}
