//! cast: y = x in another element type.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Cast {
    from: DType,
    to: DType,
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(&inputs[0].shape, self.to)])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = match (self.from, self.to) {
            (DType::U32, DType::F32) => "cast_u32_f32",
            (DType::U32, DType::F16) => "cast_u32_half",
            (DType::U32, DType::U32) => return Some(Pointwise::new(shader!("expand"), "expand_u32")),
            (_, DType::F32) => "cast_f32",
            (_, DType::F16) => "cast_half",
            (_, DType::U32) => "cast_u32",
        };
        Some(Pointwise::new(shader!("cast"), function))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let flows = self.from.is_float() && self.to.is_float();
        Gradients::of([flows.then(|| at.dy(0).cast(self.from))])
    }
}

impl Tensor {
    /// The numbers in another element type, `torch.Tensor.to`.
    ///
    /// To `f16` they are rounded to the nearest, to ±∞ beyond its range. To `u32` they are cut off
    /// towards 0 and to the type's range, NaN to 0, and no gradient flows.
    ///
    /// # Gradient
    /// dy in the type of x; none to and from indices.
    ///
    /// # Errors
    /// None of its own.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Tensor {
        if self.dtype() == dtype {
            self.clone()
        } else {
            self.graph().apply1(Cast { from: self.dtype(), to: dtype }, &[self])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN, NEG_INFINITY, assert_numbers, check_unary, values};
    use crate::{prelude::*, testing::run};

    #[test]
    fn widening_keeps_numbers_and_gradients() {
        check_unary((-2.0, 2.0), |[x]| x.cast(DType::F32).square().cast(x.dtype()), |x| x * x);
    }

    #[test]
    fn narrowing_rounds_also_between_fused_operations() {
        let numbers = [1.0 + 2.0_f32.powi(-11), 1.0 + 3.0 * 2.0_f32.powi(-11), 65519.0, 65520.0, -1e9, NAN, 1e-7, 0.1];
        let expected = numbers.map(|x| half::f16::from_f32(x).to_f32());
        assert_eq!(expected[3..5], [INFINITY, NEG_INFINITY]);
        assert_numbers(&values(&numbers, |x| x.cast(DType::F16).cast(DType::F32)), &expected);
    }

    #[test]
    fn integers_are_cut_off() {
        let numbers = [0.0, 0.9, 1.0, 2.5, -3.0, NAN, INFINITY, NEG_INFINITY, 16_777_217.0, 4e9];
        let graph = Graph::new(Mode::Infer);
        let y = graph.input("x", [10]).cast(DType::U32);
        let found = run(&graph, &[("y", &y)], &[("x", Array::from_f32([10], &numbers).unwrap())]).unwrap();
        assert_eq!(found[0].to_u32(), [0, 0, 1, 2, 0, 0, 4_294_967_040, 0, 16_777_216, 4_000_000_000]);
    }

    #[test]
    fn integers_become_numbers() {
        let numbers = [0, 7, 2049, 70_000, u32::MAX];
        let graph = Graph::new(Mode::Infer);
        let x = graph.input_of("x", [5], DType::U32);
        let (wide, half) = (x.cast(DType::F32), x.cast(DType::F16).cast(DType::F32));
        let array = Array::from_u32([5], &numbers).unwrap();
        let found = run(&graph, &[("wide", &wide), ("half", &half)], &[("x", array)]).unwrap();
        assert_numbers(&found[0].to_f32(), &numbers.map(|x| x as f32));
        assert_numbers(&found[1].to_f32(), &[0.0, 7.0, 2048.0, INFINITY, INFINITY]);
    }
}
