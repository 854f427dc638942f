//! movedim: one dimension at another place, the others in their order.

use crate::graph::Tensor;

impl Tensor {
    /// Dimension `from` at the place `to` of the result, the others in their order: `torch.movedim`.
    ///
    /// # Gradient
    /// Moved back.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist.
    #[track_caller]
    pub fn movedim(&self, from: isize, to: isize) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        match shape.axis(from).and_then(|from| shape.axis(to).map(|to| (from, to))) {
            Ok((from, to)) => {
                let mut order: Vec<usize> = (0..shape.rank()).filter(|&d| d != from).collect();
                order.insert(to, from);
                self.permute(&order)
            }
            Err(misfit) => self.mistake("movedim", misfit),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        prelude::*,
        testing::{Check, Numbers},
    };

    #[test]
    fn dimensions_move() {
        for (from, to, order) in [(0, 2, [1, 2, 0]), (-1, 0, [2, 0, 1]), (1, 1, [0, 1, 2]), (1, -1, [0, 2, 1])] {
            Check::new(
                |[x]: [Tensor; 1]| x.movedim(from, to) * 2.0,
                |[x]| {
                    let shape: Vec<usize> = order.iter().map(|&d| x.shape()[d]).collect();
                    Numbers::from_fn(shape, |at| {
                        let mut index = [0; 3];
                        order.iter().zip(at).for_each(|(&d, &i)| index[d] = i);
                        2.0 * x.at(&index)
                    })
                },
            )
            .shapes([[3, 5, 4]])
            .shapes([[1, 70, 3]])
            .run();
        }
        let graph = Graph::new(Mode::Infer);
        assert!(graph.input("x", [2, 3]).movedim(0, 2).is_failed());
        assert_eq!(graph.check().unwrap_err().message(), "movedim: dimension 2 is outside shape [2, 3]");
    }
}
