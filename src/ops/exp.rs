//! exp: y = eˣ.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const EXP: Map = Map::new("exp", shader!("exp"), "exp_of", |at| one(at.dy(0) * at.y(0)));

impl Tensor {
    /// eˣ, `torch.exp`.
    ///
    /// # Gradient
    /// dy·y.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn exp(&self) -> Tensor {
        EXP.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, SPECIAL, assert_numbers, check_unary, slopes, values};
    use crate::prelude::*;

    #[test]
    fn exp_matches_its_definition() {
        check_unary((-6.0, 2.0), |[x]| x.exp(), f64::exp);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::exp), &[NAN, INFINITY, 0.0, 1.0, 1.0, 0.36787944, INFINITY, 0.0]);
        assert_numbers(&slopes(&SPECIAL, Tensor::exp), &[NAN, INFINITY, 0.0, 1.0, 1.0, 0.36787944, INFINITY, 0.0]);
    }
}
