//! tanh: y = tanh x.

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const TANH: Map = Map::new("tanh", shader!("tanh"), "tanh_safe", |at| one(at.dy(0) * (1.0 - at.y(0).square())));

impl Tensor {
    /// tanh x, `torch.tanh`.
    ///
    /// # Gradient
    /// dy·(1 − y²).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn tanh(&self) -> Tensor {
        TANH.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{NAN, SPECIAL, assert_numbers, check_unary, slopes, values};
    use crate::prelude::*;

    #[test]
    fn tanh_matches_its_definition() {
        check_unary((-2.0, 2.0), |[x]| x.tanh(), f64::tanh);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::tanh), &[NAN, 1.0, -1.0, 0.0, -0.0, -0.7615942, 1.0, -1.0]);
        assert_numbers(&slopes(&SPECIAL, Tensor::tanh), &[NAN, 0.0, 0.0, 1.0, 1.0, 0.41997434, 0.0, 0.0]);
    }

    #[test]
    fn small_numbers_keep_their_digits() {
        let numbers = [1e-6, -1e-4, 1e-2, 0.624, 0.626, 5.0, -9.0];
        assert_numbers(&values(&numbers, Tensor::tanh), &numbers.map(f32::tanh));
    }
}
