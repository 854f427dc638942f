//! one_hot: y[…, c] = 1 where c is the id, else 0.

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct OneHot {
    classes: usize,
}

impl Op for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    /// From ids with a last dimension of size 1.
    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let ids = &inputs[0];
        if ids.dtype != DType::U32 {
            return Err(Misfit::dtype(format!("ids must be u32, not {}", ids.dtype)));
        }
        let front = &ids.shape[..ids.shape.rank() - 1];
        Ok(vec![TensorDesc::new(front.iter().copied().chain([self.classes]).collect::<Shape>(), DType::U32)])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("one_hot"), "one_hot").scalar_u32(self.classes as u32).indexed())
    }
}

impl Tensor {
    /// A row of zeros with a 1 at each of these `u32` ids: `[…]` → `[…, classes]`, `torch.nn.functional.one_hot`.
    ///
    /// The result is `u32`, as PyTorch's is an integer; a [`cast`](Tensor::cast) behind it costs nothing. An id that
    /// is not below `classes` gives a row of zeros. It has no gradient.
    ///
    /// # Gradient
    /// None: indices have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: ids that are not `u32`.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Tensor {
        self.graph().apply1(OneHot { classes }, &[&self.unsqueeze(-1)])
    }
}

#[cfg(test)]
mod tests {
    use crate::{kernel::DeviceClass, plan::PlanOptions, prelude::*, testing::context, testing::run_on};

    #[test]
    fn each_id_is_a_row() {
        for (shape, classes) in [(&[4][..], 3), (&[2, 5], 7), (&[], 1), (&[600], 13), (&[1], 2)] {
            let ids: Vec<u32> = (0..shape.iter().product::<usize>() as u32).map(|i| i * i % 11).collect();
            let expected: Vec<u32> =
                ids.iter().flat_map(|&id| (0..classes).map(move |c| u32::from(c == id))).collect();
            for class in [DeviceClass::Software, DeviceClass::Portable] {
                let graph = Graph::new(Mode::Infer);
                let y = graph.input_of("ids", shape, DType::U32).one_hot(classes as usize);
                let wide = y.cast(DType::F32) * 2.0;
                let outputs = [("y", &y), ("wide", &wide)];
                let inputs = [("ids", Array::from_u32(shape, &ids).unwrap())];
                let target = context().target().with_class(class);
                let found = run_on(&graph, &outputs, &inputs, &target, PlanOptions::default()).unwrap();
                assert_eq!(found[0].to_u32(), expected);
                assert_eq!(found[1].to_f32(), expected.iter().map(|&x| 2.0 * x as f32).collect::<Vec<f32>>());
            }
        }
    }

    #[test]
    fn no_classes_or_ids_give_nothing() {
        let graph = Graph::new(Mode::Infer);
        let ids = |name, shape: &[usize]| graph.input_of(name, shape, DType::U32);
        let (a, b) = (ids("a", &[3]).one_hot(0), ids("b", &[0, 2]).one_hot(4));
        let found = crate::testing::run(&graph, &[("a", &a), ("b", &b)], &[]).unwrap();
        assert_eq!((found[0].shape(), found[1].shape()), (&[3, 0].into(), &[0, 2, 4].into()));
    }

    #[test]
    fn numbers_are_no_ids() {
        let graph = Graph::new(Mode::Infer);
        assert!(graph.input("x", [3]).one_hot(2).is_failed());
        assert_eq!(graph.check().unwrap_err().message(), "one_hot: ids must be u32, not f32");
    }
}
