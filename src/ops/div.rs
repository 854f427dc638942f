//! div(a, b) = a/b

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Div;

impl Op for Div {
    fn name(&self) -> &'static str {
        "div"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("div"), "div"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let [a, b] = [at.x(0).shape(), at.x(1).shape()];
        let slope = at.dy(0) / at.x(1);
        let db = at.needs(1).then(|| (-(&slope * at.y(0))).sum_to(&b));
        Gradients::of([at.needs(0).then(|| slope.sum_to(&a)), db])
    }
}

impl Tensor {
    /// The quotient, elementwise with NumPy's broadcasting: `torch.div`.
    ///
    /// # Errors
    /// Shapes that do not broadcast, or different element types.
    #[track_caller]
    pub fn div(&self, other: &Tensor) -> Tensor {
        self.graph().apply1(Div, &[self, other])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn div_matches_its_definition() {
        Check::new(|[a, b]| a.div(&b), |[a, b]| a.zip(&b, |a, b| a / b))
            .range(0.5, 3.0)
            .shapes([&[3, 5][..], &[3, 5]])
            .shapes([&[1][..], &[1]])
            .shapes([&[4, 1, 8][..], &[3, 1]])
            .shapes([&[][..], &[2, 3]])
            .shapes([&[70, 300][..], &[300]])
            .run();
    }
}
