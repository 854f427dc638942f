//! `check_op`: the one way an operation is tested.

use super::{Numbers, classes, context, run_on};
use crate::{
    autodiff::gradients,
    data::{Array, DType, Shape, TensorDesc},
    graph::{Graph, Mode, Tensor},
    kernel::{DeviceClass, Kernel, Target},
    plan::PlanOptions,
};

/// How many elements of an input get their derivative checked.
const PROBES: usize = 12;

/// Checks values and gradients of an operation for inputs of one set of shapes.
///
/// ```
/// use wgrad::testing::check_op;
/// check_op([[3, 5]], |[x]| x.relu(), |[x]| x.map(|x| x.max(0.0)));
/// ```
///
/// # Panics
/// At the first number that is wrong, with the device class, element type and index.
#[track_caller]
pub fn check_op<const N: usize, S: Into<Shape>>(
    shapes: [S; N],
    op: impl Fn([Tensor; N]) -> Tensor,
    definition: impl Fn([Numbers; N]) -> Numbers,
) {
    Check::new(op, definition).shapes(shapes).run();
}

/// A test of an operation: see the methods for what can be set, and [`run`](Check::run) for what is checked.
pub struct Check<Op, Definition, const N: usize> {
    op: Op,
    definition: Definition,
    shapes: Vec<[Shape; N]>,
    range: (f64, f64),
    indices: Vec<(String, Array)>,
    gradient: bool,
    half: bool,
    tolerance: f64,
    mode: Mode,
}

impl<const N: usize, Op, Definition> Check<Op, Definition, N>
where
    Op: Fn([Tensor; N]) -> Tensor,
    Definition: Fn([Numbers; N]) -> Numbers,
{
    /// A test of `op` against its definition in `f64`.
    pub fn new(op: Op, definition: Definition) -> Self {
        Check {
            op,
            definition,
            shapes: Vec::new(),
            range: (-2.0, 2.0),
            indices: Vec::new(),
            gradient: true,
            half: true,
            tolerance: 2e-5,
            mode: Mode::Infer,
        }
    }

    /// One more set of shapes to check.
    pub fn shapes<S: Into<Shape>>(mut self, shapes: [S; N]) -> Self {
        self.shapes.push(shapes.map(Into::into));
        self
    }

    /// The range inputs are drawn from, −2 to 2 if not said.
    pub fn range(mut self, low: f64, high: f64) -> Self {
        self.range = (low, high);
        self
    }

    /// A `u32` input the operation takes with `graph.input_of(name, shape, DType::U32)`.
    ///
    /// # Panics
    /// When the numbers are not as many as the shape has.
    pub fn index(mut self, name: &str, shape: impl Into<Shape>, numbers: &[u32]) -> Self {
        let array = Array::from_u32(shape, numbers).unwrap_or_else(|error| panic!("{error}"));
        self.indices.push((name.to_owned(), array));
        self
    }

    /// Checks values only.
    pub fn no_gradient(mut self) -> Self {
        self.gradient = false;
        self
    }

    /// Checks `f32` only.
    pub fn no_half(mut self) -> Self {
        self.half = false;
        self
    }

    /// The tolerance in `f32`, relative to the largest magnitude of what is compared, at least 1.
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// The graph's mode.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Compares values with the definition and gradients with its central differences: for every
    /// set of shapes, in `f32` and (where the device has it) `f16`, with the kernels of all [`classes`], and where
    /// they differ with those for GPUs without subgroups.
    ///
    /// # Panics
    /// At the first number that is wrong.
    #[track_caller]
    pub fn run(&self) {
        let dtypes: &[DType] =
            if self.half && context().target().f16 { &[DType::F32, DType::F16] } else { &[DType::F32] };
        for shapes in &self.shapes {
            for &dtype in dtypes {
                let mut kernels = Vec::new();
                for &class in classes() {
                    kernels = self.run_one(shapes, dtype, &context().target().with_class(class), &kernels);
                }
                let portable = context().target().with_class(DeviceClass::Portable);
                let without_subgroups = Target { subgroups: false, ..portable };
                self.run_one(shapes, dtype, &without_subgroups, &kernels);
            }
        }
    }

    /// Checks one case, unless these kernels are already checked; returns its kernels.
    #[track_caller]
    fn run_one(&self, shapes: &[Shape; N], dtype: DType, target: &Target, known: &[Kernel]) -> Vec<Kernel> {
        let numbers = draw(shapes, dtype, self.range, 1);
        let expected = (self.definition)(numbers.clone());

        let graph = Graph::new(self.mode);
        let inputs: [Tensor; N] = std::array::from_fn(|i| graph.input_of(&format!("x{i}"), &shapes[i], dtype));
        let y = (self.op)(inputs.clone());
        let fail = |error| panic!("{dtype} {shapes:?}: {error}");
        graph.check().unwrap_or_else(fail);
        assert_eq!(y.shape(), *expected.shape(), "{dtype} {shapes:?}: shape of the result against the definition's");

        // The loss whose gradient is checked: Σ y·w with fixed w, which reaches every output.
        let [weights] = draw(&[expected.shape().clone()], dtype, (-1.0, 1.0), 2);
        let mut outputs = vec![("y".to_owned(), y.clone())];
        if self.gradient {
            let w = graph.input_of("w", expected.shape(), dtype);
            let loss = y.mul(&w).sum_all();
            for (i, gradient) in gradients(&loss, &inputs).into_iter().enumerate() {
                if let Some(gradient) = gradient {
                    outputs.push((format!("dx{i}"), gradient));
                }
            }
            graph.check().unwrap_or_else(fail);
        }

        let mut written: Vec<(String, Array)> = self.indices.clone();
        for (i, numbers) in numbers.iter().enumerate() {
            written.push((format!("x{i}"), to_array(numbers, dtype)));
        }
        written.push(("w".to_owned(), to_array(&weights, dtype)));
        let names: Vec<(&str, &Tensor)> = outputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let used = graph.plan(&names, target).unwrap_or_else(|error| panic!("{dtype} {shapes:?}: {error}"));
        let kernels: Vec<Kernel> = used.kernels().cloned().collect();
        if kernels == known {
            return kernels;
        }
        let used: Vec<String> = used.variables().iter().map(|variable| variable.name.to_string()).collect();
        let written: Vec<(&str, Array)> = written
            .iter()
            .filter(|(name, _)| used.contains(name))
            .map(|(name, array)| (name.as_str(), array.clone()))
            .collect();
        let results = run_on(&graph, &names, &written, target, PlanOptions::default());
        let results = results.unwrap_or_else(|error| panic!("{dtype} {shapes:?}: {error}"));

        let tolerance = if dtype == DType::F16 { self.tolerance.max(4e-3) } else { self.tolerance };
        let case = format!("{dtype} {shapes:?} {:?}", target.class);
        let values: Vec<f64> = results[0].to_f32().iter().map(|&x| f64::from(x)).collect();
        compare(&case, "value", &values, expected.data(), &(0..values.len()).collect::<Vec<_>>(), tolerance);

        for ((name, _), result) in outputs.iter().zip(&results).skip(1) {
            let i: usize = name[2..].parse().unwrap_or(0);
            let found: Vec<f64> = result.to_f32().iter().map(|&x| f64::from(x)).collect();
            let probes = probes(found.len());
            let slopes: Vec<f64> = probes.iter().map(|&at| self.slope(&numbers, i, at, &weights)).collect();
            let found: Vec<f64> = probes.iter().map(|&at| found[at]).collect();
            compare(&case, &format!("gradient of input {i}"), &found, &slopes, &probes, 4.0 * tolerance);
        }
        kernels
    }

    /// The central difference of Σ y·w at one element of one input.
    fn slope(&self, numbers: &[Numbers; N], input: usize, at: usize, weights: &Numbers) -> f64 {
        let step = 1e-5;
        let loss = |delta: f64| {
            let mut moved = numbers.clone();
            moved[input] = moved[input].with(at, moved[input].data()[at] + delta);
            let y = (self.definition)(moved);
            y.data().iter().zip(weights.data()).map(|(y, w)| y * w).sum::<f64>()
        };
        (loss(step) - loss(-step)) / (2.0 * step)
    }
}

