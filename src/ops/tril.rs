//! tril: y[i, j] = x[i, j] where j ≤ i + k, else 0; triu: where j ≥ i + k.

use super::map::one;
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Gradients, Op, Pointwise, Tensor},
    shader,
};

#[derive(Clone, Debug)]
struct Tril {
    upper: bool,
    k: isize,
    shape: Shape,
    dtype: DType,
}

impl Op for Tril {
    fn name(&self) -> &'static str {
        if self.upper { "triu" } else { "tril" }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let shape = &inputs[0].shape;
        if shape.rank() < 2 || shape[shape.rank() - 2..].iter().any(|&size| size > i32::MAX as usize) {
            return Err(Misfit::shape(format!("needs matrices [.., rows, columns], not {shape}")));
        }
        Ok(vec![inputs[0].clone()])
    }

    fn pointwise(&self) -> Option<Pointwise> {
        let function = if self.dtype == DType::U32 { "tril_u32" } else { "tril" };
        let [.., rows, columns] = self.shape[..] else { return None };
        // Further away than any element is no other than at the far end.
        let k = self.k.clamp(i32::MIN as isize, i32::MAX as isize) as i32 as u32;
        let scalars = [u32::from(self.upper), rows as u32, columns as u32, k];
        let function = Pointwise::new(shader!("tril"), function);
        Some(scalars.into_iter().fold(function, Pointwise::scalar_u32).indexed())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        one(at.x(0).graph().apply1(self.clone(), &[&at.dy(0)]))
    }
}

impl Tensor {
    /// The lower triangle of each matrix `[.., rows, columns]` up to diagonal `k`, zero above it: `torch.tril`.
    ///
    /// # Gradient
    /// The same triangle.
    ///
    /// # Errors
    /// Recorded in the graph: fewer than two dimensions.
    #[track_caller]
    pub fn tril(&self, k: isize) -> Tensor {
        self.triangle(false, k)
    }

    /// The upper triangle of each matrix `[.., rows, columns]` from diagonal `k` on, zero below it: `torch.triu`.
    ///
    /// # Gradient
    /// The same triangle.
    ///
    /// # Errors
    /// Recorded in the graph: fewer than two dimensions.
    #[track_caller]
    pub fn triu(&self, k: isize) -> Tensor {
        self.triangle(true, k)
    }

    #[track_caller]
    fn triangle(&self, upper: bool, k: isize) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        self.graph().apply1(Tril { upper, k, shape: self.shape(), dtype: self.dtype() }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::tests::Dice;
    use crate::{
        autodiff::gradients,
        prelude::*,
        testing::{Check, Numbers, run},
    };

    fn check(shape: &[usize], upper: bool, k: isize) {
        Check::new(
            |[x]: [Tensor; 1]| if upper { x.triu(k) } else { x.tril(k) },
            |[x]| {
                Numbers::from_fn(shape, |at| {
                    let [.., i, j] = at else { unreachable!() };
                    let ahead = *j as isize - *i as isize;
                    if (upper && ahead >= k) || (!upper && ahead <= k) { x.at(at) } else { 0.0 }
                })
            },
        )
        .shapes([shape])
        .run();
    }

    #[test]
    fn triangles_of_every_diagonal() {
        for k in [-100, -2, 0, 1, 3, 100] {
            for upper in [false, true] {
                check(&[5, 4], upper, k);
            }
        }
        check(&[1, 1], false, 0);
        check(&[1, 1], true, 1);
        check(&[0, 3], true, 0);
        check(&[2, 2, 3, 8], false, -1);
        check(&[70, 65], true, 3);
        let mut dice = Dice(12);
        for case in 0..12 {
            let shape = [1 + dice.below(3), 1 + dice.below(30), 1 + dice.below(30)];
            check(&shape, case % 2 == 0, dice.below(60) as isize - 30);
        }
    }

    #[test]
    fn index_tensors_and_second_gradients() {
        let graph = Graph::new(Mode::Infer);
        let (ids, x) = (graph.input_of("ids", [2, 2], DType::U32), graph.input("x", [2, 2]));
        let y = ids.triu(1);
        let dx = gradients(&x.tril(0).square().sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
        let ddx = gradients(&dx.sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
        let inputs = [("ids", Array::from_u32([2, 2], &[1, u32::MAX, 3, 4]).unwrap())];
        let found = run(&graph, &[("y", &y), ("ddx", &ddx)], &inputs).unwrap();
        assert_eq!(found[0].to_u32(), [0, u32::MAX, 0, 0]);
        assert_eq!(found[1].to_f32(), [2.0, 0.0, 2.0, 2.0]);
    }

    #[test]
    fn vectors_are_refused() {
        let graph = Graph::new(Mode::Infer);
        assert!(graph.input("x", [3]).tril(0).is_failed());
        assert_eq!(graph.check().unwrap_err().message(), "tril: needs matrices [.., rows, columns], not [3]");
    }
}
