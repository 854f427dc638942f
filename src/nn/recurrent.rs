//! Recurrent networks: SimpleRNN, LSTM and GRU, several layers in one or both directions.

use super::{Continuation, Layer};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::{Misfit, Place},
    graph::{Graph, Init, Tensor},
    ops::{Cell, Recurrence, Recurrent, RecurrentWeights},
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
    projection: Option<usize>,
    lengths: Option<Tensor>,
    place: Place,
}

/// What [`Rnn::with_states`] returns.
#[derive(Clone, Debug)]
pub struct RnnStates {
    /// The output of the last layer, `[B, T, directions·H]`.
    pub output: Tensor,
    /// The last h of each layer and direction, `[layers·directions, B, H]`.
    pub h: Tensor,
    /// The last c of an LSTM, `[layers·directions, B, H]`.
    pub c: Option<Tensor>,
}

impl Rnn {
    fn new(name: &'static str, cell: Cell, hidden: usize, place: Place) -> Rnn {
        let (layers, bidirectional, dropout, bias, time_major) = (1, false, 0.0, true, false);
        let (projection, lengths) = (None, None);
        Rnn { name, cell, hidden, layers, bidirectional, dropout, bias, time_major, projection, lengths, place }
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
/// Parameters as [`simple_rnn`]'s with 4·H rows, and `weight_hr_l{k} [P, H]` with a [`projection`](Rnn::projection).
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

    /// h ← W_hr·(σ(o)⊙tanh c) of `width` < H numbers in an LSTM (Sak et al. 2014): PyTorch's `proj_size`.
    pub fn projection(self, width: usize) -> Rnn {
        Rnn { projection: Some(width), ..self }
    }

    /// `u32 [B]`: how many steps each sequence has, as in [`with_states`](Rnn::with_states).
    pub fn lengths<'a>(self, lengths: impl Into<Option<&'a Tensor>>) -> Rnn {
        Rnn { lengths: lengths.into().cloned(), ..self }
    }

    /// The numbers of h.
    fn width(&self) -> usize {
        self.projection.unwrap_or(self.hidden)
    }

    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// The output and the last states, from initial states and for sequences of several lengths.
    ///
    /// `initial` is empty for zeros, else h₀ and for an LSTM c₀, `[layers·directions, B, H]` each; h₀ has P numbers where
    /// there is a projection. `lengths` is
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
        if let Some(width) = self.projection {
            let reason = match self.cell {
                Cell::Lstm if (1..self.hidden).contains(&width) => None,
                Cell::Lstm => Some(format!("a projection to {width} of {} numbers", self.hidden)),
                _ => Some("only an LSTM has a projection".to_owned()),
            };
            if let Some(reason) = reason {
                refuse(reason);
                return None;
            }
        }
        let continuation = Continuation::of(graph);
        if let Some(continuation) = continuation.as_ref().filter(|_| self.bidirectional) {
            continuation.refuse(self.name, "it reads in both directions");
            return None;
        }
        let shape = |width: usize| Shape::from([self.layers * self.directions(), sequences, width]);
        // h, and the cells of an LSTM.
        let names = ["h_kept", "c_kept"].into_iter().zip([self.width(), self.hidden]);
        let names = names.take(1 + usize::from(self.cell == Cell::Lstm));
        let kept: Option<Vec<Tensor>> = continuation.as_ref().and_then(|continuation| {
            let recall = |(name, width): (&str, usize)| {
                continuation.recall(name, graph, TensorDesc::new(shape(width), x.dtype()), 1)
            };
            names.clone().map(recall).collect()
        });
        let initial = kept.as_deref().unwrap_or(initial);
        let lengths = lengths.or(continuation.as_ref().and_then(Continuation::lengths));
        for (state, width) in initial.iter().zip([self.width(), self.hidden]) {
            let shape = shape(width);
            if !state.is_failed() && state.shape() != shape {
                let found = state.shape();
                refuse(format!("an initial state has shape {found}, not [layers·directions, B, H] = {shape}"));
                return None;
            }
        }

