//! gelu_tanh: y = ½·x·(1 + tanh u) with u = √(2/π)·(x + 0.044715·x³).

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const GELU_TANH: Map =
    Map::new("gelu_tanh", shader!("gelu_tanh"), "gelu_tanh", |at| one(at.dy(0) * GELU_TANH_GRAD.of(&[at.x(0)])));

// f″ = t′ + ½·x·t″ with t = tanh u, t′ = (1 − t²)·u′ and t″ = (1 − t²)·u″ − 2·t·t′·u′
const GELU_TANH_GRAD: Map = Map::new("gelu_tanh_grad", shader!("gelu_tanh"), "gelu_tanh_grad", |at| {
    let (x, square) = (at.x(0), at.x(0).square());
    let t = (x * (&square * CUBIC + 1.0) * SCALE).tanh();
    let du = (&square * (3.0 * CUBIC) + 1.0) * SCALE;
    let rest = 1.0 - t.square();
    let dt = &rest * &du;
    let ddt = rest * x * (6.0 * CUBIC * SCALE) - t * &dt * du * 2.0;
    one(at.dy(0) * (dt + x * ddt * 0.5))
});

const SCALE: f32 = 0.797_884_6; // √(2/π)
const CUBIC: f32 = 0.044_715;

impl Tensor {
    /// The approximation of [`gelu`](Tensor::gelu) by tanh that GPT-2 uses, `torch.nn.functional.gelu` with
    /// `approximate="tanh"`.
    ///
    /// # Gradient
    /// dy times the derivative of the formula.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor {
        GELU_TANH.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, SPECIAL, assert_numbers, check_unary, slope, values};
    use crate::prelude::*;
    use std::f64::consts::PI;

    #[test]
    fn gelu_tanh_matches_its_definition() {
        check_unary((-6.0, 6.0), |[x]| x.gelu_tanh(), |x| 0.5 * x * (1.0 + argument(x).tanh()));
    }

    #[test]
    fn second_derivative() {
        check_unary(
            (-6.0, 6.0),
            |[x]| slope(&x, Tensor::gelu_tanh),
            |x| {
                let t = argument(x).tanh();
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * (2.0 / PI).sqrt() * (1.0 + 3.0 * 0.044715 * x * x)
            },
        );
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::gelu_tanh), &[NAN, INFINITY, NAN, 0.0, -0.0, -0.158808, 200.0, -0.0]);
    }

    fn argument(x: f64) -> f64 {
        (2.0 / PI).sqrt() * (x + 0.044715 * x.powi(3))
    }
}
