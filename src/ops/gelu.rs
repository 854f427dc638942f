//! gelu(x) = x·Φ(x) = x/2·(1 + erf(x/√2))

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

/// The function and its derivatives.
#[derive(Debug)]
enum Gelu {
    Value,
    First,
    Second,
}

impl Op for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = match self {
            Gelu::Value => "gelu",
            Gelu::First => "gelu_grad",
            Gelu::Second => "gelu_grad_grad",
        };
        Some(Pointwise::new(shader!("gelu"), function))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let times = |next: Gelu| Gradients::of([Some(at.dy(0) * at.x(0).graph().apply1(next, &[at.x(0)]))]);
        match self {
            Gelu::Value => times(Gelu::First),
            Gelu::First => times(Gelu::Second),
            Gelu::Second => Gradients::none(),
        }
    }
}

impl Tensor {
    /// x·Φ(x) with the normal distribution's Φ, by the error function (Hendrycks and Gimpel 2016): `torch.nn.functional.gelu`.
    #[track_caller]
    pub fn gelu(&self) -> Tensor {
        self.graph().apply1(Gelu::Value, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::{autodiff::gradients, testing::Check};

    fn definition(x: f64) -> f64 {
        0.5 * x * (1.0 + crate::testing::erf(x / 2.0_f64.sqrt()))
    }

    #[test]
    fn gelu_matches_its_definition() {
        let check = Check::new(|[x]| x.gelu(), |[x]| x.map(definition)).range(-6.0, 6.0);
        check.shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]]).run();
    }

    #[test]
    fn its_gradient_has_a_gradient() {
        let slope = |x: f64| (definition(x + 1e-5) - definition(x - 1e-5)) / 2e-5;
        Check::new(
            |[x]| {
                let first = gradients(&x.gelu().sum_all(), std::slice::from_ref(&x));
                first[0].clone().unwrap_or(x)
            },
            |[x]| x.map(slope),
        )
        .shapes([[3, 5]])
        .tolerance(1e-4)
        .run();
    }
}
