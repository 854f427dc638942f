//! concat: tensors one behind the other along one dimension.

use super::rows::{neighbours, pieces, window};
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Graph, Io, Mode, Op, Tensor},
    kernel::{Dispatch, Kernel, Params, Slice, Target},
    shader,
};

#[derive(Debug)]
struct Concat {
    dim: isize,
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let first = &inputs[0];
        let axis = first.shape.axis(self.dim)?;
        let mut size = 0;
        for input in inputs {
            if input.dtype != first.dtype {
                return Err(Misfit::dtype(format!("mixes {first} and {input}")));
            }
            if input.shape.rank() != first.shape.rank() || input.shape.with(axis, 0) != first.shape.with(axis, 0) {
                let (a, b) = (&first.shape, &input.shape);
                return Err(Misfit::shape(format!("shapes {a} and {b} differ outside dimension {}", self.dim)));
            }
            size += input.shape[axis];
        }
        Ok(vec![TensorDesc::new(first.shape.with(axis, size), first.dtype)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        let axis = inputs[0].shape.axis(self.dim).ok()?;
        (axis != 0).then(|| vec![axis; inputs.len()])
    }

    /// One dispatch for each input, so that their number has no limit.
    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let axis = io.y_shape(0).axis(self.dim)?;
        let [rows, size, inner] = io.y_shape(0).split_at_axis(axis);
        // A single row is copied in pieces where it is too large.
        let cut = io.fits(target).is_err();
        if cut && rows != 1 {
            io.fits(target)?;
        }
        let (length, mut at) = (size * inner, 0);
        let is_index = io.y_desc(0).dtype == DType::U32;
        let block = 4 * neighbours(target);
        let parts = |i: usize| {
            let given = io.x_shape(i)[axis] * inner;
            let whole = || std::iter::once(0..given).collect();
            let found = if cut { pieces(given, io.y_desc(0).dtype.bytes(), target) } else { whole() };
            found.into_iter().map(move |part| (i, part))
        };
        for (i, part) in (0..io.inputs.len()).flat_map(parts) {
            let given = part.len();
            if rows * given == 0 {
                continue;
            }
            let (mut x, mut y): (Slice, Slice) = (io.x(i).into(), io.y(0).into());
            let before = at;
            if cut {
                (x, _) = window(io.x(i), part.clone(), io.x_desc(i), target);
                let skipped;
                (y, skipped) = window(io.y(0), at..at + given, io.y_desc(0), target);
                at -= skipped;
            }
            let aligned = [given, length, at].iter().all(|size| size.is_multiple_of(4));
            let kernel = if is_index {
                Kernel::new(shader!("concat"), "index", io.real())
            } else {
                Kernel::new(shader!("concat"), "main", io.real()).constant("ALIGNED", aligned.into())
            };
            let dispatch = Dispatch::new(kernel.constant("BLOCK", block as u32)).read(x).write(y);
            let dispatch = dispatch.params(Params::new().all([rows, given, length, at]));
            let threads = rows * given.div_ceil(block);
            let bytes = (2 * rows * given * io.y_desc(0).dtype.bytes()) as u64;
            let dispatch = dispatch.groups(threads.div_ceil(64) as u64).cost(0, bytes);
            out.push(if is_index || cut { dispatch } else { dispatch.finishing().storing_vectors(aligned) });
            at = before + given;
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let dy = at.dy(0);
        let mut from = 0;
        Gradients::of((0..at.inputs.len()).map(|i| {
            let to = from + at.x(i).size(self.dim);
            let dx = at.needs(i).then(|| dy.slice(self.dim, from..to));
            from = to;
            dx
        }))
    }
}

impl Tensor {
    /// One tensor behind the other along `dim`, all of the same size in the other dimensions:
    /// `torch.cat`.
    ///
    /// Without any tensor there is no graph to record the mistake in: the result belongs to a graph of
    /// its own that has it, and is refused where it is used.
    ///
    /// # Gradient
    /// The part of dy that came from each tensor.
    ///
    /// # Errors
    /// Recorded in the graph: no tensors, mixed element types, shapes that differ in another dimension, a
    /// dimension that does not exist.
    #[track_caller]
    pub fn concat(tensors: &[&Tensor], dim: isize) -> Tensor {
        match tensors {
            [] => {
                let graph = Graph::new(Mode::Infer);
                graph.fail(Misfit::shape("needs at least one tensor").of("concat"));
                graph.failed()
            }
            [only] => (*only).clone(),
            [first, ..] => first.graph().apply1(Concat { dim }, tensors),
        }
    }

    /// Tensors of one shape along a new dimension `dim`, the last one for −1: `torch.stack`.
    ///
    /// # Gradient
    /// To each tensor its slice.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or element types that differ, or no tensors (see [`concat`](Tensor::concat)).
    #[track_caller]
    pub fn stack(tensors: &[&Tensor], dim: isize) -> Tensor {
        let parts: Vec<Tensor> = tensors.iter().map(|tensor| tensor.unsqueeze(dim)).collect();
        if let Some(other) = parts.iter().find(|part| part.is_failed() || part.shape() != parts[0].shape()) {
            let (graph, first) = (parts[0].graph(), tensors[0]);
            if !other.is_failed() && !parts[0].is_failed() {
                let shapes = parts.iter().zip(tensors).find(|(part, _)| part.shape() != parts[0].shape());
                let other = shapes.map_or_else(|| first.shape(), |(_, tensor)| tensor.shape());
                graph.fail(Misfit::shape(format!("shapes {} and {other} differ", first.shape())).of("stack"));
            }
            return graph.failed();
        }
        Tensor::concat(&parts.iter().collect::<Vec<_>>(), dim)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        prelude::*,
        testing::{Check, Numbers, run},
    };

