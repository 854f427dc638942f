//! The definitions in `f64`, and what is compared with them.

use super::{Cell, Recurrent, RecurrentWeights};
use crate::{
    kernel::DeviceClass,
    plan::PlanOptions,
    prelude::*,
    testing::{Check, Numbers, context, run_on},
};

const CELLS: [Cell; 4] = [Cell::Tanh, Cell::Relu, Cell::Lstm, Cell::Gru];

/// One case: sizes and options.
#[derive(Clone, Debug)]
struct Case {
    cell: Cell,
    sequences: usize,
    steps: usize,
    input: usize,
    width: usize,
    lengths: Option<Vec<u32>>,
    reverse: bool,
    time_major: bool,
}

impl Case {
    fn new(cell: Cell, [sequences, steps, input, width]: [usize; 4]) -> Case {
        Case { cell, sequences, steps, input, width, lengths: None, reverse: false, time_major: false }
    }

    fn reversed(self) -> Case {
        Case { reverse: true, ..self }
    }

    fn time_major(self) -> Case {
        Case { time_major: true, ..self }
    }

    fn lengths(self, lengths: &[u32]) -> Case {
        Case { lengths: Some(lengths.to_vec()), ..self }
    }

    /// The shapes of x, W_ih, W_hh, b_ih, b_hh, h₀ and c₀ (which only an LSTM reads).
    fn shapes(&self) -> [Vec<usize>; 7] {
        let rows = self.cell.gates() * self.width;
        let state = vec![self.sequences, self.width];
        let [first, second] =
            if self.time_major { [self.steps, self.sequences] } else { [self.sequences, self.steps] };
        let x = vec![first, second, self.input];
        [x, vec![rows, self.input], vec![rows, self.width], vec![rows], vec![rows], state.clone(), state]
    }

    /// All results as the rows of one matrix: the output, the last h, the last c.
    fn op(&self, [x, weight_ih, weight_hh, bias_ih, bias_hh, h0, c0]: [Tensor; 7]) -> Tensor {
        let lengths = self.lengths.as_ref().map(|_| x.graph().input_of("lengths", [self.sequences], DType::U32));
        let states = [h0, c0];
        let result = x.recurrent(
            self.cell,
            &RecurrentWeights { weight_ih: &weight_ih, weight_hh: &weight_hh, bias: Some([&bias_ih, &bias_hh]) },
            &Recurrent {
                initial: &states[..self.cell.states()],
                lengths: lengths.as_ref(),
                reverse: self.reverse,
                time_major: self.time_major,
            },
        );
        let output = result.output.flatten(0, 1);
        let rest = [&output, &result.h].into_iter().chain(&result.c);
        Tensor::concat(&rest.collect::<Vec<_>>(), 0)
    }

    fn definition(&self, [x, w_ih, w_hh, b_ih, b_hh, h0, c0]: [Numbers; 7]) -> Numbers {
        let (h_width, gates) = (self.width, self.cell.gates());
        let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
        let row = |b: usize, t: usize| if self.time_major { t * self.sequences + b } else { b * self.steps + t };
        let mut output = vec![0.0; self.sequences * self.steps * h_width];
        let (mut last_h, mut last_c) = (h0.data().to_vec(), c0.data().to_vec());
        for b in 0..self.sequences {
            let length = self.lengths.as_ref().map_or(self.steps, |lengths| (lengths[b] as usize).min(self.steps));
            let mut h = h0.data()[b * h_width..][..h_width].to_vec();
            let mut c = c0.data()[b * h_width..][..h_width].to_vec();
            for s in 0..length {
                let t = if self.reverse { length - 1 - s } else { s };
                let dot = |w: &Numbers, r: usize, v: &[f64]| {
                    w.data()[r * v.len()..][..v.len()].iter().zip(v).map(|(w, v)| w * v).sum::<f64>()
                };
                let x = &x.data()[row(b, t) * self.input..][..self.input];
                let from_x: Vec<f64> =
                    (0..gates * h_width).map(|r| dot(&w_ih, r, x) + b_ih.data()[r]).collect();
                let from_h: Vec<f64> =
                    (0..gates * h_width).map(|r| dot(&w_hh, r, &h) + b_hh.data()[r]).collect();
                for u in 0..h_width {
                    let a = |g: usize| from_x[g * h_width + u] + from_h[g * h_width + u];
                    h[u] = match self.cell {
                        Cell::Tanh => a(0).tanh(),
                        Cell::Relu => a(0).max(0.0),
                        Cell::Lstm => {
                            c[u] = sigma(a(1)) * c[u] + sigma(a(0)) * a(2).tanh();
                            sigma(a(3)) * c[u].tanh()
                        }
                        Cell::Gru => {
                            let (r, z) = (sigma(a(0)), sigma(a(1)));
                            let n = (from_x[2 * h_width + u] + r * from_h[2 * h_width + u]).tanh();
                            (1.0 - z) * n + z * h[u]
                        }
                    };
                }
                output[row(b, t) * h_width..][..h_width].copy_from_slice(&h);
            }
            last_h[b * h_width..][..h_width].copy_from_slice(&h);
            last_c[b * h_width..][..h_width].copy_from_slice(&c);
        }
        output.extend(last_h);
        if self.cell == Cell::Lstm {
            output.extend(last_c);
        }
        Numbers::new([output.len() / h_width, h_width], output)
    }

    fn check(&self) -> Check<impl Fn([Tensor; 7]) -> Tensor + '_, impl Fn([Numbers; 7]) -> Numbers + '_, 7> {
        let check = Check::new(|inputs| self.op(inputs), |inputs| self.definition(inputs)).shapes(self.shapes());
        let check = check.range(-0.8, 0.8);
        match &self.lengths {
            Some(lengths) => check.index("lengths", [self.sequences], lengths),
            None => check,
        }
    }
}

#[test]
fn all_cells_in_both_directions() {
    for cell in CELLS {
        Case::new(cell, [2, 5, 3, 4]).check().run();
        Case::new(cell, [3, 4, 5, 7]).reversed().check().run();
    }
}

#[test]
fn sizes_that_are_no_multiple_of_anything() {
    Case::new(Cell::Lstm, [1, 1, 1, 1]).check().run();
    Case::new(Cell::Gru, [9, 3, 4, 13]).check().run();
    Case::new(Cell::Tanh, [5, 2, 3, 37]).reversed().check().run();
    Case::new(Cell::Lstm, [17, 2, 2, 33]).check().no_half().run();
}

#[test]
fn lengths_end_each_sequence_and_begin_its_reverse() {
    for cell in CELLS {
        let case = Case::new(cell, [6, 5, 2, 3]).lengths(&[5, 1, 0, 4, 9, 2]);
        case.check().run();
        case.reversed().check().run();
    }
}

#[test]
fn time_may_come_first() {
    Case::new(Cell::Lstm, [3, 4, 2, 5]).time_major().lengths(&[4, 2, 1]).check().run();
    Case::new(Cell::Gru, [1, 4, 2, 5]).time_major().reversed().check().run();
}

/// What a graph for training saves, one for use computes again: the gradients are the same.
#[test]
fn gradients_in_training_graphs() {
    for cell in CELLS {
        Case::new(cell, [3, 4, 2, 6]).check().mode(Mode::Train).no_half().run();
    }
}
