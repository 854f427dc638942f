//! neg: y = −x.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const NEG: Map = Map::new("neg", shader!("neg"), "neg", |at| one(-at.dy(0)));

impl Tensor {
    /// −x, `torch.neg`; also the operator `-x`.
    ///
    /// # Gradient
    /// −dy.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn neg(&self) -> Tensor {
        NEG.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, SPECIAL, assert_numbers, check_unary, values};
    use crate::prelude::*;

    #[test]
    fn neg_matches_its_definition() {
        check_unary((-2.0, 2.0), |[x]| x.neg(), |x| -x);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::neg), &[NAN, NEG_INFINITY, INFINITY, -0.0, 0.0, 1.0, -200.0, 200.0]);
    }
}
