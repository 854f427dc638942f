//! rsqrt: y = 1/√x.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const RSQRT: Map =
    Map::new("rsqrt", shader!("rsqrt"), "rsqrt_of", |at| one(at.dy(0) * -0.5 * at.y(0) * at.y(0).square()));

impl Tensor {
    /// 1/√x, `torch.rsqrt`; ∞ at 0, NaN below.
    ///
    /// # Gradient
    /// −dy·y³/2.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn rsqrt(&self) -> Tensor {
        RSQRT.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, SPECIAL, assert_numbers, check_unary, values};
    use crate::prelude::*;

    #[test]
    fn rsqrt_matches_its_definition() {
        check_unary((0.2, 4.0), |[x]| x.rsqrt(), |x| 1.0 / x.sqrt());
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(
            &values(&SPECIAL, Tensor::rsqrt),
            &[NAN, 0.0, NAN, INFINITY, NEG_INFINITY, NAN, 0.07071068, NAN],
        );
    }
}
