//! where_: y = a where a mask is not 0, else b.

use super::map::{alike, reduced};
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Where {
    dtype: DType,
}

impl Op for Where {
    fn name(&self) -> &'static str {
        "where_"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        if inputs[0].dtype != DType::U32 {
            return Err(Misfit::dtype(format!("needs a mask, which is u32, not {}", inputs[0])));
        }
        let mut desc = alike(&inputs[1..])?;
        desc.shape = desc.shape.broadcast(&inputs[0].shape)?;
        Ok(vec![desc])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("where_"), if self.dtype.is_float() { "where_" } else { "where_u32" }))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (mask, dy) = (at.x(0), at.dy(0));
        let zero = dy.graph().constant(0.0, dy.dtype());
        let a = at.needs(1).then(|| reduced(at, 1, mask.where_(&dy, &zero)));
        let b = at.needs(2).then(|| reduced(at, 2, mask.where_(&zero, &dy)));
        Gradients::of([None, a, b])
    }
}

impl Tensor {
    /// `a` where this mask is not 0, else `b`, `torch.where`; numbers or indices. Shapes broadcast.
    ///
    /// # Gradient
    /// dy to the operand that was taken, summed over what was repeated.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, a mask that is not `u32`, mixed element types.
    #[track_caller]
    pub fn where_(&self, a: &Tensor, b: &Tensor) -> Tensor {
        self.graph().apply1(Where { dtype: a.dtype() }, &[self, a, b])
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        prelude::*,
        testing::{Check, Numbers, run},
    };

    fn check(mask: Shape, shapes: [&[usize]; 2]) {
        let bits: Vec<u32> = (0..mask.numel() as u32).map(|i| i * 7 % 3).collect();
        let numbers = Numbers::new(&mask, bits.iter().map(|&bit| f64::from(bit)).collect());
        Check::new(
            |[a, b]: [Tensor; 2]| a.graph().input_of("mask", &mask, DType::U32).where_(&a, &b),
            |[a, b]: [Numbers; 2]| {
                let a = numbers.zip(&a, |bit, a| if bit == 0.0 { 0.0 } else { a });
                let b = numbers.zip(&b, |bit, b| if bit == 0.0 { b } else { 0.0 });
                a.zip(&b, |a, b| a + b)
            },
        )
        .shapes(shapes)
        .index("mask", &mask, &bits)
        .run();
    }

    #[test]
    fn where_matches_its_definition() {
        check([3, 5].into(), [&[3, 5], &[3, 5]]);
        check([4, 1].into(), [&[8], &[]]);
        check([8].into(), [&[4, 1], &[4, 8]]);
        check([4099].into(), [&[4099], &[1]]);
    }

    #[test]
    fn the_other_side_may_be_nan() {
        let graph = Graph::new(Mode::Train);
        let (x, zero) = (graph.input("x", [3]), graph.constant(0.0, DType::F32));
        let y = x.gt(&zero).where_(&x.log(), &zero);
        let dx = super::super::map::tests::slope(&x, |x| x.gt(&zero).where_(x, &zero));
        let numbers = [("x", Array::from_f32([3], &[-1.0, 1.0, f32::NAN]).unwrap())];
        let found = run(&graph, &[("y", &y), ("dx", &dx)], &numbers).unwrap();
        assert_eq!(found[0].to_f32(), [0.0, 0.0, 0.0]);
        assert_eq!(found[1].to_f32(), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn indices_are_chosen_too() {
        let graph = Graph::new(Mode::Infer);
        let ids = graph.input_of("ids", [3], DType::U32);
        let y = ids.eq(&graph.constant(7.0, DType::U32)).where_(&graph.constant(0.0, DType::U32), &ids);
        let found = run(&graph, &[("y", &y)], &[("ids", Array::from_u32([3], &[6, 7, u32::MAX]).unwrap())]).unwrap();
        assert_eq!(found[0].to_u32(), [6, 0, u32::MAX]);
    }

    #[test]
    fn a_number_is_no_mask() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [2]);
        x.where_(&x, &x);
        assert_eq!(graph.check().unwrap_err().message(), "where_: needs a mask, which is u32, not f32[2]");
    }
}
