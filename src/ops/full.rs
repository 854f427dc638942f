//! full() = value: constants

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Graph, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Full {
    value: f32,
    desc: TensorDesc,
}

impl Op for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn infer(&self, _inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![self.desc.clone()])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(match self.desc.dtype {
            DType::U32 => Pointwise::new(shader!("full"), "full_u32").scalar_u32(self.value as u32),
            _ => Pointwise::new(shader!("full"), "full").scalar(self.value),
        })
    }
}

impl Graph {
    /// A number, as a tensor without dimensions that broadcasts to any shape. It takes no memory where
    /// it is used by pointwise operations.
    #[track_caller]
    pub fn constant(&self, value: f32, dtype: DType) -> Tensor {
        self.full([], value, dtype)
    }

    /// A tensor of one number: `torch.full`.
    #[track_caller]
    pub fn full(&self, shape: impl Into<Shape>, value: f32, dtype: DType) -> Tensor {
        self.apply1(Full { value, desc: TensorDesc::new(shape, dtype) }, &[])
    }
}

#[cfg(test)]
mod tests {
    use crate::{prelude::*, testing::run};

    #[test]
    fn constants_fill_and_broadcast() {
        let graph = Graph::new(Mode::Infer);
        let filled = graph.full([2, 3], 1.5, DType::F32);
        let sum = &filled + graph.constant(2.0, DType::F32);
        let whole = graph.full([3], 7.0, DType::U32);
        let found = run(&graph, &[("filled", &filled), ("sum", &sum), ("whole", &whole)], &[]).unwrap();
        assert_eq!(found[0].to_f32(), [1.5; 6]);
        assert_eq!(found[1].to_f32(), [3.5; 6]);
        assert_eq!(found[2].to_u32(), [7; 3]);
    }
}
