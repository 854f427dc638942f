//! The gradient of the steps: one pass from the last step to the first, then products over all steps.

use super::{
    Cell, Steps,
    sizes::{Pass, Sizes},
};
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor, fit},
    kernel::{Dispatch, Kernel, Target},
    shader,
};

/// The gradients of a recurrence's inputs, from its output and what it saved.
pub(super) fn gradients(steps: &Steps, at: &Backward, y: &Tensor, saved: &Tensor) -> Gradients {
    let (x, weight) = (at.x(0), at.x(1));
    let graph = x.graph();
    let (dy, dstate) = (at.has(0).then(|| at.dy(0)), at.has(1).then(|| at.dy(1)));
    let lengths = steps.lengths().map(|i| at.x(i));
    // Written before the pass through the steps, so that it is the pass that refuses a second gradient.
    let before = at.needs(1).then(|| {
        let initial = steps.initial().map(|i| at.x(i));
        let inputs: Vec<&Tensor> = [y].into_iter().chain(initial).chain(lengths).collect();
        graph.apply1(Previous { steps: steps.clone() }, &inputs)
    });
    let op = StepsGrad { steps: steps.clone(), dy: dy.is_some(), dstate: dstate.is_some() };
    let inputs: Vec<&Tensor> = [saved, weight].into_iter().chain(&dy).chain(&dstate).chain(lengths).collect();
    let results = graph.apply(op, &inputs);
    let (dx, dstate0) = (&results[0], &results[1]);
    // What the product with W_hh has as its gradient.
    let dq = results.get(2).unwrap_or(dx);

    let mut all: Vec<Option<Tensor>> = vec![None; at.inputs.len()];
    all[0] = Some(dx.clone());
    let rows = |t: &Tensor| t.flatten(0, 1);
    all[1] = before.map(|before| rows(dq).transpose(0, 1).matmul(&rows(&before)));
    if let Some(i) = steps.bias().filter(|&i| at.needs(i)) {
        all[i] = Some(dq.sum(&[0, 1], false));
    }
    if let Some(first) = steps.initial() {
        for state in (0..steps.cell.states()).filter(|state| at.needs(first + state)) {
            let input = at.x(first + state);
            all[first + state] =
                Some(dstate0.slice(0, state..=state).reshape(input.shape()).cast(input.dtype()));
        }
    }
    Gradients::of(all)
}

/// The gradients of the projected input `[B, T, gates·H]`, of the initial states as `f32 [states, B, H]`, and
/// for a GRU of what W_hh·h + b_hh is, from what forward saved (the output of a SimpleRNN), W_hh, and where
/// they are there dy, the gradient of the last states, and the lengths.
#[derive(Debug)]
struct StepsGrad {
    steps: Steps,
    dy: bool,
    dstate: bool,
}

impl StepsGrad {
    fn gates(&self, saved: &TensorDesc) -> TensorDesc {
        let width = saved.shape[2] / if self.steps.cell.gates() > 1 { 5 } else { 1 };
        TensorDesc::new([saved.shape[0], saved.shape[1], self.steps.cell.gates() * width], saved.dtype)
    }
}

impl Op for StepsGrad {
    fn name(&self) -> &'static str {
        match self.steps.cell {
            Cell::Tanh | Cell::Relu => "simple_rnn_grad",
            Cell::Lstm => "lstm_grad",
            Cell::Gru => "gru_grad",
        }
    }

    fn outputs(&self) -> usize {
        if self.steps.cell == Cell::Gru { 3 } else { 2 }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let gates = self.gates(&inputs[0]);
        let sizes = self.steps.sizes(&gates);
        let states = TensorDesc::new([sizes.cell.states(), sizes.sequences, sizes.width], DType::F32);
        Ok([gates.clone(), states, gates].into_iter().take(self.outputs()).collect())
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let steps = &self.steps;
        let sizes = steps.sizes(io.y_desc(0));
        // The saved values, dy and the results but the states have a row for each sequence and time.
        let last = 2 + usize::from(self.dy);
        let (of_rows, whole) = io.inputs[2..].split_at(last - 2);
        let with_rows: Vec<&TensorDesc> =
            [&io.inputs[0], &io.outputs[0]].into_iter().chain(of_rows).map(|(_, desc)| desc).collect();
        let pieces = sizes.pieces(&with_rows, !steps.reverse, target)?;
        fit(whole.iter().chain([&io.inputs[1], &io.outputs[1]]).map(|(_, desc)| desc), target)?;
        // The optional inputs follow each other; where one is missing the weight is bound, and not read.
        let mut next = 2;
        let [dy, dstate, lengths] = [self.dy, self.dstate, steps.lengths].map(|there| {
            next += usize::from(there);
            io.x(if there { next - 1 } else { 1 })
        });
        let no_dq = (self.outputs() < 3).then(|| out.scratch(TensorDesc::new([4], DType::F32)));
        let pass = Pass::backward(&sizes, target);
        let weight = pass.weight(&sizes, io, 1, target, out)?;
        let flags = [steps.lengths, false, false, self.dy, self.dstate, false];
        for (piece, range) in pieces.iter().flat_map(|piece| {
            pass.segments(&sizes, piece, target).into_iter().map(move |range| (piece, range))
        }) {
            let dispatch = pass
                .dispatch(shader!("recurrent/backward"), &sizes, piece, io.real())
                .read(piece.slice(io.x(0), io.x_desc(0)))
                .read(weight)
                .read(if self.dy { piece.slice(dy, io.x_desc(2)) } else { dy.into() })
                .read(dstate)
                .read(lengths)
                .write(piece.slice(io.y(0), io.y_desc(0)))
                .write(no_dq.map_or_else(|| piece.slice(io.y(2), io.y_desc(2)), Into::into))
                .write(io.y(1))
                .params(sizes.params(&pass, piece, &range, steps.reverse, flags));
            out.push(sizes.cost(dispatch, piece, range.len(), io));
        }
        Ok(())
    }
}

/// h before each step from h of all steps, the initial h and the lengths where they are there.
#[derive(Debug)]
struct Previous {
    steps: Steps,
}

impl Op for Previous {
    fn name(&self) -> &'static str {
        "recurrent_previous"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![inputs[0].clone()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let steps = &self.steps;
        let y = io.x_desc(0);
        let sizes = Sizes::new(Cell::Tanh, y, steps.time_major);
        let last = io.inputs.len() - 1;
        fit(io.inputs[1..].iter().map(|(_, desc)| desc), target)?;
        for piece in sizes.pieces(&[y], steps.reverse, target)? {
            let y_slice = piece.slice(io.x(0), y);
            let elements = piece.own.len() * sizes.width;
            let dispatch = Dispatch::new(Kernel::new(shader!("recurrent/previous"), "previous", io.real()))
                .read(y_slice)
                .read(if steps.initial { io.x(1).into() } else { y_slice })
                .read(if steps.lengths { io.x(last).into() } else { y_slice })
                .write(piece.slice(io.y(0), y))
                .params(sizes.previous_params(&piece, steps.reverse, steps.lengths, steps.initial))
                .groups(elements.div_ceil(64) as u64)
                .cost(0, 2 * (elements * y.dtype.bytes()) as u64);
            out.push(dispatch);
        }
        Ok(())
    }
}
