//! slice: a range of one dimension; its gradient is padded with zeros.

use super::rows::{neighbours, pieces, window};
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{self, Dispatch, Kernel, Params, Target},
    shader,
};
use std::ops::{Bound, RangeBounds};

#[derive(Debug)]
struct Slice {
    axis: usize,
    from: usize,
    to: usize,
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        Ok(vec![TensorDesc::new(x.shape.with(self.axis, self.to - self.from), x.dtype)])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        (self.axis != 0).then(|| vec![self.axis])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let [outer, given, inner] = io.x_shape(0).split_at_axis(self.axis);
        let sizes = Ranges {
            rows: outer,
            length: (self.to - self.from) * inner,
            given: given * inner,
            begin: self.from * inner,
        };
        let is_index = io.x_desc(0).dtype == DType::U32;
        let entry = if is_index { "take_index" } else { "take" };
        if io.fits(target).is_ok() {
            let dispatch = sizes.dispatch(entry, [io.x(0).into(), io.y(0).into()], io, target);
            out.push(if is_index { dispatch } else { dispatch.finishing() });
            return Ok(());
        }
        // A single row is taken in pieces.
        if outer != 1 {
            io.fits(target)?;
        }
        for part in pieces(sizes.length, io.y_desc(0).dtype.bytes(), target) {
            let (y, _) = window(io.y(0), part.clone(), io.y_desc(0), target);
            let (x, skipped) =
                window(io.x(0), sizes.begin + part.start..sizes.begin + part.end, io.x_desc(0), target);
            let here = Ranges { length: part.len(), begin: sizes.begin + part.start - skipped, ..sizes };
            out.push(here.dispatch(entry, [x, y], io, target));
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = Pad { axis: self.axis, from: self.from, size: at.x(0).shape()[self.axis] };
        Gradients::of([Some(at.x(0).graph().apply1(op, &[&at.dy(0)]))])
    }
}

/// The argument as the range from `from` on of a dimension of `size`, zeros around it.
#[derive(Debug)]
struct Pad {
    axis: usize,
    from: usize,
    size: usize,
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "slice_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dy = &inputs[0];
        Ok(vec![TensorDesc::new(dy.shape.with(self.axis, self.size), dy.dtype)])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        (self.axis != 0).then(|| vec![self.axis])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let [outer, given, inner] = io.x_shape(0).split_at_axis(self.axis);
        let sizes = Ranges { rows: outer, length: self.size * inner, given: given * inner, begin: self.from * inner };
        if io.fits(target).is_ok() {
            out.push(sizes.dispatch("pad", [io.x(0).into(), io.y(0).into()], io, target));
            return Ok(());
        }
        // A single row is padded in pieces.
        if outer != 1 {
            io.fits(target)?;
        }
        for part in pieces(sizes.length, io.y_desc(0).dtype.bytes(), target) {
            let (y, _) = window(io.y(0), part.clone(), io.y_desc(0), target);
            // The elements of the argument that lie in the piece.
            let [from, to] = [part.start, part.end].map(|at| at.saturating_sub(sizes.begin).min(sizes.given));
            let (x, skipped) = window(io.x(0), from..to, io.x_desc(0), target);
            let begin = (sizes.begin + skipped).wrapping_sub(part.start);
            let here = Ranges { length: part.len(), given: to - skipped, begin, ..sizes };
            out.push(here.dispatch("pad", [x, y], io, target));
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let to = self.from + at.x(0).shape()[self.axis];
        Gradients::of([Some(at.dy(0).slice(self.axis as isize, self.from..to))])
    }
}

/// Rows of which a range is taken or padded.
#[derive(Clone, Copy)]
struct Ranges {
    rows: usize,
    length: usize,
    given: usize,
    /// Modulo 2³², as kernels count.
    begin: usize,
}

impl Ranges {
    fn dispatch(&self, entry: &'static str, [x, y]: [kernel::Slice; 2], io: &Io, target: &Target) -> Dispatch {
        let aligned = [self.length, self.given, self.begin].iter().all(|size| size.is_multiple_of(4));
        let (whole, block) = (self.length.is_multiple_of(4), 4 * neighbours(target));
        let mut kernel = Kernel::new(shader!("slice"), entry, io.real()).constant("BLOCK", block as u32);
        if entry != "take_index" {
            kernel = kernel.constant("ALIGNED", aligned.into()).constant("WHOLE", whole.into());
        }
        let threads = self.rows * self.length.div_ceil(block);
        let params = Params::new().all([self.rows, self.length, self.given, self.begin]);
        let written = self.rows * self.length;
        let bytes = ((written.min(io.x_shape(0).numel()) + written) * io.y_desc(0).dtype.bytes()) as u64;
        let dispatch = Dispatch::new(kernel).read(x).write(y).params(params);
        dispatch.groups(threads.div_ceil(64) as u64).cost(0, bytes).storing_vectors(whole)
    }
}

