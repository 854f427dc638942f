//! minimum: y = the smaller of a and b.

use super::map::{Map, two};
use crate::{
    graph::{Gradients, Tensor},
    shader,
};

const MINIMUM: Map = Map::new("minimum", shader!("minimum"), "minimum", |at| {
    let (dy, a, b) = (at.dy(0), at.x(0), at.x(1));
    two(at, || MINIMUM_GRAD.of(&[&dy, a, b]), || MINIMUM_GRAD.of(&[&dy, b, a]))
});

const MINIMUM_GRAD: Map = Map::new("minimum_grad", shader!("minimum"), "minimum_grad", |at| {
    Gradients::of([Some(MINIMUM_GRAD.of(&[&at.dy(0), at.x(1), at.x(2)])), None, None])
});

impl Tensor {
    /// The smaller of each two elements, NaN where either is, `torch.minimum`. Shapes broadcast.
    ///
    /// Where both are equal each gets half of the gradient.
    ///
    /// # Gradient
    /// dy to the smaller operand, half to each of equal ones, summed over what was repeated.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types, index tensors.
    #[track_caller]
    pub fn minimum(&self, other: &Tensor) -> Tensor {
        MINIMUM.of(&[self, other])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, assert_numbers, check_binary, pairs};
    use crate::prelude::*;

    #[test]
    fn minimum_matches_its_definition() {
        check_binary((-2.0, 2.0), |[a, b]| a.minimum(&b), f64::min);
    }

    #[test]
    fn nan_wins_and_ties_share_the_gradient() {
        let (a, b) = ([NAN, 1.0, 2.0, 1.0, INFINITY, NAN], [1.0, NAN, 1.0, 1.0, INFINITY, NAN]);
        let [y, da, db] = pairs(&a, &b, Tensor::minimum);
        assert_numbers(&y, &[NAN, NAN, 1.0, 1.0, INFINITY, NAN]);
        assert_numbers(&da, &[1.0, 1.0, 0.0, 0.5, 0.5, 1.0]);
        assert_numbers(&db, &[1.0, 1.0, 1.0, 0.5, 0.5, 1.0]);
    }
}
