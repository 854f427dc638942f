//! argmax, argmin: the first index of the largest or smallest element along a dimension.

use super::rows::{Rows, are_long_and_apart};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Emit, Io, Op, Tensor},
    kernel::Target,
    shader,
};

#[derive(Debug)]
struct Argmax {
    dim: isize,
    smallest: bool,
}

impl Op for Argmax {
    fn name(&self) -> &'static str {
        if self.smallest { "argmin" } else { "argmax" }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        let axis = x.shape.axis(self.dim)?;
        if !x.dtype.is_float() {
            return Err(Misfit::dtype(format!("needs floating point numbers, not {x}")));
        }
        if x.shape[axis] == 0 {
            return Err(Misfit::shape(format!("dimension {} of shape {} has no elements", self.dim, x.shape)));
        }
        let kept = (0..x.shape.rank()).filter(|&d| d != axis).map(|d| x.shape[d]);
        Ok(vec![TensorDesc::new(kept.collect::<Shape>(), DType::U32)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        let axis = inputs[0].shape.axis(self.dim).ok()?;
        (axis != 0).then(|| vec![axis; inputs.len()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = Rows::along(io.x_shape(0), io.x_shape(0).axis(self.dim)?).with_barriers();
        let mut dispatch = rows.dispatch(shader!("argmax"), ["rows", "shared_rows"], None, io.real(), target)?;
        dispatch.kernel = dispatch.kernel.constant("SMALLEST", self.smallest.into());
        dispatch = dispatch.read(io.x(0)).write(io.y(0)).params(rows.params());
        out.push(dispatch.cost(io.x_shape(0).numel() as u64, io.bytes()));
        Ok(())
    }
}

impl Tensor {
    /// The index of the largest element along `dim`, `u32`, without that dimension: `torch.argmax`.
    ///
    /// Of equal elements the first counts; NaN is larger than every number.
    ///
    /// # Gradient
    /// None: indices have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist or has no elements, or an index tensor.
    #[track_caller]
    pub fn argmax(&self, dim: isize) -> Tensor {
        self.first_extreme(dim, false)
    }

    /// The index of the smallest element along `dim`, `u32`, without that dimension: `torch.argmin`.
    ///
    /// Of equal elements the first counts; NaN is smaller than every number.
    ///
    /// # Gradient
    /// None: indices have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist or has no elements, or an index tensor.
    #[track_caller]
    pub fn argmin(&self, dim: isize) -> Tensor {
        self.first_extreme(dim, true)
    }

    #[track_caller]
    fn first_extreme(&self, dim: isize, smallest: bool) -> Tensor {
        let shape = self.shape();
        match shape.axis(dim) {
            Ok(axis) if are_long_and_apart(self, dim) => {
                let order: Vec<usize> = (0..shape.rank()).filter(|&d| d != axis).chain([axis]).collect();
                self.permute(&order).first_extreme(-1, smallest)
            }
            _ => self.graph().apply1(Argmax { dim, smallest }, &[self]),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        kernel::DeviceClass,
        ops::{gather::tests::Dice, rows::map_rows},
        plan::PlanOptions,
        prelude::*,
        testing::{Check, context, run_on},
    };

    fn first_extreme(row: &[f64], smallest: bool) -> f64 {
        let is_better = |a: f64, b: f64| if smallest { a < b } else { a > b };
        (0..row.len()).fold(0, |best, k| if is_better(row[k], row[best]) { k } else { best }) as f64
    }

    #[test]
    fn it_finds_the_first_extreme_element() {
        for (dim, smallest) in [(0, false), (1, true), (1, false), (-1, true), (-1, false)] {
            let find = |x: &Tensor| if smallest { x.argmin(dim) } else { x.argmax(dim) };
            Check::new(
                |[x]: [Tensor; 1]| find(&x).cast(x.dtype()),
                |[x]| {
                    let y = map_rows(&x, dim, |row| vec![first_extreme(row, smallest)]);
                    let axis = x.shape().axis(dim).unwrap();
                    let kept: Vec<usize> = (0..3).filter(|&d| d != axis).map(|d| x.shape()[d]).collect();
                    y.reshape(kept)
                },
            )
            .shapes([[3, 5, 4]])
            .shapes([[1, 1, 1]])
            .shapes([[2, 300, 33]])
            .shapes([[70, 3, 260]])
            .no_gradient()
            .run();
        }
    }

    #[test]
    fn random_shapes_have_extremes() {
        let mut dice = Dice(18);
        for case in 0..12 {
            let (shape, axis) = dice.shape();
            let (dim, smallest) = (dice.dim(axis, shape.len()), case % 2 == 0);
            let kept: Vec<usize> = (0..shape.len()).filter(|&d| d != axis).map(|d| shape[d]).collect();
            let find = |x: &Tensor| if smallest { x.argmin(dim) } else { x.argmax(dim) };
            Check::new(
                |[x]: [Tensor; 1]| find(&x).cast(x.dtype()),
                |[x]| map_rows(&x, dim, |row| vec![first_extreme(row, smallest)]).reshape(&kept[..]),
            )
            .shapes([&shape[..]])
            .no_gradient()
            .run();
        }
    }

    #[test]
    fn ties_go_to_the_first_and_nan_wins() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let rows =
            [[1.0, 3.0, 3.0, 3.0], [5.0, nan, inf, nan], [-inf; 4], [-0.0, 0.0, -1.0, 0.0], [-inf, -5.0, -inf, -5.0]];
        for (class, copies) in [(DeviceClass::Software, 1), (DeviceClass::Portable, 1), (DeviceClass::Portable, 200)] {
            let numbers: Vec<f32> = rows.iter().flat_map(|row| row.repeat(copies)).collect();
            let graph = Graph::new(Mode::Infer);
            let x = graph.input("x", [5, 4 * copies]);
            let (y, least) = (x.argmax(-1), x.argmin(-1));
            let inputs = [("x", Array::from_f32([5, 4 * copies], &numbers).unwrap())];
            let target = context().target().with_class(class);
            let outputs = [("y", &y), ("least", &least)];
            let found = run_on(&graph, &outputs, &inputs, &target, PlanOptions::default()).unwrap();
            assert_eq!(found[0].to_u32(), [1, 1, 0, 0, 1], "{class:?} {copies}");
            assert_eq!(found[1].to_u32(), [0, 1, 0, 2, 0], "{class:?} {copies}");
        }
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |shape: &[usize], dim| {
            let graph = Graph::new(Mode::Infer);
            graph.input("x", shape).argmax(dim);
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(message(&[2, 3], 2), "argmax: dimension 2 is outside shape [2, 3]");
        assert_eq!(message(&[2, 0], -1), "argmax: dimension -1 of shape [2, 0] has no elements");
    }
}
