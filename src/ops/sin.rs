//! sin: y = sin x.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const SIN: Map = Map::new("sin", shader!("sin"), "sin_of", |at| one(at.dy(0) * at.x(0).cos()));

impl Tensor {
    /// The sine of x in radians, `torch.sin`, to 10⁻⁷ for |x| ≤ 10⁵.
    ///
    /// # Gradient
    /// dy·cos x.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn sin(&self) -> Tensor {
        SIN.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{NAN, SPECIAL, assert_numbers, check_unary, slope, values};
    use crate::prelude::*;

    #[test]
    fn sin_matches_its_definition() {
        check_unary((-7.0, 7.0), |[x]| x.sin(), f64::sin);
        check_unary((-7.0, 7.0), |[x]| slope(&x, Tensor::sin), f64::cos);
    }

    #[test]
    fn large_angles_keep_their_digits() {
        let angles: Vec<f32> = (0..2000).map(|i| (i as f32 - 1000.0) * 97.31).collect();
        for (y, x) in values(&angles, Tensor::sin).iter().zip(&angles) {
            assert!((f64::from(*y) - f64::from(*x).sin()).abs() < 2e-7, "sin {x} is {y}");
        }
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        let (one, two) = (-0.841_470_96, -0.873_297_3);
        assert_numbers(&values(&SPECIAL, Tensor::sin), &[NAN, NAN, NAN, 0.0, -0.0, one, two, -two]);
    }
}
