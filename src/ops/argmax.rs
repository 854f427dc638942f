//! argmax: the first index of the largest element along a dimension.

use super::rows::Rows;
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Emit, Io, Op, Tensor},
    kernel::Target,
    shader,
};

#[derive(Debug)]
struct Argmax {
    dim: isize,
}

impl Op for Argmax {
    fn name(&self) -> &'static str {
        "argmax"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        let axis = x.shape.axis(self.dim)?;
        if !x.dtype.is_float() {
            return Err(Misfit::dtype(format!("needs floating point numbers, not {x}")));
        }
        if x.shape[axis] == 0 {
            return Err(Misfit::shape(format!("dimension {} of shape {} has no elements", self.dim, x.shape)));
        }
        let kept = (0..x.shape.rank()).filter(|&d| d != axis).map(|d| x.shape[d]);
        Ok(vec![TensorDesc::new(kept.collect::<Shape>(), DType::U32)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = Rows::along(io.x_shape(0), io.x_shape(0).axis(self.dim)?);
        let mut dispatch = rows.dispatch(shader!("argmax"), ["rows", "shared_rows"], io.real(), target);
        dispatch = dispatch.read(io.x(0)).write(io.y(0)).params(rows.params());
        out.push(dispatch.cost(io.x_shape(0).numel() as u64, io.bytes()));
        Ok(())
    }
}

impl Tensor {
    /// The index of the largest element along `dim`, `u32`, without that dimension: `torch.argmax`.
    ///
    /// Of equal elements the first counts; NaN is larger than every number. It has no gradient.
    #[track_caller]
    pub fn argmax(&self, dim: isize) -> Tensor {
        self.graph().apply1(Argmax { dim }, &[self])
    }
}
