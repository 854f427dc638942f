//! BERT (Devlin et al. 2019), with Hugging Face's names and shapes.

use super::config::{config, initial};
use crate::{
    error::Place,
    graph::{Init, Tensor},
    nn::{
        Activation, BlockNames, Layer, Projections, embed, gelu, layer_norm, learned_positions, stack,
        transformer_block,
    },
};

/// What the parts of a block are called.
const NAMES: BlockNames = BlockNames {
    self_attn: "attention",
    cross_attn: "crossattention",
    projections: Projections::Apart(["self.query", "self.key", "self.value", "output.dense"]),
    norms: ["attention.output.LayerNorm", "crossattention.output.LayerNorm", "output.LayerNorm"],
    feed_forward: ["intermediate.dense", "output.dense"],
};

config! {
    /// The sizes of a BERT: those of `bert-base-uncased` if not said.
    "bert" BertConfig {
        vocab_size: usize = 30522,
        hidden_size: usize = 768,
        num_hidden_layers: usize = 12,
        num_attention_heads: usize = 12,
        intermediate_size: usize = 3072,
        hidden_act: Activation = gelu(),
        layer_norm_eps: f32 = 1e-12,
        max_position_embeddings: usize = 512,
        type_vocab_size: usize = 2,
        pad_token_id: usize = 0,
        hidden_dropout_prob: f32 = 0.1,
        attention_probs_dropout_prob: f32 = 0.1,
        initializer_range: f32 = 0.02,
    }
    only {
        position_embedding_type: "absolute",
        is_decoder: false,
        add_cross_attention: false,
    }
}

/// See [`bert`].
#[derive(Clone, Debug)]
pub struct Bert {
    pub(super) config: BertConfig,
    pub(super) lengths: Option<Tensor>,
    token_types: Option<Tensor>,
    place: Place,
}

/// BERT(x) = TransformerBlock^L(EmbedToken(x))
///
/// Ids `u32 [B, T]` → `[B, T, hidden_size]`, with the names of Hugging Face's `BertModel`. The heads are methods; those
/// of `BertForMaskedLM` and `BertForSequenceClassification` put `bert.` before the names of the model itself.
///
/// ```no_run
/// # use wgrad::{models::*, prelude::*, pretrained::*};
/// # fn go(context: &Context) -> Result<(), Error> {
/// let directory = Directory::open("MiniLM")?;
/// let Published::Bert(config) = directory.model() else { panic!("a BERT is wanted") };
/// let graph = Graph::new(Mode::Infer);
/// let lengths = graph.input_of("lengths", [2], DType::U32);
/// let y = bert(config).lengths(&lengths).sentence(&graph.input_of("ids", [2, 16], DType::U32));
/// let plan = graph.plan(&[("y", &y)], context.target())?;
/// let weights = Weights::init(context, &plan, 0)?;
/// directory.load(&weights)?; // a file of a model with a head, with an older library's names, serves as well
/// # Ok(())
/// # }
/// ```
///
/// [`SentenceEncoder`](crate::pretrained::SentenceEncoder) does this, and its tokens, in one call.
#[track_caller]
pub fn bert(config: &BertConfig) -> Bert {
    Bert { config: config.clone(), lengths: None, token_types: None, place: Place::here() }
}

impl Bert {
    /// `u32 [B]`: how many tokens each sequence has; the rest is padding.
    pub fn lengths(self, lengths: &Tensor) -> Bert {
        Bert { lengths: Some(lengths.clone()), ..self }
    }

    /// `u32 [B, T]`: which of two sentences a token belongs to; all to the first if not said.
    pub fn token_types(self, types: &Tensor) -> Bert {
        Bert { token_types: Some(types.clone()), ..self }
    }

    /// EmbedToken: the sum of the rows of token, position and type, normalised.
    fn embed_token(&self, ids: &Tensor) -> Tensor {
        let c = &self.config;
        let words = embed(c.vocab_size, c.hidden_size).padding_idx(c.pad_token_id).apply_at("word_embeddings", ids);
        let placed = learned_positions(c.max_position_embeddings).apply_at("position_embeddings", &words);
        let types = ids.graph().scoped("token_type_embeddings", || {
            let weight = ids.graph().parameter("weight", [c.type_vocab_size, c.hidden_size], Init::normal(1.0));
            self.token_types.as_ref().map_or_else(|| weight.slice(0, 0..1), |types| weight.embedding(types))
        });
        layer_norm().eps(c.layer_norm_eps).apply_at("LayerNorm", &(placed + types)).dropout(c.hidden_dropout_prob)
    }

    /// A head: `body` with mistakes at the model's place and Hugging Face's initial values.
    pub(super) fn head(&self, ids: &Tensor, body: impl FnOnce() -> Tensor) -> Tensor {
        let graph = ids.graph();
        graph.placed(self.place, || graph.initialise(initial(self.config.initializer_range), body))
    }
}

impl Layer for Bert {
    fn apply(&self, ids: &Tensor) -> Tensor {
        let c = &self.config;
        let block = transformer_block(c.num_attention_heads, c.intermediate_size)
            .names(NAMES)
            .activation(c.hidden_act)
            .norm(layer_norm().eps(c.layer_norm_eps))
            .dropout(c.attention_probs_dropout_prob, 0.0, c.hidden_dropout_prob)
            .lengths(self.lengths.as_ref());
        self.head(ids, || {
            let x = ids.graph().scoped("embeddings", || self.embed_token(ids));
            stack("encoder.layer", c.num_hidden_layers, block).apply(&x)
        })
    }
}
