//! sqrt: y = √x.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const SQRT: Map = Map::new("sqrt", shader!("sqrt"), "sqrt_of", |at| one(at.dy(0) * 0.5 / at.y(0)));

impl Tensor {
    /// √x, `torch.sqrt`; NaN below 0.
    ///
    /// # Gradient
    /// dy/(2·y).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn sqrt(&self) -> Tensor {
        SQRT.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, SPECIAL, assert_numbers, check_unary, slopes, values};
    use crate::prelude::*;

    #[test]
    fn sqrt_matches_its_definition() {
        check_unary((0.1, 4.0), |[x]| x.sqrt(), f64::sqrt);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::sqrt), &[NAN, INFINITY, NAN, 0.0, -0.0, NAN, 14.142136, NAN]);
        assert_numbers(
            &slopes(&SPECIAL, Tensor::sqrt),
            &[NAN, 0.0, NAN, INFINITY, NEG_INFINITY, NAN, 0.035355338, NAN],
        );
    }
}
