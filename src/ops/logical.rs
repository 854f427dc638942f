//! logical_not logical_and logical_or: masks from masks, where every number but 0 counts as 1.

use super::map::alike;
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Logical(&'static str);

impl Op for Logical {
    fn name(&self) -> &'static str {
        self.0
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        match inputs.iter().find(|input| input.dtype != DType::U32) {
            Some(input) => Err(Misfit::dtype(format!("needs masks, which are u32, not {input}"))),
            None => Ok(vec![alike(inputs)?]),
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("logical"), self.0))
    }
}

impl Tensor {
    /// 1 where the mask is 0, else 0, `torch.logical_not`.
    ///
    /// # Gradient
    /// None: masks have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: a floating point tensor.
    #[track_caller]
    pub fn logical_not(&self) -> Tensor {
        self.graph().apply1(Logical("logical_not"), &[self])
    }

    /// 1 where both masks are not 0, else 0, `torch.logical_and`. Shapes broadcast.
    ///
    /// # Gradient
    /// None: masks have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: floating point tensors, shapes that do not broadcast.
    #[track_caller]
    pub fn logical_and(&self, other: &Tensor) -> Tensor {
        self.graph().apply1(Logical("logical_and"), &[self, other])
    }

    /// 1 where either mask is not 0, else 0, `torch.logical_or`. Shapes broadcast.
    ///
    /// # Gradient
    /// None: masks have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: floating point tensors, shapes that do not broadcast.
    #[track_caller]
    pub fn logical_or(&self, other: &Tensor) -> Tensor {
        self.graph().apply1(Logical("logical_or"), &[self, other])
    }
}

#[cfg(test)]
mod tests {
    use crate::{prelude::*, testing::run};

    #[test]
    fn masks_combine() {
        let graph = Graph::new(Mode::Infer);
        let (a, b) = (graph.input_of("a", [2, 1], DType::U32), graph.input_of("b", [3], DType::U32));
        let outputs = [("not", &b.logical_not()), ("and", &a.logical_and(&b)), ("or", &a.logical_or(&b))];
        let inputs =
            [("a", Array::from_u32([2, 1], &[0, 1]).unwrap()), ("b", Array::from_u32([3], &[0, 1, 6]).unwrap())];
        let found: Vec<Vec<u32>> = run(&graph, &outputs, &inputs).unwrap().iter().map(Array::to_u32).collect();
        assert_eq!(found, [vec![1, 0, 0], vec![0, 0, 0, 0, 1, 1], vec![0, 1, 1, 1, 1, 1]]);
    }

    #[test]
    fn numbers_are_no_masks() {
        let graph = Graph::new(Mode::Infer);
        graph.input("x", [2]).logical_not();
        assert_eq!(graph.check().unwrap_err().message(), "logical_not: needs masks, which are u32, not f32[2]");
    }
}
