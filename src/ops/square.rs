//! square: y = x².

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const SQUARE: Map = Map::new("square", shader!("square"), "square", |at| one(at.dy(0) * 2.0 * at.x(0)));

impl Tensor {
    /// x², `torch.square`.
    ///
    /// # Gradient
    /// 2·dy·x.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn square(&self) -> Tensor {
        SQUARE.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, SPECIAL, assert_numbers, check_unary, slopes, values};
    use crate::prelude::*;

    #[test]
    fn square_matches_its_definition() {
        check_unary((-2.0, 2.0), |[x]| x.square(), |x| x * x);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::square), &[NAN, INFINITY, INFINITY, 0.0, 0.0, 1.0, 40000.0, 40000.0]);
        assert_numbers(
            &slopes(&SPECIAL, Tensor::square),
            &[NAN, INFINITY, NEG_INFINITY, 0.0, 0.0, -2.0, 400.0, -400.0],
        );
    }
}
