//! gelu: y = x·Φ(x) with the normal distribution's Φ(x) = ½(1 + erf(x/√2)).

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const GELU: Map = Map::new("gelu", shader!("gelu"), "gelu", |at| one(at.dy(0) * GELU_GRAD.of(&[at.x(0)])));

// f″ = (2 − x²)·φ(x) with φ(x) = e^(−x²/2)/√(2π)
const GELU_GRAD: Map = Map::new("gelu_grad", shader!("gelu"), "gelu_grad", |at| {
    let square = at.x(0).square();
    one(at.dy(0) * (2.0 - &square) * (square * -0.5).exp() * 0.398_942_3)
});

impl Tensor {
    /// x·Φ(x) by the error function (Hendrycks and Gimpel 2016), `torch.nn.functional.gelu`.
    ///
    /// # Gradient
    /// dy·(Φ(x) + x·φ(x)).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        GELU.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, SPECIAL, assert_numbers, check_unary, slope, values};
    use crate::{prelude::*, testing::erf};
    use std::f64::consts::PI;

    #[test]
    fn gelu_matches_its_definition() {
        check_unary((-6.0, 6.0), |[x]| x.gelu(), |x| x * cdf(x));
    }

    #[test]
    fn second_derivative() {
        check_unary(
            (-6.0, 6.0),
            |[x]| slope(&x, Tensor::gelu),
            |x| cdf(x) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt(),
        );
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::gelu), &[NAN, INFINITY, NAN, 0.0, -0.0, -0.15865526, 200.0, -0.0]);
    }

    fn cdf(x: f64) -> f64 {
        0.5 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
    }
}
