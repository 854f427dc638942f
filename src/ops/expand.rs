//! expand: y = x repeated along new dimensions and along those of size 1.

use super::map::{one, reduced};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Expand {
    shape: Shape,
    dtype: DType,
}

impl Op for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (from, to) = (&inputs[0].shape, &self.shape);
        match from.broadcast(to) {
            Ok(shape) if shape == *to => Ok(vec![TensorDesc::new(to, inputs[0].dtype)]),
            _ => Err(Misfit::shape(format!("shape {from} does not expand to {to}"))),
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("expand"), if self.dtype.is_float() { "expand" } else { "expand_u32" }))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        one(reduced(at, 0, at.dy(0)))
    }
}

impl Tensor {
    /// The tensor repeated to a larger shape: new dimensions in front, and any size where it has 1,
    /// `torch.Tensor.expand`.
    ///
    /// Arithmetic broadcasts by itself and does not need it.
    ///
    /// # Gradient
    /// dy summed over what was repeated.
    ///
    /// # Errors
    /// Recorded in the graph: a shape that x does not broadcast to.
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        if self.shape() == shape {
            self.clone()
        } else {
            self.graph().apply1(Expand { shape, dtype: self.dtype() }, &[self])
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        prelude::*,
        testing::{Check, Numbers, run},
    };

    #[test]
    fn expand_matches_its_definition() {
        let check = |from: &[usize], to: &[usize]| {
            Check::new(|[x]: [Tensor; 1]| x.expand(to), |[x]: [Numbers; 1]| x.expand(to)).shapes([from]).run();
        };
        check(&[], &[3]);
        check(&[3, 1], &[2, 3, 4]);
        check(&[5], &[5]);
        check(&[1, 8], &[600, 8]);
        check(&[2, 1, 3, 1], &[2, 5, 3, 7]);
    }

    #[test]
    fn indices_repeat_too() {
        let graph = Graph::new(Mode::Infer);
        let y = graph.input_of("ids", [2, 1], DType::U32).expand([2, 3]);
        let found = run(&graph, &[("y", &y)], &[("ids", Array::from_u32([2, 1], &[4, u32::MAX]).unwrap())]).unwrap();
        assert_eq!(found[0].to_u32(), [4, 4, 4, u32::MAX, u32::MAX, u32::MAX]);
    }

    #[test]
    fn shapes_that_do_not_broadcast_are_refused() {
        for (from, to) in [(&[3][..], &[2][..]), (&[2, 3], &[3]), (&[3], &[1])] {
            let graph = Graph::new(Mode::Infer);
            graph.input("x", from).expand(to);
            let text = format!("expand: shape {} does not expand to {}", Shape::from(from), Shape::from(to));
            assert_eq!(graph.check().unwrap_err().message(), text);
        }
    }
}
