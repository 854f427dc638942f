//! abs: y = |x|.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const ABS: Map = Map::new("abs", shader!("abs"), "abs_of", |at| one(at.dy(0) * at.x(0).sign()));

impl Tensor {
    /// |x|, `torch.abs`; its gradient is 0 at 0.
    ///
    /// # Gradient
    /// dy·sign(x), 0 at 0.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn abs(&self) -> Tensor {
        ABS.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, SPECIAL, assert_numbers, check_unary, slopes, values};
    use crate::prelude::*;

    #[test]
    fn abs_matches_its_definition() {
        check_unary((-2.0, 2.0), |[x]| x.abs(), f64::abs);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::abs), &[NAN, INFINITY, INFINITY, 0.0, 0.0, 1.0, 200.0, 200.0]);
        assert_numbers(&slopes(&SPECIAL, Tensor::abs), &[0.0, 1.0, -1.0, 0.0, 0.0, -1.0, 1.0, -1.0]);
    }
}
