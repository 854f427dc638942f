#![cfg_attr(rustfmt, rustfmt_skip)] // one line a block, as in the definition
//! Videos into classes by convolutions over time, height and width (Tran et al. 2015).

use crate::{
    chain,
    nn::{Layer, Placed, conv3d, feed_forward, global_avg_pool, max_pool3d, relu},
};

/// VideoClassifier(x) = FeedForward(AvgPool(Conv(MaxPool(Conv(x)))))
///
/// `[N, C, T, H, W]` of at least 2×2×2 → logits `[N, classes]`.
#[track_caller]
pub fn video_classifier(channels: usize, classes: usize) -> impl Layer {
    Placed::new(chain![
        conv3d(channels, 3).pad(1), relu(), max_pool3d(2, 2),
        conv3d(2 * channels, 3).pad(1), relu(), global_avg_pool(),
        feed_forward(4 * channels).out(classes),
    ])
}
