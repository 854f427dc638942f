//! mish: y = x·t with t = tanh(ln(1 + eˣ)).

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

// t′ = (1 − t²)·σ(x)
const FACTOR: Map = Map::new("mish", shader!("mish"), "mish_factor", |at| {
    one(at.dy(0) * (1.0 - at.y(0).square()) * at.x(0).sigmoid())
});

impl Tensor {
    /// x·tanh(softplus(x)), `torch.nn.functional.mish` (Misra 2019).
    ///
    /// # Gradient
    /// dy·(t + x·(1 − t²)·σ(x)) with t = tanh(softplus(x)).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn mish(&self) -> Tensor {
        self * FACTOR.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, assert_numbers, check_unary, slope, slopes, values};
    use crate::prelude::*;

    fn factor(x: f64) -> f64 {
        x.exp().ln_1p().tanh()
    }

    #[test]
    fn mish_matches_its_definition() {
        check_unary((-8.0, 8.0), |[x]| x.mish(), |x| x * factor(x));
    }

    #[test]
    fn second_derivative() {
        check_unary(
            (-6.0, 6.0),
            |[x]| slope(&x, Tensor::mish),
            |x| factor(x) + x * (1.0 - factor(x).powi(2)) / (1.0 + (-x).exp()),
        );
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        let numbers = [NAN, INFINITY, NEG_INFINITY, 0.0, 200.0, -200.0, -20.0];
        let expected = [NAN, INFINITY, NAN, 0.0, 200.0, 0.0, -4.122_307_4e-8];
        assert_numbers(&values(&numbers, Tensor::mish), &expected);
        assert_numbers(&slopes(&[0.0, 200.0, -200.0], Tensor::mish), &[0.6, 1.0, 0.0]);
    }
}
