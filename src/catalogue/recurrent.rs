//! Recurrent networks.

use super::{Entry, Example};
use crate::{
    graph::Tensor,
    ops::{Cell, Recurrent, RecurrentWeights},
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry::several(
        "recurrent",
        "torch.nn.RNN",
        "h[t] = tanh(W_ih·x[t] + b_ih + W_hh·h[t−1] + b_hh), or max(0, …) of it",
        |e| {
            let mut all = forms(e, Cell::Tanh);
            all.extend(forms(e, Cell::Relu));
            e.forms(all)
        },
    ),
    Entry::several(
        "recurrent_gru",
        "torch.nn.GRU",
        "r, z = σ(x′ + h′), n = tanh(x′ₙ + r⊙h′ₙ), h ← (1 − z)⊙n + z⊙h with x′ = W_ih·x + b_ih and h′ = W_hh·h + b_hh",
        |e| e.forms(forms(e, Cell::Gru)),
    ),
    Entry::several(
        "recurrent_lstm",
        "torch.nn.LSTM",
        "i, f, o = σ and g = tanh of W_ih·x + b_ih + W_hh·h + b_hh; c ← f⊙c + i⊙g, h ← o⊙tanh c",
        |e| e.forms(forms(e, Cell::Lstm)),
    ),
];

/// A layer of a common size; one with lengths and initial states; and one that is too wide for workgroup
/// memory and takes a dispatch for each step.
fn forms(e: &Example, cell: Cell) -> Vec<Tensor> {
    let (sequences, steps, width) = (e.pick(3, 4, 8, 32), e.pick(4, 32, 64, 128), e.pick(5, 64, 256, 256));
    vec![
        layer(e, cell, [sequences, steps, width], false),
        layer(e, cell, [2, 3, 6], true),
        layer(e, cell, [1, 2, 520], false),
    ]
}

fn layer(e: &Example, cell: Cell, [sequences, steps, width]: [usize; 3], given: bool) -> Tensor {
    let rows = cell.gates() * width;
    let x = e.x([sequences, steps, width]);
    let (weight_ih, weight_hh) = (e.x([rows, width]), e.x([rows, width]));
    let bias = [e.x([rows]), e.x([rows])];
    let states = if given { cell.states() } else { 0 };
    let initial: Vec<Tensor> = (0..states).map(|_| e.x([sequences, width])).collect();
    let lengths = given.then(|| e.ids([sequences], steps + 1));
    let weights = RecurrentWeights { weight_ih: &weight_ih, weight_hh: &weight_hh, bias: Some([&bias[0], &bias[1]]) };
    let options = Recurrent { initial: &initial, lengths: lengths.as_ref(), reverse: given, ..Recurrent::default() };
    x.recurrent(cell, &weights, &options).output
}