    fn concat(parts: &[Numbers], axis: usize) -> Numbers {
        let size = parts.iter().map(|x| x.shape()[axis]).sum();
        Numbers::from_fn(parts[0].shape().with(axis, size), |at| {
            let mut at = at.to_vec();
            for part in parts {
                match at[axis].checked_sub(part.shape()[axis]) {
                    None => return part.at(&at),
                    Some(rest) => at[axis] = rest,
                }
            }
            f64::NAN
        })
    }

    #[test]
    fn along_every_dimension() {
        for axis in 0..3 {
            let with = |size| Shape::from([3, 5, 4]).with(axis, size);
            Check::new(
                |[a, b, c]: [Tensor; 3]| Tensor::concat(&[&a, &b, &c], axis as isize),
                |parts: [Numbers; 3]| concat(&parts, axis),
            )
            .shapes([with(3), with(1), with(2)])
            .shapes([with(4), with(0), with(8)])
            .run();
        }
        Check::new(|[a, b]: [Tensor; 2]| Tensor::concat(&[&a, &b], -1), |parts: [Numbers; 2]| concat(&parts, 1))
            .shapes([[20, 512], [20, 36]])
            .shapes([[20, 511], [20, 37]])
            .run();
    }

    #[test]
    fn one_tensor_may_come_twice_and_what_follows_is_fused() {
        Check::new(
            |[a]: [Tensor; 1]| Tensor::concat(&[&a, &a.exp(), &a], 0).relu(),
            |[a]: [Numbers; 1]| concat(&[a.clone(), a.map(f64::exp), a], 0).map(|x| x.max(0.0)),
        )
        .shapes([[3, 5]])
        .run();
    }

    #[test]
    fn any_number_of_tensors() {
        let graph = Graph::new(Mode::Infer);
        let parts: Vec<Tensor> = (0..12).map(|i| graph.full([1, 2], i as f32, DType::F32)).collect();
        let y = Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0);
        let expected: Vec<f32> = (0..24).map(|i| (i / 2) as f32).collect();
        assert_eq!(run(&graph, &[("y", &y)], &[]).unwrap()[0].to_f32(), expected);
        assert_eq!(Tensor::concat(&[&parts[3]], 0).id(), parts[3].id());
    }

    #[test]
    fn index_tensors_keep_their_bits() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input_of("x", [2, 1], DType::U32);
        let y = Tensor::concat(&[&x, &x], 1);
        let numbers = Array::from_u32([2, 1], &[u32::MAX, 0x7f80_0001]).unwrap();
        let found = run(&graph, &[("y", &y)], &[("x", numbers)]).unwrap();
        assert_eq!(found[0].to_u32(), [u32::MAX, u32::MAX, 0x7f80_0001, 0x7f80_0001]);
    }

    #[test]
    fn stacks_get_a_new_dimension() {
        for dim in [0, 1, 2, -1, -3] {
            let axis = if dim < 0 { (dim + 3) as usize } else { dim as usize };
            Check::new(
                |[a, b]: [Tensor; 2]| Tensor::stack(&[&a, &b, &a], dim),
                |[a, b]: [Numbers; 2]| {
                    let shape: Vec<usize> = [&[3, 5][..axis], &[3], &[3, 5][axis..]].concat();
                    Numbers::from_fn(shape, |at| {
                        let inner = [&at[..axis], &at[axis + 1..]].concat();
                        [&a, &b, &a][at[axis]].at(&inner)
                    })
                },
            )
            .shapes([[3, 5], [3, 5]])
            .run();
        }
        let graph = Graph::new(Mode::Infer);
        assert!(Tensor::stack(&[&graph.input("a", [2, 1]), &graph.input("b", [2, 3])], 0).is_failed());
        assert_eq!(graph.check().unwrap_err().message(), "stack: shapes [2, 1] and [2, 3] differ");
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |other: &[usize], dtype, dim| {
            let graph = Graph::new(Mode::Infer);
            Tensor::concat(&[&graph.input("a", [2, 3]), &graph.input_of("b", other, dtype)], dim);
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(message(&[2, 4], DType::F32, 0), "concat: shapes [2, 3] and [2, 4] differ outside dimension 0");
        assert_eq!(message(&[2], DType::F32, 0), "concat: shapes [2, 3] and [2] differ outside dimension 0");
        assert_eq!(message(&[2, 3], DType::F32, 2), "concat: dimension 2 is outside shape [2, 3]");
        assert_eq!(message(&[2, 3], DType::F16, 0), "concat: mixes f32[2, 3] and f16[2, 3]");
    }

    #[test]
    fn nothing_to_put_together_is_a_mistake() {
        let nothing = Tensor::concat(&[], 0);
        assert_eq!(nothing.graph().check().unwrap_err().message(), "concat: needs at least one tensor");
        let graph = Graph::new(Mode::Infer);
        graph.input("x", [2]).add(&nothing);
        assert_eq!(graph.check().unwrap_err().message(), "add: its inputs belong to different graphs");
    }
}
