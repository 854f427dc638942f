#![cfg_attr(rustfmt, rustfmt_skip)] // one line a block, as in the definition
//! AlexNet (Krizhevsky 2014, "One weird trick"), with torchvision's names and shapes.

use crate::{
    chain,
    error::Place,
    graph::Tensor,
    nn::{Layer, adaptive_avg_pool, conv, dropout, flatten, linear, max_pool, relu},
};

/// See [`alexnet`].
#[derive(Clone, Copy, Debug)]
pub struct AlexNet {
    classes: usize,
    dropout: f32,
    place: Place,
}

/// AlexNet(x) = FeedForward³(MaxPool(Conv³(MaxPool(Conv(MaxPool(Conv(x)))))))
///
/// `[N, 3, 224, 224]` → logits `[N, classes]`, or images of any other size from 63×63 on, whose last features are
/// averaged over 6×6 windows; 61,100,840 parameters at 1000 classes. Dropout 0.5 in training graphs.
#[track_caller]
pub fn alexnet(classes: usize) -> AlexNet {
    AlexNet { classes, dropout: 0.5, place: Place::here() }
}

impl AlexNet {
    /// The probability that something is dropped in training, in front of the first two linear layers.
    pub fn dropout(self, probability: f32) -> AlexNet {
        AlexNet { dropout: probability, ..self }
    }
}

impl Layer for AlexNet {
    fn apply(&self, x: &Tensor) -> Tensor {
        let layers = chain![
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
                dropout(self.dropout), linear(4096), relu(),
                dropout(self.dropout), linear(4096), relu(),
                linear(self.classes),
            ]
            .named("classifier"),
        ];
        x.graph().placed(self.place, || layers.apply(x))
    }
}
