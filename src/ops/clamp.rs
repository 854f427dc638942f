//! clamp: y = min(max(x, low), high).

use super::map::one;
use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Clone, Copy, Debug)]
struct Clamp {
    low: f32,
    high: f32,
}

impl Op for Clamp {
    fn name(&self) -> &'static str {
        "clamp"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let Clamp { low, high } = self;
        if low.is_nan() || high.is_nan() {
            return Err(Misfit::shape(format!("bounds {low} and {high} are not numbers")));
        }
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("clamp"), "clamp_of").scalar(self.low).scalar(self.high))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        one(at.x(0).graph().apply1(ClampGrad(*self), &[&at.dy(0), at.x(0)]))
    }
}

/// dx of dy and x.
#[derive(Clone, Copy, Debug)]
struct ClampGrad(Clamp);

impl Op for ClampGrad {
    fn name(&self) -> &'static str {
        "clamp_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("clamp"), "clamp_grad").scalar(self.0.low).scalar(self.0.high))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.x(1).graph().apply1(*self, &[&at.dy(0), at.x(1)])), None])
    }
}

impl Tensor {
    /// Every number brought into `low..=high`, NaN left as it is, `torch.clamp`.
    ///
    /// Either bound may be infinite; where `low` exceeds `high` the result is `high`. The gradient is 1
    /// within the bounds and on them, 0 outside.
    ///
    /// # Gradient
    /// dy where low ≤ x ≤ high, else 0.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn clamp(&self, low: f32, high: f32) -> Tensor {
        self.graph().apply1(Clamp { low, high }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, SPECIAL, assert_numbers, check_unary, slope, slopes, values};
    use crate::prelude::*;

    #[test]
    fn clamp_matches_its_definition() {
        check_unary((-2.0, 2.0), |[x]| x.clamp(-0.7, 1.1), |x| x.clamp(-0.7, 1.1));
        check_unary((-2.0, 2.0), |[x]| x.clamp(0.3, INFINITY), |x| x.max(0.3));
    }

    #[test]
    fn second_derivative() {
        let square = |x: &Tensor| x.clamp(-0.7, 1.1).square();
        check_unary((-2.0, 2.0), |[x]| slope(&x, square), |x| if x.clamp(-0.7, 1.1) == x { 2.0 * x } else { 0.0 });
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        let clamp = |x: &Tensor| x.clamp(-1.0, 200.0);
        assert_numbers(&values(&SPECIAL, clamp), &[NAN, 200.0, -1.0, 0.0, 0.0, -1.0, 200.0, -1.0]);
        assert_numbers(&slopes(&SPECIAL, clamp), &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
        assert_numbers(&values(&[-5.0, 1.5, 9.0, NAN], |x| x.clamp(2.0, 1.0)), &[1.0, 1.0, 1.0, NAN]);
    }

    #[test]
    fn bounds_must_be_numbers() {
        let graph = Graph::new(Mode::Infer);
        graph.input("x", [2]).clamp(NAN, 1.0);
        assert_eq!(graph.check().unwrap_err().message(), "clamp: bounds NaN and 1 are not numbers");
    }
}
