//! full: y = a number, everywhere.

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Graph, Op, Pointwise, Scalar, Tensor},
    shader,
};

#[derive(Debug)]
struct Full {
    desc: TensorDesc,
    value: Scalar,
}

impl Op for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn infer(&self, _inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![self.desc.clone()])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(match self.value {
            Scalar::F32(value) => Pointwise::new(shader!("full"), "full").scalar(value),
            Scalar::U32(value) => Pointwise::new(shader!("full"), "full_u32").scalar_u32(value),
        })
    }

    fn backward(&self, _at: &Backward) -> Gradients {
        Gradients::of([])
    }
}

impl Graph {
    /// One number without dimensions, which broadcasts to any shape. It costs no memory.
    ///
    /// # Gradient
    /// None: there is nothing to differentiate.
    ///
    /// # Errors
    /// None of its own.
    #[track_caller]
    pub fn constant(&self, value: f32, dtype: DType) -> Tensor {
        self.full([], value, dtype)
    }

    /// A number in every element, cut off towards 0 for `u32`, `torch.full`.
    ///
    /// It takes memory only where something other than pointwise work reads it.
    ///
    /// # Gradient
    /// None: there is nothing to differentiate.
    ///
    /// # Errors
    /// None of its own; 2³² elements and more are refused, as everywhere.
    #[track_caller]
    pub fn full(&self, shape: impl Into<Shape>, value: f32, dtype: DType) -> Tensor {
        let value = if dtype.is_float() { Scalar::F32(value) } else { Scalar::U32(value as u32) };
        self.apply1(Full { desc: TensorDesc::new(shape, dtype), value }, &[])
    }

    /// All 32 bits of a number in every element.
    #[track_caller]
    pub(crate) fn full_u32(&self, shape: impl Into<Shape>, value: u32) -> Tensor {
        self.apply1(Full { desc: TensorDesc::new(shape, DType::U32), value: Scalar::U32(value) }, &[])
    }
}

#[cfg(test)]
mod tests {
    use crate::{prelude::*, testing::run};

    #[test]
    fn a_number_fills_any_shape_and_type() {
        let graph = Graph::new(Mode::Infer);
        let tensors = [
            graph.constant(1.5, DType::F32),
            graph.full([3, 5], -0.1, DType::F32),
            graph.full([4100], 2.0, DType::U32),
            graph.full([7], 0.1, DType::F16),
            graph.full_u32([2], u32::MAX - 1),
            graph.full([2, 2], f32::INFINITY, DType::F32),
        ];
        let names = ["0", "1", "2", "3", "4", "5"];
        let outputs: Vec<(&str, &Tensor)> = names.into_iter().zip(&tensors).collect();
        let found = run(&graph, &outputs, &[]).unwrap();
        assert_eq!(found[0], Array::from_f32([], &[1.5]).unwrap());
        assert_eq!(found[1], Array::from_f32([3, 5], &[-0.1; 15]).unwrap());
        assert_eq!(found[2], Array::from_u32([4100], &vec![2; 4100]).unwrap());
        assert_eq!(found[3], Array::from_f32_as(DType::F16, [7], &[0.1; 7]).unwrap());
        assert_eq!(found[4].to_u32(), [u32::MAX - 1; 2]);
        assert_eq!(found[5].to_f32(), [f32::INFINITY; 4]);
    }
}
