//! softplus(x) = ln(1 + eˣ)

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Softplus;

impl Op for Softplus {
    fn name(&self) -> &'static str {
        "softplus"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("softplus"), "softplus"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0) * at.x(0).sigmoid())])
    }
}

impl Tensor {
    /// A smooth relu, x itself above 20, elementwise: `torch.nn.functional.softplus`.
    #[track_caller]
    pub fn softplus(&self) -> Tensor {
        self.graph().apply1(Softplus, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn softplus_matches_its_definition() {
        Check::new(|[x]| x.softplus(), |[x]| x.map(|x| (1.0 + x.exp()).ln()))
            .range(-9.0, 9.0)
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
