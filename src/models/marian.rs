//! MarianMT (Junczys-Dowmunt et al. 2018), with Hugging Face's names and shapes.

use super::{
    Memory, Translator,
    config::{config, initial},
};
use crate::{
    data::TensorDesc,
    error::Place,
    graph::{Init, Tensor},
    nn::{
        Activation, BlockNames, Layer, Projections, TransformerBlock, embed, gelu, generate_token,
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

config! {
    /// The sizes of a MarianMT: what `transformers` takes if not said. Published models are smaller.
    "marian" MarianConfig {
        vocab_size: usize = 58101,
        d_model: usize = 1024,
        encoder_layers: usize = 12,
        decoder_layers: usize = 12,
        encoder_attention_heads: usize = 16,
        decoder_attention_heads: usize = 16,
        encoder_ffn_dim: usize = 4096,
        decoder_ffn_dim: usize = 4096,
        activation_function: Activation = gelu(),
        scale_embedding: bool = false,
        pad_token_id: usize = 58100,
        dropout: f32 = 0.1,
        attention_dropout: f32 = 0.0,
        activation_dropout: f32 = 0.0,
        init_std: f32 = 0.02,
    }
    only {
        share_encoder_decoder_embeddings: true,
        tie_word_embeddings: true,
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
    fn embed_token(&self, ids: &Tensor, positions: Option<&Tensor>) -> Tensor {
        let c = &self.config;
        let scale = if c.scale_embedding { (c.d_model as f32).sqrt() } else { 1.0 };
        let x = embed(c.vocab_size, c.d_model).padding_idx(c.pad_token_id).apply_at("model.shared", ids) * scale;
        sinusoidal_positions().sines_first().at(positions).apply(&x).dropout(c.dropout)
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
            let block = self.block(c.encoder_attention_heads, c.encoder_ffn_dim).lengths(lengths);
            let states = stack("model.encoder.layers", c.encoder_layers, block).apply(&self.embed_token(source, None));
            Memory::new(states, lengths)
        })
    }

    fn decode(&self, target: &Tensor, memory: &Memory) -> Tensor {
        let c = &self.config;
        self.within(target, || {
            let block = self
                .block(c.decoder_attention_heads, c.decoder_ffn_dim)
                .causal()
                .memory(&memory.states)
                .memory_lengths(memory.lengths.as_ref())
                .cached(memory.cache.as_ref());
            let y = self.embed_token(target, memory.positions(target.size(-1)).as_ref());
            let y = stack("model.decoder.layers", c.decoder_layers, block).apply(&y);
            memory.advance(target.size(-1));
            let desc = TensorDesc::new([1, c.vocab_size], y.dtype());
            let bias = target.graph().state("final_logits_bias", desc, Init::zeros());
            generate_token(c.vocab_size).tied("model.shared").apply(&y) + bias
        })
    }
}
