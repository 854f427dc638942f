//! recurrent: h[t] = f(W_ih·x[t] + b_ih, W_hh·h[t−1] + b_hh), SimpleRNN, LSTM and GRU over sequences.

mod backward;
mod sizes;

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Graph, Io, Mode, Op, Precision, Tensor, fit},
    kernel::Target,
    shader,
};
use sizes::{Pass, Sizes};

/// What a recurrent network computes in each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// h ← tanh(W_ih·x + b_ih + W_hh·h + b_hh) (Elman 1990).
    Tanh,
    /// h ← max(0, W_ih·x + b_ih + W_hh·h + b_hh).
    Relu,
    /// [i, f, g, o] = W_ih·x + b_ih + W_hh·h + b_hh; c ← σ(f)⊙c + σ(i)⊙tanh g; h ← σ(o)⊙tanh c
    /// (Hochreiter and Schmidhuber 1997; Gers et al. 2000).
    Lstm,
    /// r, z = σ(W_ih·x + b_ih + W_hh·h + b_hh); n = tanh(W_in·x + b_in + r⊙(W_hn·h + b_hn));
    /// h ← (1 − z)⊙n + z⊙h (Cho et al. 2014).
    Gru,
}

impl Cell {
    /// How many vectors of the hidden width the rows of the weights and biases are: the gates.
    pub fn gates(self) -> usize {
        match self {
            Cell::Tanh | Cell::Relu => 1,
            Cell::Lstm => 4,
            Cell::Gru => 3,
        }
    }

    /// How many states go from step to step: h, and for an LSTM c.
    pub fn states(self) -> usize {
        if self == Cell::Lstm { 2 } else { 1 }
    }

    fn name(self) -> &'static str {
        match self {
            Cell::Tanh | Cell::Relu => "simple_rnn",
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
        }
    }

    fn number(self) -> u32 {
        self as u32
    }
}

/// The parameters of one layer in one direction, in PyTorch's layouts.
#[derive(Clone, Copy, Debug)]
pub struct RecurrentWeights<'a> {
    /// W_ih `[gates·H, in]`.
    pub weight_ih: &'a Tensor,
    /// W_hh `[gates·H, H]`.
    pub weight_hh: &'a Tensor,
    /// b_ih and b_hh, `[gates·H]` each.
    pub bias: Option<[&'a Tensor; 2]>,
}

/// What a recurrent network may be given beside its input: see [`Tensor::recurrent`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Recurrent<'a> {
    /// h₀, and for an LSTM c₀, `[B, H]` each; zeros if there are none.
    pub initial: &'a [Tensor],
    /// The length of each sequence, `u32 [B]`, read on the device; all are as long as the input if not
    /// said, and none is longer.
    pub lengths: Option<&'a Tensor>,
    /// From the last step of each sequence to its first.
    pub reverse: bool,
    /// Whether the input and the result are `[T, B, …]`, not `[B, T, …]`.
    pub time_major: bool,
}

/// What [`Tensor::recurrent`] returns.
#[derive(Clone, Debug)]
pub struct Recurrence {
    /// h at each step, `[B, T, H]`; 0 past the end of a sequence.
    pub output: Tensor,
    /// h behind the last step of each sequence in the direction, `[B, H]`.
    pub h: Tensor,
    /// c there, for an LSTM.
    pub c: Option<Tensor>,
}

/// The steps of one layer in one direction from the projected input and W_hh, then for a GRU with
/// biases b_hh, then the initial states, then the lengths.
///
/// Returns h of all steps, the last states as `f32 [states, B, H]`, and where it saves what backward needs.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // each says whether something optional is there
struct Steps {
    cell: Cell,
    reverse: bool,
    time_major: bool,
    bias: bool,
    initial: bool,
    lengths: bool,
    saves: bool,
}

impl Steps {
    /// The index of the input b_hh.
    fn bias(&self) -> Option<usize> {
        self.bias.then_some(2)
    }

    /// The index of the input h₀.
    fn initial(&self) -> Option<usize> {
        self.initial.then_some(2 + usize::from(self.bias))
    }

    /// The index of the input that has the lengths.
    fn lengths(&self) -> Option<usize> {
        let states = if self.initial { self.cell.states() } else { 0 };
        self.lengths.then_some(2 + usize::from(self.bias) + states)
    }

