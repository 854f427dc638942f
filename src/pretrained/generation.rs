//! Texts by published models: GPT-2 goes on with them, Marian translates them.

use super::{Directory, Published, Tokenizer, refuse};
use crate::{
    data::DType,
    error::{Error, ErrorKind},
    generate::{Generator, Options},
    gpu::Context,
    graph::{Graph, Mode, Tensor},
    models::{Translator, gpt2, marian},
    nn::Layer,
    session::Weights,
};
use std::{ops::ControlFlow, path::Path};

/// A GPT-2 or a Marian that makes texts of texts: see [`TextModel::open`].
#[derive(Debug)]
pub struct TextModel {
    context: Context,
    directory: Directory,
    tokenizer: Tokenizer,
    weights: Weights,
    options: Options,
}

impl TextModel {
    /// Opens a directory with a GPT-2 or a Marian: sizes, weights, tokenizer, and how its files want texts made.
    ///
    /// ```no_run
    /// # fn go(context: &wgrad::gpu::Context) -> Result<(), wgrad::error::Error> {
    /// # use wgrad::pretrained::TextModel;
    /// let model = TextModel::open(context, "opus-mt-en-de")?;
    /// let texts = model.run(&["Good morning!", "The cat sits on the mat."], model.options())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Directory::open`] and [`Directory::load`]; another model; a tokenizer that cannot be used; an error of the device.
    pub fn open(context: &Context, directory: impl AsRef<Path>) -> Result<TextModel, Error> {
        let directory = Directory::open(directory)?;
        let graph = Graph::new(Mode::Infer);
        let ids = |name: &str| graph.input_of(name, [1, 1], DType::U32);
        let (logits, rows): (Tensor, usize) = match directory.model() {
            Published::Bert(_) => return Err(directory.not("gpt2 or marian", "a BERT makes no texts: try wgrad embed")),
            Published::Gpt2(config) => (gpt2(config).apply(&ids("ids")), config.vocab_size),
            Published::Marian(config) => (marian(config).logits(&ids("source"), None, &ids("ids")), config.vocab_size),
        };
        let tokenizer = directory.tokenizer()?;
        if tokenizer.vocabulary() > rows {
            let tokens = tokenizer.vocabulary();
            let reason = format!("the tokenizer has {tokens} tokens, the model {rows}: they do not belong together");
            return Err(refuse(directory.path(), reason));
        }
        let options = options(&directory)?;
        directory.weights()?;
        let weights = Weights::init(context, &graph.plan(&[("logits", &logits)], context.target())?, 0)?;
        directory.load(&weights)?;
        Ok(TextModel { context: context.clone(), directory, tokenizer, weights, options })
    }

    /// Whether it translates; it goes on with texts if not.
    pub fn translates(&self) -> bool {
        matches!(self.directory.model(), Published::Marian(_))
    }

    /// How `generation_config.json` and `config.json` want texts made: what ends one, what none may have, with how many
    /// beams, how long. The likeliest token and 64 of them, where they do not say.
    pub fn options(&self) -> Options {
        self.options.clone()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The weights, to share with sessions of other graphs.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// A generator over these weights, for ids.
    ///
    /// # Errors
    /// Options with which no text can be made.
    pub fn generator(&self, options: Options) -> Result<Generator, Error> {
        match self.directory.model() {
            Published::Gpt2(config) => Generator::new(&self.context, &self.weights, gpt2(config), options),
            Published::Marian(config) => Generator::translator(&self.context, &self.weights, marian(config), options),
            Published::Bert(_) => Err(self.directory.not("gpt2 or marian", "a BERT makes no texts")),
        }
    }

    /// What follows each text, or its translation.
    ///
    /// # Errors
    /// As [`Generator::run`]; an error of the tokenizer; a text without tokens, for a GPT-2.
    pub fn run(&self, texts: &[impl AsRef<str>], options: Options) -> Result<Vec<String>, Error> {
        let ids = self.encode(texts)?;
        let found = self.generator(options)?.run(&ids)?;
        found.iter().map(|ids| self.tokenizer.decode(ids)).collect()
    }

    /// [`run`](TextModel::run) for one text, that says what there is of the result as it grows, and may be told to stop.
    ///
    /// # Errors
    /// As [`run`](TextModel::run).
    pub fn run_with(
        &self,
        text: &str,
        options: Options,
        mut say: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<String, Error> {
        let ids = self.encode(&[text])?;
        let (mut so_far, mut failed) = (Vec::new(), None);
        let found = self.generator(options)?.run_with(&ids, |new| {
            so_far.extend(new.iter().flatten().copied());
            match self.tokenizer.decode(&so_far) {
                Ok(text) => say(&text),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        match failed {
            Some(error) => Err(error),
            None => self.tokenizer.decode(found.first().map_or(&[], Vec::as_slice)),
        }
    }

    fn encode(&self, texts: &[impl AsRef<str>]) -> Result<Vec<Vec<u32>>, Error> {
        let ids: Vec<Vec<u32>> =
            texts.iter().map(|text| self.tokenizer.encode(text.as_ref())).collect::<Result<_, Error>>()?;
        match ids.iter().position(Vec::is_empty) {
            Some(i) => Err(Error::new(ErrorKind::Data, format!("generate: text {i} has no tokens"))
                .hint("give a word to go on from")),
            None => Ok(ids),
        }
    }
}

/// What a directory's files say of generation, as options.
fn options(directory: &Directory) -> Result<Options, Error> {
    let settings = directory.generation()?;
    let ids = |ids: &[usize]| ids.iter().map(|&id| id as u32).collect::<Vec<u32>>();
    let mut options = match settings.num_beams {
        Some(beams) if beams > 1 => Options::beam(beams).length_penalty(settings.length_penalty.unwrap_or(1.0)),
        _ if settings.do_sample == Some(true) => {
            // transformers draws from the 50 likeliest where nothing is said.
            let options = Options::sample(0).temperature(settings.temperature.unwrap_or(1.0));
            let options = match settings.top_k.unwrap_or(50) {
                0 => options,
                count => options.top_k(count),
            };
            settings.top_p.filter(|&p| p < 1.0).map_or(options.clone(), |p| options.top_p(p))
        }
        _ => Options::greedy(),
    };
    for id in ids(&settings.eos_token_id) {
        options = options.eos(id);
    }
    if let Published::Marian(config) = directory.model() {
        let start = settings.decoder_start_token_id.unwrap_or(config.pad_token_id);
        options = options.start(start as u32);
    }
    if let Some(id) = settings.pad_token_id {
        options = options.pad(id as u32);
    }
    if let Some(id) = settings.forced_eos_token_id {
        options = options.forced_eos(id as u32);
    }
    // The length of a translation counts the token it begins with; that of a GPT-2's text its prompt, which is not known.
    let length = settings.max_length.filter(|_| matches!(directory.model(), Published::Marian(_)));
    if let Some(most) = settings.max_new_tokens.or(length.map(|most| most.saturating_sub(1).max(1))) {
        options = options.max_new_tokens(most);
    }
    Ok(options.suppress(&ids(&settings.bad_tokens)))
}
