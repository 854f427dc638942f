//! sub: y = a − b.

use super::map::{Map, two};
use crate::{graph::Tensor, shader};

const SUB: Map = Map::new("sub", shader!("sub"), "sub", |at| two(at, || at.dy(0), || -at.dy(0)));

impl Tensor {
    /// a − b, `torch.sub`; also the operator `a - b`. Shapes broadcast.
    ///
    /// # Gradient
    /// dy and −dy, summed over what was repeated.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types, index tensors.
    #[track_caller]
    pub fn sub(&self, other: &Tensor) -> Tensor {
        SUB.of(&[self, other])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::check_binary;

    #[test]
    fn sub_matches_its_definition() {
        check_binary((-2.0, 2.0), |[a, b]| a.sub(&b), |a, b| a - b);
    }
}
