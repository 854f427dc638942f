//! ceil: y = the smallest whole number that is not below x.

use super::map::Map;
use crate::{graph::{Gradients, Tensor}, shader};

const CEIL: Map = Map::new("ceil", shader!("ceil"), "ceil_of", |_| Gradients::of([None]));

impl Tensor {
    /// The smallest whole number that is not below x, `torch.ceil`. No gradient flows through it.
    ///
    /// # Gradient
    /// None flows: 0 everywhere.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn ceil(&self) -> Tensor {
        CEIL.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, assert_numbers, check_unary, values};
    use crate::prelude::*;

    #[test]
    fn ceil_matches_its_definition() {
        check_unary((-9.0, 9.0), |[x]| x.ceil(), f64::ceil);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(
            &values(&[NAN, INFINITY, NEG_INFINITY, -0.5, 0.5, 2.5, -2.5, 2.75], Tensor::ceil),
            &[NAN, INFINITY, NEG_INFINITY, -0.0, 1.0, 3.0, -2.0, 3.0],
        );
    }
}
