//! expand(x) = x, repeated along dimensions of size 1

use crate::{
    data::{Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Expand {
    shape: Shape,
    integers: bool,
}

impl Op for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        match x.shape.broadcast(&self.shape) {
            Ok(shape) if shape == self.shape => Ok(vec![TensorDesc::new(shape, x.dtype)]),
            _ => Err(Misfit::shape(format!("shape {} does not expand to {}", x.shape, self.shape))),
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("expand"), if self.integers { "expand_u32" } else { "expand" }))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0).sum_to(&at.x(0).shape()))])
    }
}

impl Tensor {
    /// The tensor repeated to a larger shape by NumPy's broadcasting: `Tensor.expand`. Nothing is
    /// copied where a pointwise operation uses it.
    ///
    /// # Errors
    /// A shape it does not broadcast to.
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        if self.shape() == shape {
            return self.clone();
        }
        self.graph().apply1(Expand { shape, integers: !self.dtype().is_float() }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        prelude::*,
        testing::{Check, check_op},
    };

    #[test]
    fn expand_matches_its_definition() {
        check_op([[3, 1]], |[x]| x.expand([2, 3, 4]), |[x]| x.expand([2, 3, 4]));
        check_op([[1, 1]], |[x]| x.expand([70, 300]), |[x]| x.expand([70, 300]));
        check_op([[5, 8]], |[x]| x.expand([3, 5, 8]), |[x]| x.expand([3, 5, 8]));
        Check::new(|[x]| x.expand([4, 1, 6]) * 2.0, |[x]| x.expand([4, 1, 6]).map(|x| x * 2.0)).shapes([[6]]).run();
    }

    #[test]
    fn a_shape_that_does_not_fit_is_an_error() {
        let graph = Graph::new(Mode::Infer);
        graph.input("x", [3, 2]).expand([3, 4]);
        assert_eq!(graph.check().unwrap_err().message(), "expand: shape [3, 2] does not expand to [3, 4]");
    }
}
