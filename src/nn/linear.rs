//! Linear layers: FeedForward(x) = max(0, W·x + b) and its two-layer form.

use super::{Activation, Layer, relu};
use crate::{
    error::Place,
    graph::{Init, Tensor},
};

/// y = x·Wᵀ + b over the last dimension, `torch.nn.Linear`: see [`linear`].
#[derive(Clone, Debug)]
pub struct Linear {
    out: usize,
    bias: bool,
    transposed: bool,
    place: Place,
}

/// `[…, in]` → `[…, out]`; parameters `weight [out, in]` and `bias [out]`, both U(±1/√in).
#[track_caller]
pub fn linear(out: usize) -> Linear {
    Linear { out, bias: true, transposed: false, place: Place::here() }
}

impl Linear {
    /// Whether there is a bias; there is one if not said.
    pub fn bias(self, bias: bool) -> Linear {
        Linear { bias, ..self }
    }

    /// A `weight` of `[in, out]`: the `Conv1D` of GPT-2's files.
    pub fn transposed(self, transposed: bool) -> Linear {
        Linear { transposed, ..self }
    }
}

impl Layer for Linear {
    fn apply(&self, x: &Tensor) -> Tensor {
        let graph = x.graph();
        graph.placed(self.place, || {
            if x.is_failed() {
                return x.clone();
            }
            let width = x.size(-1);
            let shape = if self.transposed { [width, self.out] } else { [self.out, width] };
            let weight = graph.parameter("weight", shape, Init::fan_in(width));
            let bias = self.bias.then(|| graph.parameter("bias", [self.out], Init::fan_in(width)));
            match bias {
                Some(bias) if self.transposed => x.matmul(&weight) + bias,
                None if self.transposed => x.matmul(&weight),
                bias => x.linear(&weight, bias.as_ref()),
            }
        })
    }
}

/// W₂·act(W₁·x + b₁) + b₂ at each position (Vaswani et al. 2017, section 3.3): see [`feed_forward`].
#[derive(Clone, Debug)]
pub struct FeedForward {
    hidden: usize,
    out: Option<usize>,
    activation: Activation,
    dropout: f32,
    names: [&'static str; 2],
    bias: bool,
    transposed: bool,
    place: Place,
}

/// `[…, in]` → `[…, in]` through `hidden` units; layers `linear1` and `linear2`, ReLU between them.
#[track_caller]
pub fn feed_forward(hidden: usize) -> FeedForward {
    let (names, place) = (["linear1", "linear2"], Place::here());
    FeedForward { hidden, out: None, activation: relu(), dropout: 0.0, names, bias: true, transposed: false, place }
}

impl FeedForward {
    /// The width of the result, that of the input if not said.
    pub fn out(self, out: usize) -> FeedForward {
        FeedForward { out: Some(out), ..self }
    }

    /// The function between the two linear layers.
    pub fn activation(self, activation: Activation) -> FeedForward {
        FeedForward { activation, ..self }
    }

    /// Dropout with this probability between the two layers, in training.
    pub fn dropout(self, probability: f32) -> FeedForward {
        FeedForward { dropout: probability, ..self }
    }

    /// What the two layers are called.
    pub fn names(self, names: [&'static str; 2]) -> FeedForward {
        FeedForward { names, ..self }
    }

    /// Whether there are biases; there are if not said.
    pub fn bias(self, bias: bool) -> FeedForward {
        FeedForward { bias, ..self }
    }

    /// Weights of `[in, out]`, as [`Linear::transposed`].
    pub fn transposed(self, transposed: bool) -> FeedForward {
        FeedForward { transposed, ..self }
    }
}

impl Layer for FeedForward {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || {
            if x.is_failed() {
                return x.clone();
            }
            let out = self.out.unwrap_or_else(|| x.size(-1));
            let linear = |out: usize| linear(out).bias(self.bias).transposed(self.transposed);
            let hidden = self.activation.apply(&linear(self.hidden).apply_at(self.names[0], x));
            linear(out).apply_at(self.names[1], &hidden.dropout(self.dropout))
        })
    }
}
