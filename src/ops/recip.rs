//! recip(x) = 1/x

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Recip;

impl Op for Recip {
    fn name(&self) -> &'static str {
        "recip"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("recip"), "recip"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(-(at.dy(0) * at.y(0) * at.y(0)))])
    }
}

impl Tensor {
    /// The inverse, elementwise: `torch.reciprocal`.
    #[track_caller]
    pub fn recip(&self) -> Tensor {
        self.graph().apply1(Recip, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn recip_matches_its_definition() {
        Check::new(|[x]| x.recip(), |[x]| x.map(|x| 1.0 / x))
            .range(0.25, 4.0)
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
