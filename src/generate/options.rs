//! What is asked of generation: plain data.

use crate::error::{Error, ErrorKind};

/// How texts are made, in the meaning of `transformers`' `generate`.
///
/// ```
/// use wgrad::generate::Options;
///
/// let likeliest = Options::greedy().max_new_tokens(64).eos(50256);
/// let varied = Options::sample(7).temperature(0.8).top_k(50).top_p(0.95).max_new_tokens(64);
/// let searched = Options::beam(4).length_penalty(0.6).early_stopping(EarlyStopping::Full).eos(0);
/// # use wgrad::generate::EarlyStopping;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How the next token is chosen.
    pub choice: Choice,
    /// The most tokens that are added to a prompt; 64 if not said.
    pub max_new_tokens: usize,
    /// Before so many tokens none ends the text.
    pub min_new_tokens: usize,
    /// The tokens that end a text, at most eight; none if not said.
    pub eos: Vec<u32>,
    /// The token that follows behind the end on the device; it is never returned.
    pub pad: u32,
    /// The token with which a translator begins.
    pub start: u32,
    /// Tokens that are never chosen: `bad_words_ids` of one token, `suppress_tokens`.
    pub suppress: Vec<u32>,
    /// The token that the last one has to be, if the text has not ended before: `forced_eos_token_id`.
    pub forced_eos: Option<u32>,
    /// What scores of tokens that the text already has are divided by, or multiplied where they are negative; 1 if not
    /// said.
    pub repetition_penalty: f32,
    /// How many tokens are made in one submit; 8 if not said.
    pub tokens_per_submit: usize,
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Choice {
    /// The likeliest; of equal ones that with the lowest id.
    Greedy,
    /// One drawn from softmax(logits/temperature) of what is left.
    Sample {
        /// What logits are divided by.
        temperature: f32,
        /// Whether only so many of the likeliest are left; of equal ones those with lower ids.
        top_k: Option<usize>,
        /// Whether only the fewest of the likeliest are left whose probabilities reach this sum.
        top_p: Option<f32>,
        /// Of what the numbers are drawn: the same seed, prompts and weights give the same texts.
        seed: u64,
    },
    /// The text that is likeliest as a whole of those that a search with several beams finds.
    Beam {
        /// How many texts go on side by side, at most 32.
        beams: usize,
        /// The power of the length by which the logarithm of a text's probability is divided: longer ones are preferred
        /// where it is positive.
        length_penalty: f32,
        /// When the search ends.
        early_stopping: EarlyStopping,
    },
}

/// When a beam search has enough texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyStopping {
    /// When no running beam, measured at its present length, is better than the worst text: `False`.
    #[default]
    Likely,
    /// When there are as many texts as beams: `True`.
    Full,
    /// When no running beam can get better than the worst text: `"never"`.
    Never,
}

impl Options {
    fn new(choice: Choice) -> Options {
        Options {
            choice,
            max_new_tokens: 64,
            min_new_tokens: 0,
            eos: Vec::new(),
            pad: 0,
            start: 0,
            suppress: Vec::new(),
            forced_eos: None,
            repetition_penalty: 1.0,
            tokens_per_submit: 8,
        }
    }

    /// The likeliest token each time.
    pub fn greedy() -> Options {
        Options::new(Choice::Greedy)
    }

    /// Tokens drawn from the model's distribution.
    pub fn sample(seed: u64) -> Options {
        Options::new(Choice::Sample { temperature: 1.0, top_k: None, top_p: None, seed })
    }

    /// A search with several beams.
    pub fn beam(beams: usize) -> Options {
        let (length_penalty, early_stopping) = (1.0, EarlyStopping::Likely);
        Options::new(Choice::Beam { beams, length_penalty, early_stopping })
    }

    /// What logits are divided by before one is drawn. Only sampling has it.
    pub fn temperature(mut self, value: f32) -> Options {
        if let Choice::Sample { temperature, .. } = &mut self.choice {
            *temperature = value;
        }
        self
    }

    /// Draws only from the likeliest `count` tokens. Only sampling has it.
    pub fn top_k(mut self, count: usize) -> Options {
        if let Choice::Sample { top_k, .. } = &mut self.choice {
            *top_k = Some(count);
        }
        self
    }

