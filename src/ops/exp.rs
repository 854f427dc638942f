//! exp(x) = eˣ

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Exp;

impl Op for Exp {
    fn name(&self) -> &'static str {
        "exp"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("exp"), "exp_element"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0) * at.y(0))])
    }
}

impl Tensor {
    /// e to the power x, elementwise: `torch.exp`.
    #[track_caller]
    pub fn exp(&self) -> Tensor {
        self.graph().apply1(Exp, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn exp_matches_its_definition() {
        Check::new(|[x]| x.exp(), |[x]| x.map(|x| x.exp()))
            
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
