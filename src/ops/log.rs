//! log: y = ln x.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const LOG: Map = Map::new("log", shader!("log"), "log_of", |at| one(at.dy(0) / at.x(0)));

impl Tensor {
    /// ln x, `torch.log`; −∞ at 0, NaN below.
    ///
    /// # Gradient
    /// dy/x.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn log(&self) -> Tensor {
        LOG.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, SPECIAL, assert_numbers, check_unary, slopes, values};
    use crate::prelude::*;

    #[test]
    fn log_matches_its_definition() {
        check_unary((0.1, 4.0), |[x]| x.log(), f64::ln);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(
            &values(&SPECIAL, Tensor::log),
            &[NAN, INFINITY, NAN, NEG_INFINITY, NEG_INFINITY, NAN, 5.2983174, NAN],
        );
        assert_numbers(&slopes(&SPECIAL, Tensor::log), &[NAN, 0.0, -0.0, INFINITY, NEG_INFINITY, -1.0, 0.005, -0.005]);
    }
}
