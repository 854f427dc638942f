//! cast(x) = x in another element type

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
        let function = match (self.from.is_float(), self.to.is_float()) {
            (true, true) => "cast_float",
            (true, false) => "cast_to_u32",
            (false, true) => "cast_from_u32",
            (false, false) => "cast_u32",
        };
        Some(Pointwise::new(shader!("cast"), function))
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let floats = self.from.is_float() && self.to.is_float();
        Gradients::of([floats.then(|| at.dy(0).cast(self.from))])
    }
}

impl Tensor {
    /// The same numbers in another element type: `Tensor.to`. Towards `u32` the fraction is dropped and
    /// what does not fit becomes the nearest end of the range; no gradient flows through integers.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Tensor {
        if self.dtype() == dtype { self.clone() } else { self.graph().apply1(Cast { from: self.dtype(), to: dtype }, &[self]) }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        prelude::*,
        testing::{Check, context, run},
    };

    #[test]
    fn casting_there_and_back_keeps_small_whole_numbers() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [5]);
        let whole = x.cast(DType::U32);
        let inputs = [("x", Array::from_f32([5], &[0.0, 1.9, 7.0, 65_504.0, 3.5]).unwrap())];
        let outputs = [("whole", &whole), ("back", &whole.cast(DType::F32))];
        let found = run(&graph, &outputs, &inputs).unwrap();
        assert_eq!(found[0].to_u32(), [0, 1, 7, 65_504, 3]);
        assert_eq!(found[1].to_f32(), [0.0, 1.0, 7.0, 65_504.0, 3.0]);
    }

    #[test]
    fn gradients_pass_between_widths() {
        if context().target().f16 {
            let narrow = |x: &Tensor| x.cast(if x.dtype() == DType::F32 { DType::F16 } else { DType::F32 });
            Check::new(|[x]| narrow(&narrow(&x)), |[x]| x).shapes([[3, 5]]).tolerance(4e-3).run();
        }
    }
}
