//! The gradient of the steps: one pass from the last step to the first, then products over all steps.

use super::{
    Cell, Steps,
    sizes::{Pass, Sizes},
};
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
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
        io.fits(target)?;
        let steps = &self.steps;
        let sizes = steps.sizes(io.y_desc(0));
        // The optional inputs follow each other; where one is missing the weight is bound, and not read.
        let mut next = 2;
        let [dy, dstate, lengths] = [self.dy, self.dstate, steps.lengths].map(|there| {
            next += usize::from(there);
            io.x(if there { next - 1 } else { 1 })
        });
        let dq = if self.outputs() == 3 { io.y(2) } else { out.scratch(TensorDesc::new([4], DType::F32)) };
        let pass = Pass::backward(&sizes, target);
        let weight = pass.weight(&sizes, io, 1, target, out)?;
        let flags = [steps.lengths, false, false, self.dy, self.dstate, false];
        for range in pass.segments(&sizes, target) {
            let dispatch = pass
                .dispatch(shader!("recurrent/backward"), &sizes, io.real())
                .read(io.x(0))
                .read(weight)
                .read(dy)
                .read(dstate)
                .read(lengths)
                .write(io.y(0))
                .write(dq)
                .write(io.y(1))
                .params(sizes.params(&pass, &range, steps.reverse, flags));
            out.push(sizes.cost(dispatch, range.len(), io));
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
        io.fits(target)?;
        let steps = &self.steps;
        let y = io.x_desc(0);
        let sizes = Sizes::new(Cell::Tanh, y, steps.time_major);
        let last = io.inputs.len() - 1;
        let dispatch = Dispatch::new(Kernel::new(shader!("recurrent/previous"), "previous", io.real()))
            .read(io.x(0))
            .read(io.x(usize::from(steps.initial)))
            .read(io.x(if steps.lengths { last } else { 0 }))
            .write(io.y(0))
            .params(sizes.previous_params(steps.reverse, steps.lengths, steps.initial))
            .groups(y.shape.numel().div_ceil(64) as u64)
            .cost(0, io.bytes());
        out.push(dispatch);
        Ok(())
    }
}
