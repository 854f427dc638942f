#![cfg_attr(rustfmt, rustfmt_skip)] // one line a block, as in the definition
//! A small convolutional network for handwritten digits, after LeNet-5 (LeCun et al. 1998).

use crate::{
    chain,
    nn::{Layer, Placed, conv, dropout, feed_forward, flatten, max_pool, relu},
};

/// LeNet(x) = FeedForward(MaxPool(Conv(MaxPool(Conv(x)))))
///
/// `[N, 1, H, W]` → logits `[N, classes]`, for images of at least 4×4.
#[track_caller]
pub fn lenet(classes: usize) -> impl Layer {
    Placed::new(chain![
        conv(16, 3).pad(1), relu(), max_pool(2, 2),
        conv(32, 3).pad(1), relu(), max_pool(2, 2),
        flatten(), dropout(0.25), feed_forward(128).out(classes),
    ])
}
