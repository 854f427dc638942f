//! scale_shift: y = (x − center)·scale + shift, what normalisation does to each element.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct ScaleShift;

impl Op for ScaleShift {
    fn name(&self) -> &'static str {
        "scale_shift"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        if !x.dtype.is_float() {
            return Err(Misfit::dtype(format!("needs floating point numbers, not {x}")));
        }
        for other in &inputs[1..] {
            if other.dtype != DType::F32 || x.shape.broadcast(&other.shape)? != x.shape {
                return Err(Misfit::shape(format!("{other} does not broadcast to {x}")));
            }
        }
        Ok(vec![x.clone()])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("scale_shift"), "scale_shift"))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, center, scale, dy) = (at.x(0), at.x(1), at.x(2), at.dy(0));
        let dx = at.needs(0).then(|| (dy.cast(DType::F32) * scale).cast(x.dtype()));
        let sums = (1..4).any(|i| at.needs(i)).then(|| x.dot_sums(&dy, center));
        let [dcenter, dscale, dshift] = match sums {
            None => [None, None, None],
            Some([sum, product]) => [at.needs(1).then(|| -scale * &sum), Some(product), Some(sum)],
        };
        Gradients::of([dx, dcenter, dscale, dshift])
    }
}

impl Tensor {
    /// (x − center)·scale + shift; the other three are `f32`, of one shape that broadcasts to this one.
    #[track_caller]
    pub(super) fn scale_shift(&self, center: &Tensor, scale: &Tensor, shift: &Tensor) -> Tensor {
        self.graph().apply1(ScaleShift, &[self, center, scale, shift])
    }
}

#[cfg(test)]
mod tests {
    use crate::{prelude::*, testing::Check};

    #[test]
    fn scale_shift_matches_its_definition() {
        Check::new(
            |[x, center, scale, shift]: [Tensor; 4]| {
                let [center, scale, shift] = [center, scale, shift].map(|tensor| tensor.cast(DType::F32));
                x.scale_shift(&center, &scale, &shift)
            },
            |[x, center, scale, shift]| {
                x.zip(&center, |x, c| x - c).zip(&scale, |d, s| d * s).zip(&shift, |y, t| y + t)
            },
        )
        .shapes([&[2, 3, 5][..], &[1, 3, 1], &[1, 3, 1], &[1, 3, 1]])
        .shapes([&[70, 4][..], &[1, 4], &[1, 4], &[1, 4]])
        .shapes([&[2, 3, 5][..], &[2, 3, 1], &[2, 3, 1], &[2, 3, 1]])
        .shapes([&[3, 5000][..], &[3, 1], &[3, 1], &[3, 1]])
        .shapes([&[2, 7, 1300][..], &[1, 7, 1], &[1, 7, 1], &[1, 7, 1]])
        .run();
    }
}
