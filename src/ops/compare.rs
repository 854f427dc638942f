//! compare(a, b) = 1 where the relation holds, else 0

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

/// A relation; greater is less with the operands exchanged.
#[derive(Clone, Copy, Debug)]
enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug)]
struct Compare {
    relation: Relation,
    integers: bool,
}

impl Op for Compare {
    fn name(&self) -> &'static str {
        match self.relation {
            Relation::Equal => "eq",
            Relation::NotEqual => "ne",
            Relation::Less => "lt",
            Relation::LessOrEqual => "le",
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let [a, b] = [&inputs[0], &inputs[1]];
        if a.dtype != b.dtype {
            return Err(Misfit::dtype(format!("mixes {a} and {b}")));
        }
        Ok(vec![TensorDesc::new(a.shape.broadcast(&b.shape)?, DType::U32)])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = match (self.relation, self.integers) {
            (Relation::Equal, false) => "equal",
            (Relation::NotEqual, false) => "not_equal",
            (Relation::Less, false) => "less",
            (Relation::LessOrEqual, false) => "less_or_equal",
            (Relation::Equal, true) => "equal_u32",
            (Relation::NotEqual, true) => "not_equal_u32",
            (Relation::Less, true) => "less_u32",
            (Relation::LessOrEqual, true) => "less_or_equal_u32",
        };
        Some(Pointwise::new(shader!("compare"), function))
    }

    /// A mask is a constant between the places where it jumps: no gradient flows through it.
    fn backward(&self, _at: &Backward) -> Gradients {
        Gradients::of([None, None])
    }
}

#[track_caller]
fn compare(relation: Relation, a: &Tensor, b: &Tensor) -> Tensor {
    a.graph().apply1(Compare { relation, integers: !a.dtype().is_float() }, &[a, b])
}

/// Comparisons: `u32` masks of 0 and 1, with NumPy's broadcasting. NaN is unequal to everything.
impl Tensor {
    /// a = b: `torch.eq`.
    #[track_caller]
    pub fn eq(&self, other: &Tensor) -> Tensor {
        compare(Relation::Equal, self, other)
    }

    /// a ≠ b: `torch.ne`.
    #[track_caller]
    pub fn ne(&self, other: &Tensor) -> Tensor {
        compare(Relation::NotEqual, self, other)
    }

    /// a < b: `torch.lt`.
    #[track_caller]
    pub fn lt(&self, other: &Tensor) -> Tensor {
        compare(Relation::Less, self, other)
    }

    /// a ≤ b: `torch.le`.
    #[track_caller]
    pub fn le(&self, other: &Tensor) -> Tensor {
        compare(Relation::LessOrEqual, self, other)
    }

    /// a > b: `torch.gt`.
    #[track_caller]
    pub fn gt(&self, other: &Tensor) -> Tensor {
        compare(Relation::Less, other, self)
    }

    /// a ≥ b: `torch.ge`.
    #[track_caller]
    pub fn ge(&self, other: &Tensor) -> Tensor {
        compare(Relation::LessOrEqual, other, self)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        prelude::*,
        testing::{Check, run},
    };

    #[test]
    fn comparisons_match_their_definitions() {
        type Method = fn(&Tensor, &Tensor) -> Tensor;
        type Relation = fn(&f64, &f64) -> bool;
        let all: [(Method, Relation); 6] = [
            (Tensor::eq, f64::eq),
            (Tensor::ne, f64::ne),
            (Tensor::lt, f64::lt),
            (Tensor::le, f64::le),
            (Tensor::gt, f64::gt),
            (Tensor::ge, f64::ge),
        ];
        for (method, relation) in all {
            Check::new(|[a, b]| method(&a, &b), |[a, b]| a.zip(&b, |a, b| f64::from(u8::from(relation(&a, &b)))))
                .shapes([&[3, 5][..], &[3, 5]])
                .shapes([&[70, 300][..], &[300]])
                .no_gradient()
                .run();
        }
    }

    #[test]
    fn nan_is_unequal_to_everything() {
        let graph = Graph::new(Mode::Infer);
        let (a, b) = (graph.input("a", [3]), graph.input("b", [3]));
        let outputs = [("eq", &a.eq(&b)), ("ne", &a.ne(&b)), ("lt", &a.lt(&b)), ("ge", &a.ge(&b))];
        let array = |x: [f32; 3]| Array::from_f32([3], &x).unwrap();
        let inputs = [("a", array([f32::NAN, 1.0, f32::INFINITY])), ("b", array([f32::NAN, f32::NAN, f32::INFINITY]))];
        let found: Vec<Vec<u32>> = run(&graph, &outputs, &inputs).unwrap().iter().map(Array::to_u32).collect();
        assert_eq!(found, [[0, 0, 1], [1, 1, 0], [0, 0, 0], [0, 0, 1]]);
    }

    #[test]
    fn integers_compare_exactly() {
        let graph = Graph::new(Mode::Infer);
        let (a, b) = (graph.input_of("a", [3], DType::U32), graph.input_of("b", [3], DType::U32));
        let outputs = [("eq", &a.eq(&b)), ("ne", &a.ne(&b)), ("lt", &a.lt(&b)), ("le", &a.le(&b))];
        let array = |x: [u32; 3]| Array::from_u32([3], &x).unwrap();
        let inputs = [("a", array([16_777_217, 3, 0])), ("b", array([16_777_216, 3, u32::MAX]))];
        let found: Vec<Vec<u32>> = run(&graph, &outputs, &inputs).unwrap().iter().map(Array::to_u32).collect();
        assert_eq!(found, [[0, 1, 0], [1, 0, 1], [0, 0, 1], [0, 1, 1]]);
    }
}
