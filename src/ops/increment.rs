//! increment: x ← x + 1, in place, for counters.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Graph, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Increment;

impl Op for Increment {
    fn name(&self) -> &'static str {
        "increment"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        match inputs[0].dtype {
            DType::U32 => Ok(vec![inputs[0].clone()]),
            _ => Err(Misfit::dtype(format!("counts in u32, not {}", inputs[0]))),
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("increment"), "increment"))
    }

    fn overwrites(&self) -> Option<(usize, usize)> {
        Some((0, 0))
    }
}

impl Graph {
    /// Adds one to a `u32` variable in place and returns the new value.
    #[track_caller]
    pub fn increment(&self, counter: &Tensor) -> Tensor {
        self.apply1(Increment, &[counter])
    }
}
