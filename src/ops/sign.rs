//! sign: y = 1 where x > 0, −1 where x < 0, else 0.

use super::map::Map;
use crate::{
    graph::{Gradients, Tensor},
    shader,
};

const SIGN: Map = Map::new("sign", shader!("sign"), "sign_of", |_| Gradients::of([None]));

impl Tensor {
    /// The sign of each number, 0 for 0 and NaN, `torch.sign`. No gradient flows through it.
    ///
    /// # Gradient
    /// None flows: 0 everywhere.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn sign(&self) -> Tensor {
        SIGN.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{SPECIAL, assert_numbers, check_unary, values};
    use crate::prelude::*;

    #[test]
    fn sign_matches_its_definition() {
        check_unary((-2.0, 2.0), |[x]| x.sign(), f64::signum);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::sign), &[0.0, 1.0, -1.0, 0.0, 0.0, -1.0, 1.0, -1.0]);
    }
}
