//! erf: y = 2/√π ∫₀ˣ e^(−t²) dt.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const ERF: Map = Map::new("erf", shader!("erf"), "erf", |at| one(at.dy(0) * ERF_GRAD.of(&[at.x(0)])));

const ERF_GRAD: Map = Map::new("erf_grad", shader!("erf"), "erf_grad", |at| one(at.dy(0) * at.y(0) * at.x(0) * -2.0));

impl Tensor {
    /// The error function 2/√π ∫₀ˣ e^(−t²) dt, `torch.erf`.
    ///
    /// # Gradient
    /// dy·2/√π·e^(−x²).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn erf(&self) -> Tensor {
        ERF.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{NAN, SPECIAL, assert_numbers, check_unary, slope, slopes, values};
    use crate::{prelude::*, testing::erf};
    use std::f32::consts::FRAC_2_SQRT_PI;

    #[test]
    fn erf_matches_its_definition() {
        check_unary((-4.0, 4.0), |[x]| x.erf(), erf);
    }

    #[test]
    fn second_derivative() {
        check_unary((-4.0, 4.0), |[x]| slope(&x, Tensor::erf), |x| 2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp());
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::erf), &[NAN, 1.0, -1.0, 0.0, -0.0, -0.8427008, 1.0, -1.0]);
        assert_numbers(
            &slopes(&SPECIAL, Tensor::erf),
            &[NAN, 0.0, 0.0, FRAC_2_SQRT_PI, FRAC_2_SQRT_PI, 0.4151075, 0.0, 0.0],
        );
    }

    #[test]
    fn it_is_exact_to_the_last_places() {
        let numbers: Vec<f32> = (-4500..=4500).map(|i| i as f32 * 1e-3).collect();
        let found = values(&numbers, Tensor::erf);
        for (x, found) in numbers.iter().zip(found) {
            let expected = erf(f64::from(*x));
            assert!(
                (f64::from(found) - expected).abs() <= 2e-7 * expected.abs(),
                "erf({x}) is {found}, not {expected}"
            );
        }
    }
}
