//! split: a tensor in pieces along one dimension, y_j = x[from_j .. to_j].

use crate::{error::Misfit, graph::Tensor};

impl Tensor {
    /// Pieces of the given sizes along `dim`, whose sum is the dimension's: `torch.split`.
    ///
    /// # Gradient
    /// That of each piece, to where it came from.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist, or sizes with another sum.
    #[track_caller]
    pub fn split(&self, sizes: &[usize], dim: isize) -> Vec<Tensor> {
        if self.is_failed() {
            return vec![self.clone(); sizes.len()];
        }
        let shape = self.shape();
        let checked = shape.axis(dim).and_then(|axis| match sizes.iter().sum::<usize>() {
            sum if sum == shape[axis] => Ok(()),
            sum => Err(Misfit::shape(format!("sizes {sizes:?} add up to {sum}, dimension {dim} of {shape} does not"))),
        });
        if let Err(misfit) = checked {
            return vec![self.mistake("split", misfit); sizes.len()];
        }
        let mut begin = 0;
        let piece = |&size: &usize| {
            let piece = self.slice(dim, begin..begin + size);
            begin += size;
            piece
        };
        sizes.iter().map(piece).collect()
    }

    /// At most `count` pieces of one size along `dim`, the last of them possibly smaller: `torch.chunk`.
    ///
    /// # Gradient
    /// That of each piece, to where it came from.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist, or no pieces.
    #[track_caller]
    pub fn chunk(&self, count: usize, dim: isize) -> Vec<Tensor> {
        if self.is_failed() {
            return vec![self.clone(); count];
        }
        let shape = self.shape();
        let checked = shape.axis(dim).and_then(|axis| {
            if count == 0 { Err(Misfit::shape("needs at least one piece")) } else { Ok(shape[axis]) }
        });
        match checked {
            Err(misfit) => vec![self.mistake("chunk", misfit); count],
            // As in PyTorch, nothing is cut into as many pieces of nothing.
            Ok(0) => self.split(&vec![0; count], dim),
            Ok(n) => {
                let size = n.div_ceil(count);
                let sizes: Vec<usize> = (0..n).step_by(size).map(|begin| size.min(n - begin)).collect();
                self.split(&sizes, dim)
            }
        }
    }

    /// The slices along `dim`, without that dimension: `torch.unbind`.
    ///
    /// # Gradient
    /// That of each slice, to where it came from.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist.
    #[track_caller]
    pub fn unbind(&self, dim: isize) -> Vec<Tensor> {
        if self.is_failed() {
            return Vec::new();
        }
        match self.shape().axis(dim) {
            Ok(axis) => (0..self.shape()[axis]).map(|k| self.slice(dim, k..=k).squeeze(dim)).collect(),
            Err(misfit) => {
                self.mistake("unbind", misfit);
                Vec::new()
            }
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

    /// Piece `j` of an array, from `begin` on.
    fn piece(x: &Numbers, axis: usize, begin: usize, size: usize) -> Numbers {
        Numbers::from_fn(x.shape().with(axis, size), |at| {
            let mut from = at.to_vec();
            from[axis] += begin;
            x.at(&from)
        })
    }

    #[test]
    fn pieces_follow_one_another() {
        for (axis, sizes) in [(0, &[1, 2][..]), (1, &[2, 0, 3]), (2, &[4]), (2, &[1, 1, 1, 1])] {
            for j in 0..sizes.len() {
                let begin = sizes[..j].iter().sum();
                Check::new(
                    |[x]: [Tensor; 1]| x.split(sizes, axis as isize).swap_remove(j),
                    |[x]| piece(&x, axis, begin, sizes[j]),
                )
                .shapes([[3, 5, 4]])
                .run();
            }
        }
    }

    #[test]
    fn chunks_are_as_in_pytorch() {
        let graph = Graph::new(Mode::Infer);
        for (n, count, expected) in [(11, 6, &[2, 2, 2, 2, 2, 1][..]), (12, 6, &[2; 6]), (13, 6, &[3, 3, 3, 3, 1])] {
            let chunks = graph.input(&format!("x{n}"), [2, n]).chunk(count, -1);
            assert!(chunks.iter().map(|chunk| chunk.shape()[1]).eq(expected.iter().copied()), "{n}");
        }
        assert_eq!(graph.input("none", [0]).chunk(3, 0).len(), 3);
        let mut dice = Dice(13);
        for _ in 0..12 {
            let (shape, axis) = dice.shape();
            let count = 1 + dice.below(5);
            Check::new(|[x]: [Tensor; 1]| Tensor::concat(&x.chunk(count, axis as isize).iter().collect::<Vec<_>>(), axis as isize), |[x]| x)
                .shapes([&shape[..]])
                .run();
        }
    }

    #[test]
    fn slices_lose_their_dimension() {
        Check::new(
            |[x]: [Tensor; 1]| {
                let slices = x.unbind(1);
                assert_eq!(slices.len(), 5);
                slices[3].exp()
            },
            |[x]| piece(&x, 1, 3, 1).reshape([3, 4]).map(f64::exp),
        )
        .shapes([[3, 5, 4]])
        .run();
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |mistake: &dyn Fn(&Tensor)| {
            let graph = Graph::new(Mode::Infer);
            mistake(&graph.input("x", [2, 3]));
            graph.check().unwrap_err().message().to_owned()
        };
        let sum = "split: sizes [1, 1] add up to 2, dimension 1 of [2, 3] does not";
        assert_eq!(message(&|x| drop(x.split(&[1, 1], 1))), sum);
        assert_eq!(message(&|x| drop(x.chunk(0, 1))), "chunk: needs at least one piece");
        assert_eq!(message(&|x| drop(x.unbind(2))), "unbind: dimension 2 is outside shape [2, 3]");
    }
}
