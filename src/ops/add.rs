//! add(a, b) = a + b

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Add;

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("add"), "add"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([0, 1].map(|i| at.needs(i).then(|| at.dy(0).sum_to(&at.x(i).shape()))))
    }
}

impl Tensor {
    /// The sum, elementwise with NumPy's broadcasting: `torch.add`.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or different element types.
    #[track_caller]
    pub fn add(&self, other: &Tensor) -> Tensor {
        self.graph().apply1(Add, &[self, other])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn add_matches_its_definition() {
        Check::new(|[a, b]| a.add(&b), |[a, b]| a.zip(&b, |a, b| a + b))
            .shapes([&[3, 5][..], &[3, 5]])
            .shapes([&[1][..], &[1]])
            .shapes([&[4, 1, 8][..], &[3, 1]])
            .shapes([&[][..], &[2, 3]])
            .shapes([&[70, 300][..], &[300]])
            .run();
    }
}
