//! expm1: y = eˣ − 1.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const EXPM1: Map = Map::new("expm1", shader!("expm1"), "expm1_of", |at| one(at.dy(0) * (at.y(0) + 1.0)));

impl Tensor {
    /// eˣ − 1, `torch.expm1`: exact also where x is small.
    ///
    /// # Gradient
    /// dy·(y + 1).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn expm1(&self) -> Tensor {
        EXPM1.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, SPECIAL, assert_numbers, check_unary, values};
    use crate::prelude::*;

    #[test]
    fn expm1_matches_its_definition() {
        check_unary((-3.0, 3.0), |[x]| x.expm1(), f64::exp_m1);
    }

    #[test]
    fn special_and_small_numbers_are_pytorchs() {
        let expected = [NAN, INFINITY, -1.0, 0.0, -0.0, -0.632_120_55, INFINITY, -1.0];
        assert_numbers(&values(&SPECIAL, Tensor::expm1), &expected);
        assert_numbers(&values(&[1e-20, -1e-8, 3e-5], Tensor::expm1), &[1e-20, -1e-8, 3.000_045e-5]);
    }
}