impl Tensor {
    /// A range of dimension `dim`, `torch.narrow`: `x[:, 1:3]` is `x.slice(1, 1..3)`.
    ///
    /// # Gradient
    /// dy within the range, 0 outside.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist, a range beyond its end.
    #[track_caller]
    pub fn slice(&self, dim: isize, range: impl RangeBounds<usize>) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        let op = shape.axis(dim).and_then(|axis| {
            let from = match range.start_bound() {
                Bound::Included(&from) => from,
                Bound::Excluded(&before) => before.saturating_add(1),
                Bound::Unbounded => 0,
            };
            let to = match range.end_bound() {
                Bound::Included(&last) => last.saturating_add(1),
                Bound::Excluded(&to) => to,
                Bound::Unbounded => shape[axis],
            };
            if from > to || to > shape[axis] {
                return Err(Misfit::shape(format!("range {from}..{to} is outside dimension {dim} of shape {shape}")));
            }
            Ok(Slice { axis, from, to })
        });
        match op {
            Ok(op) if op.from == 0 && op.to == shape[op.axis] => self.clone(),
            Ok(op) => self.graph().apply1(op, &[self]),
            Err(misfit) => {
                self.graph().fail(misfit.of("slice"));
                self.graph().failed()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        autodiff::gradients,
        prelude::*,
        testing::{Check, Numbers, check_op, run},
    };
    use std::ops::Range;

    fn slice(x: &Numbers, axis: usize, range: Range<usize>) -> Numbers {
        Numbers::from_fn(x.shape().with(axis, range.len()), |at| {
            let mut from = at.to_vec();
            from[axis] += range.start;
            x.at(&from)
        })
    }

    #[test]
    fn ranges_of_every_dimension() {
        for (axis, range) in [(0, 1..3), (1, 0..2), (1, 4..5), (2, 1..3), (2, 0..4), (0, 2..2)] {
            Check::new(|[x]: [Tensor; 1]| x.slice(axis, range.clone()), |[x]| slice(&x, axis as usize, range.clone()))
                .shapes([[3, 5, 4]])
                .shapes([[5, 6, 12]])
                .run();
        }
        check_op([[9, 2000]], |[x]| x.slice(1, 4..1996), |[x]| slice(&x, 1, 4..1996));
        check_op([[9, 2001]], |[x]| x.slice(-1, 5..), |[x]| slice(&x, 1, 5..2001));
        check_op([[9, 7]], |[x]| x.slice(0, ..=3), |[x]| slice(&x, 0, 0..4));
        check_op([[1]], |[x]| x.slice(0, ..), |[x]| x.clone());
    }

    #[test]
    fn the_second_gradient_is_a_slice_again() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [4]);
        let dx = gradients(&x.slice(0, 1..3).square().sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
        let ddx = gradients(&dx.square().sum_all(), &[x]).remove(0).unwrap();
        let numbers = Array::from_f32([4], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        let found = run(&graph, &[("dx", &dx), ("ddx", &ddx)], &[("x", numbers)]).unwrap();
        assert_eq!(found[0].to_f32(), [0.0, 4.0, 6.0, 0.0]);
        assert_eq!(found[1].to_f32(), [0.0, 16.0, 24.0, 0.0]);
    }

    #[test]
    fn index_tensors_keep_their_bits() {
        let graph = Graph::new(Mode::Infer);
        let y = graph.input_of("x", [2, 3], DType::U32).slice(1, 1..);
        let numbers = Array::from_u32([2, 3], &[1, 2, u32::MAX, 0x7f80_0001, 5, 6]).unwrap();
        assert_eq!(run(&graph, &[("y", &y)], &[("x", numbers)]).unwrap()[0].to_u32(), [2, u32::MAX, 5, 6]);
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |dim, range: Range<usize>| {
            let graph = Graph::new(Mode::Infer);
            assert!(graph.input("x", [2, 3]).slice(dim, range).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(message(1, 1..4), "slice: range 1..4 is outside dimension 1 of shape [2, 3]");
        assert_eq!(message(2, 0..1), "slice: dimension 2 is outside shape [2, 3]");
    }
}
