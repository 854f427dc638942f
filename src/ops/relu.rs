//! relu: y = max(0, x).

use super::map::{Map, one};
use crate::{
    graph::{Gradients, Tensor},
    shader,
};

const RELU: Map = Map::new("relu", shader!("relu"), "relu", |at| one(RELU_GRAD.of(&[&at.dy(0), at.y(0)])));

const RELU_GRAD: Map = Map::new("relu_grad", shader!("relu"), "relu_grad", |at| {
    Gradients::of([Some(RELU_GRAD.of(&[&at.dy(0), at.x(1)])), None])
});

impl Tensor {
    /// max(0, x), `torch.relu`; its gradient is 0 at 0.
    ///
    /// # Gradient
    /// dy where x > 0, else 0.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        RELU.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, SPECIAL, assert_numbers, check_unary, slope, slopes, values};
    use crate::prelude::*;

    #[test]
    fn relu_matches_its_definition() {
        check_unary((-2.0, 2.0), |[x]| x.relu(), |x| x.max(0.0));
    }

    #[test]
    fn second_derivative() {
        check_unary((-2.0, 2.0), |[x]| slope(&x, Tensor::relu), |x| f64::from(x > 0.0));
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::relu), &[NAN, INFINITY, 0.0, 0.0, 0.0, 0.0, 200.0, 0.0]);
        assert_numbers(&slopes(&SPECIAL, Tensor::relu), &[1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    }
}
