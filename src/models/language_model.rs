//! LanguageModel = GenerateToken(SequenceModel(EmbedToken(x))).

use crate::{
    chain,
    nn::{Layer, Placed, embed, generate_token, lstm},
};

/// LanguageModel(x) = GenerateToken(SequenceModel(EmbedToken(x)))
///
/// Ids `u32 [B, T]` → logits of each next token `[B, T, vocabulary]`; the last of them are those of Collapse. `sequence`
/// is causal: [`lstm`], [`gru`](crate::nn::gru), or a stack of causal [`transformer_block`](crate::nn::transformer_block)s
/// behind positions. Layers `embed`, `sequence` and `generator`.
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
