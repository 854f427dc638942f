//! mul(a, b) = a·b

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Mul;

impl Op for Mul {
    fn name(&self) -> &'static str {
        "mul"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("mul"), "mul"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let [a, b] = [at.x(0).shape(), at.x(1).shape()];
        let da = at.needs(0).then(|| (at.dy(0) * at.x(1)).sum_to(&a));
        Gradients::of([da, at.needs(1).then(|| (at.dy(0) * at.x(0)).sum_to(&b))])
    }
}

impl Tensor {
    /// The product, elementwise with NumPy's broadcasting: `torch.mul`.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or different element types.
    #[track_caller]
    pub fn mul(&self, other: &Tensor) -> Tensor {
        self.graph().apply1(Mul, &[self, other])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn mul_matches_its_definition() {
        Check::new(|[a, b]| a.mul(&b), |[a, b]| a.zip(&b, |a, b| a * b))
            .shapes([&[3, 5][..], &[3, 5]])
            .shapes([&[1][..], &[1]])
            .shapes([&[4, 1, 8][..], &[3, 1]])
            .shapes([&[][..], &[2, 3]])
            .shapes([&[70, 300][..], &[300]])
            .run();
    }
}
