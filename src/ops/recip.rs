//! recip: y = 1/x.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const RECIP: Map = Map::new("recip", shader!("recip"), "recip", |at| one(-at.dy(0) * at.y(0).square()));

impl Tensor {
    /// 1/x, `torch.reciprocal`.
    ///
    /// # Gradient
    /// −dy·y².
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn recip(&self) -> Tensor {
        RECIP.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, SPECIAL, assert_numbers, check_unary, values};
    use crate::prelude::*;

    #[test]
    fn recip_matches_its_definition() {
        check_unary((0.3, 3.0), |[x]| x.recip(), |x| 1.0 / x);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(
            &values(&SPECIAL, Tensor::recip),
            &[NAN, 0.0, -0.0, INFINITY, NEG_INFINITY, -1.0, 0.005, -0.005],
        );
    }
}