/// Elements spread over an input: all of a small one.
fn probes(len: usize) -> Vec<usize> {
    if len <= PROBES {
        (0..len).collect()
    } else {
        (0..PROBES).map(|i| (i * (len - 1) / (PROBES - 1)).min(len - 1)).collect()
    }
}

/// Reproducible numbers that are exact in the element type; another seed gives unrelated ones.
fn draw<const N: usize>(shapes: &[Shape; N], dtype: DType, (low, high): (f64, f64), seed: u64) -> [Numbers; N] {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed << 32 | 1);
    std::array::from_fn(|i| {
        Numbers::from_fn(&shapes[i], |_| {
            // splitmix64
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            let x = low + (high - low) * (z >> 11) as f64 / (1u64 << 53) as f64;
            match dtype {
                DType::F16 => f64::from(half::f16::from_f64(x)),
                _ => f64::from(x as f32),
            }
        })
    })
}

fn to_array(numbers: &Numbers, dtype: DType) -> Array {
    let narrow: Vec<f32> = numbers.data().iter().map(|&x| x as f32).collect();
    Array::from_f32_as(dtype, numbers.shape(), &narrow).unwrap_or_else(|_| Array::zeros(TensorDesc::new([0], dtype)))
}

#[track_caller]
fn compare(case: &str, what: &str, found: &[f64], expected: &[f64], at: &[usize], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{case}: number of elements of the {what}");
    let largest = expected.iter().filter(|x| x.is_finite()).fold(1.0_f64, |m, x| m.max(x.abs()));
    for ((&found, &expected), at) in found.iter().zip(expected).zip(at) {
        let same = found == expected
            || (found.is_nan() && expected.is_nan())
            || (found - expected).abs() <= tolerance * largest;
        assert!(
            same,
            "{case}: {what} at {at} is {found}, the definition gives {expected} (tolerance {tolerance:e} of {largest})"
        );
    }
}
