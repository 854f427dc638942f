//! What pointwise operations without attributes share.

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Precision, Tensor},
    kernel::Shader,
};
use std::fmt;

/// A function of floating point numbers without attributes: its name, its WGSL and its gradient rule.
#[derive(Clone, Copy)]
pub(super) struct Map {
    name: &'static str,
    shader: &'static Shader,
    function: &'static str,
    rule: fn(&Backward) -> Gradients,
}

impl Map {
    pub const fn new(
        name: &'static str,
        shader: &'static Shader,
        function: &'static str,
        rule: fn(&Backward) -> Gradients,
    ) -> Map {
        Map { name, shader, function, rule }
    }

    /// The function of these inputs, which broadcast.
    #[track_caller]
    pub fn of(self, inputs: &[&Tensor]) -> Tensor {
        inputs[0].graph().apply1(self, inputs)
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function)
    }
}

impl Op for Map {
    fn name(&self) -> &'static str {
        self.name
    }

    fn precision(&self) -> Precision {
        match self.name {
            "exp" | "expm1" | "log" | "log1p" | "pow" | "recip" | "rsqrt" | "softplus" | "square" => Precision::Single,
            _ => Precision::Any,
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(self.shader, self.function))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        (self.rule)(at)
    }
}

/// The gradient of an operation's only input.
pub(super) fn one(gradient: Tensor) -> Gradients {
    Gradients::of([Some(gradient)])
}

/// The gradients of an operation's two inputs, each summed over the dimensions it was repeated along.
pub(super) fn two(at: &Backward, first: impl FnOnce() -> Tensor, second: impl FnOnce() -> Tensor) -> Gradients {
    Gradients::of([at.needs(0).then(|| reduced(at, 0, first())), at.needs(1).then(|| reduced(at, 1, second()))])
}

/// The gradient of the `i`-th input from one that has the output's shape.
pub(super) fn reduced(at: &Backward, i: usize, gradient: Tensor) -> Tensor {
    let shape = at.x(i).shape();
    if gradient.shape() == shape { gradient } else { gradient.sum_to(&shape) }
}

/// Inputs of one element type, whatever it is, that broadcast.
pub(super) fn alike(inputs: &[TensorDesc]) -> Result<TensorDesc, Misfit> {
    let mut desc = inputs[0].clone();
    for input in &inputs[1..] {
        if input.dtype != desc.dtype {
            return Err(Misfit::dtype(format!("mixes {desc} and {input}")));
        }
        desc.shape = desc.shape.broadcast(&input.shape)?;
    }
    Ok(desc)
}

#[cfg(test)]
pub(super) mod tests {
    use crate::{
        autodiff::gradients,
        prelude::*,
        testing::{Check, Numbers, run},
    };

    /// Shapes for functions of one input: size 1, odd, a multiple of four, none, and past one workgroup.
    pub fn check_unary(range: (f64, f64), op: impl Fn([Tensor; 1]) -> Tensor, definition: impl Fn(f64) -> f64) {
        Check::new(op, |[x]: [Numbers; 1]| x.map(&definition))
            .shapes([&[3, 5][..]])
            .shapes([&[1][..]])
            .shapes([&[][..]])
            .shapes([&[2, 1, 4][..]])
            .shapes([&[4099][..]])
            .range(range.0, range.1)
            .run();
    }

    /// Shapes for functions of two inputs: equal, broadcast on either side, in the middle, and past one workgroup.
    pub fn check_binary(range: (f64, f64), op: impl Fn([Tensor; 2]) -> Tensor, definition: impl Fn(f64, f64) -> f64) {
        Check::new(op, |[a, b]: [Numbers; 2]| a.zip(&b, &definition))
            .shapes([&[3, 5][..], &[3, 5]])
            .shapes([&[4, 8][..], &[8]])
            .shapes([&[][..], &[2, 3]])
            .shapes([&[2, 1, 3][..], &[5, 1]])
            .shapes([&[17, 256][..], &[17, 1]])
            // As many as fours have, whose elements lie apart.
            .shapes([&[4, 1, 3][..], &[5, 1]])
            .shapes([&[2, 3, 1, 6][..], &[3, 4, 1]])
            .range(range.0, range.1)
            .run();
    }

    /// The values of an operation at some numbers.
    pub fn values(numbers: &[f32], op: impl Fn(&Tensor) -> Tensor) -> Vec<f32> {
        let graph = Graph::new(Mode::Train);
        let x = graph.input("x", [numbers.len()]);
        read(&graph, &op(&x), &[("x", numbers)])
    }

    /// The gradient of the sum of an operation's values at some numbers.
    pub fn slopes(numbers: &[f32], op: impl Fn(&Tensor) -> Tensor) -> Vec<f32> {
        values(numbers, |x| slope(x, &op))
    }

    /// The gradient of the sum of an operation's values, as a tensor.
    pub fn slope(x: &Tensor, op: impl Fn(&Tensor) -> Tensor) -> Tensor {
        gradients(&op(x).sum_all(), std::slice::from_ref(x)).remove(0).expect("depends on x")
    }

    /// The values of an operation at pairs of numbers, then the gradients of their sum.
    pub fn pairs(a: &[f32], b: &[f32], op: impl Fn(&Tensor, &Tensor) -> Tensor) -> [Vec<f32>; 3] {
        let graph = Graph::new(Mode::Train);
        let inputs = [graph.input("a", [a.len()]), graph.input("b", [b.len()])];
        let y = op(&inputs[0], &inputs[1]);
        let found = gradients(&y.sum_all(), &inputs);
        let of = |y: &Tensor| read(&graph, y, &[("a", a), ("b", b)]);
        let gradient = |i: usize| found[i].as_ref().map(of).unwrap_or_default();
        [of(&y), gradient(0), gradient(1)]
    }

    fn read(graph: &Graph, y: &Tensor, inputs: &[(&str, &[f32])]) -> Vec<f32> {
        let used = graph.plan(&[("y", y)], crate::testing::context().target()).unwrap();
        let used: Vec<&str> = used.variables().iter().map(|variable| &*variable.name).collect();
        let inputs = inputs.iter().filter(|(name, _)| used.contains(name));
        let inputs: Vec<(&str, Array)> =
            inputs.map(|(name, x)| (*name, Array::from_f32([x.len()], x).unwrap())).collect();
        run(graph, &[("y", y)], &inputs).unwrap()[0].to_f32()
    }

    /// Compares numbers, NaN equal to NaN and infinities to themselves.
    #[track_caller]
    pub fn assert_numbers(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let near = (found - expected).abs() <= 2e-6 * expected.abs();
            assert!(near || found == expected || (found.is_nan() && expected.is_nan()), "{i}: {found}, not {expected}");
        }
    }

    pub const NAN: f32 = f32::NAN;
    pub const INFINITY: f32 = f32::INFINITY;
    pub const NEG_INFINITY: f32 = f32::NEG_INFINITY;

    /// NaN, both infinities, both zeros, and numbers where a careless formula overflows.
    pub const SPECIAL: [f32; 8] = [NAN, INFINITY, NEG_INFINITY, 0.0, -0.0, -1.0, 200.0, -200.0];
}
