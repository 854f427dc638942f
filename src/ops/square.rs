//! square(x) = x²

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Square;

impl Op for Square {
    fn name(&self) -> &'static str {
        "square"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("square"), "square"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0) * at.x(0) * 2.0)])
    }
}

impl Tensor {
    /// The square, elementwise: `torch.square`.
    #[track_caller]
    pub fn square(&self) -> Tensor {
        self.graph().apply1(Square, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn square_matches_its_definition() {
        Check::new(|[x]| x.square(), |[x]| x.map(|x| x * x))
            
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
