//! loss_scale: s ← s/2 after a gradient that is no finite number, 2·s after n updates without one: the functions that
//! [`LossScale`](crate::optim::LossScale) is put together from.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
enum LossScale {
    IsFinite,
    Next { growth: f32, backoff: f32, interval: u32 },
    Good { interval: u32 },
    Count,
}

impl Op for LossScale {
    fn name(&self) -> &'static str {
        match self {
            LossScale::IsFinite => "is_finite",
            LossScale::Next { .. } => "loss_scale_next",
            LossScale::Good { .. } => "loss_scale_good",
            LossScale::Count => "loss_scale_count",
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = if matches!(self, LossScale::Next { .. }) { DType::F32 } else { DType::U32 };
        Ok(vec![TensorDesc::new(&inputs[0].shape, dtype)])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = Pointwise::new(shader!("loss_scale"), self.name());
        Some(match *self {
            LossScale::Next { growth, backoff, interval } => {
                function.scalar(growth).scalar(backoff).scalar_u32(interval)
            }
            LossScale::Good { interval } => function.scalar_u32(interval),
            LossScale::IsFinite | LossScale::Count => function,
        })
    }
}

impl Tensor {
    /// A mask of the numbers that are neither infinite nor NaN.
    #[track_caller]
    pub(crate) fn is_finite(&self) -> Tensor {
        self.graph().apply1(LossScale::IsFinite, &[self])
    }

    /// The scale after a run with the scale `self`, of which `finite` and `last` say whether its gradients are finite
    /// and whether it is the last of its update, with `good` updates before it.
    #[track_caller]
    pub(crate) fn loss_scale_next(
        &self,
        [finite, last, good]: [&Tensor; 3],
        growth: f32,
        backoff: f32,
        interval: u32,
    ) -> Tensor {
        self.graph().apply1(LossScale::Next { growth, backoff, interval }, &[self, finite, last, good])
    }

    /// `self` good updates and the one of this run.
    #[track_caller]
    pub(crate) fn loss_scale_good(&self, [finite, last]: [&Tensor; 2], interval: u32) -> Tensor {
        self.graph().apply1(LossScale::Good { interval }, &[self, finite, last])
    }

    /// One more where the mask is not 0.
    #[track_caller]
    pub(crate) fn loss_scale_count(&self, mask: &Tensor) -> Tensor {
        self.graph().apply1(LossScale::Count, &[self, mask])
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        data::{Array, DType},
        graph::{Graph, Mode},
        testing::run,
    };

    #[test]
    fn only_finite_numbers_are() {
        let numbers = [0.0, -0.0, 1e-45, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN];
        let graph = Graph::new(Mode::Infer);
        let mask = graph.input("x", [9]).is_finite();
        let found = run(&graph, &[("mask", &mask)], &[("x", Array::from_f32([9], &numbers).unwrap())]).unwrap();
        assert_eq!(found[0].to_u32(), numbers.map(|x| u32::from(x.is_finite())));
    }

    #[test]
    fn the_scale_falls_and_rises_as_pytorchs() {
        let graph = Graph::new(Mode::Infer);
        let scale = graph.input("scale", [6]);
        let [finite, last, good] = ["finite", "last", "good"].map(|name| graph.input_of(name, [6], DType::U32));
        let next = scale.loss_scale_next([&finite, &last, &good], 2.0, 0.5, 3);
        let count = good.loss_scale_good([&finite, &last], 3);
        let updates = good.loss_scale_count(&finite);
        let integers = |numbers: [u32; 6]| Array::from_u32([6], &numbers).unwrap();
        let inputs = [
            ("scale", Array::from_f32([6], &[8.0, 8.0, 8.0, 8.0, 3e38, 1.2e-38]).unwrap()),
            ("finite", integers([1, 0, 1, 0, 1, 0])),
            ("last", integers([1, 1, 1, 0, 1, 1])),
            ("good", integers([2, 2, 1, 1, 2, 0])),
        ];
        let found = run(&graph, &[("next", &next), ("count", &count), ("updates", &updates)], &inputs).unwrap();
        assert_eq!(found[0].to_f32(), [16.0, 4.0, 8.0, 8.0, 3e38, f32::MIN_POSITIVE]);
        assert_eq!(found[1].to_u32(), [0, 0, 2, 1, 0, 0]);
        assert_eq!(found[2].to_u32(), [3, 2, 2, 1, 3, 0]);
    }
}
