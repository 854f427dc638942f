//! sign(x) = −1, 0 or 1

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Sign;

impl Op for Sign {
    fn name(&self) -> &'static str {
        "sign"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("sign"), "sign_element"))
    }

    fn backward(&self, _at: &Backward) -> Gradients {
        Gradients::of([None])
    }
}

impl Tensor {
    /// The sign; no gradient flows through it, elementwise: `torch.sign`.
    #[track_caller]
    pub fn sign(&self) -> Tensor {
        self.graph().apply1(Sign, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn sign_matches_its_definition() {
        Check::new(|[x]| x.sign(), |[x]| x.map(|x| x.signum()))
            
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
