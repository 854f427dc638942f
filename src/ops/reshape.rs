//! reshape: the same elements in the same order under another shape; nothing is computed.

use crate::{
    data::{Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Op, Tensor},
};

#[derive(Debug)]
struct Reshape {
    shape: Shape,
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        let (given, wanted) = (x.shape.numel(), self.shape.numel());
        if given != wanted {
            let reason = format!("shape {} has {given} elements, {} has {wanted}", x.shape, self.shape);
            return Err(Misfit::shape(reason));
        }
        Ok(vec![TensorDesc::new(&self.shape, x.dtype)])
    }

    fn is_view(&self) -> bool {
        true
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0).reshape(at.x(0).shape()))])
    }
}

impl Tensor {
    /// The same elements in row-major order under another shape with as many elements: `torch.reshape`.
    ///
    /// # Gradient
    /// dy in the old shape.
    ///
    /// # Errors
    /// Recorded in the graph: a shape with another number of elements.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        if !self.is_failed() && self.shape() == shape {
            return self.clone();
        }
        self.graph().apply1(Reshape { shape }, &[self])
    }

    /// A view whose shape follows from this one's, or the mistake that there is none.
    #[track_caller]
    fn view(&self, name: &str, shape: impl FnOnce(&Shape) -> Result<Shape, Misfit>) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        match shape(&self.shape()) {
            Ok(shape) => self.reshape(shape),
            Err(misfit) => {
                self.graph().fail(misfit.of(name));
                self.graph().failed()
            }
        }
    }

    /// The dimensions `from` to `to`, both included, as one: `torch.flatten`.
    ///
    /// # Gradient
    /// dy in the old shape.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist.
    #[track_caller]
    pub fn flatten(&self, from: isize, to: isize) -> Tensor {
        self.view("flatten", |shape| {
            let (first, last) = (shape.axis(from)?, shape.axis(to)?);
            if first > last {
                return Err(Misfit::shape(format!("dimension {from} of shape {shape} is behind dimension {to}")));
            }
            let one = shape[first..=last].iter().product();
            Ok(shape[..first].iter().copied().chain([one]).chain(shape[last + 1..].iter().copied()).collect())
        })
    }

    /// Without the dimension `dim`, whose size must be 1: `torch.squeeze`.
    ///
    /// # Gradient
    /// dy in the old shape.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist or is not 1.
    #[track_caller]
    pub fn squeeze(&self, dim: isize) -> Tensor {
        self.view("squeeze", |shape| {
            let axis = shape.axis(dim)?;
            if shape[axis] != 1 {
                return Err(Misfit::shape(format!("dimension {dim} of shape {shape} has size {}, not 1", shape[axis])));
            }
            Ok(shape[..axis].iter().chain(&shape[axis + 1..]).copied().collect())
        })
    }

    /// With a dimension of size 1 in front of dimension `dim`, behind all of them for −1:
    /// `torch.unsqueeze`.
    ///
    /// # Gradient
    /// dy in the old shape.
    ///
    /// # Errors
    /// Recorded in the graph: a position beyond the last.
    #[track_caller]
    pub fn unsqueeze(&self, dim: isize) -> Tensor {
        self.view("unsqueeze", |shape| {
            let rank = shape.rank() as isize;
            let axis = if dim < 0 { dim + rank + 1 } else { dim };
            if !(0..=rank).contains(&axis) {
                return Err(Misfit::shape(format!("dimension {dim} is outside shape {shape} with one dimension more")));
            }
            let (front, back) = shape.split_at(axis as usize);
            Ok(front.iter().copied().chain([1]).chain(back.iter().copied()).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        prelude::*,
        testing::{check_op, context, run},
    };

    #[test]
    fn elements_keep_their_order() {
        check_op([[2, 3, 4]], |[x]| x.reshape([6, 4]) * 2.0, |[x]| x.reshape([6, 4]).map(|x| 2.0 * x));
        check_op([[2, 3, 4]], |[x]| x.flatten(1, -1) * 2.0, |[x]| x.reshape([2, 12]).map(|x| 2.0 * x));
        check_op([[2, 1, 4]], |[x]| x.squeeze(-2).exp(), |[x]| x.reshape([2, 4]).map(f64::exp));
        check_op([[2, 4]], |[x]| x.unsqueeze(1).exp(), |[x]| x.reshape([2, 1, 4]).map(f64::exp));
        check_op([[1]], |[x]| x.reshape([]), |[x]| x.reshape([]));
    }

    #[test]
    fn shapes_follow_pytorch() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [2, 1, 3]);
        let shapes =
            [x.unsqueeze(0), x.unsqueeze(3), x.unsqueeze(-1), x.unsqueeze(-4), x.flatten(0, 1), x.flatten(2, 2)];
        let expected: [&[usize]; 6] = [&[1, 2, 1, 3], &[2, 1, 3, 1], &[2, 1, 3, 1], &[1, 2, 1, 3], &[2, 3], &[2, 1, 3]];
        assert_eq!(shapes.map(|x| x.shape()), expected.map(Shape::from));
        graph.check().unwrap();
    }

    #[test]
    fn nothing_is_computed() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [2, 3]);
        let y = x.reshape([3, 2]).unsqueeze(0);
        assert_eq!(graph.plan(&[("y", &y)], context().target()).unwrap().report().steps.len(), 0);
        let numbers = Array::from_f32([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let found = run(&graph, &[("y", &y)], &[("x", numbers)]).unwrap();
        assert_eq!(found[0].to_f32(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(*found[0].shape(), Shape::from([1, 3, 2]));
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |mistake: &dyn Fn(&Tensor) -> Tensor| {
            let graph = Graph::new(Mode::Infer);
            assert!(mistake(&graph.input("x", [2, 3])).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(message(&|x| x.reshape([4, 2])), "reshape: shape [2, 3] has 6 elements, [4, 2] has 8");
        assert_eq!(message(&|x| x.flatten(0, 2)), "flatten: dimension 2 is outside shape [2, 3]");
        assert_eq!(message(&|x| x.flatten(1, 0)), "flatten: dimension 1 of shape [2, 3] is behind dimension 0");
        assert_eq!(message(&|x| x.squeeze(1)), "squeeze: dimension 1 of shape [2, 3] has size 3, not 1");
        assert_eq!(
            message(&|x| x.unsqueeze(3)),
            "unsqueeze: dimension 3 is outside shape [2, 3] with one dimension more"
        );
    }
}
