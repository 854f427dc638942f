//! mul: y = a·b.

use super::map::{Map, two};
use crate::{graph::Tensor, shader};

const MUL: Map = Map::new("mul", shader!("mul"), "mul", |at| two(at, || at.dy(0) * at.x(1), || at.dy(0) * at.x(0)));

impl Tensor {
    /// a·b for each element, `torch.mul`; also the operator `a * b`. Shapes broadcast.
    ///
    /// # Gradient
    /// dy·b and dy·a, summed over what was repeated.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types, index tensors.
    #[track_caller]
    pub fn mul(&self, other: &Tensor) -> Tensor {
        MUL.of(&[self, other])
    }

    /// Every element times a number, `torch.mul`; also the operator `x * 2.0`.
    ///
    /// # Gradient
    /// dy times the number.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn mul_scalar(&self, number: f32) -> Tensor {
        self.mul(&self.graph().constant(number, self.dtype()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{check_binary, check_unary};

    #[test]
    fn mul_matches_its_definition() {
        check_binary((-2.0, 2.0), |[a, b]| a.mul(&b), |a, b| a * b);
    }

    #[test]
    fn every_element_is_multiplied_by_a_number() {
        check_unary((-2.0, 2.0), |[x]| x.mul_scalar(-1.5), |x| -1.5 * x);
    }
}
