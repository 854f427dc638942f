//! tanh(x) = (eˣ − e^−x)/(eˣ + e^−x)

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Tanh;

impl Op for Tanh {
    fn name(&self) -> &'static str {
        "tanh"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("tanh"), "tanh_element"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let y = at.y(0);
        Gradients::of([Some(at.dy(0) * (1.0 - y * y))])
    }
}

impl Tensor {
    /// The hyperbolic tangent, elementwise: `torch.tanh`.
    #[track_caller]
    pub fn tanh(&self) -> Tensor {
        self.graph().apply1(Tanh, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn tanh_matches_its_definition() {
        Check::new(|[x]| x.tanh(), |[x]| x.map(|x| x.tanh()))
            
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
