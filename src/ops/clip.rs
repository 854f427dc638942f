//! clip: g · min(1, max / (‖g‖ + 10⁻⁶)) with the norm of all gradients together.

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct ClipFactor {
    most: f32,
}

impl Op for ClipFactor {
    fn name(&self) -> &'static str {
        "clip_norm"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        if self.most > 0.0 {
            Pointwise::infer(inputs)
        } else {
            Err(Misfit::shape(format!("the largest norm must be positive, not {}", self.most)))
        }
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("clip"), "clip_factor").scalar(self.most))
    }
}

impl Tensor {
    /// min(1, most / (√s + 10⁻⁶)) of a sum s of squares.
    #[track_caller]
    pub(crate) fn clip_factor(&self, most: f64) -> Tensor {
        self.graph().apply1(ClipFactor { most: most as f32 }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn the_factor_matches_its_definition() {
        Check::new(|[s]| s.clip_factor(0.8), |[s]| s.map(|s| (0.8 / (s.sqrt() + 1e-6)).min(1.0)))
            .shapes([&[][..]])
            .shapes([&[4500][..]])
            .range(0.0, 2.0)
            .no_gradient()
            .run();
    }
}
