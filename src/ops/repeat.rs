//! repeat: y[k] = x[k mod n] along each dimension; repeat_interleave: y[k] = x[⌊k/count⌋] along one.

use crate::{
    data::Shape,
    error::Misfit,
    graph::Tensor,
};

impl Tensor {
    /// The tensor `counts[d]` times along each dimension, those in front being new: `torch.Tensor.repeat`,
    /// `torch.tile`.
    ///
    /// # Gradient
    /// The sum over all copies.
    ///
    /// # Errors
    /// Recorded in the graph: fewer counts than dimensions.
    #[track_caller]
    pub fn repeat(&self, counts: &[usize]) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        let Some(new) = counts.len().checked_sub(shape.rank()) else {
            let reason = format!("{} counts for shape {shape}", counts.len());
            return self.mistake("repeat", Misfit::shape(reason));
        };
        let sizes: Vec<usize> = std::iter::repeat_n(1, new).chain(shape.iter().copied()).collect();
        let pairs = |counts: &[usize]| -> Shape { counts.iter().zip(&sizes).flat_map(|(&c, &n)| [c, n]).collect() };
        let whole: Shape = counts.iter().zip(&sizes).map(|(count, n)| count * n).collect();
        self.reshape(pairs(&vec![1; counts.len()])).expand(pairs(counts)).reshape(whole)
    }

    /// Each element along `dim` `count` times in a row: `torch.repeat_interleave`.
    ///
    /// # Gradient
    /// The sum over all copies.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist.
    #[track_caller]
    pub fn repeat_interleave(&self, count: usize, dim: isize) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        match shape.axis(dim) {
            Ok(axis) => {
                let [outer, n, inner] = shape.split_at_axis(axis);
                let copies = self.reshape([outer * n, 1, inner]).expand([outer * n, count, inner]);
                copies.reshape(shape.with(axis, n * count))
            }
            Err(misfit) => self.mistake("repeat_interleave", misfit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::tests::Dice;
    use crate::{
        prelude::*,
        testing::{Check, Numbers},
    };

    fn check(shape: &[usize], counts: &[usize]) {
        let new = counts.len() - shape.len();
        let sizes: Vec<usize> =
            counts.iter().enumerate().map(|(d, c)| if d < new { *c } else { c * shape[d - new] }).collect();
        Check::new(
            |[x]: [Tensor; 1]| x.repeat(counts),
            |[x]| {
                Numbers::from_fn(&sizes[..], |at| {
                    let from: Vec<usize> = at[new..].iter().zip(shape).map(|(i, n)| i % n).collect();
                    x.at(&from)
                })
            },
        )
        .shapes([shape])
        .run();
    }

    #[test]
    fn copies_along_every_dimension() {
        check(&[3, 5], &[2, 3]);
        check(&[3, 1], &[2, 1, 4]);
        check(&[], &[3]);
        check(&[4], &[0]);
        check(&[7], &[600]);
        check(&[2, 3, 4], &[1, 1, 1]);
        let mut dice = Dice(14);
        for _ in 0..12 {
            let (shape, _) = dice.shape();
            let counts: Vec<usize> = (0..shape.len() + dice.below(2)).map(|_| 1 + dice.below(3)).collect();
            check(&shape, &counts);
        }
    }

    fn check_interleave(shape: &[usize], count: usize, dim: isize) {
        Check::new(
            |[x]: [Tensor; 1]| x.repeat_interleave(count, dim).exp(),
            |[x]| {
                let axis = x.shape().axis(dim).unwrap();
                Numbers::from_fn(x.shape().with(axis, shape[axis] * count), |at| {
                    let mut from = at.to_vec();
                    from[axis] /= count;
                    x.at(&from).exp()
                })
            },
        )
        .shapes([shape])
        .run();
    }

    #[test]
    fn each_element_several_times() {
        check_interleave(&[3, 5], 2, 0);
        check_interleave(&[3, 5], 3, -1);
        check_interleave(&[2, 3, 4], 1, 1);
        check_interleave(&[2, 3], 0, 1);
        check_interleave(&[1], 5000, 0);
        let mut dice = Dice(15);
        for _ in 0..12 {
            let (shape, axis) = dice.shape();
            let count = 1 + dice.below(4);
            check_interleave(&shape, count, dice.dim(axis, shape.len()));
        }
    }

    #[test]
    fn mistakes_name_shapes() {
        let graph = Graph::new(Mode::Infer);
        assert!(graph.input("x", [2, 3]).repeat(&[2]).is_failed());
        assert_eq!(graph.check().unwrap_err().message(), "repeat: 1 counts for shape [2, 3]");
        let graph = Graph::new(Mode::Infer);
        assert!(graph.input("x", [2, 3]).repeat_interleave(2, 2).is_failed());
        assert_eq!(graph.check().unwrap_err().message(), "repeat_interleave: dimension 2 is outside shape [2, 3]");
    }
}
