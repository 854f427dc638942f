//! where(mask, a, b) = a where the mask is not 0, else b

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Where {
    integers: bool,
}

impl Op for Where {
    fn name(&self) -> &'static str {
        "where"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let [mask, a, b] = [&inputs[0], &inputs[1], &inputs[2]];
        if mask.dtype != DType::U32 {
            return Err(Misfit::dtype(format!("the mask must be u32, not {mask}")));
        }
        if a.dtype != b.dtype {
            return Err(Misfit::dtype(format!("mixes {a} and {b}")));
        }
        Ok(vec![TensorDesc::new(mask.shape.broadcast(&a.shape)?.broadcast(&b.shape)?, a.dtype)])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("where_"), if self.integers { "where_u32" } else { "where_element" }))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (mask, dy) = (at.x(0), at.dy(0));
        let zero = mask.graph().constant(0.0, dy.dtype());
        let da = at.needs(1).then(|| mask.where_(&dy, &zero).sum_to(&at.x(1).shape()));
        Gradients::of([None, da, at.needs(2).then(|| mask.where_(&zero, &dy).sum_to(&at.x(2).shape()))])
    }
}

impl Tensor {
    /// `a` where this `u32` mask is not 0, else `b`, with NumPy's broadcasting: `torch.where`.
    ///
    /// # Errors
    /// A mask that is not `u32`, shapes that do not broadcast, or different element types.
    #[track_caller]
    pub fn where_(&self, a: &Tensor, b: &Tensor) -> Tensor {
        self.graph().apply1(Where { integers: !a.dtype().is_float() }, &[self, a, b])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Check;

    #[test]
    fn where_matches_its_definition() {
        Check::new(|[x, a, b]| x.lt(&a).where_(&a, &b), |[x, a, b]| {
            let mask = x.zip(&a, |x, a| f64::from(u8::from(x < a)));
            let chosen = mask.zip(&a, |mask, a| if mask > 0.0 { a } else { f64::NAN });
            chosen.zip(&b, |a, b| if a.is_nan() { b } else { a })
        })
        .shapes([&[3, 5][..], &[3, 5], &[3, 5]])
        .shapes([&[70, 300][..], &[300], &[70, 1]])
        .shapes([&[2, 1][..], &[1, 3], &[]])
        .run();
    }
}
