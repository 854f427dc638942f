//! GPT-2 (Radford et al. 2019), with Hugging Face's names and shapes.

use super::config::{config, initial};
use crate::{
    error::Place,
    graph::{Init, Tensor, Variable},
    nn::{
        Activation, BlockNames, Cache, Layer, Projections, embed, gelu_tanh, generate_token, layer_norm,
        learned_positions, stack, transformer_block,
    },
};

/// What the parts of a block are called.
const NAMES: BlockNames = BlockNames {
    self_attn: "attn",
    cross_attn: "crossattention",
    projections: Projections::Transposed(["c_attn", "c_proj"]),
    norms: ["ln_1", "ln_cross_attn", "ln_2"],
    feed_forward: ["mlp.c_fc", "mlp.c_proj"],
};

config! {
    /// The sizes of a GPT-2: those of the smallest published one if not said. Four times `n_embd` hidden units if
    /// `n_inner` is none.
    "gpt2" Gpt2Config {
        vocab_size: usize = 50257,
        n_embd: usize = 768,
        n_layer: usize = 12,
        n_head: usize = 12,
        n_positions: usize = 1024,
        n_inner: Option<usize> = None,
        activation_function: Activation = gelu_tanh(),
        layer_norm_epsilon: f32 = 1e-5,
        embd_pdrop: f32 = 0.1,
        attn_pdrop: f32 = 0.1,
        resid_pdrop: f32 = 0.1,
        initializer_range: f32 = 0.02,
    }
    only {
        scale_attn_weights: true,
        scale_attn_by_inverse_layer_idx: false,
        add_cross_attention: false,
        tie_word_embeddings: true,
    }
}

/// See [`gpt2`].
#[derive(Clone, Debug)]
pub struct Gpt2 {
    config: Gpt2Config,
    most: Option<usize>,
    lengths: Option<Tensor>,
    place: Place,
}

/// LanguageModel(x) = GenerateToken(LN(TransformerBlock^L(EmbedToken(x)))), causal, norms in front
///
/// Ids `u32 [B, T]` → logits of each next token `[B, T, vocab_size]`, with the names of Hugging Face's `GPT2LMHeadModel`.
/// Files that have them without `transformer.` (the first ones published) load with
/// [`optional_prefix("transformer.")`](crate::checkpoint::Load::optional_prefix). No token sees a later one, so padding
/// behind a text changes none of its logits.
#[track_caller]
pub fn gpt2(config: &Gpt2Config) -> Gpt2 {
    Gpt2 { config: config.clone(), most: None, lengths: None, place: Place::here() }
}

impl Gpt2 {
    /// Puts the ids behind those of earlier runs, whose keys and values stay in states: a [`Cache`] for texts of at most
    /// `most` tokens.
    pub fn cached(self, most: usize) -> Gpt2 {
        Gpt2 { most: Some(most), ..self }
    }

    /// `u32 [B]`: how many ids of each text count; with a cache, the next run goes on behind them.
    pub fn lengths(self, lengths: &Tensor) -> Gpt2 {
        Gpt2 { lengths: Some(lengths.clone()), ..self }
    }

    /// Initial values: what is added to the sums is smaller the more layers there are.
    fn initial(&self, variable: &Variable) -> Option<Init> {
        let std = self.config.initializer_range;
        let added = variable.name.ends_with("c_proj.weight");
        initial(if added { std / (2.0 * self.config.n_layer as f32).sqrt() } else { std })(variable)
    }

    fn model(&self, ids: &Tensor) -> Tensor {
        let (c, graph, count) = (&self.config, ids.graph(), ids.size(-1));
        let cache = self.most.map(|most| Cache::new(graph, ids.size(0), most));
        let positions = cache.as_ref().map(|cache| cache.positions(count));
        let norm = layer_norm().eps(c.layer_norm_epsilon);
        let block = transformer_block(c.n_head, c.n_inner.unwrap_or(4 * c.n_embd))
            .names(NAMES)
            .activation(c.activation_function)
            .norm(norm)
            .norm_first(true)
            .dropout(c.attn_pdrop, 0.0, c.resid_pdrop)
            .causal()
            .cached(cache.as_ref());
        let x = graph.scoped("transformer", || {
            let x = embed(c.vocab_size, c.n_embd).apply_at("wte", ids);
            let x = learned_positions(c.n_positions).at(positions.as_ref()).apply_at("wpe", &x).dropout(c.embd_pdrop);
            norm.apply_at("ln_f", &stack("h", c.n_layer, block).apply(&x))
        });
        if let Some(cache) = &cache {
            cache.advance(count, self.lengths.as_ref());
        }
        generate_token(c.vocab_size).tied("transformer.wte").apply(&x)
    }
}

impl Layer for Gpt2 {
    fn apply(&self, ids: &Tensor) -> Tensor {
        let graph = ids.graph();
        graph.placed(self.place, || graph.initialise(|variable| self.initial(variable), || self.model(ids)))
    }
}
