//! eq ne lt le gt ge: y = 1 where two elements compare so, else 0.

use super::map::alike;
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Debug)]
struct Compare {
    relation: Relation,
    dtype: DType,
}

#[derive(Clone, Copy, Debug)]
enum Relation {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Compare {
    /// The operation's name and its WGSL functions for floating point numbers and for integers.
    fn names(&self) -> [&'static str; 3] {
        match self.relation {
            Relation::Eq => ["eq", "compare_eq", "compare_eq_u32"],
            Relation::Ne => ["ne", "compare_ne", "compare_ne_u32"],
            Relation::Lt => ["lt", "compare_lt", "compare_lt_u32"],
            Relation::Le => ["le", "compare_le", "compare_le_u32"],
            Relation::Gt => ["gt", "compare_gt", "compare_gt_u32"],
            Relation::Ge => ["ge", "compare_ge", "compare_ge_u32"],
        }
    }
}

impl Op for Compare {
    fn name(&self) -> &'static str {
        self.names()[0]
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(alike(inputs)?.shape, DType::U32)])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = self.names()[if self.dtype.is_float() { 1 } else { 2 }];
        Some(Pointwise::new(shader!("compare"), function))
    }

    fn backward(&self, _at: &Backward) -> Gradients {
        Gradients::of([None, None])
    }
}

/// Comparisons of each two elements, of numbers or indices: masks of 0 and 1, `u32`. Shapes broadcast.
///
/// NaN equals nothing, itself included, and has no order. No gradient flows through a mask.
impl Tensor {
    /// a = b, `torch.eq`.
    ///
    /// # Gradient
    /// None: masks have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types.
    #[track_caller]
    pub fn eq(&self, other: &Tensor) -> Tensor {
        self.compare(Relation::Eq, other)
    }

    /// a ≠ b, `torch.ne`.
    ///
    /// # Gradient
    /// None: masks have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types.
    #[track_caller]
    pub fn ne(&self, other: &Tensor) -> Tensor {
        self.compare(Relation::Ne, other)
    }

    /// a < b, `torch.lt`.
    ///
    /// # Gradient
    /// None: masks have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types.
    #[track_caller]
    pub fn lt(&self, other: &Tensor) -> Tensor {
        self.compare(Relation::Lt, other)
    }

    /// a ≤ b, `torch.le`.
    ///
    /// # Gradient
    /// None: masks have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types.
    #[track_caller]
    pub fn le(&self, other: &Tensor) -> Tensor {
        self.compare(Relation::Le, other)
    }

    /// a > b, `torch.gt`.
    ///
    /// # Gradient
    /// None: masks have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types.
    #[track_caller]
    pub fn gt(&self, other: &Tensor) -> Tensor {
        self.compare(Relation::Gt, other)
    }

    /// a ≥ b, `torch.ge`.
    ///
    /// # Gradient
    /// None: masks have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: shapes that do not broadcast, mixed element types.
    #[track_caller]
    pub fn ge(&self, other: &Tensor) -> Tensor {
        self.compare(Relation::Ge, other)
    }

    #[track_caller]
    fn compare(&self, relation: Relation, other: &Tensor) -> Tensor {
        self.graph().apply1(Compare { relation, dtype: self.dtype() }, &[self, other])
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{INFINITY, NAN};
    use crate::{
        prelude::*,
        testing::{Check, Numbers, run},
    };

    /// An operation of the six, the same in `f64`, and the same of integers.
    type Case = (fn(&Tensor, &Tensor) -> Tensor, fn(&f64, &f64) -> bool, fn(&u32, &u32) -> bool);

    const CASES: [Case; 6] = [
        (|a, b| a.eq(b), f64::eq, u32::eq),
        (|a, b| a.ne(b), f64::ne, u32::ne),
        (|a, b| a.lt(b), f64::lt, u32::lt),
        (|a, b| a.le(b), f64::le, u32::le),
        (|a, b| a.gt(b), f64::gt, u32::gt),
        (|a, b| a.ge(b), f64::ge, u32::ge),
    ];

    #[test]
    fn comparisons_match_their_definitions() {
        for (op, definition, _) in CASES {
            let of = |a: f64, b: f64| f64::from(definition(&a.round(), &b.round()));
            let rounded = |x: &Tensor| x.sign() * (x.abs() + 0.5).cast(DType::U32).cast(x.dtype());
            Check::new(|[a, b]: [Tensor; 2]| op(&rounded(&a), &rounded(&b)), |[a, b]: [Numbers; 2]| a.zip(&b, of))
                .shapes([&[3, 5][..], &[5]])
                .shapes([&[2, 1][..], &[1, 4]])
                .shapes([&[4100][..], &[]])
                .no_gradient()
                .run();
        }
    }

    #[test]
    fn nan_has_no_order_and_integers_all_their_bits() {
        let (a, b) = ([NAN, NAN, 1.0, INFINITY, -0.0], [NAN, 1.0, NAN, INFINITY, 0.0]);
        let (i, j) = ([0, 16_777_217, u32::MAX, 7, 3], [0, 16_777_216, 0, 7, u32::MAX]);
        let graph = Graph::new(Mode::Infer);
        let floats = [graph.input("a", [5]), graph.input("b", [5])];
        let integers = [graph.input_of("i", [5], DType::U32), graph.input_of("j", [5], DType::U32)];
        for (op, float, integer) in CASES {
            let outputs = [("x", &op(&floats[0], &floats[1])), ("y", &op(&integers[0], &integers[1]))];
            let found = run(
                &graph,
                &outputs,
                &[
                    ("a", Array::from_f32([5], &a).unwrap()),
                    ("b", Array::from_f32([5], &b).unwrap()),
                    ("i", Array::from_u32([5], &i).unwrap()),
                    ("j", Array::from_u32([5], &j).unwrap()),
                ],
            )
            .unwrap();
            let of_floats = (0..5).map(|k| u32::from(float(&f64::from(a[k]), &f64::from(b[k]))));
            assert_eq!(found[0].to_u32(), of_floats.collect::<Vec<_>>());
            let of_integers = (0..5).map(|k| u32::from(integer(&i[k], &j[k])));
            assert_eq!(found[1].to_u32(), of_integers.collect::<Vec<_>>());
        }
    }

    #[test]
    fn element_types_may_not_mix() {
        let graph = Graph::new(Mode::Infer);
        graph.input("a", [2]).le(&graph.input_of("b", [2], DType::U32));
        assert_eq!(graph.check().unwrap_err().message(), "le: mixes f32[2] and u32[2]");
    }
}
