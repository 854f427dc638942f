//! permute: the dimensions in another order.

use super::rows::{neighbours, pieces, window};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Source, Tensor},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};
use smallvec::SmallVec;
use std::any::Any;

/// Dimensions a kernel can tell apart, after those that stay neighbours have been joined.
const MOST: usize = 8;

#[derive(Debug)]
struct Permute {
    /// For each dimension of the result, the one of the argument.
    order: SmallVec<[usize; 6]>,
}

impl Op for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        Ok(vec![TensorDesc::new(self.order.iter().map(|&d| x.shape[d]).collect::<Shape>(), x.dtype)])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![self.order.iter().enumerate().take_while(|(d, from)| d == *from).count()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let dims = self.joined(io.x_shape(0));
        if dims.len() > MOST {
            let reason = format!("shape {} in order {:?} has more than {MOST} parts", io.x_shape(0), self.order);
            return Err(Misfit::limit(reason));
        }
        let is_index = io.x_desc(0).dtype == DType::U32;
        if io.fits(target).is_err() {
            copy_in_pieces(&dims, is_index, io, target, out);
            return Ok(());
        }
        let (entry, grid) = match Grid::exchange(&dims, neighbours(target).min(4)) {
            Some(grid) if !is_index => ("exchange", grid),
            _ => (if is_index { "copy_index" } else { "copy" }, Grid::copy(&dims, 4 * neighbours(target))),
        };
        let mut kernel = grid.kernel(entry, io);
        kernel = if entry == "exchange" {
            kernel.constant("SQUARES", grid.squares as u32)
        } else {
            kernel.constant("BLOCK", 4 * neighbours(target) as u32)
        };
        let mut vectors = entry == "exchange";
        if entry == "copy" {
            let inner = &dims[dims.len() - 1];
            let mut others = dims[..dims.len() - 1].iter().map(|dim| dim.stride).chain([inner.size]);
            let aligned = inner.stride == 1 && others.all(|step| step.is_multiple_of(4));
            vectors = inner.size.is_multiple_of(4);
            kernel = kernel.constant("ALIGNED", aligned.into()).constant("WHOLE", vectors.into());
        }
        let dispatch = Dispatch::new(kernel).read(io.x(0)).write(io.y(0)).params(grid.params(grid.threads(), [0; 4]));
        let dispatch = dispatch.groups(grid.threads().div_ceil(64) as u64).cost(0, io.bytes());
        out.push(if is_index { dispatch } else { dispatch.finishing().storing_vectors(vectors) });
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let mut inverse = SmallVec::from_elem(0, self.order.len());
        for (to, &from) in self.order.iter().enumerate() {
            inverse[from] = to;
        }
        Gradients::of([Some(at.x(0).graph().apply1(Permute { order: inverse }, &[&at.dy(0)]))])
    }
}

/// A dimension of the result.
#[derive(Clone, Copy, Debug)]
struct Dim {
    size: usize,
    /// How far apart its elements are in the argument, and in the result.
    stride: usize,
    y_stride: usize,
}

/// Goes through y piece by piece, and for each of them through x, to copy what lies in both.
fn copy_in_pieces(dims: &[Dim], is_index: bool, io: &Io, target: &Target, out: &mut Emit) {
    let (block, wide, count) = (4 * neighbours(target), io.y_desc(0).dtype.bytes(), io.y_shape(0).numel());
    let grid = Grid::copy(dims, block);
    // Threads for some elements of y, and where theirs begin.
    let across = grid.last.div_ceil(block);
    let begin = |thread: usize| thread / across * grid.last + thread % across * block;
    let most = pieces(count, wide, target).first().map_or(0, |piece| piece.len());
    let threads = most / block.min(grid.last).max(1);
    let kernel = grid.kernel(if is_index { "copy_index" } else { "copy" }, io);
    let kernel = kernel.constant("BLOCK", block as u32).constant("WINDOW", true.into());
    for first in (0..grid.threads()).step_by(threads.max(1)) {
        let last = grid.threads().min(first + threads.max(1));
        let (y, before_y) = window(io.y(0), begin(first)..begin(last), io.y_desc(0), target);
        for piece in pieces(count, wide, target) {
            let (x, before_x) = window(io.x(0), piece.clone(), io.x_desc(0), target);
            let params = grid.params(last, [first, before_y, before_x, piece.len()]);
            let dispatch = Dispatch::new(kernel.clone()).read(x).write(y).params(params);
            let bytes = 2 * ((begin(last) - begin(first)) * wide / count.div_ceil(piece.len())) as u64;
            out.push(dispatch.groups((last - first).div_ceil(64) as u64).cost(0, bytes));
        }
    }
}

