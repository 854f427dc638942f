//! Arithmetic operators between tensors, and between tensors and numbers.

use crate::graph::Tensor;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// What an operation takes beside a tensor: another tensor, or a number of the tensor's element type.
///
/// ```
/// # use wgrad::prelude::*;
/// # let graph = Graph::new(Mode::Infer);
/// let (x, y) = (graph.input("x", [3, 4]), graph.input("y", [4]));
/// let z = 1.0 - (&x + &y) * 2.0 / x.maximum(0.5);
/// assert_eq!(z.shape(), [3, 4].into());
/// ```
pub trait Operand {
    /// The operand as a tensor beside `other`.
    fn beside(self, other: &Tensor) -> Tensor;
}

impl Operand for Tensor {
    fn beside(self, _other: &Tensor) -> Tensor {
        self
    }
}

impl Operand for f32 {
    fn beside(self, other: &Tensor) -> Tensor {
        other.graph().constant(self, other.dtype())
    }
}

impl<T: Operand + Clone> Operand for &T {
    fn beside(self, other: &Tensor) -> Tensor {
        self.clone().beside(other)
    }
}

/// The four ways to write `a + b`: a tensor or a reference to one on either side, or a number.
macro_rules! operators {
    ($($operator:ident $method:ident)*) => { $(
        impl<T: Operand> $operator<T> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: T) -> Tensor {
                Tensor::$method(self, other)
            }
        }

        impl<T: Operand> $operator<T> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: T) -> Tensor {
                Tensor::$method(&self, other)
            }
        }

        impl $operator<&Tensor> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                Tensor::$method(&self.beside(other), other)
            }
        }

        impl $operator<Tensor> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                Tensor::$method(&self.beside(&other), other)
            }
        }
    )* };
}

operators! {
    Add add
    Sub sub
    Mul mul
    Div div
}

impl Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(self)
    }
}

impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        Tensor::neg(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::map::tests::{assert_numbers, pairs};
    use crate::prelude::*;

    #[test]
    fn operators_take_tensors_references_and_numbers() {
        let (a, b) = ([1.0, 2.0, -3.0], [4.0, 0.5, 2.0]);
        let [y, da, db] = pairs(&a, &b, |a, b| (1.0 - a) * b + (a.clone() + 2.0) / b - -a * (2.0 / b.clone()));
        // (1 − a)·b + (a + 2)/b + 2a/b
        let expected: Vec<f32> = (0..3).map(|i| (1.0 - a[i]) * b[i] + (3.0 * a[i] + 2.0) / b[i]).collect();
        assert_numbers(&y, &expected);
        let expected: Vec<f32> = (0..3).map(|i| -b[i] + 3.0 / b[i]).collect();
        assert_numbers(&da, &expected);
        let expected: Vec<f32> = (0..3).map(|i| 1.0 - a[i] - (3.0 * a[i] + 2.0) / (b[i] * b[i])).collect();
        assert_numbers(&db, &expected);
    }

    #[test]
    fn mistakes_belong_to_the_line_of_the_operator() {
        let graph = Graph::new(Mode::Infer);
        let _ = graph.input("a", [2]) * graph.input("b", [3]);
        let line = line!() - 1;
        let text = graph.check().unwrap_err().to_string();
        assert_eq!(text, format!("mul: shapes [2] and [3] do not broadcast\n  at {}:{line}:17", file!()));
    }
}
