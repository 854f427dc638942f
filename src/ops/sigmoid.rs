//! sigmoid(x) = 1/(1 + e^−x)

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Sigmoid;

impl Op for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("sigmoid"), "sigmoid"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let y = at.y(0);
        Gradients::of([Some(at.dy(0) * (y - y * y))])
    }
}

impl Tensor {
    /// The logistic function, elementwise: `torch.sigmoid`.
    #[track_caller]
    pub fn sigmoid(&self) -> Tensor {
        self.graph().apply1(Sigmoid, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn sigmoid_matches_its_definition() {
        Check::new(|[x]| x.sigmoid(), |[x]| x.map(|x| 1.0 / (1.0 + (-x).exp())))
            
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
