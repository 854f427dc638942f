//! div: y = a/b.

use super::map::{Map, two};
use crate::{graph::Tensor, shader};

const DIV: Map =
    Map::new("div", shader!("div"), "div", |at| two(at, || at.dy(0) / at.x(1), || -at.dy(0) * at.y(0) / at.x(1)));

impl Tensor {
    /// a/b for each element, `torch.div`; also the operator `a / b`. Shapes broadcast.
    ///
    /// # Gradient
    /// dy/b and −dy·a/b², summed over what was repeated.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types, index tensors.
    #[track_caller]
    pub fn div(&self, other: &Tensor) -> Tensor {
        DIV.of(&[self, other])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, assert_numbers, check_binary, pairs};
    use crate::prelude::*;

    #[test]
    fn div_matches_its_definition() {
        check_binary((0.4, 3.0), |[a, b]| a.div(&b), |a, b| a / b);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        let [y, _, _] = pairs(&[1.0, -1.0, 0.0, INFINITY, NAN, 6.0], &[0.0, 0.0, 0.0, INFINITY, 1.0, 3.0], Tensor::div);
        assert_numbers(&y, &[INFINITY, NEG_INFINITY, NAN, NAN, NAN, 2.0]);
    }
}
