//! silu: y = x·σ(x) with σ(x) = 1/(1 + e⁻ˣ).

use super::map::{Map, one};
use crate::{graph::Tensor, shader};

const SILU: Map = Map::new("silu", shader!("silu"), "silu", |at| one(at.dy(0) * SILU_GRAD.of(&[at.x(0)])));

// f″ = σ′·(2 + x·(1 − 2σ)) with σ′ = σ·(1 − σ)
const SILU_GRAD: Map = Map::new("silu_grad", shader!("silu"), "silu_grad", |at| {
    let (x, s) = (at.x(0), at.x(0).sigmoid());
    one(at.dy(0) * (&s * (1.0 - &s)) * (x * (1.0 - &s * 2.0) + 2.0))
});

impl Tensor {
    /// x·σ(x), also called swish (Elfwing et al. 2017), `torch.nn.functional.silu`.
    ///
    /// # Gradient
    /// dy·σ(x)·(1 + x·(1 − σ(x))).
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        SILU.of(&[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, SPECIAL, assert_numbers, check_unary, slope, values};
    use crate::prelude::*;

    #[test]
    fn silu_matches_its_definition() {
        check_unary((-6.0, 6.0), |[x]| x.silu(), |x| x / (1.0 + (-x).exp()));
    }

    #[test]
    fn second_derivative() {
        check_unary(
            (-6.0, 6.0),
            |[x]| slope(&x, Tensor::silu),
            |x| {
                let s = 1.0 / (1.0 + (-x).exp());
                s * (1.0 + x * (1.0 - s))
            },
        );
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        assert_numbers(&values(&SPECIAL, Tensor::silu), &[NAN, INFINITY, NAN, 0.0, -0.0, -0.26894143, 200.0, -0.0]);
    }
}
