//! slice: a range of one dimension; its gradient is padded with zeros.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};
use std::ops::{Bound, RangeBounds};

#[derive(Debug)]
struct Slice {
    axis: usize,
    from: usize,
    to: usize,
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        Ok(vec![TensorDesc::new(x.shape.with(self.axis, self.to - self.from), x.dtype)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let [_, given, inner] = io.x_shape(0).split_at_axis(self.axis);
        let (count, length) = (io.y_shape(0).numel(), (self.to - self.from) * inner);
        let (given, from) = (given * inner, self.from * inner);
        let params = Params::new().all([count, length, given, from]);
        let is_index = io.x_desc(0).dtype == DType::U32;
        let kernel = if is_index {
            Kernel::new(shader!("slice"), "take_index", io.real())
        } else {
            let aligned = [length, given, from].iter().all(|size| size.is_multiple_of(4));
            Kernel::new(shader!("slice"), "take", io.real()).constant("ALIGNED", aligned.into())
        };
        let dispatch = Dispatch::new(kernel).read(io.x(0)).write(io.y(0)).params(params);
        let dispatch = dispatch.groups(count.div_ceil(256) as u64).cost(0, 2 * io.y_desc(0).bytes());
        out.push(if is_index { dispatch } else { dispatch.finishing() });
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = Pad { axis: self.axis, from: self.from, size: at.x(0).shape()[self.axis] };
        Gradients::of([Some(at.x(0).graph().apply1(op, &[&at.dy(0)]))])
    }
}

/// The argument as the range from `from` on of a dimension of `size`, zeros around it.
#[derive(Debug)]
struct Pad {
    axis: usize,
    from: usize,
    size: usize,
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "slice_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dy = &inputs[0];
        Ok(vec![TensorDesc::new(dy.shape.with(self.axis, self.size), dy.dtype)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let [_, given, inner] = io.x_shape(0).split_at_axis(self.axis);
        let count = io.y_shape(0).numel();
        let params = Params::new().all([count, self.size * inner, given * inner, self.from * inner]);
        let dispatch = Dispatch::new(Kernel::new(shader!("slice"), "pad", io.real())).read(io.x(0)).write(io.y(0));
        out.push(dispatch.params(params).groups(count.div_ceil(256) as u64).cost(0, io.bytes()));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let to = self.from + at.x(0).shape()[self.axis];
        Gradients::of([Some(at.dy(0).slice(self.axis as isize, self.from..to))])
    }
}

impl Tensor {
    /// A range of dimension `dim`: `x[:, 1:3]` is `x.slice(1, 1..3)`.
    #[track_caller]
    pub fn slice(&self, dim: isize, range: impl RangeBounds<usize>) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        let op = shape.axis(dim).and_then(|axis| {
            let from = match range.start_bound() {
                Bound::Included(&from) => from,
                Bound::Excluded(&before) => before.saturating_add(1),
                Bound::Unbounded => 0,
            };
            let to = match range.end_bound() {
                Bound::Included(&last) => last.saturating_add(1),
                Bound::Excluded(&to) => to,
                Bound::Unbounded => shape[axis],
            };
            if from > to || to > shape[axis] {
                return Err(Misfit::shape(format!("range {from}..{to} is outside dimension {dim} of shape {shape}")));
            }
            Ok(Slice { axis, from, to })
        });
        match op {
            Ok(op) if op.from == 0 && op.to == shape[op.axis] => self.clone(),
            Ok(op) => self.graph().apply1(op, &[self]),
            Err(misfit) => {
                self.graph().fail(misfit.of("slice"));
                self.graph().failed()
            }
        }
    }
}
