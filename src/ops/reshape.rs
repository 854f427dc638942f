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
