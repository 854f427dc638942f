//! masked_fill: y = a number where a mask is not 0, else x.

use crate::{error::Misfit, graph::Tensor};

impl Tensor {
    /// `value` where `mask` is not 0, else this tensor's element: `torch.masked_fill`.
    ///
    /// The mask is `u32` of a shape that broadcasts to this one's.
    ///
    /// # Gradient
    /// Where the mask is 0.
    ///
    /// # Errors
    /// Recorded in the graph: a mask that is not `u32`, or does not broadcast to this shape.
    #[track_caller]
    pub fn masked_fill(&self, mask: &Tensor, value: f32) -> Tensor {
        if self.is_failed() || mask.is_failed() {
            return self.graph().failed();
        }
        let shape = self.shape();
        match mask.shape().broadcast(&shape) {
            Ok(both) if both == shape => mask.where_(&self.graph().full([], value, self.dtype()), self),
            _ => {
                let reason = format!("mask {} does not broadcast to {shape}", mask.shape());
                self.mistake("masked_fill", Misfit::shape(reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::tests::Dice;
    use crate::{
        prelude::*,
        testing::{Check, Numbers, run},
    };

    fn check(shape: &[usize], mask: &[usize], value: f32) {
        let bits: Vec<u32> = (0..mask.iter().product::<usize>() as u32).map(|i| i * 5 % 3).collect();
        let numbers = Numbers::new(mask, bits.iter().map(|&bit| f64::from(bit)).collect());
        Check::new(
            |[x]: [Tensor; 1]| x.masked_fill(&x.graph().input_of("mask", mask, DType::U32), value),
            |[x]| x.zip(&numbers, |x, bit| if bit == 0.0 { x } else { f64::from(value) }),
        )
        .shapes([shape])
        .index("mask", mask, &bits)
        .run();
    }

    #[test]
    fn masked_elements_are_replaced() {
        check(&[3, 5], &[3, 5], 7.0);
        check(&[3, 5], &[5], -1e4);
        check(&[2, 4, 3], &[4, 1], -0.5);
        check(&[1], &[], 2.0);
        check(&[0, 4], &[4], 1.0);
        check(&[4099], &[4099], 0.0);
        let mut dice = Dice(17);
        for _ in 0..12 {
            let (shape, axis) = dice.shape();
            let mask = Shape::from(&shape[..]).with(axis, 1);
            check(&shape, &mask[dice.below(axis + 1)..], 0.5);
        }
    }

    #[test]
    fn what_is_replaced_may_be_anything() {
        let graph = Graph::new(Mode::Infer);
        let y = graph.input("x", [2]).masked_fill(&graph.input_of("mask", [2], DType::U32), 1.0);
        let inputs = [
            ("x", Array::from_f32([2], &[f32::NAN, f32::INFINITY]).unwrap()),
            ("mask", Array::from_u32([2], &[1, 0]).unwrap()),
        ];
        assert_eq!(run(&graph, &[("y", &y)], &inputs).unwrap()[0].to_f32(), [1.0, f32::INFINITY]);
        let y = graph.input("x", [2]).masked_fill(&graph.input_of("mask", [2], DType::U32), f32::NEG_INFINITY);
        assert_eq!(run(&graph, &[("y", &y)], &inputs).unwrap()[0].to_f32(), [f32::NEG_INFINITY, f32::INFINITY]);
    }

    #[test]
    fn a_larger_mask_is_refused() {
        let graph = Graph::new(Mode::Infer);
        assert!(graph.input("x", [3]).masked_fill(&graph.input_of("mask", [2, 3], DType::U32), 0.0).is_failed());
        assert_eq!(graph.check().unwrap_err().message(), "masked_fill: mask [2, 3] does not broadcast to [3]");
    }
}
