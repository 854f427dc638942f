//! erf(x) = 2/√π ∫₀ˣ e^(−t²) dt

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Erf;

impl Op for Erf {
    fn name(&self) -> &'static str {
        "erf"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("erf"), "erf"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let slope = (-at.x(0).square()).exp() * std::f32::consts::FRAC_2_SQRT_PI;
        Gradients::of([Some(at.dy(0) * slope)])
    }
}

impl Tensor {
    /// The error function, elementwise: `torch.erf`.
    #[track_caller]
    pub fn erf(&self) -> Tensor {
        self.graph().apply1(Erf, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn erf_matches_its_definition() {
        Check::new(|[x]| x.erf(), |[x]| x.map(|x| crate::testing::erf(x)))
            .range(-4.0, 4.0)
            .shapes([[3, 5]]).shapes([[1, 1]]).shapes([[70, 300]])
            .run();
    }
}