impl Permute {
    /// The dimensions of the result, with neighbours that stay neighbours joined and without those of size 1.
    fn joined(&self, x: &Shape) -> SmallVec<[Dim; MOST]> {
        let strides = x.strides();
        let mut dims: SmallVec<[Dim; MOST]> = SmallVec::new();
        for &d in self.order.iter().filter(|&&d| x[d] != 1) {
            match dims.last_mut() {
                Some(last) if last.stride == strides[d] * x[d] => {
                    *last = Dim { size: last.size * x[d], stride: strides[d], y_stride: 1 };
                }
                _ => dims.push(Dim { size: x[d], stride: strides[d], y_stride: 1 }),
            }
        }
        if dims.is_empty() {
            dims.push(Dim { size: 1, stride: 1, y_stride: 1 });
        }
        for i in (1..dims.len()).rev() {
            dims[i - 1].y_stride = dims[i].y_stride * dims[i].size;
        }
        dims
    }
}

/// What the threads of a kernel do: their coordinates, and the steps along the last dimension.
struct Grid {
    dims: SmallVec<[Dim; MOST]>,
    last: usize,
    stride: usize,
    across: usize,
    squares: usize,
}

impl Grid {
    /// A thread for `block` neighbours in the result.
    fn copy(dims: &[Dim], block: usize) -> Grid {
        let mut own: SmallVec<[Dim; MOST]> = dims.into();
        let last = dims[dims.len() - 1];
        own[dims.len() - 1] =
            Dim { size: last.size.div_ceil(block), stride: last.stride * block, y_stride: last.y_stride * block };
        Grid { dims: own, last: last.size, stride: last.stride, across: 0, squares: 0 }
    }

    /// A thread for every four by four, or for so many of them side by side in the argument, where neighbours in the
    /// argument are no neighbours in the result and all steps are whole vectors.
    fn exchange(dims: &[Dim], most: usize) -> Option<Grid> {
        let last = dims.len() - 1;
        let inner = dims.iter().position(|dim| dim.stride == 1).filter(|&inner| inner != last)?;
        let whole = |i: usize| i == inner || dims[i].stride.is_multiple_of(4);
        let sides = [last, inner];
        if !sides.iter().all(|&i| dims[i].size.is_multiple_of(4)) || !(0..dims.len()).all(whole) {
            return None;
        }
        let mut own: SmallVec<[Dim; MOST]> = dims.into();
        let squares = if dims[inner].size.is_multiple_of(4 * most) { most } else { 1 };
        for (i, step) in [(last, 4), (inner, 4 * squares)] {
            own[i] = Dim { size: dims[i].size / step, stride: dims[i].stride * step, y_stride: dims[i].y_stride * step };
        }
        Some(Grid { dims: own, last: dims[last].size, stride: dims[last].stride, across: dims[inner].y_stride, squares })
    }

    fn kernel(&self, entry: &'static str, io: &Io) -> Kernel {
        Kernel::new(shader!("permute"), entry, io.real()).constant("RANK", self.dims.len() as u32)
    }

    fn threads(&self) -> usize {
        self.dims.iter().map(|dim| dim.size).product()
    }

    /// The uniform structure for threads up to `count`; the window is the first of them, the elements of y and of x before those that are bound, and
    /// how many of x are.
    fn params(&self, count: usize, window: [usize; 4]) -> Params {
        let column = |of: fn(&Dim) -> usize| {
            let values: SmallVec<[usize; MOST]> = self.dims.iter().map(of).chain([0; MOST]).take(MOST).collect();
            values
        };
        let params = Params::new().all([count, self.last, self.stride, self.across]);
        params.all(column(|dim| dim.size)).all(column(|dim| dim.stride)).all(column(|dim| dim.y_stride)).all(window)
    }
}

impl Tensor {
    /// The tensor whose last two dimensions were exchanged to make this one, where that is how it was made.
    pub(super) fn transposed_from(&self) -> Option<Tensor> {
        if self.is_failed() {
            return None;
        }
        let data = self.graph().data();
        let Source::Node(node, _) = data.values[self.id().index()].source else { return None };
        let node = &data.nodes[node.index()];
        let op: &dyn Any = node.op.as_ref();
        let order = &op.downcast_ref::<Permute>()?.order;
        let rank = order.len();
        let kept = order[..rank - 2].iter().copied().eq(0..rank - 2);
        (kept && order[rank - 2] == rank - 1).then(|| Tensor { graph: self.graph().clone(), value: node.inputs[0] })
    }