    /// Whether there is more to save for backward than h.
    fn has_saved(&self) -> bool {
        self.saves && self.cell.gates() > 1
    }

    fn sizes(&self, rows: &TensorDesc) -> Sizes {
        Sizes::new(self.cell, rows, self.time_major)
    }
}

impl Op for Steps {
    fn name(&self) -> &'static str {
        self.cell.name()
    }

    fn outputs(&self) -> usize {
        2 + usize::from(self.has_saved())
    }

    fn precision(&self) -> Precision {
        Precision::Half
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (x, weight, gates) = (&inputs[0], &inputs[1], self.cell.gates());
        let fits = weight.shape.rank() == 2
            && weight.shape[1] > 0
            && weight.shape[0] == gates * weight.shape[1]
            && x.shape.rank() == 3
            && x.shape[2] == weight.shape[0];
        if !fits {
            let reason = format!("weight_hh {} is not [{gates}·H, H] for an input projected to {}", weight.shape, x.shape);
            return Err(Misfit::shape(reason));
        }
        let sizes = self.sizes(x);
        let check = |i: usize, what: &str, shape: &Shape| {
            let given = &inputs[i].shape;
            if given == shape {
                Ok(())
            } else {
                Err(Misfit::shape(format!("{what} has shape {given}, not {shape}")))
            }
        };
        if let Some(i) = self.bias() {
            check(i, "bias_hh", &[gates * sizes.width].into())?;
        }
        if let Some(i) = self.initial() {
            let states = [sizes.sequences, sizes.width].into();
            (0..self.cell.states()).try_for_each(|k| check(i + k, ["h0", "c0"][k], &states))?;
        }
        let count = self.lengths().unwrap_or(inputs.len());
        if let Some(input) = inputs[..count].iter().find(|input| input.dtype != x.dtype || !x.dtype.is_float()) {
            return Err(Misfit::dtype(format!("mixes {x} and {input}")));
        }
        if let Some(lengths) = inputs.get(count)
            && *lengths != TensorDesc::new([sizes.sequences], DType::U32)
        {
            return Err(Misfit::shape(format!("lengths are {lengths}, not u32[{}]", sizes.sequences)));
        }
        let mut outputs = vec![
            TensorDesc::new(x.shape.with(2, sizes.width), x.dtype),
            TensorDesc::new([self.cell.states(), sizes.sequences, sizes.width], DType::F32),
        ];
        if self.has_saved() {
            outputs.push(TensorDesc::new(x.shape.with(2, 5 * sizes.width), x.dtype));
        }
        Ok(outputs)
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let sizes = self.sizes(io.x_desc(0));
        let mut with_rows = vec![io.x_desc(0), io.y_desc(0)];
        with_rows.extend(self.has_saved().then(|| io.y_desc(2)));
        let pieces = sizes.pieces(&with_rows, self.reverse, target)?;
        fit(io.inputs[1..].iter().chain(&io.outputs[1..2]).map(|(_, desc)| desc), target)?;
        // Where something optional is missing the weight is bound in its place, and not read.
        let input = |i: Option<usize>| io.x(i.unwrap_or(1));
        let extra = if self.cell == Cell::Lstm { self.initial().map(|i| i + 1) } else { self.bias() };
        let unsaved = (!self.has_saved()).then(|| out.scratch(TensorDesc::new([4], DType::F32)));
        let pass = Pass::forward(&sizes, target);
        let weight = pass.weight(&sizes, io, 1, target, out)?;
        let flags = [self.lengths, self.initial, self.bias, false, false, self.has_saved()];
        for (piece, steps) in pieces.iter().flat_map(|piece| {
            pass.segments(&sizes, piece, target).into_iter().map(move |steps| (piece, steps))
        }) {
            let dispatch = pass
                .dispatch(shader!("recurrent/forward"), &sizes, piece, io.real())
                .read(piece.slice(io.x(0), io.x_desc(0)))
                .read(weight)
                .read(input(self.initial()))
                .read(input(extra))
                .read(input(self.lengths()))
                .write(piece.slice(io.y(0), io.y_desc(0)))
                .write(io.y(1))
                .write(unsaved.map_or_else(|| piece.slice(io.y(2), io.y_desc(2)), Into::into))
                .params(sizes.params(&pass, piece, &steps, self.reverse, flags));
            out.push(sizes.cost(dispatch, piece, steps.len(), io));
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let graph = at.x(0).graph();
        // Without what backward needs the steps are computed again.
        let again = (self.cell.gates() > 1 && !self.saves).then(|| {
            let inputs: Vec<&Tensor> = at.inputs.iter().collect();
            graph.apply(Steps { saves: true, ..self.clone() }, &inputs)
        });
        let y = again.as_ref().map_or(at.y(0), |again| &again[0]);
        let saved = match &again {
            Some(again) => &again[2],
            None if self.has_saved() => at.y(2),
            None => y,
        };
        backward::gradients(self, at, y, saved)
    }
}

