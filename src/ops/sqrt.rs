//! sqrt(x) = √x

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Sqrt;

impl Op for Sqrt {
    fn name(&self) -> &'static str {
        "sqrt"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("sqrt"), "sqrt_element"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([Some(at.dy(0) / (at.y(0) * 2.0))])
    }
}

impl Tensor {
    /// The square root; NaN of negative numbers, elementwise: `torch.sqrt`.
    #[track_caller]
    pub fn sqrt(&self) -> Tensor {
        self.graph().apply1(Sqrt, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn sqrt_matches_its_definition() {
        Check::new(|[x]| x.sqrt(), |[x]| x.map(|x| x.sqrt()))
            .range(0.1, 4.0)
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
