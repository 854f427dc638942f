//! Texts as numbers: one for each character or word.

use crate::error::{Error, ErrorKind};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A character.
    Character,
    /// A word in small letters, or a punctuation mark.
    Word,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Unit::Character => "character",
            Unit::Word => "word",
        }
    }

    fn split(self, text: &str) -> Vec<String> {
        match self {
            Unit::Character => text.chars().map(String::from).collect(),
            Unit::Word => words(text),
        }
    }
}

/// Runs of letters, digits and apostrophes in small letters; any other visible character by itself.
fn words(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut inside = false;
    for c in text.chars() {
        let part = c.is_alphanumeric() || c == '\'';
        match found.last_mut().filter(|_| part && inside) {
            Some(word) => word.extend(c.to_lowercase()),
            None if c.is_whitespace() => {}
            None => found.push(c.to_lowercase().collect()),
        }
        inside = part;
    }
    found
}

/// The characters or words of some texts, numbered: the most frequent first, behind four marks.
///
/// ```
/// use wgrad::train::{Unit, Vocabulary};
/// let words = Vocabulary::of(Unit::Word, ["The cat.", "The dog."], 100);
/// assert_eq!(words.encode("the dog, the cat"), [5, 7, Vocabulary::UNKNOWN, 5, 6]);
/// assert_eq!(words.decode(&[5, 6, 4, Vocabulary::END]), "the cat.");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    unit: Unit,
    tokens: Vec<String>,
    numbers: HashMap<String, u32>,
}

/// How many numbers come before those of the texts.
const MARKS: usize = 4;

impl Vocabulary {
    /// What fills a row behind its text.
    pub const PAD: u32 = 0;
    /// What a text that is to be generated begins with.
    pub const BEGIN: u32 = 1;
    /// What ends a text.
    pub const END: u32 = 2;
    /// What the vocabulary lacks.
    pub const UNKNOWN: u32 = 3;

    /// The `most` most frequent units of the texts; among equals, the first in the order of the alphabet.
    pub fn of<'a>(unit: Unit, texts: impl IntoIterator<Item = &'a str>, most: usize) -> Vocabulary {
        let mut counts: HashMap<String, u64> = HashMap::new();
        for text in texts {
            for token in unit.split(text) {
                *counts.entry(token).or_insert(0) += 1;
            }
        }
        let mut tokens: Vec<(String, u64)> = counts.into_iter().collect();
        tokens.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
        tokens.truncate(most);
        Vocabulary::from_tokens(unit, tokens.into_iter().map(|(token, _)| token).collect())
    }

    fn from_tokens(unit: Unit, tokens: Vec<String>) -> Vocabulary {
        let numbers = tokens.iter().enumerate().map(|(i, token)| (token.clone(), (i + MARKS) as u32)).collect();
        Vocabulary { unit, tokens, numbers }
    }

    /// How many numbers there are, marks included.
    pub fn len(&self) -> usize {
        self.tokens.len() + MARKS
    }

    /// Whether there are none but the marks.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The numbers of a text, without marks at its ends.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let number = |token: String| self.numbers.get(&token).copied().unwrap_or(Vocabulary::UNKNOWN);
        self.unit.split(text).into_iter().map(number).collect()
    }

    /// The first unit of a text that the vocabulary lacks.
    pub fn unknown(&self, text: &str) -> Option<String> {
        self.unit.split(text).into_iter().find(|token| !self.numbers.contains_key(token))
    }

    /// The text of numbers up to the end mark; other marks are left out.
    pub fn decode(&self, numbers: &[u32]) -> String {
        let mut text = String::new();
        for &number in numbers.iter().take_while(|&&number| number != Vocabulary::END) {
            let Some(token) = (number as usize).checked_sub(MARKS).and_then(|i| self.tokens.get(i)) else { continue };
            let joined =
                self.unit == Unit::Character || text.is_empty() || [".", ",", "!", "?", ":", ";"].contains(&&**token);
            if !joined {
                text.push(' ');
            }
            text.push_str(token);
        }
        text
    }

    /// What a file keeps of it.
    pub fn to_json(&self) -> Value {
        json!({ "unit": self.unit.name(), "tokens": self.tokens })
    }

    /// Reads what [`to_json`](Vocabulary::to_json) made.
    ///
    /// # Errors
    /// Something else.
    pub fn from_json(value: &Value) -> Result<Vocabulary, Error> {
        let read = || {
            let unit = [Unit::Character, Unit::Word].into_iter().find(|unit| value["unit"] == unit.name())?;
            let tokens = value["tokens"].as_array()?.iter().map(|token| token.as_str().map(str::to_owned));
            Some(Vocabulary::from_tokens(unit, tokens.collect::<Option<_>>()?))
        };
        read().ok_or_else(|| Error::new(ErrorKind::Data, "the vocabulary is none that a training has written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_joined() {
        let texts = ["It's Ümlaut-time, \"now\"!", "it's now"];
        let vocabulary = Vocabulary::of(Unit::Word, texts, 100);
        assert_eq!(words(texts[0]), ["it's", "ümlaut", "-", "time", ",", "\"", "now", "\"", "!"]);
        assert_eq!(vocabulary.decode(&vocabulary.encode("It's time, now!")), "it's time, now!");
        assert_eq!(vocabulary.encode("now"), [6], "frequent words first, equals by the alphabet");
        assert_eq!(vocabulary.encode("never"), [Vocabulary::UNKNOWN]);
        assert_eq!(vocabulary.unknown("now or never"), Some("or".to_owned()));
        assert_eq!(Vocabulary::of(Unit::Word, texts, 2).len(), 6);
    }

    #[test]
    fn characters_come_back_and_marks_do_not() {
        let vocabulary = Vocabulary::of(Unit::Character, ["naïve\n"], 100);
        let numbers = vocabulary.encode("nïa\n");
        assert_eq!(vocabulary.decode(&[&[Vocabulary::BEGIN], &numbers[..], &[Vocabulary::END, 5]].concat()), "nïa\n");
        assert_eq!(Vocabulary::from_json(&vocabulary.to_json()).unwrap(), vocabulary);
        assert!(Vocabulary::from_json(&json!({ "unit": "page" })).is_err());
    }
}