        let lengths = lengths.or(self.lengths.as_ref());
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
                let mut weights = self.weights(&x, layer, reverse);
                let projection = self.projection.and_then(|_| weights.pop());
                let [weight_ih, weight_hh] = [&weights[0], &weights[1]];
                let bias = self.bias.then(|| [&weights[2], &weights[3]]);
                let weights = RecurrentWeights { weight_ih, weight_hh, bias };
                let options = Recurrent { initial: &initial, lengths, reverse, time_major: self.time_major };
                let result = match &projection {
                    Some(weight_hr) => self.projected(&x, &weights, weight_hr, &options),
                    None => x.recurrent(self.cell, &weights, &options),
                };
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
            for ((name, _), state) in names.zip([Some(&states.h), states.c.as_ref()].into_iter().flatten()) {
                continuation.keep(name, state, 1);
            }
        }
        Some(states)
    }

    /// The parameters of one layer in one direction: two weights, the biases, the projection.
    fn weights(&self, x: &Tensor, layer: usize, reverse: bool) -> Vec<Tensor> {
        let (rows, width) = (self.cell.gates() * self.hidden, x.size(-1));
        let suffix = if reverse { "_reverse" } else { "" };
        let parameter = |kind: &str, shape: &[usize]| {
            let name = format!("{kind}_l{layer}{suffix}");
            x.graph().parameter(&name, shape, Init::fan_in(self.hidden))
        };
        let mut weights = vec![parameter("weight_ih", &[rows, width]), parameter("weight_hh", &[rows, self.width()])];
        if self.bias {
            weights.extend(["bias_ih", "bias_hh"].map(|kind| parameter(kind, &[rows])));
        }
        weights.extend(self.projection.map(|width| parameter("weight_hr", &[width, self.hidden])));
        weights
    }

    /// One layer of an LSTM in one direction whose h is W_hr·m with m = σ(o)⊙tanh c.
    ///
    /// W_hh·h is (W_hh·W_hr)·m, so m goes through time like the h of an LSTM without a projection, as fast. The first h
    /// need not be W_hr of anything: it stands beside the input of the first step, and W_hh beside W_ih.
    fn projected(
        &self,
        x: &Tensor,
        weights: &RecurrentWeights<'_>,
        weight_hr: &Tensor,
        options: &Recurrent<'_>,
    ) -> Recurrence {
        let (graph, weight_hh) = (x.graph(), weights.weight_hh.matmul(weight_hr));
        let both = |x: &Tensor, weight_ih: &Tensor, initial: &[Tensor]| {
            let weights = RecurrentWeights { weight_ih, weight_hh: &weight_hh, ..*weights };
            x.recurrent(self.cell, &weights, &Recurrent { initial, ..*options })
        };
        let hidden = match options.initial {
            [h, c] if !x.is_failed() && !h.is_failed() => {
                let (sequences, steps) = if self.time_major { (1, 0) } else { (0, 1) };
                let numbers = graph.arange(0.0, x.size(steps) as f64, 1.0, DType::F32).unsqueeze(sequences);
                // The number of the step that h₀ is before, for each sequence.
                let first = match options.lengths {
                    Some(lengths) if options.reverse => {
                        lengths.cast(DType::F32).clamp(0.0, x.size(steps) as f32).unsqueeze(steps) - 1.0
                    }
                    _ if options.reverse => graph.constant(x.size(steps) as f32 - 1.0, DType::F32),
                    _ => graph.constant(0.0, DType::F32),
                };
                let before = h.unsqueeze(steps) * numbers.eq(&first).unsqueeze(2).cast(x.dtype());
                let weight_ih = Tensor::concat(&[weights.weight_ih, weights.weight_hh], 1);
                let nothing = graph.full([h.size(0), self.hidden], 0.0, x.dtype());
                both(&Tensor::concat(&[x, &before], 2), &weight_ih, &[nothing, c.clone()])
            }
            initial => both(x, weights.weight_ih, initial),
        };
        let mut last = hidden.h.linear(weight_hr, None);
        if let (Some(lengths), [h, _]) = (options.lengths, options.initial) {
            // A sequence without steps keeps h₀.
            last = lengths.eq(&graph.full_u32([], 0)).unsqueeze(1).where_(h, &last);
        }
        Recurrence { output: hidden.output.linear(weight_hr, None), h: last, c: hidden.c }
    }
}

impl Layer for Rnn {
    fn apply(&self, x: &Tensor) -> Tensor {
        self.with_states(x, &[], None).output
    }
}
