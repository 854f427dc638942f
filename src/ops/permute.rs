//! permute: the dimensions in another order.

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

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let (mut sizes, mut strides) = self.joined(io.x_shape(0));
        if sizes.len() > MOST {
            let reason = format!("shape {} in order {:?} has more than {MOST} parts", io.x_shape(0), self.order);
            return Err(Misfit::limit(reason));
        }
        let is_index = io.x_desc(0).dtype == DType::U32;
        let (last, outer) = (sizes.len() - 1, strides.len() - 1);
        let wide = !is_index
            && strides[last] == 1
            && sizes[last].is_multiple_of(4)
            && strides[..outer].iter().all(|stride| stride.is_multiple_of(4));
        if wide {
            sizes[last] /= 4;
            strides[..outer].iter_mut().for_each(|stride| *stride /= 4);
        }
        let (count, rank): (usize, usize) = (sizes.iter().product(), sizes.len());
        sizes.resize(MOST, 0);
        strides.resize(MOST, 0);
        let params = Params::new().all([count, rank, 0, 0]).all(sizes).all(strides);
        let kernel = if is_index {
            Kernel::new(shader!("permute"), "index", io.real())
        } else {
            Kernel::new(shader!("permute"), "main", io.real()).constant("WIDE", wide.into())
        };
        let dispatch = Dispatch::new(kernel).read(io.x(0)).write(io.y(0)).params(params);
        let dispatch = dispatch.groups(count.div_ceil(64) as u64).cost(0, io.bytes());
        out.push(if is_index { dispatch } else { dispatch.finishing() });
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

impl Permute {
    /// Sizes of the result and strides of the argument, with neighbours that stay neighbours joined.
    fn joined(&self, x: &Shape) -> (SmallVec<[usize; MOST]>, SmallVec<[usize; MOST]>) {
        let all = x.strides();
        let (mut sizes, mut strides) = (SmallVec::new(), SmallVec::new());
        for &d in self.order.iter().filter(|&&d| x[d] != 1) {
            match (sizes.last_mut(), strides.last_mut()) {
                (Some(size), Some(stride)) if *stride == all[d] * x[d] => {
                    *size *= x[d];
                    *stride = all[d];
                }
                _ => {
                    sizes.push(x[d]);
                    strides.push(all[d]);
                }
            }
        }
        if sizes.is_empty() {
            sizes.push(1);
            strides.push(1);
        }
        (sizes, strides)
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
    #[track_caller]
    pub fn t(&self) -> Tensor {
        self.transpose(-2, -1)
    }
}
