//! cos: y = cos x.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const COS: Map = Map::new("cos", shader!("cos"), "cos_of", |at| one(-(at.dy(0) * at.x(0).sin())));

impl Tensor {
    /// The cosine of x in radians, `torch.cos`, to 10⁻⁷ for |x| ≤ 10⁵.
    ///
    /// # Gradient
    /// −dy·sin x.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn cos(&self) -> Tensor {
        COS.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{NAN, SPECIAL, assert_numbers, check_unary, slope, values};
    use crate::prelude::*;

    #[test]
    fn cos_matches_its_definition() {
        check_unary((-7.0, 7.0), |[x]| x.cos(), f64::cos);
        check_unary((-7.0, 7.0), |[x]| slope(&x, Tensor::cos), |x| -x.sin());
    }

    #[test]
    fn large_angles_keep_their_digits() {
        let angles: Vec<f32> = (0..2000).map(|i| (i as f32 - 1000.0) * 97.31).collect();
        for (y, x) in values(&angles, Tensor::cos).iter().zip(&angles) {
            assert!((f64::from(*y) - f64::from(*x).cos()).abs() < 2e-7, "cos {x} is {y}");
        }
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        let (one, two) = (0.540_302_3, 0.487_187_68);
        assert_numbers(&values(&SPECIAL, Tensor::cos), &[NAN, NAN, NAN, 1.0, 1.0, one, two, two]);
    }
}
