//! detach: y = x, but no gradient flows back.

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Tensor},
};

#[derive(Debug)]
struct Detach;

impl Op for Detach {
    fn name(&self) -> &'static str {
        "detach"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![inputs[0].clone()])
    }

    fn is_view(&self) -> bool {
        true
    }

    fn backward(&self, _at: &Backward) -> Gradients {
        Gradients::of([None])
    }
}

impl Tensor {
    /// The same numbers, through which no gradient flows, `torch.Tensor.detach`. It costs nothing.
    ///
    /// # Gradient
    /// None flows, on purpose.
    ///
    /// # Errors
    /// None of its own.
    #[track_caller]
    pub fn detach(&self) -> Tensor {
        self.graph().apply1(Detach, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{slopes, values};
    use crate::prelude::*;

    #[test]
    fn the_numbers_pass_and_the_gradient_does_not() {
        let op = |x: &Tensor| x.exp().detach() * x;
        let numbers = [0.0, 1.0, -2.0];
        assert_eq!(values(&numbers, Tensor::detach), numbers);
        for (slope, x) in slopes(&numbers, op).into_iter().zip(numbers) {
            assert!((slope - x.exp()).abs() < 1e-5, "{slope} at {x}");
        }
    }
}
