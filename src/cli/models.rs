//! The models that `wgrad summary` and `wgrad profile` know.

use crate::{
    data::{Array, DType},
    error::Error,
    graph::{Graph, Mode, Role, Tensor},
    models::{
        BertConfig, Gpt2Config, MarianConfig, Translator, alexnet, bert, gpt2, lenet, lstm_lm, marian, text_classifier,
        video_classifier,
    },
    nn::{Layer, collapse, lstm, silu},
    optim::AdamW,
    pretrained::{Directory, Published},
};
use clap::ValueEnum;
use std::path::PathBuf;

/// A model by its name, or the directory of a published one.
#[derive(Clone, Debug)]
pub(super) enum Model {
    Known(Known),
    Directory(PathBuf),
}

/// Reads a name or a directory.
pub(super) fn parse(text: &str) -> Result<Model, String> {
    match Known::from_str(text, true) {
        Ok(known) => Ok(Model::Known(known)),
        Err(_) if std::path::Path::new(text).exists() => Ok(Model::Directory(text.into())),
        Err(_) => Err(format!("there is no such directory, and the names are {}", names())),
    }
}

fn names() -> String {
    let values = Known::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(", ")
}

pub(super) fn short_help() -> String {
    format!("The model: {}, or a directory with a config.json", names())
}

pub(super) fn long_help() -> String {
    let values = Known::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let lines = values.map(|value| {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        format!("\n  {:<17} {help}", value.get_name())
    });
    format!("The model: a directory with a config.json, of a BERT, GPT-2 or Marian, or{}", lines.collect::<String>())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Known {
    /// AlexNet for images of 224×224.
    Alexnet,
    /// The network of `wgrad train digits`.
    Digits,
    /// BERT of 12 layers, classifying texts into two classes.
    BertBase,
    /// BERT of 6 layers and 384 numbers a token, classifying texts into two classes.
    BertMini,
    /// The same with a vector for a sentence, trained to tell the sentences of a batch apart.
    Minilm,
    /// The smallest GPT-2.
    Gpt2,
    /// A MarianMT of 6 + 6 layers, as the published ones are.
    Marian,
    /// A language model of two LSTMs of 256 units.
    Lstm,
    /// An LSTM and attention over its states, classifying texts into 4 classes.
    TextClassifier,
    /// Two convolutions in space and time, classifying videos of 112×112 into 10 classes.
    VideoClassifier,
}

/// What a model is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// How many examples at once.
    pub batch: usize,
    /// How many tokens a text has, or frames a video.
    pub length: Option<usize>,
    /// The element type of parameters and activations.
    pub dtype: DType,
}

/// A model with its sizes.
#[derive(Clone, Debug)]
pub(super) enum Network {
    Alexnet,
    Digits,
    Bert { config: BertConfig, sentence: bool },
    Gpt2(Gpt2Config),
    Marian(MarianConfig),
    Lstm,
    TextClassifier,
    VideoClassifier,
}

/// The vocabulary of models that no file belongs to.
const WORDS: usize = 10_000;

impl From<Known> for Network {
    fn from(known: Known) -> Network {
        let small = || BertConfig {
            hidden_size: 384,
            num_hidden_layers: 6,
            num_attention_heads: 12,
            intermediate_size: 1536,
            ..BertConfig::default()
        };
        match known {
            Known::Alexnet => Network::Alexnet,
            Known::Digits => Network::Digits,
            Known::BertBase => Network::Bert { config: BertConfig::default(), sentence: false },
            Known::BertMini => Network::Bert { config: small(), sentence: false },
            Known::Minilm => Network::Bert { config: small(), sentence: true },
            Known::Gpt2 => Network::Gpt2(Gpt2Config::default()),
            Known::Marian => Network::Marian(MarianConfig {
                d_model: 512,
                encoder_layers: 6,
                decoder_layers: 6,
                encoder_attention_heads: 8,
                decoder_attention_heads: 8,
                encoder_ffn_dim: 2048,
                decoder_ffn_dim: 2048,
                activation_function: silu(),
                scale_embedding: true,
                ..MarianConfig::default()
            }),
            Known::Lstm => Network::Lstm,
            Known::TextClassifier => Network::TextClassifier,
            Known::VideoClassifier => Network::VideoClassifier,
        }
    }
}