    /// The dimensions in another order: dimension `i` of the result is dimension `order[i]` of this
    /// tensor, `torch.permute`.
    ///
    /// # Gradient
    /// dy in the old order.
    ///
    /// # Errors
    /// Recorded in the graph: an order that does not name each dimension once.
    #[track_caller]
    pub fn permute(&self, order: &[usize]) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        let mut sorted = order.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..shape.rank()) {
            let reason = format!("order {order:?} does not name each dimension of shape {shape} once");
            self.graph().fail(Misfit::shape(reason).of("permute"));
            return self.graph().failed();
        }
        // Where only dimensions of size 1 move, the elements stay where they are.
        let moving: Vec<usize> = order.iter().copied().filter(|&d| shape[d] != 1).collect();
        if moving.is_sorted() {
            return self.reshape(order.iter().map(|&d| shape[d]).collect::<Shape>());
        }
        self.graph().apply1(Permute { order: order.into() }, &[self])
    }

    /// Two dimensions exchanged: `torch.transpose`.
    ///
    /// # Gradient
    /// dy with the same two exchanged.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist.
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        match (shape.axis(a), shape.axis(b)) {
            (Ok(a), Ok(b)) => {
                let mut order: Vec<usize> = (0..shape.rank()).collect();
                order.swap(a, b);
                self.permute(&order)
            }
            (Err(misfit), _) | (_, Err(misfit)) => {
                self.graph().fail(misfit.of("transpose"));
                self.graph().failed()
            }
        }
    }

    /// The last two dimensions exchanged, as `.mT` in PyTorch.
    ///
    /// # Gradient
    /// dyᵀ.
    ///
    /// # Errors
    /// Recorded in the graph: fewer than two dimensions.
    #[track_caller]
    pub fn t(&self) -> Tensor {
        self.transpose(-2, -1)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        prelude::*,
        testing::{Check, Numbers, check_op, context, run},
    };

    fn permute(x: &Numbers, order: &[usize]) -> Numbers {
        let shape: Vec<usize> = order.iter().map(|&d| x.shape()[d]).collect();
        Numbers::from_fn(shape, |at| {
            let mut from = vec![0; order.len()];
            order.iter().zip(at).for_each(|(&d, &i)| from[d] = i);
            x.at(&from)
        })
    }

    #[test]
    fn every_order_of_three_dimensions() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            Check::new(|[x]: [Tensor; 1]| x.permute(&order), |[x]| permute(&x, &order))
                .shapes([[3, 5, 4]])
                .shapes([[3, 1, 7]])
                .shapes([[33, 12, 64]])
                .run();
        }
    }

    #[test]
    fn many_dimensions() {
        let order = [5, 3, 1, 4, 2, 0, 7, 6];
        check_op([[2, 3, 2, 2, 1, 3, 2, 2]], |[x]| x.permute(&order), |[x]| permute(&x, &order));
        let heads = [0, 2, 1, 3];
        check_op([[2, 9, 3, 8]], |[x]| x.permute(&heads), |[x]| permute(&x, &heads));
    }

    #[test]
    fn transposes_exchange_two_dimensions() {
        check_op([[3, 5, 4]], |[x]| x.transpose(0, -1), |[x]| permute(&x, &[2, 1, 0]));
        check_op([[3, 5, 4]], |[x]| x.t(), |[x]| permute(&x, &[0, 2, 1]));
    }

    #[test]
    fn where_only_ones_move_nothing_is_computed() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [4, 1, 3]);
        let y = x.permute(&[1, 0, 2]);
        assert_eq!(y.shape(), Shape::from([1, 4, 3]));
        assert_eq!(graph.plan(&[("y", &y)], context().target()).unwrap().report().steps.len(), 0);
    }

    #[test]
    fn index_tensors_keep_their_bits() {
        let graph = Graph::new(Mode::Infer);
        let y = graph.input_of("x", [2, 3], DType::U32).t();
        let numbers = Array::from_u32([2, 3], &[1, 2, u32::MAX, 0x7f80_0001, 5, 6]).unwrap();
        let found = run(&graph, &[("y", &y)], &[("x", numbers)]).unwrap();
        assert_eq!(found[0].to_u32(), [1, 0x7f80_0001, 2, 5, u32::MAX, 6]);
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |mistake: &dyn Fn(&Tensor) -> Tensor| {
            let graph = Graph::new(Mode::Infer);
            assert!(mistake(&graph.input("x", [2, 3])).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        let order = "permute: order [0, 0] does not name each dimension of shape [2, 3] once";
        assert_eq!(message(&|x| x.permute(&[0, 0])), order);
        assert_eq!(message(&|x| x.transpose(0, 2)), "transpose: dimension 2 is outside shape [2, 3]");
    }
}