    /// Draws only from the fewest likeliest tokens whose probabilities reach `sum`. Only sampling has it.
    pub fn top_p(mut self, sum: f32) -> Options {
        if let Choice::Sample { top_p, .. } = &mut self.choice {
            *top_p = Some(sum);
        }
        self
    }

    /// The power of the length by which a text's score is divided. Only beam search has it.
    pub fn length_penalty(mut self, power: f32) -> Options {
        if let Choice::Beam { length_penalty, .. } = &mut self.choice {
            *length_penalty = power;
        }
        self
    }

    /// When the search ends. Only beam search has it.
    pub fn early_stopping(mut self, when: EarlyStopping) -> Options {
        if let Choice::Beam { early_stopping, .. } = &mut self.choice {
            *early_stopping = when;
        }
        self
    }

    /// The most tokens that are added to a prompt.
    pub fn max_new_tokens(self, count: usize) -> Options {
        Options { max_new_tokens: count, ..self }
    }

    /// Lets no text end before so many tokens.
    pub fn min_new_tokens(self, count: usize) -> Options {
        Options { min_new_tokens: count, ..self }
    }

    /// A token that ends a text; there may be several. The first also follows behind the end.
    pub fn eos(mut self, id: u32) -> Options {
        if self.eos.is_empty() {
            self.pad = id;
        }
        self.eos.push(id);
        self
    }

    /// The token that follows behind the end.
    pub fn pad(self, id: u32) -> Options {
        Options { pad: id, ..self }
    }

    /// The token with which a translator begins: Marian's is `pad_token_id`.
    pub fn start(self, id: u32) -> Options {
        Options { start: id, ..self }
    }

    /// Tokens that are never chosen.
    pub fn suppress(self, ids: &[u32]) -> Options {
        Options { suppress: ids.to_vec(), ..self }
    }

    /// The token that a text ends with that has not ended before its last token.
    pub fn forced_eos(self, id: u32) -> Options {
        Options { forced_eos: Some(id), ..self }
    }

    /// Makes tokens less likely that the text already has, above 1, or likelier, below.
    pub fn repetition_penalty(self, penalty: f32) -> Options {
        Options { repetition_penalty: penalty, ..self }
    }

    /// How many tokens are made in one submit.
    pub fn tokens_per_submit(self, count: usize) -> Options {
        Options { tokens_per_submit: count, ..self }
    }

    /// How many sequences go on from each prompt.
    pub(super) fn beams(&self) -> usize {
        match self.choice {
            Choice::Beam { beams, .. } => beams,
            _ => 1,
        }
    }

    pub(super) fn seed(&self) -> u64 {
        match self.choice {
            Choice::Sample { seed, .. } => seed,
            _ => 0,
        }
    }

    /// Refuses what no text can be made with.
    pub(super) fn check(&self) -> Result<(), Error> {
        let positive = |x: f32| x.is_finite() && x > 0.0;
        let reason = if self.max_new_tokens == 0 {
            "max_new_tokens is 0, not at least 1".to_owned()
        } else if self.tokens_per_submit == 0 {
            "tokens_per_submit is 0, not at least 1".to_owned()
        } else if self.eos.len() > 8 {
            format!("{} tokens end a text, not at most 8", self.eos.len())
        } else if !positive(self.repetition_penalty) {
            format!("repetition_penalty is {}, not a number above 0", self.repetition_penalty)
        } else {
            match self.choice {
                Choice::Sample { temperature, .. } if !positive(temperature) => {
                    format!("temperature is {temperature}, not a number above 0")
                }
                Choice::Sample { top_k: Some(0), .. } => "top_k is 0, not at least 1".to_owned(),
                Choice::Sample { top_p: Some(p), .. } if !(p > 0.0 && p <= 1.0) => {
                    format!("top_p is {p}, not above 0 and at most 1")
                }
                Choice::Beam { beams, .. } if !(1..=32).contains(&beams) => format!("{beams} beams are not 1 to 32"),
                Choice::Beam { length_penalty, .. } if !length_penalty.is_finite() => {
                    format!("length_penalty is {length_penalty}, not a number")
                }
                _ => return Ok(()),
            }
        };
        Err(Error::new(ErrorKind::Shape, format!("generate: {reason}")))
    }
}