impl Network {
    /// The network that a name or a directory stands for.
    pub fn of(model: &Model) -> Result<Network, Error> {
        Ok(match model {
            Model::Known(known) => Network::from(*known),
            Model::Directory(path) => match Directory::open(path)?.model() {
                Published::Bert(config) => Network::Bert { config: config.clone(), sentence: true },
                Published::Gpt2(config) => Network::Gpt2(config.clone()),
                Published::Marian(config) => Network::Marian(config.clone()),
            },
        })
    }
}

/// A model at work: a graph, what it is run for, and numbers for its inputs.
#[derive(Debug)]
pub(super) struct Program {
    pub graph: Graph,
    pub output: Tensor,
    /// How many different ids there are.
    ids: usize,
}

impl Network {
    /// Its use: logits, or vectors, of inputs.
    pub fn inference(&self, sizes: Sizes) -> Program {
        let graph = Graph::new(Mode::Infer);
        let output = graph.floats(sizes.dtype, || self.output(&graph, sizes));
        Program { graph, output, ids: self.ids() }
    }

    /// A step of its training with AdamW: the loss of inputs and `label`.
    pub fn training(&self, sizes: Sizes) -> Program {
        let graph = Graph::new(Mode::Train);
        let logits = graph.floats(sizes.dtype, || {
            let y = self.output(&graph, sizes);
            match self {
                // The scores of every sentence beside every sentence, at the usual temperature of 1/20.
                Network::Bert { sentence: true, .. } => y.matmul(&y.transpose(0, 1)) * 20.0,
                _ => y,
            }
        });
        let output = if logits.is_failed() {
            logits
        } else {
            let rows = logits.shape().numel() / logits.size(-1);
            let label = graph.input_of("label", [rows], DType::U32);
            let loss = logits.reshape([rows, logits.size(-1)]).cross_entropy(&label);
            AdamW::new(1e-3).minimise(&loss);
            loss
        };
        Program { graph, output, ids: self.ids() }
    }

    fn ids(&self) -> usize {
        match self {
            Network::Bert { config, .. } => config.vocab_size,
            Network::Gpt2(config) => config.vocab_size,
            Network::Marian(config) => config.vocab_size,
            _ => WORDS,
        }
    }

    fn output(&self, graph: &Graph, sizes: Sizes) -> Tensor {
        let (batch, tokens) = (sizes.batch, sizes.length.unwrap_or(128));
        let ids = |name: &str| graph.input_of(name, [batch, tokens], DType::U32);
        let image = |shape: &[usize]| graph.input_of("x", shape, sizes.dtype);
        match self {
            Network::Alexnet => alexnet(1000).apply(&image(&[batch, 3, 224, 224])),
            Network::Digits => lenet(10).apply(&image(&[batch, 1, 8, 8])),
            Network::Bert { config, sentence: true } => bert(config).sentence(&ids("x")),
            Network::Bert { config, sentence: false } => bert(config).classify(&ids("x"), 2),
            Network::Gpt2(config) => gpt2(config).apply(&ids("x")),
            Network::Marian(config) => marian(config).logits(&ids("x"), None, &ids("y")),
            Network::Lstm => lstm_lm(WORDS, 256, 2).apply(&ids("x")),
            Network::TextClassifier => {
                text_classifier(WORDS, 128, 4, lstm(128), collapse::attention()).apply(&ids("x"))
            }
            Network::VideoClassifier => {
                video_classifier(16, 10).apply(&image(&[batch, 3, sizes.length.unwrap_or(16), 112, 112]))
            }
        }
    }
}

impl Program {
    /// Numbers for each input: neither zeros, which some processors skip, nor denormal numbers, which some are slow at.
    pub fn inputs(&self) -> Result<Vec<(String, Array)>, Error> {
        let variables = self.graph.variables().into_iter().filter(|variable| variable.role == Role::Input);
        let input = variables.map(|variable| {
            let (desc, count) = (&variable.desc, variable.desc.shape.numel());
            // Every model has at least two classes.
            let limit = if &*variable.name == "label" { 2 } else { self.ids };
            let array = match desc.dtype {
                DType::U32 => {
                    let ids: Vec<u32> = (0..count).map(|i| ((i * 7919 + 1) % limit) as u32).collect();
                    Array::from_u32(&desc.shape, &ids)?
                }
                dtype => {
                    let numbers: Vec<f32> = (0..count).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
                    Array::from_f32_as(dtype, &desc.shape, &numbers)?
                }
            };
            Ok((variable.name.to_string(), array))
        });
        input.collect()
    }
}
