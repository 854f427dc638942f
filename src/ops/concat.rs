//! concat: tensors one behind the other along one dimension.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};

#[derive(Debug)]
struct Concat {
    dim: isize,
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let first = &inputs[0];
        let axis = first.shape.axis(self.dim)?;
        let mut size = 0;
        for input in inputs {
            if input.dtype != first.dtype {
                return Err(Misfit::dtype(format!("mixes {first} and {input}")));
            }
            if input.shape.rank() != first.shape.rank() || input.shape.with(axis, 0) != first.shape.with(axis, 0) {
                let (a, b) = (&first.shape, &input.shape);
                return Err(Misfit::shape(format!("shapes {a} and {b} differ outside dimension {}", self.dim)));
            }
            size += input.shape[axis];
        }
        Ok(vec![TensorDesc::new(first.shape.with(axis, size), first.dtype)])
    }

    /// One dispatch for each input, so that their number has no limit.
    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let axis = io.y_shape(0).axis(self.dim)?;
        let [_, size, inner] = io.y_shape(0).split_at_axis(axis);
        let (length, mut at) = (size * inner, 0);
        let is_index = io.y_desc(0).dtype == DType::U32;
        for i in 0..io.inputs.len() {
            let x = io.x_shape(i);
            let given = x[axis] * inner;
            if x.numel() == 0 {
                continue;
            }
            let kernel = if is_index {
                Kernel::new(shader!("concat"), "index", io.real())
            } else {
                let aligned = [given, length, at].iter().all(|size| size.is_multiple_of(4));
                Kernel::new(shader!("concat"), "main", io.real()).constant("ALIGNED", aligned.into())
            };
            let params = Params::new().all([x.numel(), given, length, at]);
            let dispatch = Dispatch::new(kernel).read(io.x(i)).write(io.y(0)).params(params);
            let dispatch = dispatch.groups(x.numel().div_ceil(256) as u64).cost(0, 2 * io.x_desc(i).bytes());
            out.push(if is_index { dispatch } else { dispatch.finishing() });
            at += given;
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let dy = at.dy(0);
        let mut from = 0;
        Gradients::of((0..at.inputs.len()).map(|i| {
            let to = from + at.x(i).size(self.dim);
            let dx = at.needs(i).then(|| dy.slice(self.dim, from..to));
            from = to;
            dx
        }))
    }
}

impl Tensor {
    /// One tensor behind the other along `dim`, all of the same size in the other dimensions:
    /// `torch.cat`.
    ///
    /// # Panics
    /// Without any tensor: there is no graph then that could record the mistake.
    #[track_caller]
    pub fn concat(tensors: &[&Tensor], dim: isize) -> Tensor {
        match tensors {
            [] => panic!("concat: needs at least one tensor"),
            [only] => (*only).clone(),
            [first, ..] => first.graph().apply1(Concat { dim }, tensors),
        }
    }
}
