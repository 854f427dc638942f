//! relu(x) = max(0, x)

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Relu;

impl Op for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("relu"), "relu"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        // By the output, which is kept anyway: positive exactly where the input is.
        Gradients::of([Some(at.x(0).graph().apply1(ReluGrad, &[at.y(0), &at.dy(0)]))])
    }
}

#[derive(Debug)]
struct ReluGrad;

impl Op for ReluGrad {
    fn name(&self) -> &'static str {
        "relu_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("relu"), "relu_grad"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([None, Some(at.x(0).graph().apply1(ReluGrad, &[at.x(0), &at.dy(0)]))])
    }
}

impl Tensor {
    /// max(0, x), elementwise; NaN stays NaN, the gradient at 0 is 0: `torch.relu`.
    #[track_caller]
    pub fn relu(&self) -> Tensor {
        self.graph().apply1(Relu, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::check_op;

    #[test]
    fn relu_matches_its_definition() {
        for shape in [[3, 5], [1, 1], [70, 300]] {
            check_op([shape], |[x]| x.relu(), |[x]| x.map(|x| x.max(0.0)));
        }
    }
}
