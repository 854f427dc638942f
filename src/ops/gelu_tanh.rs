//! gelu_tanh(x) = x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

/// The function and its derivatives.
#[derive(Debug)]
enum GeluTanh {
    Value,
    First,
    Second,
}

impl Op for GeluTanh {
    fn name(&self) -> &'static str {
        "gelu_tanh"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = match self {
            GeluTanh::Value => "gelu_tanh",
            GeluTanh::First => "gelu_tanh_grad",
            GeluTanh::Second => "gelu_tanh_grad_grad",
        };
        Some(Pointwise::new(shader!("gelu_tanh"), function))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let times = |next: GeluTanh| Gradients::of([Some(at.dy(0) * at.x(0).graph().apply1(next, &[at.x(0)]))]);
        match self {
            GeluTanh::Value => times(GeluTanh::First),
            GeluTanh::First => times(GeluTanh::Second),
            GeluTanh::Second => Gradients::none(),
        }
    }
}

impl Tensor {
    /// The approximation of gelu by tanh that GPT-2 uses: `torch.nn.functional.gelu(approximate='tanh')`.
    #[track_caller]
    pub fn gelu_tanh(&self) -> Tensor {
        self.graph().apply1(GeluTanh::Value, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::{autodiff::gradients, testing::Check};

    fn definition(x: f64) -> f64 {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
    }

    #[test]
    fn gelu_tanh_matches_its_definition() {
        let check = Check::new(|[x]| x.gelu_tanh(), |[x]| x.map(definition)).range(-6.0, 6.0);
        check.shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]]).run();
    }

    #[test]
    fn its_gradient_has_a_gradient() {
        let slope = |x: f64| (definition(x + 1e-5) - definition(x - 1e-5)) / 2e-5;
        Check::new(
            |[x]| {
                let first = gradients(&x.gelu_tanh().sum_all(), std::slice::from_ref(&x));
                first[0].clone().unwrap_or(x)
            },
            |[x]| x.map(slope),
        )
        .shapes([[3, 5]])
        .tolerance(1e-4)
        .run();
    }
}
