//! abs(x) = |x|

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Abs;

impl Op for Abs {
    fn name(&self) -> &'static str {
        "abs"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("abs"), "abs_element"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0) * at.x(0).sign())])
    }
}

impl Tensor {
    /// The magnitude; its gradient at 0 is 0, elementwise: `torch.abs`.
    #[track_caller]
    pub fn abs(&self) -> Tensor {
        self.graph().apply1(Abs, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn abs_matches_its_definition() {
        Check::new(|[x]| x.abs(), |[x]| x.map(|x| x.abs()))
            
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
