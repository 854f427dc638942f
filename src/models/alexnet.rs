#![cfg_attr(rustfmt, rustfmt_skip)] // one line a block, as in the definition
//! AlexNet (Krizhevsky 2014, "One weird trick"), with torchvision's names and shapes.

use crate::{
    chain,
    nn::{Layer, Placed, adaptive_avg_pool, conv, dropout, flatten, linear, max_pool, relu},
};

/// AlexNet(x) = FeedForward³(MaxPool(Conv³(MaxPool(Conv(MaxPool(Conv(x)))))))
///
/// `[N, 3, 224, 224]` → logits `[N, classes]`, or images of any other size from 63×63 on, whose last features are
/// averaged over 6×6 windows; 61,100,840 parameters at 1000 classes. Dropout is on in training graphs.
#[track_caller]
pub fn alexnet(classes: usize) -> impl Layer {
    Placed::new(chain![
        chain![
            conv(64, 11).stride(4).pad(2), relu(), max_pool(3, 2),
            conv(192, 5).pad(2), relu(), max_pool(3, 2),
            conv(384, 3).pad(1), relu(),
            conv(256, 3).pad(1), relu(),
            conv(256, 3).pad(1), relu(), max_pool(3, 2),
        ]
        .named("features"),
        adaptive_avg_pool([6, 6]), flatten(),
        chain![
            dropout(0.5), linear(4096), relu(),
            dropout(0.5), linear(4096), relu(),
            linear(classes),
        ]
        .named("classifier"),
    ])
}
