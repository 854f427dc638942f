//! minimum(a, b) = min(a, b)

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Minimum;

impl Op for Minimum {
    fn name(&self) -> &'static str {
        "minimum"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("minimum"), "minimum"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let [a, b] = [at.x(0).shape(), at.x(1).shape()];
        let (dy, half) = (at.dy(0), at.dy(0) * 0.5);
        let zero = at.x(0).graph().constant(0.0, dy.dtype());
        let share = |x: &Tensor, other: &Tensor| x.eq(other).where_(&half, &x.lt(other).where_(&dy, &zero));
        let da = at.needs(0).then(|| share(at.x(0), at.x(1)).sum_to(&a));
        Gradients::of([da, at.needs(1).then(|| share(at.x(1), at.x(0)).sum_to(&b))])
    }
}

impl Tensor {
    /// The smaller of two, NaN if either is; on a tie each gets half of the gradient, elementwise with NumPy's broadcasting: `torch.minimum`.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or different element types.
    #[track_caller]
    pub fn minimum(&self, other: &Tensor) -> Tensor {
        self.graph().apply1(Minimum, &[self, other])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn minimum_matches_its_definition() {
        Check::new(|[a, b]| a.minimum(&b), |[a, b]| a.zip(&b, |a, b| a.min(b)))
            .shapes([&[3, 5][..], &[3, 5]])
            .shapes([&[1][..], &[1]])
            .shapes([&[4, 1, 8][..], &[3, 1]])
            .shapes([&[][..], &[2, 3]])
            .shapes([&[70, 300][..], &[300]])
            .run();
    }
}
