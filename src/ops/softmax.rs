//! softmax: yₖ = exp(xₖ) / Σ exp(x) along a dimension, and its logarithm.

use super::rows::Rows;
use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::Target,
    shader,
};

#[derive(Debug)]
struct Softmax {
    dim: isize,
    logarithm: bool,
}

fn name(logarithm: bool) -> &'static str {
    if logarithm { "log_softmax" } else { "softmax" }
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        name(self.logarithm)
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        x.shape.axis(self.dim)?;
        if !x.dtype.is_float() {
            return Err(Misfit::dtype(format!("needs floating point numbers, not {x}")));
        }
        Ok(vec![x.clone()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = Rows::along(io.x_shape(0), io.x_shape(0).axis(self.dim)?);
        let mut dispatch = rows.dispatch(shader!("softmax"), ["rows", "shared_rows"], io.real(), target);
        dispatch.kernel = dispatch.kernel.constant("LOG", self.logarithm.into());
        let flops = 8 * io.x_shape(0).numel() as u64;
        out.push(dispatch.read(io.x(0)).write(io.y(0)).params(rows.params()).cost(flops, io.bytes()).finishing());
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = SoftmaxGrad { dim: self.dim, logarithm: self.logarithm };
        Gradients::of([Some(at.x(0).graph().apply1(op, &[at.y(0), &at.dy(0)]))])
    }
}

/// dx = y·(dy − Σ dy·y), for the logarithm dx = dy − exp(y)·Σ dy.
#[derive(Debug)]
struct SoftmaxGrad {
    dim: isize,
    logarithm: bool,
}

impl Op for SoftmaxGrad {
    fn name(&self) -> &'static str {
        if self.logarithm { "log_softmax_grad" } else { "softmax_grad" }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![inputs[0].clone()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = Rows::along(io.x_shape(0), io.x_shape(0).axis(self.dim)?);
        let entries = ["backward_rows", "backward_shared_rows"];
        let mut dispatch = rows.dispatch(shader!("softmax"), entries, io.real(), target);
        dispatch.kernel = dispatch.kernel.constant("LOG", self.logarithm.into());
        let flops = 5 * io.x_shape(0).numel() as u64;
        let dispatch = dispatch.read(io.x(0)).read(io.x(1)).write(io.y(0));
        out.push(dispatch.params(rows.params()).cost(flops, io.bytes()));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (y, dy, g) = (at.x(0), at.x(1), at.dy(0));
        let along = |x: &Tensor| x.sum(&[self.dim], true);
        Gradients::of(if self.logarithm {
            let p = y.exp();
            let (of_y, of_dy) = (g.mul(&p).mul(&along(dy)).neg(), g.sub(&along(&g.mul(&p))));
            [Some(of_y), Some(of_dy)]
        } else {
            let of_y = g.mul(&dy.sub(&along(&dy.mul(y)))).sub(&dy.mul(&along(&g.mul(y))));
            let of_dy = y.mul(&g.sub(&along(&g.mul(y))));
            [Some(of_y), Some(of_dy)]
        })
    }
}

impl Tensor {
    /// exp(x) / Σ exp(x) along `dim`: `torch.softmax`.
    ///
    /// The maximum is subtracted first, so no input overflows. Elements of −∞ get 0; where all are −∞,
    /// and where one is NaN or ∞, the result is NaN.
    #[track_caller]
    pub fn softmax(&self, dim: isize) -> Tensor {
        self.graph().apply1(Softmax { dim, logarithm: false }, &[self])
    }

    /// x − log Σ exp(x) along `dim`: `torch.log_softmax`; see [`softmax`](Tensor::softmax).
    #[track_caller]
    pub fn log_softmax(&self, dim: isize) -> Tensor {
        self.graph().apply1(Softmax { dim, logarithm: true }, &[self])
    }
}
