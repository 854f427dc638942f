//! floor: y = the largest whole number that is not above x.

use super::map::Map;
use crate::{graph::{Gradients, Tensor}, shader};

const FLOOR: Map = Map::new("floor", shader!("floor"), "floor_of", |_| Gradients::of([None]));

impl Tensor {
    /// The largest whole number that is not above x, `torch.floor`. No gradient flows through it.
    ///
    /// # Gradient
    /// None flows: 0 everywhere.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn floor(&self) -> Tensor {
        FLOOR.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, assert_numbers, check_unary, values};
    use crate::prelude::*;

    #[test]
    fn floor_matches_its_definition() {
        check_unary((-9.0, 9.0), |[x]| x.floor(), f64::floor);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(
            &values(&[NAN, INFINITY, NEG_INFINITY, -0.5, 0.5, 2.5, -2.5, 2.75], Tensor::floor),
            &[NAN, INFINITY, NEG_INFINITY, -1.0, 0.0, 2.0, -3.0, 2.0],
        );
    }
}
