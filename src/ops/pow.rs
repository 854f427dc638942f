//! pow: y = aᵇ.

use super::map::{Map, two};
use crate::{
    graph::{Backward, Gradients, Tensor},
    shader,
};

const POW: Map = Map::new("pow", shader!("pow"), "pow_of", gradient);

impl Tensor {
    /// aᵇ, `torch.pow`; shapes broadcast.
    ///
    /// A negative base has whole powers only, NaN for others; x⁰ is 1 whatever x is.
    ///
    /// # Gradient
    /// dy·b·aᵇ⁻¹ and dy·aᵇ·ln a, summed over what was repeated.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types, index tensors.
    #[track_caller]
    pub fn pow(&self, exponent: &Tensor) -> Tensor {
        POW.of(&[self, exponent])
    }

    /// Every element to the power of a number, `torch.pow`, by way of square, square root and reciprocal
    /// where it is one.
    ///
    /// # Gradient
    /// dy·p·xᵖ⁻¹.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn powf(&self, exponent: f32) -> Tensor {
        match exponent {
            2.0 => self.square(),
            0.5 => self.sqrt(),
            -0.5 => self.rsqrt(),
            -1.0 => self.recip(),
            _ => self.pow(&self.graph().constant(exponent, self.dtype())),
        }
    }
}

/// da = dy·b·aᵇ⁻¹, 0 where b is 0; db = dy·aᵇ·ln a, 0 where a is 0 and b is not negative.
fn gradient(at: &Backward) -> Gradients {
    let (a, b) = (at.x(0), at.x(1));
    let zero = a.graph().constant(0.0, a.dtype());
    two(
        at,
        || at.dy(0) * b.eq(&zero).where_(&zero, &(b * a.pow(&(b - 1.0)))),
        || at.dy(0) * a.eq(&zero).logical_and(&b.ge(&zero)).where_(&zero, &(at.y(0) * a.log())),
    )
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{
        INFINITY, NAN, NEG_INFINITY, assert_numbers, check_binary, check_unary, pairs, slope,
    };
    use crate::prelude::*;

    #[test]
    fn pow_matches_its_definition() {
        check_binary((0.2, 2.5), |[a, b]| a.pow(&b), f64::powf);
    }

    #[test]
    fn powers_by_a_number() {
        for n in [0.0, 1.0, 2.0, 3.0, 7.0] {
            check_unary((-2.0, 2.0), |[x]| x.powf(n), |x| x.powf(f64::from(n)));
        }
        for n in [-1.0, -2.0, 0.5, -0.5, 3.7] {
            check_unary((0.5, 2.0), |[x]| x.powf(n), |x| x.powf(f64::from(n)));
        }
    }

    #[test]
    fn second_derivative() {
        check_unary((-2.0, 2.0), |[x]| slope(&x, |x| x.powf(3.0)), |x| 3.0 * x * x);
    }

    #[test]
    fn whole_powers_of_whole_numbers_are_exact() {
        let [y, _, _] = pairs(&[3.0, -3.0, 2.0, 10.0, 7.0], &[2.0, 3.0, 30.0, 8.0, 5.0], Tensor::pow);
        assert_eq!(y, [9.0, -27.0, 1_073_741_824.0, 1e8, 16807.0]);
    }

    #[test]
    fn special_numbers_are_pytorchs() {
        let cases = [
            (-2.0, 3.0, -8.0),
            (-2.0, 0.5, NAN),
            (-2.0, 41.0, -2.0_f32.powi(41)),
            (-2.0, 40.0, 2.0_f32.powi(40)),
            (0.0, 0.0, 1.0),
            (NAN, 0.0, 1.0),
            (1.0, NAN, 1.0),
            (NAN, 1.0, NAN),
            (2.0, NAN, NAN),
            (0.0, -1.0, INFINITY),
            (-0.0, -1.0, NEG_INFINITY),
            (-0.0, -2.0, INFINITY),
            (0.0, 2.5, 0.0),
            (INFINITY, 2.0, INFINITY),
            (INFINITY, -2.0, 0.0),
            (NEG_INFINITY, 3.0, NEG_INFINITY),
            (NEG_INFINITY, 2.0, INFINITY),
            (NEG_INFINITY, -3.0, 0.0),
            (NEG_INFINITY, 0.5, INFINITY),
            (2.0, INFINITY, INFINITY),
            (0.5, INFINITY, 0.0),
            (-1.0, INFINITY, 1.0),
            (1.0, NEG_INFINITY, 1.0),
            (2.0, NEG_INFINITY, 0.0),
            (0.5, NEG_INFINITY, INFINITY),
            (-2.0, INFINITY, INFINITY),
            (2.0, 200.0, INFINITY),
            (2.0, -200.0, 0.0),
        ];
        let (a, b): (Vec<f32>, Vec<f32>) = cases.iter().map(|&(a, b, _)| (a, b)).unzip();
        let expected: Vec<f32> = cases.iter().map(|&(_, _, y)| y).collect();
        assert_numbers(&pairs(&a, &b, Tensor::pow)[0], &expected);
    }

    #[test]
    fn gradients_at_zero_are_pytorchs() {
        let [_, da, db] = pairs(&[0.0, 0.0, 2.0, -2.0], &[0.0, 2.0, 0.0, 2.0], Tensor::pow);
        assert_numbers(&da, &[0.0, 0.0, 0.0, -4.0]);
        assert_numbers(&db, &[0.0, 0.0, 2.0_f32.ln(), NAN]);
    }
}
