//! Recurrent networks: SimpleRNN, LSTM and GRU, several layers in one or both directions.

use super::{Continuation, Layer};
use crate::{
    data::{Shape, TensorDesc},
    error::{Misfit, Place},
    graph::{Graph, Init, Tensor},
    ops::{Cell, Recurrent, RecurrentWeights},
};

/// A recurrent network, `torch.nn.RNN`, `torch.nn.LSTM` or `torch.nn.GRU` with `batch_first`: see
/// [`simple_rnn`], [`relu_rnn`], [`lstm`] and [`gru`].
#[derive(Clone, Debug)]
pub struct Rnn {
    name: &'static str,
    cell: Cell,
    hidden: usize,
    layers: usize,
    bidirectional: bool,
    dropout: f32,
    bias: bool,
    time_major: bool,
    place: Place,
}

/// What [`Rnn::with_states`] returns.
#[derive(Clone, Debug)]
pub struct RnnStates {
    /// The output of the last layer, `[B, T, directions·H]`.
    pub output: Tensor,
    /// The last h of each layer and direction, `[layers·directions, B, H]`.
    pub h: Tensor,
    /// The last c of an LSTM, of the same shape.
    pub c: Option<Tensor>,
}

impl Rnn {
    fn new(name: &'static str, cell: Cell, hidden: usize, place: Place) -> Rnn {
        Rnn { name, cell, hidden, layers: 1, bidirectional: false, dropout: 0.0, bias: true, time_major: false, place }
    }
}

/// `[B, T, in]` → `[B, T, H]` by h ← tanh(W_ih·x + b_ih + W_hh·h + b_hh) (Elman 1990).
///
/// Parameters of layer k, named as PyTorch's and all U(±1/√H): `weight_ih_l{k} [H, in]`, `weight_hh_l{k} [H, H]`,
/// `bias_ih_l{k} [H]` and `bias_hh_l{k} [H]`, with the suffix `_reverse` for the second direction. One layer in one
/// direction if not said.
///
/// ```
/// use wgrad::{nn::*, prelude::*};
///
/// let graph = Graph::new(Mode::Train);
/// let (x, lengths) = (graph.input("x", [8, 20, 32]), graph.input_of("lengths", [8], DType::U32));
/// let encoder = simple_rnn(64).layers(2).bidirectional().dropout(0.1);
/// let states = graph.scoped("encoder", || encoder.with_states(&x, &[], Some(&lengths)));
/// assert_eq!(states.output.shape(), [8, 20, 128].into());
/// assert_eq!(states.h.shape(), [4, 8, 64].into());
/// assert_eq!(&*graph.variables()[2].name, "encoder.weight_ih_l0");
/// ```
#[track_caller]
pub fn simple_rnn(hidden: usize) -> Rnn {
    Rnn::new("simple_rnn", Cell::Tanh, hidden, Place::here())
}

/// [`simple_rnn`] with max(0, …) instead of tanh: `nonlinearity="relu"` in PyTorch.
#[track_caller]
pub fn relu_rnn(hidden: usize) -> Rnn {
    Rnn::new("relu_rnn", Cell::Relu, hidden, Place::here())
}

/// `[B, T, in]` → `[B, T, H]` by an LSTM (Hochreiter and Schmidhuber 1997): [i, f, g, o] = W_ih·x + b_ih + W_hh·h +
/// b_hh, c ← σ(f)⊙c + σ(i)⊙tanh g, h ← σ(o)⊙tanh c.
///
/// Parameters as [`simple_rnn`]'s with 4·H rows.
#[track_caller]
pub fn lstm(hidden: usize) -> Rnn {
    Rnn::new("lstm", Cell::Lstm, hidden, Place::here())
}

/// `[B, T, in]` → `[B, T, H]` by a GRU (Cho et al. 2014): r, z = σ(W_ih·x + b_ih + W_hh·h + b_hh), n = tanh(W_in·x +
/// b_in + r⊙(W_hn·h + b_hn)), h ← (1 − z)⊙n + z⊙h.
///
/// Parameters as [`simple_rnn`]'s with 3·H rows, those of r, z and n.
#[track_caller]
pub fn gru(hidden: usize) -> Rnn {
    Rnn::new("gru", Cell::Gru, hidden, Place::here())
}

impl Rnn {
    /// The number of layers, each on the output of the one before it.
    pub fn layers(self, layers: usize) -> Rnn {
        Rnn { layers, ..self }
    }

    /// Both directions, whose outputs stand side by side.
    pub fn bidirectional(self) -> Rnn {
        Rnn { bidirectional: true, ..self }
    }

    /// Dropout with this probability between the layers, in training.
    pub fn dropout(self, probability: f32) -> Rnn {
        Rnn { dropout: probability, ..self }
    }

    /// Whether there are biases; there are if not said.
    pub fn bias(self, bias: bool) -> Rnn {
        Rnn { bias, ..self }
    }

