//! sub(a, b) = a − b

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Sub;

impl Op for Sub {
    fn name(&self) -> &'static str {
        "sub"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("sub"), "sub"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let [a, b] = [at.x(0).shape(), at.x(1).shape()];
        let da = at.needs(0).then(|| at.dy(0).sum_to(&a));
        Gradients::of([da, at.needs(1).then(|| (-at.dy(0)).sum_to(&b))])
    }
}

impl Tensor {
    /// The difference, elementwise with NumPy's broadcasting: `torch.sub`.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or different element types.
    #[track_caller]
    pub fn sub(&self, other: &Tensor) -> Tensor {
        self.graph().apply1(Sub, &[self, other])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn sub_matches_its_definition() {
        Check::new(|[a, b]| a.sub(&b), |[a, b]| a.zip(&b, |a, b| a - b))
            .shapes([&[3, 5][..], &[3, 5]])
            .shapes([&[1][..], &[1]])
            .shapes([&[4, 1, 8][..], &[3, 1]])
            .shapes([&[][..], &[2, 3]])
            .shapes([&[70, 300][..], &[300]])
            .run();
    }
}
