//! round: y = the nearest whole number, the even one where two are as near.

use super::map::Map;
use crate::{graph::{Gradients, Tensor}, shader};

const ROUND: Map = Map::new("round", shader!("round"), "round_of", |_| Gradients::of([None]));

impl Tensor {
    /// The nearest whole number, the even one where two are as near, `torch.round`. No gradient flows through it.
    ///
    /// # Gradient
    /// None flows: 0 everywhere.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn round(&self) -> Tensor {
        ROUND.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, assert_numbers, check_unary, values};
    use crate::prelude::*;

    #[test]
    fn round_matches_its_definition() {
        check_unary((-9.0, 9.0), |[x]| x.round(), f64::round_ties_even);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(
            &values(&[NAN, INFINITY, NEG_INFINITY, -0.5, 0.5, 2.5, -2.5, 2.75], Tensor::round),
            &[NAN, INFINITY, NEG_INFINITY, -0.0, 0.0, 2.0, -2.0, 3.0],
        );
    }
}