impl Tensor {
    /// One layer of a recurrent network in one direction over sequences: what `torch.nn.RNN`,
    /// `torch.nn.LSTM` and `torch.nn.GRU` do, with `batch_first` unless `time_major` is said. Formulas and
    /// papers are those of [`Cell`].
    ///
    /// `x [B, T, in]` with the weights of [`RecurrentWeights`] gives [`Recurrence`]: the output `[B, T, H]` and the
    /// last states `[B, H]`. The product of the input is one matmul for all steps; the steps are one dispatch
    /// where the width fits workgroup memory, else one dispatch each. With lengths it does what PyTorch does with
    /// packed sequences: a sequence's output is 0 past its end, its last states are those of its last step, and
    /// the reverse direction begins there. A length of 0 leaves the initial states; one beyond T is T.
    ///
    /// # Gradient
    /// To the input, the weights, the biases and the initial states, from the output and the last states. In a
    /// graph for training the gates are saved on the way; in one for use backward computes the steps again.
    /// There is no second gradient: asking for it is an error that names `simple_rnn_grad`, `lstm_grad` or
    /// `gru_grad`.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not fit, mixed element types, another number of initial states than
    /// the cell has. In planning: states or a matrix larger than one binding of the device, or two steps of all sequences
    /// if `time_major`.
    #[track_caller]
    pub fn recurrent(&self, cell: Cell, weights: &RecurrentWeights<'_>, options: &Recurrent<'_>) -> Recurrence {
        let graph = self.graph();
        let failed = |graph: &Graph| Recurrence {
            output: graph.failed(),
            h: graph.failed(),
            c: (cell == Cell::Lstm).then(|| graph.failed()),
        };
        if !self.is_failed() && self.rank() != 3 {
            let misfit = Misfit::shape(format!("needs dimensions [B, T, in], not shape {}", self.shape()));
            graph.fail(misfit.of(cell.name()));
            return failed(graph);
        }
        let given = options.initial.len();
        if given != 0 && given != cell.states() {
            let misfit = Misfit::shape(format!("takes {} initial states, not {given}", cell.states()));
            graph.fail(misfit.of(cell.name()));
            return failed(graph);
        }
        // A GRU adds b_hh inside of r⊙(…); elsewhere both biases go to the projected input.
        let inside = weights.bias.filter(|_| cell == Cell::Gru).map(|[_, bias_hh]| bias_hh);
        let outside = weights.bias.filter(|_| cell != Cell::Gru).map(|[_, bias_hh]| bias_hh);
        let mut x = self.linear(weights.weight_ih, weights.bias.map(|[bias_ih, _]| bias_ih));
        if let Some(bias) = outside {
            x = x.add(bias);
        }
        let op = Steps {
            cell,
            reverse: options.reverse,
            time_major: options.time_major,
            bias: inside.is_some(),
            initial: given > 0,
            lengths: options.lengths.is_some(),
            saves: graph.mode() == Mode::Train,
        };
        let inputs: Vec<&Tensor> =
            [&x, weights.weight_hh].into_iter().chain(inside).chain(options.initial).chain(options.lengths).collect();
        let mut results = graph.apply(op, &inputs).into_iter();
        let (Some(output), Some(last)) = (results.next(), results.next()) else { return failed(graph) };
        if last.is_failed() {
            return failed(graph);
        }
        let shape = &last.shape()[1..];
        let state = |i: usize| last.slice(0, i..=i).reshape(shape).cast(output.dtype());
        Recurrence { h: state(0), c: (cell == Cell::Lstm).then(|| state(1)), output }
    }
}

#[cfg(test)]
mod tests;
