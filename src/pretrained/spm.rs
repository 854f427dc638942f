//! Marian's tokenizers: SentencePiece models of both languages, and one list of ids.

use super::{json, refuse};
use crate::error::Error;
use prost::Message;
use std::{collections::HashMap, fs, path::Path};
use tokenizers::{
    NormalizerWrapper, PreTokenizerWrapper, Tokenizer,
    models::unigram::Unigram,
    normalizers::{Precompiled, Replace, Sequence, Strip, replace::ReplacePattern},
    pre_tokenizers::metaspace::{Metaspace, PrependScheme},
};

/// What is read of SentencePiece's `ModelProto`.
#[derive(Clone, PartialEq, Message)]
struct Proto {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<Trainer>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<Normalizer>,
}

#[derive(Clone, PartialEq, Message)]
struct Piece {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(float, tag = "2")]
    score: f32,
    #[prost(int32, tag = "3", default = "1")]
    kind: i32,
}

/// Kinds of pieces; the others are for control, or unused, and no text has them.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const USER_DEFINED: i32 = 4;

#[derive(Clone, PartialEq, Message)]
struct Trainer {
    #[prost(int32, tag = "3", default = "1")]
    model_type: i32,
}

/// The kind of model that is read.
const UNIGRAM: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Normalizer {
    #[prost(bytes = "vec", tag = "2")]
    characters: Vec<u8>,
    #[prost(bool, tag = "3", default = "true")]
    add_dummy_prefix: bool,
    #[prost(bool, tag = "4", default = "true")]
    remove_extra_whitespaces: bool,
}

/// What stands for a space.
const SPACE: char = '\u{2581}';

/// The tokenizer of a source language, and the ids of its pieces and those of the target language.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    source: Tokenizer,
    ids: HashMap<String, u32>,
    /// The piece of each id.
    pieces: Vec<String>,
    unknown: u32,
    end: u32,
    /// How many tokens a text has at most.
    pub most: Option<usize>,
}

impl Pair {
    /// Reads `source.spm` and `vocab.json`.
    pub fn read(directory: &Path, most: usize) -> Result<Pair, Error> {
        let file = directory.join("vocab.json");
        let form = || refuse(&file, "is no object of pieces and their ids");
        let words = json(&file)?.unwrap_or_default();
        let mut ids = HashMap::new();
        for (piece, id) in words.as_object().ok_or_else(form)? {
            ids.insert(piece.clone(), id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(form)?);
        }
        let count = ids.values().max().map_or(0, |&id| id as usize + 1);
        if count > most {
            return Err(refuse(&file, format!("has {count} ids, the model {most}: they do not belong together")));
        }
        let mut pieces = vec![String::new(); count];
        for (piece, &id) in &ids {
            pieces[id as usize].clone_from(piece);
        }
        let find = |token: &str| ids.get(token).copied().ok_or_else(|| refuse(&file, format!("has no {token}")));
        let (unknown, end) = (find("<unk>")?, find("</s>")?);
        Ok(Pair { source: model(&directory.join("source.spm"))?, ids, pieces, unknown, end, most: None })
    }

    pub fn vocabulary(&self) -> usize {
        self.pieces.len()
    }

    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The ids of a text and of its end. A token `>>fra<<` in front, where the vocabulary has it, chooses the language.
    pub fn encode(&self, text: &str) -> tokenizers::Result<Vec<u32>> {
        let language = text.trim_start().split_inclusive("<<").next().filter(|token| token.starts_with(">>"));
        let language = language.and_then(|token| Some((self.id(token)?, text.trim_start().strip_prefix(token)?)));
        let (mut ids, text) = language.map_or_else(|| (Vec::new(), text), |(id, rest)| (vec![id], rest));
        let found = self.source.encode(text, false)?;
        // The text of an unknown piece may still be in the target's vocabulary: the model knows it by that id.
        ids.extend(found.get_tokens().iter().map(|piece| self.id(piece).unwrap_or(self.unknown)));
        ids.truncate(self.most.map_or(usize::MAX, |most| most.saturating_sub(1)));
        ids.push(self.end);
        Ok(ids)
    }

    /// The text of ids: their pieces one behind the other. Tokens in angle brackets are left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        let pieces = ids.iter().filter_map(|&id| self.pieces.get(id as usize)).map(String::as_str);
        let special = |piece: &&str| ["</s>", "<pad>", "<unk>", "<s>"].contains(piece);
        let text: String = pieces.filter(|piece| !special(piece)).collect();
        text.replace(SPACE, " ").trim().to_owned()
    }
}

/// The tokenizer that a SentencePiece model is; its ids mean nothing, its pieces do.
fn model(file: &Path) -> Result<Tokenizer, Error> {
    let bytes = fs::read(file).map_err(|error| refuse(file, format!("cannot be read: {error}")).caused_by(error))?;
    let proto = Proto::decode(&bytes[..])
        .map_err(|error| refuse(file, format!("is no SentencePiece model: {error}")).caused_by(error))?;
    if proto.trainer.as_ref().is_some_and(|trainer| trainer.model_type != UNIGRAM) {
        let error = refuse(file, "is a SentencePiece model of another kind than unigram");
        return Err(error.hint("a tokenizer.json in its place is used where source.spm is not there"));
    }
    let failed = |error: tokenizers::Error| refuse(file, format!("is no SentencePiece model that is known: {error}"));

    let normal = proto.pieces.iter().filter(|piece| piece.kind == NORMAL).map(|piece| f64::from(piece.score));
    let best = normal.fold(f64::NEG_INFINITY, f64::max);
    let scored = proto.pieces.iter().filter_map(|piece| match piece.kind {
        NORMAL | UNKNOWN => Some((piece.text.clone(), f64::from(piece.score))),
        // As SentencePiece does, so that such a piece is always taken whole.
        USER_DEFINED => Some((piece.text.clone(), piece.text.len() as f64 * best - 0.1)),
        _ => None,
    });
    let scored: Vec<(String, f64)> = scored.collect();
    let unknown = proto.pieces.iter().find(|piece| piece.kind == UNKNOWN).map(|piece| &piece.text);
    let unknown = unknown.and_then(|text| scored.iter().position(|(piece, _)| piece == text));
    let Some(unknown) = unknown else { return Err(refuse(file, "has no piece for what is unknown")) };
    let mut tokenizer = Tokenizer::new(Unigram::from(scored, Some(unknown), false).map_err(failed)?);

    let normalizer = proto.normalizer.unwrap_or_default();
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if !normalizer.characters.is_empty() {
        let characters = Precompiled::from(&normalizer.characters)
            .map_err(|error| refuse(file, format!("has a table of characters that is not known: {error}")))?;
        steps.push(characters.into());
    }
    if normalizer.remove_extra_whitespaces {
        steps.push(Strip::new(true, true).into());
        let spaces = Replace::new(ReplacePattern::Regex(" {2,}".to_owned()), " ").map_err(failed)?;
        steps.push(spaces.into());
    }
    tokenizer.with_normalizer(Some(Sequence::new(steps))).map_err(failed)?;
    let prepend = if normalizer.add_dummy_prefix { PrependScheme::Always } else { PrependScheme::Never };
    tokenizer.with_pre_tokenizer(Some(PreTokenizerWrapper::Metaspace(Metaspace::new(SPACE, prepend, true))));
    Ok(tokenizer)
}
