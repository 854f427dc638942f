//! The definitions in `f64`, and what is compared with them.

use super::{Cell, Recurrent, RecurrentWeights};
use crate::{
    autodiff::gradients,
    kernel::{DeviceClass, Target},
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

/// Without biases and initial states, and with a gradient that comes from the last h alone.
#[test]
fn what_is_optional_may_be_missing() {
    for cell in CELLS {
        let case = Case::new(cell, [2, 3, 2, 5]);
        let op = |[x, weight_ih, weight_hh]: [Tensor; 3]| {
            let weights = RecurrentWeights { weight_ih: &weight_ih, weight_hh: &weight_hh, bias: None };
            x.recurrent(cell, &weights, &Recurrent::default()).h
        };
        let definition = |[x, weight_ih, weight_hh]: [Numbers; 3]| {
            let [_, _, _, b_ih, b_hh, h0, c0] = case.shapes().map(|shape| Numbers::from_fn(shape, |_| 0.0));
            let all = case.definition([x, weight_ih, weight_hh, b_ih, b_hh, h0, c0]);
            Numbers::new([2, 5], all.data()[6 * 5..][..2 * 5].to_vec())
        };
        let [x, weight_ih, weight_hh, ..] = case.shapes();
        Check::new(op, definition).shapes([x, weight_ih, weight_hh]).range(-0.8, 0.8).no_half().run();
    }
}

#[test]
fn random_sizes_and_options() {
    let mut state = 7_u32;
    let mut below = |n: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as usize % n
    };
    for round in 0..16 {
        let sizes = [1 + below(10), 1 + below(6), 1 + below(6), 1 + below(20)];
        let mut case = Case::new(CELLS[round % 4], sizes);
        case.reverse = below(2) == 1;
        case.time_major = below(3) == 0;
        if below(2) == 1 {
            case.lengths = Some((0..sizes[0]).map(|_| below(sizes[1] + 2) as u32).collect());
        }
        case.check().no_half().run();
    }
}

impl Case {
    /// Values and gradients of Σ y·(index mod 5 − 2) for a target, and how many dispatches that took.
    fn results(&self, numbers: &[Numbers; 7], target: &Target) -> (Vec<Vec<f32>>, usize) {
        let graph = Graph::new(Mode::Train);
        let inputs: [Tensor; 7] = std::array::from_fn(|i| graph.input(&format!("x{i}"), numbers[i].shape()));
        let y = self.op(inputs.clone());
        let rows = y.shape()[0];
        let factors: Vec<f32> = (0..rows).map(|i| (i % 5) as f32 - 2.0).collect();
        let factor = graph.input("factor", [rows, 1]);
        let used = &inputs[..5 + self.cell.states()];
        let slopes = gradients(&(&y * &factor).sum_all(), used);
        let outputs: Vec<Tensor> = std::iter::once(y).chain(slopes.into_iter().flatten()).collect();
        let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
        let named: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&outputs).collect();
        let dispatches = graph.plan(&named, target).unwrap().report().steps.len();
        let mut written = vec![("factor".to_owned(), Array::from_f32([rows, 1], &factors).unwrap())];
        for (i, numbers) in numbers[..used.len()].iter().enumerate() {
            let narrow: Vec<f32> = numbers.data().iter().map(|&x| x as f32).collect();
            written.push((format!("x{i}"), Array::from_f32(numbers.shape(), &narrow).unwrap()));
        }
        if let Some(lengths) = &self.lengths {
            written.push(("lengths".to_owned(), Array::from_u32([lengths.len()], lengths).unwrap()));
        }
        let written: Vec<(&str, Array)> = written.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
        let results = run_on(&graph, &named, &written, target, PlanOptions::default()).unwrap();
        (results.iter().map(Array::to_f32).collect(), dispatches)
    }

    /// Numbers that are exact in `f32`, small enough for long sequences not to be chaotic.
    fn numbers(&self) -> [Numbers; 7] {
        let bound = 1.0 / (self.width as f64).sqrt();
        let mut i = 0_u32;
        self.shapes().map(|shape| {
            Numbers::from_fn(shape, |_| {
                i += 1;
                f64::from(((f64::from(i.wrapping_mul(2_654_435_761) >> 8) / 8_388_608.0 - 1.0) * bound) as f32)
            })
        })
    }

    /// Compares the results for two targets, and those for the first with the definition; returns their dispatches.
    fn compare(&self, first: &Target, second: &Target) -> [usize; 2] {
        let numbers = self.numbers();
        let ((found, one), (other, two)) = (self.results(&numbers, first), self.results(&numbers, second));
        let expected = self.definition(numbers);
        let close = |what: &str, a: f64, b: f64, scale: f64| {
            assert!((a - b).abs() <= 2e-5 * scale, "{self:?}: {what}: {a} and {b}");
        };
        for (&found, &expected) in found[0].iter().zip(expected.data()) {
            close("value and definition", f64::from(found), expected, 1.0);
        }
        for (i, (found, other)) in found.iter().zip(&other).enumerate() {
            let largest = other.iter().fold(1.0_f64, |largest, &x| largest.max(f64::from(x.abs())));
            for (&a, &b) in found.iter().zip(other) {
                close(&format!("result {i} of both targets"), f64::from(a), f64::from(b), largest);
            }
        }
        [one, two]
    }
}

#[test]
fn wide_states_take_a_dispatch_for_each_step() {
    let room = |class, bytes| Target { max_workgroup_bytes: bytes, ..context().target().with_class(class) };
    let enough = |class| Target { subgroups: false, ..room(class, 32 << 10) };
    for (cell, sequences, bytes) in [(Cell::Lstm, 3, 1024), (Cell::Gru, 9, 2048), (Cell::Tanh, 5, 1024)] {
        let case = Case::new(cell, [sequences, 4, 3, 70]);
        let lengths: Vec<u32> = (0..sequences as u32).map(|i| 4 - i % 4).collect();
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            for case in [case.clone(), case.clone().lengths(&lengths).reversed()] {
                let [steps, all] = case.compare(&room(class, bytes), &enough(class));
                // Forward has a dispatch for each of four steps, backward one more.
                assert_eq!(steps, all + 3 + 4, "{case:?}");
            }
        }
    }
}

/// A thread of a software driver may go through 65,535 rounds of loops in all: long sequences are cut.
#[test]
fn long_sequences_are_cut_on_software_drivers() {
    let software = context().target().with_class(DeviceClass::Software);
    let stepwise = Target { max_workgroup_bytes: 1024, ..software.clone() };
    let case = Case::new(Cell::Lstm, [1, 2500, 2, 64]);
    let [cut, steps] = case.compare(&software, &stepwise);
    assert!((18..40).contains(&cut), "{cut} dispatches");
    assert!(steps > 5000, "{steps} dispatches");
    Case::new(Cell::Tanh, [2, 1000, 1, 3]).reversed().compare(&software, &stepwise);
}

/// Nothing in, nothing out: no sequence, or no step, after which the states are the initial ones.
#[test]
fn no_sequences_and_no_steps() {
    for cell in [Cell::Lstm, Cell::Gru] {
        Case::new(cell, [0, 3, 2, 4]).check().no_half().run();
        Case::new(cell, [2, 0, 3, 4]).check().no_half().run();
    }
}
