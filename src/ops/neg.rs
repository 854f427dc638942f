//! neg(x) = −x

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Neg;

impl Op for Neg {
    fn name(&self) -> &'static str {
        "neg"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("neg"), "neg"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(-at.dy(0))])
    }
}

impl Tensor {
    /// The negative, elementwise: `torch.neg`.
    #[track_caller]
    pub fn neg(&self) -> Tensor {
        self.graph().apply1(Neg, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn neg_matches_its_definition() {
        Check::new(|[x]| x.neg(), |[x]| x.map(|x| -x))
            
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
