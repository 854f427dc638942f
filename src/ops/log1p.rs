//! log1p: y = ln(1 + x).

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const LOG1P: Map = Map::new("log1p", shader!("log1p"), "log1p_of", |at| one(at.dy(0) / (at.x(0) + 1.0)));

impl Tensor {
    /// ln(1 + x), `torch.log1p`: exact also where x is small; NaN below −1.
    ///
    /// # Gradient
    /// dy/(1 + x).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn log1p(&self) -> Tensor {
        LOG1P.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, SPECIAL, assert_numbers, check_unary, values};
    use crate::prelude::*;

    #[test]
    fn log1p_matches_its_definition() {
        check_unary((-0.8, 4.0), |[x]| x.log1p(), f64::ln_1p);
    }

    #[test]
    fn special_and_small_numbers_are_pytorchs() {
        let expected = [NAN, INFINITY, NAN, 0.0, -0.0, NEG_INFINITY, 5.303_305, NAN];
        assert_numbers(&values(&SPECIAL, Tensor::log1p), &expected);
        assert_numbers(&values(&[1e-20, -1e-8, 3e-5], Tensor::log1p), &[1e-20, -1e-8, 2.999_955e-5]);
    }
}
