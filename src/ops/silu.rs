//! silu(x) = x/(1 + e^−x)

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Silu;

impl Op for Silu {
    fn name(&self) -> &'static str {
        "silu"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("silu"), "silu"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let s = at.x(0).sigmoid();
        let slope = &s * (at.x(0) * (1.0 - &s) + 1.0);
        Gradients::of([Some(at.dy(0) * slope)])
    }
}

impl Tensor {
    /// x·sigmoid(x), also called swish, elementwise: `torch.nn.functional.silu`.
    #[track_caller]
    pub fn silu(&self) -> Tensor {
        self.graph().apply1(Silu, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn silu_matches_its_definition() {
        Check::new(|[x]| x.silu(), |[x]| x.map(|x| x / (1.0 + (-x).exp())))
            
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
