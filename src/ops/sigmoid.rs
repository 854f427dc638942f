//! sigmoid: y = 1/(1 + e⁻ˣ).

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const SIGMOID: Map = Map::new("sigmoid", shader!("sigmoid"), "sigmoid", |at| one(at.dy(0) * at.y(0) * (1.0 - at.y(0))));

impl Tensor {
    /// 1/(1 + e⁻ˣ), `torch.sigmoid`.
    ///
    /// # Gradient
    /// dy·y·(1 − y).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn sigmoid(&self) -> Tensor {
        SIGMOID.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{NAN, SPECIAL, assert_numbers, check_unary, slopes, values};
    use crate::prelude::*;

    #[test]
    fn sigmoid_matches_its_definition() {
        check_unary((-6.0, 6.0), |[x]| x.sigmoid(), |x| 1.0 / (1.0 + (-x).exp()));
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::sigmoid), &[NAN, 1.0, 0.0, 0.5, 0.5, 0.26894143, 1.0, 0.0]);
        assert_numbers(&slopes(&SPECIAL, Tensor::sigmoid), &[NAN, 0.0, 0.0, 0.25, 0.25, 0.19661194, 0.0, 0.0]);
    }
}
