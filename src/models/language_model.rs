//! LanguageModel = GenerateToken(SequenceModel(EmbedToken(x))).

use crate::{
    chain,
    nn::{Layer, Placed, embed, generate_token, lstm},
};

/// LanguageModel(x) = GenerateToken(SequenceModel(EmbedToken(x)))
///
/// Ids `u32 [B, T]` → logits of each next token `[B, T, vocabulary]`; the last of them are those of Collapse. `sequence`
/// is causal: [`lstm`], [`gru`](crate::nn::gru), or a stack of causal [`transformer_block`](crate::nn::transformer_block)s
/// with positions. Layers `embed`, `sequence` and `generator`.
///
/// Translation as a prefix language model is the same over source, separator and target, with a loss for the target only.
///
/// ```
/// # use wgrad::{models::language_model, nn::*, prelude::*};
/// let graph = Graph::new(Mode::Train);
/// let ids = graph.input_of("ids", [4, 32], DType::U32);
/// let blocks = stack("layers", 2, transformer_block(4, 256).norm_first(true).rotary().causal());
/// let logits = language_model(1000, 64, blocks).apply(&ids);
/// // −100 where a token has no next one, and for those of the source.
/// let loss = logits.flatten(0, 1).cross_entropy(&graph.input_of("next", [4 * 32], DType::U32));
/// # graph.check().unwrap();
/// # assert_eq!((logits.shape(), loss.rank()), ([4, 32, 1000].into(), 0));
/// ```
#[track_caller]
pub fn language_model(vocabulary: usize, width: usize, sequence: impl Layer + 'static) -> impl Layer {
    Placed::new(chain![
        embed(vocabulary, width).named("embed"),
        sequence.named("sequence"),
        generate_token(vocabulary).bias("bias").named("generator"),
    ])
}

/// [`language_model`] with LSTMs of `width` units.
#[track_caller]
pub fn lstm_lm(vocabulary: usize, width: usize, layers: usize) -> impl Layer {
    language_model(vocabulary, width, lstm(width).layers(layers))
}
