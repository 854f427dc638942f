//! add: y = a + b.

use super::map::{Map, two};
use crate::{graph::Tensor, shader};

const ADD: Map = Map::new("add", shader!("add"), "add", |at| two(at, || at.dy(0), || at.dy(0)));

impl Tensor {
    /// a + b, `torch.add`; also the operator `a + b`. Shapes broadcast.
    ///
    /// # Gradient
    /// dy to both, summed over what was repeated.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types, index tensors.
    #[track_caller]
    pub fn add(&self, other: &Tensor) -> Tensor {
        ADD.of(&[self, other])
    }

    /// Every element plus a number, `torch.add`; also the operator `x + 1.0`.
    ///
    /// # Gradient
    /// dy.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn add_scalar(&self, number: f32) -> Tensor {
        self.add(&self.graph().constant(number, self.dtype()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{check_binary, check_unary};

    #[test]
    fn add_matches_its_definition() {
        check_binary((-2.0, 2.0), |[a, b]| a.add(&b), |a, b| a + b);
    }

    #[test]
    fn a_number_is_added_to_every_element() {
        check_unary((-2.0, 2.0), |[x]| x.add_scalar(0.5), |x| x + 0.5);
    }
}
