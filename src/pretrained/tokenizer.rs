//! Texts as the ids of their tokens, by the library `tokenizers`.

use super::{Directory, Published, json, refuse, spm, text};
use crate::error::{Error, ErrorKind};
use serde_json::{Value, json};
use std::path::Path;

/// The tokenizer of a published model: see [`Directory::tokenizer`].
///
/// What files say of padding and truncation is passed over: the model's own user knows its lengths.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    /// One tokenizer whose ids are the model's.
    One(Box<tokenizers::Tokenizer>),
    /// Marian's: a vocabulary of pieces for each language, and the ids of both.
    Marian(Box<spm::Pair>),
}

impl Tokenizer {
    /// A `tokenizer.json`.
    ///
    /// # Errors
    /// A file that cannot be read or is none.
    pub fn file(path: impl AsRef<Path>) -> Result<Tokenizer, Error> {
        let path = path.as_ref();
        let Some(text) = text(path)? else { return Err(refuse(path, "there is no such file")) };
        Tokenizer::parse(path, text.as_bytes())
    }

    fn parse(path: &Path, text: &[u8]) -> Result<Tokenizer, Error> {
        let mut one = tokenizers::Tokenizer::from_bytes(text)
            .map_err(|error| refuse(path, format!("is no tokenizer that is known: {error}")))?;
        one.with_padding(None);
        one.with_truncation(None).map_err(|error| refuse(path, error))?;
        Ok(Tokenizer { way: Way::One(Box::new(one)) })
    }

    pub(super) fn of(directory: &Directory) -> Result<Tokenizer, Error> {
        let path = directory.path();
        let all = |names: &[&str]| names.iter().all(|name| path.join(name).is_file());
        let whole = path.join("tokenizer.json");
        match directory.model() {
            Published::Marian(config) if all(&["source.spm", "target.spm", "vocab.json"]) => {
                let pair = spm::Pair::read(path, config.vocab_size)?;
                Ok(Tokenizer { way: Way::Marian(Box::new(pair)) })
            }
            _ if whole.is_file() => Tokenizer::file(whole),
            Published::Bert(_) if all(&["vocab.txt"]) => {
                Tokenizer::parse(path, word_pieces(path)?.to_string().as_bytes())
            }
            Published::Gpt2(_) if all(&["vocab.json", "merges.txt"]) => {
                Tokenizer::parse(path, byte_pairs(path)?.to_string().as_bytes())
            }
            model => {
                let reason = match model {
                    Published::Bert(_) => "has neither tokenizer.json nor vocab.txt",
                    Published::Gpt2(_) => "has neither tokenizer.json nor vocab.json and merges.txt",
                    Published::Marian(_) => "has neither source.spm, target.spm and vocab.json nor tokenizer.json",
                };
                let hint = "transformers' AutoTokenizer.from_pretrained(…).save_pretrained(…) writes them";
                Err(refuse(path, reason).hint(hint))
            }
        }
    }

    /// Cuts texts off behind `most` tokens, those at the end of every text included.
    ///
    /// # Errors
    /// `most` is less than the number of tokens that every text has.
    pub fn truncated(mut self, most: usize) -> Result<Tokenizer, Error> {
        let refused = |reason: String| Error::new(ErrorKind::Data, format!("tokenizer: {reason}"));
        match &mut self.way {
            Way::One(one) => {
                let truncation = tokenizers::TruncationParams { max_length: most, ..Default::default() };
                one.with_truncation(Some(truncation)).map_err(|error| refused(error.to_string()))?;
            }
            Way::Marian(pair) => pair.most = Some(most),
        }
        if most < self.encode("")?.len() {
            return Err(refused(format!("no text has as few tokens as {most}")));
        }
        Ok(self)
    }

    /// How many ids there are: one more than the largest.
    pub fn vocabulary(&self) -> usize {
        match &self.way {
            Way::One(one) => one.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1),
            Way::Marian(pair) => pair.vocabulary(),
        }
    }

    /// The ids of a text's tokens, with those at its beginning and end that the model is used to.
    ///
    /// # Errors
    /// A text that the tokenizer has no tokens for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let failed = |error: tokenizers::Error| Error::new(ErrorKind::Data, format!("tokenizer: {error}"));
        match &self.way {
            Way::One(one) => Ok(one.encode_fast(text, true).map_err(failed)?.get_ids().to_vec()),
            Way::Marian(pair) => pair.encode(text).map_err(failed),
        }
    }

    /// The text of ids, without the tokens of beginning, end and padding.
    ///
    /// # Errors
    /// Ids that make no text.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        match &self.way {
            Way::One(one) => {
                one.decode(ids, true).map_err(|error| Error::new(ErrorKind::Data, format!("tokenizer: {error}")))
            }
            Way::Marian(pair) => Ok(pair.decode(ids)),
        }
    }

    /// The id of a token, `</s>`.
    pub fn id(&self, token: &str) -> Option<u32> {
        match &self.way {
            Way::One(one) => one.token_to_id(token),
            Way::Marian(pair) => pair.id(token),
        }
    }
}

/// A `tokenizer.json` for the `vocab.txt` of a BERT, one word piece a line, as `BertTokenizer` uses it.
fn word_pieces(path: &Path) -> Result<Value, Error> {
    let file = path.join("vocab.txt");
    let text = text(&file)?.unwrap_or_default();
    let vocabulary: serde_json::Map<String, Value> =
        text.lines().enumerate().map(|(id, piece)| (piece.trim_end().to_owned(), id.into())).collect();
    let options = json(&path.join("tokenizer_config.json"))?.unwrap_or(Value::Null);
    let lower_case = options.get("do_lower_case").and_then(Value::as_bool).unwrap_or(true);
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    let mut added = Vec::new();
    for token in special {
        let Some(id) = vocabulary.get(token) else { return Err(refuse(&file, format!("has no {token}"))) };
        added.push(json!({
            "id": id, "content": token, "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        }));
    }
    let [cls, sep] = ["[CLS]", "[SEP]"].map(|token| vocabulary[token].clone());
    Ok(json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "lowercase": lower_case,
            "handle_chinese_chars": options.get("tokenize_chinese_chars").and_then(Value::as_bool).unwrap_or(true),
            "strip_accents": options.get("strip_accents").cloned().unwrap_or(Value::Null),
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "BertProcessing", "cls": ["[CLS]", cls], "sep": ["[SEP]", sep],
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    }))
}

/// A `tokenizer.json` for the `vocab.json` and `merges.txt` of a GPT-2, as `GPT2Tokenizer` uses them.
fn byte_pairs(path: &Path) -> Result<Value, Error> {
    let vocabulary = json(&path.join("vocab.json"))?.unwrap_or_default();
    let text = text(&path.join("merges.txt"))?.unwrap_or_default();
    let merges: Vec<&str> = text.lines().filter(|line| !line.is_empty() && !line.starts_with("#version")).collect();
    let end = "<|endoftext|>";
    let added = vocabulary.get(end).map(|id| {
        json!({
            "id": id, "content": end, "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false,
        })
    });
    let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    Ok(json!({
        "version": "1.0",
        "added_tokens": added.into_iter().collect::<Vec<Value>>(),
        "normalizer": null,
        "pre_tokenizer": bytes, "post_processor": bytes, "decoder": bytes,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "vocab": vocabulary, "merges": merges,
        },
    }))
}
