//! MarianMT (Junczys-Dowmunt et al. 2018), with Hugging Face's names and shapes.

use super::{
    Memory, Translator,
    config::{Config, initial},
};
use crate::{
    data::TensorDesc,
    error::{Error, Place},
    graph::{Init, Tensor},
    nn::{
        Activation, BlockNames, Layer, Projections, TransformerBlock, embed, generate_token, silu,
        sinusoidal_positions, stack, transformer_block,
    },
};

/// What the parts of a block are called.
const NAMES: BlockNames = BlockNames {
    self_attn: "self_attn",
    cross_attn: "encoder_attn",
    projections: Projections::Apart(["q_proj", "k_proj", "v_proj", "out_proj"]),
    norms: ["self_attn_layer_norm", "encoder_attn_layer_norm", "final_layer_norm"],
    feed_forward: ["fc1", "fc2"],
};

/// The sizes of a MarianMT: those of the published `opus-mt` models if not said.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // named as in config.json
pub struct MarianConfig {
    pub vocab_size: usize,
    pub d_model: usize,
    pub encoder_layers: usize,
    pub decoder_layers: usize,
    pub encoder_attention_heads: usize,
    pub decoder_attention_heads: usize,
    pub encoder_ffn_dim: usize,
    pub decoder_ffn_dim: usize,
    pub activation_function: Activation,
    pub scale_embedding: bool,
    pub pad_token_id: usize,
    pub dropout: f32,
    pub attention_dropout: f32,
    pub activation_dropout: f32,
    pub init_std: f32,
}

impl Default for MarianConfig {
    fn default() -> MarianConfig {
        MarianConfig {
            vocab_size: 58101,
            d_model: 512,
            encoder_layers: 6,
            decoder_layers: 6,
            encoder_attention_heads: 8,
            decoder_attention_heads: 8,
            encoder_ffn_dim: 2048,
            decoder_ffn_dim: 2048,
            activation_function: silu(),
            scale_embedding: true,
            pad_token_id: 58100,
            dropout: 0.1,
            attention_dropout: 0.0,
            activation_dropout: 0.0,
            init_std: 0.02,
        }
    }
}

impl MarianConfig {
    /// Reads a Hugging Face `config.json`.
    ///
    /// # Errors
    /// Text that is no JSON, sizes that are missing, an activation that is not known.
    pub fn from_json(text: &str) -> Result<MarianConfig, Error> {
        let config = Config::parse(text)?;
        Ok(MarianConfig {
            vocab_size: config.size("vocab_size")?,
            d_model: config.size("d_model")?,
            encoder_layers: config.size("encoder_layers")?,
            decoder_layers: config.size("decoder_layers")?,
            encoder_attention_heads: config.size("encoder_attention_heads")?,
            decoder_attention_heads: config.size("decoder_attention_heads")?,
            encoder_ffn_dim: config.size("encoder_ffn_dim")?,
            decoder_ffn_dim: config.size("decoder_ffn_dim")?,
            activation_function: config.activation("activation_function", "gelu")?,
            scale_embedding: config.is("scale_embedding"),
            pad_token_id: config.size("pad_token_id")?,
            dropout: config.number_or("dropout", 0.1)?,
            attention_dropout: config.number_or("attention_dropout", 0.0)?,
            activation_dropout: config.number_or("activation_dropout", 0.0)?,
            init_std: config.number_or("init_std", 0.02)?,
        })
    }
}

/// See [`marian`].
#[derive(Clone, Debug)]
pub struct Marian {
    config: MarianConfig,
    place: Place,
}

/// Decoder^L(EmbedToken(y), Encoder^L(EmbedToken(x))), norms behind the sums, one vocabulary for both languages
///
/// A [`Translator`] with the names of Hugging Face's `MarianMTModel`; the target begins with `pad_token_id`. Positions are
/// computed: loading passes over `model.encoder.embed_positions` and `model.decoder.embed_positions`, and over the copies
/// of `model.shared` that some files have (`lm_head`, `model.encoder.embed_tokens`, `model.decoder.embed_tokens`), with
/// [`ignore_unexpected`](crate::checkpoint::Load::ignore_unexpected).
#[track_caller]
pub fn marian(config: &MarianConfig) -> Marian {
    Marian { config: config.clone(), place: Place::here() }
}

impl Marian {
    /// EmbedToken: scaled rows with positions, all sines first.
    fn embed_token(&self, ids: &Tensor) -> Tensor {
        let c = &self.config;
        let scale = if c.scale_embedding { (c.d_model as f32).sqrt() } else { 1.0 };
        let x = embed(c.vocab_size, c.d_model).padding_idx(c.pad_token_id).apply_at("model.shared", ids) * scale;
        sinusoidal_positions().sines_first().apply(&x).dropout(c.dropout)
    }

    fn block(&self, heads: usize, hidden: usize) -> TransformerBlock {
        let c = &self.config;
        let block = transformer_block(heads, hidden).names(NAMES).activation(c.activation_function);
        block.dropout(c.attention_dropout, c.activation_dropout, c.dropout)
    }

    fn within<T>(&self, ids: &Tensor, body: impl FnOnce() -> T) -> T {
        ids.graph().placed(self.place, || ids.graph().initialise(initial(self.config.init_std), body))
    }
}

impl Translator for Marian {
    fn encode(&self, source: &Tensor, lengths: Option<&Tensor>) -> Memory {
        let c = &self.config;
        self.within(source, || {
            let block = self.block(c.encoder_attention_heads, c.encoder_ffn_dim);
            let block = lengths.iter().fold(block, |block, lengths| block.lengths(lengths));
            let states = stack("model.encoder.layers", c.encoder_layers, block).apply(&self.embed_token(source));
            Memory { states, lengths: lengths.cloned(), initial: Vec::new() }
        })
    }

    fn decode(&self, target: &Tensor, memory: &Memory) -> Tensor {
        let c = &self.config;
        self.within(target, || {
            let block = self.block(c.decoder_attention_heads, c.decoder_ffn_dim).causal().memory(&memory.states);
            let block = memory.lengths.iter().fold(block, |block, lengths| block.memory_lengths(lengths));
            let y = stack("model.decoder.layers", c.decoder_layers, block).apply(&self.embed_token(target));
            let desc = TensorDesc::new([1, c.vocab_size], y.dtype());
            let bias = target.graph().state("final_logits_bias", desc, Init::zeros());
            generate_token(c.vocab_size).tied("model.shared").apply(&y) + bias
        })
    }
}
