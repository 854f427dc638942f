//! softplus: y = log(1 + eˣ).

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const SOFTPLUS: Map = Map::new("softplus", shader!("softplus"), "softplus", |at| one(at.dy(0) * at.x(0).sigmoid()));

impl Tensor {
    /// log(1 + eˣ), `torch.nn.functional.softplus` with its default β = 1; from about 17 on it is x itself.
    ///
    /// # Gradient
    /// dy·σ(x).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn softplus(&self) -> Tensor {
        SOFTPLUS.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, SPECIAL, assert_numbers, check_unary, slopes, values};
    use crate::prelude::*;
    use std::f32::consts::LN_2;

    #[test]
    fn softplus_matches_its_definition() {
        check_unary((-6.0, 6.0), |[x]| x.softplus(), |x| x.exp().ln_1p());
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(
            &values(&SPECIAL, Tensor::softplus),
            &[NAN, INFINITY, 0.0, LN_2, LN_2, 0.3132617, 200.0, 0.0],
        );
        assert_numbers(&slopes(&SPECIAL, Tensor::softplus), &[NAN, 1.0, 0.0, 0.5, 0.5, 0.26894143, 1.0, 0.0]);
    }

    #[test]
    fn small_values_keep_their_digits() {
        let numbers = [-20.0, -15.0, -8.0, -0.5, 19.0, 21.0, 30.0];
        assert_numbers(&values(&numbers, Tensor::softplus), &numbers.map(|x| x.exp().ln_1p()));
    }
}
