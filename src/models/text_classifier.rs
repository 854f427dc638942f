//! Texts into classes: by a sequence model, or by convolutions (Kim 2014).

use crate::{
    chain,
    graph::Tensor,
    nn::{Layer, Placed, conv1d, embed, feed_forward, linear},
};

/// TextClassifier(x) = FeedForward(Collapse(SequenceModel(EmbedToken(x))))
///
/// Ids `u32 [B, T]` → logits `[B, classes]`; layers `embed`, `sequence`, `collapse` and `feed_forward`.
///
/// ```
/// # use wgrad::{models::text_classifier, nn::*, prelude::*};
/// let graph = Graph::new(Mode::Train);
/// let lengths = graph.input_of("lengths", [8], DType::U32);
/// let net = text_classifier(5000, 64, 4, lstm(128), collapse::attention().lengths(&lengths));
/// assert_eq!(net.apply(&graph.input_of("ids", [8, 50], DType::U32)).shape(), [8, 4].into());
/// ```
#[track_caller]
pub fn text_classifier(
    vocabulary: usize,
    width: usize,
    classes: usize,
    sequence: impl Layer + 'static,
    collapse: impl Layer + 'static,
) -> impl Layer {
    Placed::new(chain![
        embed(vocabulary, width).named("embed"),
        sequence.named("sequence"),
        collapse.named("collapse"),
        feed_forward(width).out(classes).named("feed_forward"),
    ])
}

/// ConvTextClassifier(x) = FeedForward(MaxPool(Conv(EmbedToken(x)))), with windows of 3, 4 and 5 tokens side by side
///
/// Ids `u32 [B, T]`, T ≥ 5, → logits `[B, classes]`; layers `embed`, `conv3`, `conv4`, `conv5` and `linear`.
#[track_caller]
pub fn conv_text_classifier(vocabulary: usize, width: usize, channels: usize, classes: usize) -> impl Layer {
    let windows = move |x: &Tensor| {
        let x = x.transpose(1, 2);
        let strongest =
            |size: usize| conv1d(channels, size).apply_at(&format!("conv{size}"), &x).relu().max(&[-1], false);
        let [a, b, c] = [3, 4, 5].map(strongest);
        Tensor::concat(&[&a, &b, &c], -1)
    };
    Placed::new(chain![embed(vocabulary, width).named("embed"), windows.named(""), linear(classes).named("linear")])
}
