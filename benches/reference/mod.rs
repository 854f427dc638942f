//! The fastest plain kernels we know for Mesa's software driver, as an app would write and run them: what the library's
//! own are measured against in the same run, whatever the machine.

use wgrad::{
    error::Misfit,
    graph::{Emit, Io, Op},
    kernel::{Dispatch, Kernel, Shader, Target},
    prelude::*,
};

static MATMUL: Shader = Shader { name: "reference/matmul", source: include_str!("matmul.wgsl") };
static SOFTMAX: Shader = Shader { name: "reference/softmax", source: include_str!("softmax.wgsl") };

/// A kernel for inputs of one size, with so many workgroups and operations.
#[derive(Debug)]
struct Reference {
    shader: &'static Shader,
    inputs: usize,
    groups: u64,
    flops: u64,
}

impl Op for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![inputs[0].clone()])
    }

    fn emit(&self, io: &Io, _target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let dispatch = Dispatch::new(Kernel::new(self.shader, "main", DType::F32));
        let dispatch = (0..self.inputs).fold(dispatch, |dispatch, i| dispatch.read(io.x(i)));
        out.push(dispatch.write(io.y(0)).groups(self.groups).cost(self.flops, io.bytes()));
        Ok(())
    }
}

/// a·b for matrices of 1024².
pub fn matmul_1024(a: &Tensor, b: &Tensor) -> Tensor {
    a.graph().apply1(Reference { shader: &MATMUL, inputs: 2, groups: 128 * 16, flops: 2 << 30 }, &[a, b])
}

/// The softmax of 8192 rows of 1024.
pub fn softmax_8192x1024(x: &Tensor) -> Tensor {
    x.graph().apply1(Reference { shader: &SOFTMAX, inputs: 1, groups: 8192, flops: 8 << 23 }, &[x])
}
