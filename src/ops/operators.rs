//! Arithmetic as operators, between tensors and with numbers.

use crate::graph::Tensor;
use std::ops::{Add, Div, Mul, Neg, Sub};

macro_rules! operators {
    ($($operator:ident $method:ident)*) => { $(
        impl $operator<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                Tensor::$method(self, other)
            }
        }

        impl $operator<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                Tensor::$method(self, &other)
            }
        }

        impl $operator<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                Tensor::$method(&self, other)
            }
        }

        impl $operator<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                Tensor::$method(&self, &other)
            }
        }

        impl $operator<f32> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f32) -> Tensor {
                Tensor::$method(self, &number(self, other))
            }
        }

        impl $operator<f32> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f32) -> Tensor {
                Tensor::$method(&self, &number(&self, other))
            }
        }

        impl $operator<&Tensor> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                Tensor::$method(&number(other, self), other)
            }
        }

        impl $operator<Tensor> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                Tensor::$method(&number(&other, self), &other)
            }
        }
    )* };
}

operators! { Add add Sub sub Mul mul Div div }

/// A number next to a tensor, in its element type.
#[track_caller]
fn number(beside: &Tensor, value: f32) -> Tensor {
    beside.graph().constant(value, beside.dtype())
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
    use crate::{prelude::*, testing::check_op};

    #[test]
    fn operators_take_tensors_and_numbers_on_either_side() {
        check_op(
            [[3, 4], [3, 4]],
            |[a, b]| (1.0 - &a) * b.clone() + (a.clone() + 2.0) * &b - -&a * (2.0 - b),
            |[a, b]| a.zip(&b, |a, b| (1.0 - a) * b + (a + 2.0) * b + a * (2.0 - b)),
        );
        check_op(
            [[3, 4]],
            |[a]| -(1.0 - &a) / 4.0 + 2.0 / (a + 3.0),
            |[a]| a.map(|a| (a - 1.0) / 4.0 + 2.0 / (a + 3.0)),
        );
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