    /// `[T, B, …]` in and out instead of `[B, T, …]`: PyTorch's order without `batch_first`.
    pub fn time_major(self) -> Rnn {
        Rnn { time_major: true, ..self }
    }

    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// The output and the last states, from initial states and for sequences of several lengths.
    ///
    /// `initial` is empty for zeros, else h₀ and for an LSTM c₀, `[layers·directions, B, H]` each. `lengths` is
    /// `u32 [B]`, read on the device: past its end a sequence's output is 0, the last states are those of its last
    /// step, and the reverse direction begins there, as with PyTorch's packed sequences.
    pub fn with_states(&self, x: &Tensor, initial: &[Tensor], lengths: Option<&Tensor>) -> RnnStates {
        x.graph().placed(self.place, || self.all_layers(x, initial, lengths).unwrap_or_else(|| self.failed(x.graph())))
    }

    fn failed(&self, graph: &Graph) -> RnnStates {
        let c = (self.cell == Cell::Lstm).then(|| graph.failed());
        RnnStates { output: graph.failed(), h: graph.failed(), c }
    }

    fn all_layers(&self, x: &Tensor, initial: &[Tensor], lengths: Option<&Tensor>) -> Option<RnnStates> {
        let graph = x.graph();
        let names = if self.time_major { ["T", "B", "in"] } else { ["B", "T", "in"] };
        let [first, second, _] = x.dims(self.name, names)?;
        let sequences = if self.time_major { second } else { first };
        let refuse = |reason: String| graph.fail(Misfit::shape(reason).of(self.name));
        if self.layers == 0 {
            refuse("needs at least one layer".to_owned());
            return None;
        }
        let shape: Shape = [self.layers * self.directions(), sequences, self.hidden].into();
        let continuation = Continuation::of(graph);
        if let Some(continuation) = continuation.as_ref().filter(|_| self.bidirectional) {
            continuation.refuse(self.name, "it reads in both directions");
            return None;
        }
        let names = ["h_kept", "c_kept"].into_iter().take(1 + usize::from(self.cell == Cell::Lstm));
        let kept: Option<Vec<Tensor>> = continuation.as_ref().and_then(|continuation| {
            let desc = TensorDesc::new(&shape, x.dtype());
            names.clone().map(|name| continuation.recall(name, graph, desc.clone(), 1)).collect()
        });
        let initial = kept.as_deref().unwrap_or(initial);
        let lengths = lengths.or(continuation.as_ref().and_then(Continuation::lengths));
        if let Some(state) = initial.iter().find(|state| !state.is_failed() && state.shape() != shape) {
            refuse(format!("an initial state has shape {}, not [layers·directions, B, H] = {shape}", state.shape()));
            return None;
        }

        let mut x = x.clone();
        let (mut all_h, mut all_c) = (Vec::new(), Vec::new());
        for layer in 0..self.layers {
            if layer > 0 {
                x = x.dropout(self.dropout);
            }
            let mut outputs = Vec::new();
            for reverse in [false, true].into_iter().take(self.directions()) {
                let at = all_h.len();
                let state = |state: &Tensor| state.slice(0, at..=at).squeeze(0);
                let initial: Vec<Tensor> = initial.iter().map(state).collect();
                let weights = self.weights(&x, layer, reverse);
                let [weight_ih, weight_hh] = [&weights[0], &weights[1]];
                let bias = self.bias.then(|| [&weights[2], &weights[3]]);
                let options = Recurrent { initial: &initial, lengths, reverse, time_major: self.time_major };
                let result = x.recurrent(self.cell, &RecurrentWeights { weight_ih, weight_hh, bias }, &options);
                outputs.push(result.output);
                all_h.push(result.h);
                all_c.extend(result.c);
            }
            x = Tensor::concat(&outputs.iter().collect::<Vec<_>>(), -1);
        }
        let stack = |states: &[Tensor]| {
            let states: Vec<Tensor> = states.iter().map(|state| state.unsqueeze(0)).collect();
            Tensor::concat(&states.iter().collect::<Vec<_>>(), 0)
        };
        let states = RnnStates { output: x, h: stack(&all_h), c: (self.cell == Cell::Lstm).then(|| stack(&all_c)) };
        if let Some(continuation) = &continuation {
            for (name, state) in names.zip([Some(&states.h), states.c.as_ref()].into_iter().flatten()) {
                continuation.keep(name, state, 1);
            }
        }
        Some(states)
    }

    /// The parameters of one layer in one direction: two weights, then the biases.
    fn weights(&self, x: &Tensor, layer: usize, reverse: bool) -> Vec<Tensor> {
        let (rows, width) = (self.cell.gates() * self.hidden, x.size(-1));
        let suffix = if reverse { "_reverse" } else { "" };
        let parameter = |kind: &str, shape: &[usize]| {
            let name = format!("{kind}_l{layer}{suffix}");
            x.graph().parameter(&name, shape, Init::fan_in(self.hidden))
        };
        let mut weights = vec![parameter("weight_ih", &[rows, width]), parameter("weight_hh", &[rows, self.hidden])];
        if self.bias {
            weights.extend(["bias_ih", "bias_hh"].map(|kind| parameter(kind, &[rows])));
        }
        weights
    }
}

impl Layer for Rnn {
    fn apply(&self, x: &Tensor) -> Tensor {
        self.with_states(x, &[], None).output
    }
}
