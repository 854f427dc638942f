//! rsqrt(x) = 1/√x

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Rsqrt;

impl Op for Rsqrt {
    fn name(&self) -> &'static str {
        "rsqrt"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("rsqrt"), "rsqrt"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0) * at.y(0) * at.y(0) * at.y(0) * -0.5)])
    }
}

impl Tensor {
    /// The inverse of the square root; ∞ of 0, NaN of negative numbers, elementwise: `torch.rsqrt`.
    #[track_caller]
    pub fn rsqrt(&self) -> Tensor {
        self.graph().apply1(Rsqrt, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn rsqrt_matches_its_definition() {
        Check::new(|[x]| x.rsqrt(), |[x]| x.map(|x| 1.0 / x.sqrt()))
            .range(0.1, 4.0)
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
