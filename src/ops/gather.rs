//! gather: y[o, k, i] = x[o, index[o, k, i], i], the elements that indices name along one dimension.

use super::rows::neighbours;
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor, ValueId},
    kernel::{Dispatch, Kernel, Params, Slice, Target},
    shader,
};

/// What is known of the indices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Indices {
    /// One for each element of the result.
    Each,
    /// The same, and none comes twice along the dimension.
    Distinct,
    /// One for each position along the dimension.
    Rows,
}

#[derive(Clone, Copy, Debug)]
struct Gather {
    axis: usize,
    indices: Indices,
    /// Whether an element that does not exist is 0 instead of NaN.
    zero: bool,
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        if self.indices == Indices::Rows { "index_select" } else { "gather" }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (x, index) = (&inputs[0], &inputs[1]);
        is_index(index)?;
        let shape = match self.indices {
            Indices::Rows if index.shape.rank() == 1 => x.shape.with(self.axis, index.shape[0]),
            Indices::Rows => return Err(Misfit::shape(format!("ids must be [count], not {}", index.shape))),
            _ => {
                debug_assert_eq!(x.shape.with(self.axis, 0), index.shape.with(self.axis, 0));
                index.shape.clone()
            }
        };
        Ok(vec![TensorDesc::new(shape, x.dtype)])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        let of_index = if self.indices == Indices::Rows { 0 } else { self.axis };
        (self.axis != 0).then(|| vec![self.axis, of_index])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let grid = Grid::new(io.x_shape(0), io.y_shape(0), self.axis, self.indices);
        let bytes = 2 * io.y_desc(0).bytes() + io.x_desc(1).bytes();
        if io.x_desc(0).dtype == DType::U32 {
            let dispatch = grid.dispatch(Grid::kernel("gather_index", io, target), grid.count, target);
            out.push(dispatch(&[io.x(0).into(), io.x(1).into()], io.y(0)).cost(0, bytes));
        } else {
            let aligned = self.indices == Indices::Rows && grid.inner.is_multiple_of(4);
            let kernel = Grid::kernel("gather", io, target);
            let whole = aligned || grid.count.is_multiple_of(4);
            let kernel = kernel.constant("ALIGNED", aligned.into()).constant("WHOLE", whole.into());
            let dispatch = grid.dispatch(kernel.constant("ZERO", self.zero.into()), grid.count, target);
            let dispatch = dispatch(&[io.x(0).into(), io.x(1).into()], io.y(0)).cost(0, bytes);
            out.push(dispatch.finishing().storing_vectors(whole));
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (shape, index, dy) = (at.x(0).shape(), at.x(1), at.dy(0));
        let n = shape[self.axis];
        let dx = match self.indices {
            Indices::Each => index.scattered(&dy, self.axis, n),
            Indices::Distinct => dy.graph().apply1(Place { axis: self.axis, n }, &[index, &dy]),
            Indices::Rows => {
                // The dimension in front, where the rows of equal ids are added as those of an embedding.
                let dim = self.axis as isize;
                let dy = dy.movedim(dim, 0);
                let front = dy.shape().with(0, n);
                let width = front[1..].iter().product();
                index.summed_rows(&dy.reshape([index.shape()[0], width]), n).reshape(front).movedim(0, dim)
            }
        };
        Gradients::of([Some(dx), None])
    }
}

/// y[o, index[o, k, i], i] = src[o, k, i] and zero elsewhere, where no index comes twice, from index and src.
#[derive(Debug)]
struct Place {
    axis: usize,
    n: usize,
}

impl Op for Place {
    fn name(&self) -> &'static str {
        "gather_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(inputs[1].shape.with(self.axis, self.n), inputs[1].dtype)])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        (self.axis != 0).then(|| vec![self.axis; 2])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let grid = Grid::new(io.y_shape(0), io.x_shape(1), self.axis, Indices::Distinct);
        if grid.m < grid.n {
            let all = Grid { count: io.y_shape(0).numel(), ..grid };
            let dispatch = all.dispatch(Grid::kernel("clear", io, target), all.count, target);
            out.push(dispatch(&[], io.y(0)).cost(0, io.y_desc(0).bytes()));
        }
        let dispatch = grid.dispatch(Grid::kernel("place", io, target), grid.count, target);
        let bytes = 2 * io.x_desc(1).bytes() + io.x_desc(0).bytes();
        out.push(dispatch(&[io.x(0).into(), io.x(1).into()], io.y(0)).cost(0, bytes));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = Gather { axis: self.axis, indices: Indices::Distinct, zero: true };
        Gradients::of([None, Some(at.x(1).graph().apply1(op, &[&at.dy(0), at.x(0)]))])
    }
}

/// Where the elements are that indices name: `[outer, n, inner]` and `[outer, m, inner]`.
#[derive(Clone, Copy)]
struct Grid {
    count: usize,
    m: usize,
    n: usize,
    inner: usize,
    /// How far apart the indices of neighbours along the three axes are.
    steps: [usize; 3],
}

impl Grid {
    fn new(x: &Shape, y: &Shape, axis: usize, indices: Indices) -> Grid {
        let ([_, n, _], [_, m, inner]) = (x.split_at_axis(axis), y.split_at_axis(axis));
        let steps = if indices == Indices::Rows { [0, 1, 0] } else { [m * inner, inner, 1] };
        Grid { count: y.numel(), m, n, inner, steps }
    }

    fn kernel(entry: &'static str, io: &Io, target: &Target) -> Kernel {
        Kernel::new(shader!("gather"), entry, io.real()).constant("BLOCK", 4 * neighbours(target) as u32)
    }

    /// A kernel with a thread for every block of `count` elements, given what it reads and writes.
    fn dispatch(
        &self,
        kernel: Kernel,
        count: usize,
        target: &Target,
    ) -> impl FnOnce(&[Slice], ValueId) -> Dispatch {
        let params = Params::new().all([self.count, self.m, self.n, self.inner]).all(self.steps);
        let groups = count.div_ceil(64 * 4 * neighbours(target)) as u64;
        move |reads, write| {
            let dispatch = reads.iter().fold(Dispatch::new(kernel), |dispatch, &read| dispatch.read(read));
            dispatch.write(write).params(params).groups(groups)
        }
    }
}

/// Refuses what is no index tensor.
pub(super) fn is_index(index: &TensorDesc) -> Result<(), Misfit> {
    match index.dtype {
        DType::U32 => Ok(()),
        _ => Err(Misfit::dtype(format!("index must be u32, not {index}"))),
    }
}

/// Checks that `index` has the rank of a shape and, but for `axis`, sizes that are no larger.
pub(super) fn lies_within(index: &TensorDesc, shape: &Shape, axis: usize) -> Result<(), Misfit> {
    is_index(index)?;
    let within = index.shape.rank() == shape.rank()
        && index.shape.iter().zip(shape.iter()).enumerate().all(|(d, (a, b))| d == axis || a <= b);
    if within {
        Ok(())
    } else {
        Err(Misfit::shape(format!("index {} does not lie in shape {shape} outside dimension {axis}", index.shape)))
    }
}

impl Tensor {
    /// The beginning of this tensor that has the sizes of `shape` in all dimensions but `axis`.
    #[track_caller]
    pub(super) fn cropped(&self, shape: &Shape, axis: usize) -> Tensor {
        (0..shape.rank()).filter(|&d| d != axis).fold(self.clone(), |x, d| x.slice(d as isize, ..shape[d]))
    }

    /// The elements that distinct indices name along an axis.
    #[track_caller]
    pub(super) fn gather_distinct(&self, axis: usize, index: &Tensor) -> Tensor {
        self.graph().apply1(Gather { axis, indices: Indices::Distinct, zero: false }, &[self, index])
    }

    /// [`gather`](Tensor::gather) from a tensor of the index's sizes, 0 for indices past its end.
    #[track_caller]
    pub(super) fn gather_or_zero(&self, axis: usize, index: &Tensor) -> Tensor {
        self.graph().apply1(Gather { axis, indices: Indices::Each, zero: true }, &[self, index])
    }

    /// y\[o, k, i\] = x\[o, index\[o, k, i\], i\] along dimension `dim`: `torch.gather`.
    ///
    /// `index` is `u32` with as many dimensions, in each but `dim` at most as large as this tensor; the result has
    /// its shape. Numbers or indices are gathered. An index past the end gives NaN, 0 in index tensors.
    ///
    /// # Gradient
    /// Added at the elements that were read, those of equal indices in the order of k: see
    /// [`scatter_add`](Tensor::scatter_add).
    ///
    /// # Errors
    /// Recorded in the graph: an index that is not `u32`, or whose shape does not lie in this one.
    #[track_caller]
    pub fn gather(&self, dim: isize, index: &Tensor) -> Tensor {
        if self.is_failed() || index.is_failed() {
            return self.graph().failed();
        }
        let shape = self.shape();
        match shape.axis(dim).and_then(|axis| lies_within(&index.desc(), &shape, axis).map(|()| axis)) {
            Ok(axis) => {
                let x = self.cropped(&index.shape(), axis);
                self.graph().apply1(Gather { axis, indices: Indices::Each, zero: false }, &[&x, index])
            }
            Err(misfit) => self.mistake("gather", misfit),
        }
    }

    /// The slices at the positions `ids`, `u32` `[count]`, along dimension `dim`: `torch.index_select`.
    ///
    /// Numbers or indices are selected. An id past the end gives NaN, 0 in index tensors.
    ///
    /// # Gradient
    /// Added at the slices that were read, those of equal ids in their order.
    ///
    /// # Errors
    /// Recorded in the graph: ids that are not `u32` `[count]`, or a dimension that does not exist.
    #[track_caller]
    pub fn index_select(&self, dim: isize, ids: &Tensor) -> Tensor {
        if self.is_failed() || ids.is_failed() {
            return self.graph().failed();
        }
        let shape = self.shape();
        match shape.axis(dim) {
            Ok(axis) => {
                let [outer, n, inner] = shape.split_at_axis(axis);
                if outer == 1 && ids.rank() == 1 && ids.dtype() == DType::U32 && self.dtype().is_float() {
                    let rows = self.reshape([n, inner]).embedding(ids);
                    return rows.reshape(shape.with(axis, ids.shape()[0]));
                }
                self.graph().apply1(Gather { axis, indices: Indices::Rows, zero: false }, &[self, ids])
            }
            Err(misfit) => self.mistake("index_select", misfit),
        }
    }

    /// Records a mistake of an operation and stands for it.
    #[track_caller]
    pub(super) fn mistake(&self, op: &str, misfit: Misfit) -> Tensor {
        self.graph().fail(misfit.of(op));
        self.graph().failed()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::{
        autodiff::gradients,
        prelude::*,
        testing::{Check, Numbers, run},
    };

    /// Reproducible random sizes and indices: splitmix64.
    pub struct Dice(pub u64);

    impl Dice {
        pub fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) % end.max(1) as u64) as usize
        }

        /// A shape of 1 to 4 dimensions, some of size 1, and one of its dimensions.
        pub fn shape(&mut self) -> (Vec<usize>, usize) {
            let rank = 1 + self.below(4);
            let most = [300, 20, 8, 6][rank - 1];
            let shape: Vec<usize> = (0..rank).map(|_| 1 + self.below(most) * self.below(4).min(1)).collect();
            let axis = self.below(rank);
            (shape, axis)
        }

        pub fn indices(&mut self, count: usize, end: usize) -> Vec<u32> {
            (0..count).map(|_| self.below(end) as u32).collect()
        }

        /// A dimension counted from the front or from the back.
        pub fn dim(&mut self, axis: usize, rank: usize) -> isize {
            axis as isize - if self.below(2) == 0 { rank as isize } else { 0 }
        }
    }

    fn check(shape: &[usize], dim: isize, index_shape: &[usize], index: &[u32]) {
        let axis = Shape::from(shape).axis(dim).unwrap();
        let numbers = Numbers::new(index_shape, index.iter().map(|&i| f64::from(i)).collect());
        Check::new(
            |[x]: [Tensor; 1]| x.gather(dim, &x.graph().input_of("index", index_shape, DType::U32)),
            |[x]| {
                Numbers::from_fn(index_shape, |at| {
                    let mut from = at.to_vec();
                    from[axis] = numbers.at(at) as usize;
                    if from[axis] < shape[axis] { x.at(&from) } else { f64::NAN }
                })
            },
        )
        .shapes([shape])
        .index("index", index_shape, index)
        .run();
    }

    #[test]
    fn elements_are_gathered_and_their_gradients_added() {
        check(&[5, 3], 0, &[4, 3], &[1, 4, 1, 0, 4, 1, 3, 3, 3, 2, 2, 2]);
        check(&[5, 3], -1, &[5, 1], &[2, 2, 0, 1, 0]);
        check(&[5, 3, 4], 1, &[2, 6, 3], &(0..36).map(|i| i * i % 3).collect::<Vec<u32>>());
        check(&[1], 0, &[1], &[0]);
        check(&[7], 0, &[0], &[]);
        check(&[3, 1000], 1, &[2, 1500], &Dice(1).indices(3000, 1000));
        check(&[40, 3, 70], 0, &[50, 3, 70], &Dice(2).indices(50 * 3 * 70, 40));
    }

    #[test]
    fn random_shapes_are_gathered() {
        let mut dice = Dice(3);
        for _ in 0..16 {
            let (shape, axis) = dice.shape();
            let index: Vec<usize> = shape.iter().map(|&size| 1 + dice.below(size)).collect();
            let index = Shape::from(index).with(axis, dice.below(2 * shape[axis]));
            let ids = dice.indices(index.numel(), shape[axis]);
            let dim = dice.dim(axis, shape.len());
            check(&shape, dim, &index, &ids);
        }
    }

    fn check_select(shape: &[usize], dim: isize, ids: &[u32]) {
        let axis = Shape::from(shape).axis(dim).unwrap();
        Check::new(
            |[x]: [Tensor; 1]| x.index_select(dim, &x.graph().input_of("ids", [ids.len()], DType::U32)).relu(),
            |[x]| {
                Numbers::from_fn(x.shape().with(axis, ids.len()), |at| {
                    let mut from = at.to_vec();
                    from[axis] = ids[at[axis]] as usize;
                    x.at(&from).max(0.0)
                })
            },
        )
        .shapes([shape])
        .index("ids", [ids.len()], ids)
        .run();
    }

    #[test]
    fn slices_are_selected() {
        check_select(&[5, 3], 0, &[4, 4, 0]);
        check_select(&[5, 3], 1, &[2, 0, 2, 2]);
        check_select(&[2, 9, 8], 1, &[8, 0, 3, 3]);
        check_select(&[3, 4, 5, 12], 2, &[4, 1, 1, 0, 4, 4, 2]);
        check_select(&[2, 3, 7], -1, &[]);
        let mut dice = Dice(4);
        for _ in 0..12 {
            let (shape, axis) = dice.shape();
            let count = dice.below(30);
            let ids = dice.indices(count, shape[axis]);
            check_select(&shape, axis as isize, &ids);
        }
    }

    #[test]
    fn indices_past_the_end_give_nan_and_no_gradient() {
        let graph = Graph::new(Mode::Infer);
        let (x, index) = (graph.input("x", [2, 3]), graph.input_of("index", [2, 2], DType::U32));
        let ids = graph.input_of("ids", [2], DType::U32);
        let (y, selected) = (x.gather(1, &index), x.index_select(1, &ids));
        let dx = gradients(&y.sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
        let places = graph.input_of("places", [2, 3], DType::U32).gather(1, &index);
        let outputs = [("y", &y), ("selected", &selected), ("dx", &dx), ("places", &places)];
        let inputs = [
            ("x", Array::from_f32([2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()),
            ("index", Array::from_u32([2, 2], &[2, 3, u32::MAX, 0]).unwrap()),
            ("ids", Array::from_u32([2], &[3, 1]).unwrap()),
            ("places", Array::from_u32([2, 3], &[1, 2, u32::MAX, 4, 5, 6]).unwrap()),
        ];
        let found = run(&graph, &outputs, &inputs).unwrap();
        let y = found[0].to_f32();
        assert!(y[0] == 3.0 && y[1].is_nan() && y[2].is_nan() && y[3] == 4.0, "{y:?}");
        let selected = found[1].to_f32();
        assert!(selected[0].is_nan() && selected[2].is_nan() && [selected[1], selected[3]] == [2.0, 5.0]);
        assert_eq!(found[2].to_f32(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(found[3].to_u32(), [u32::MAX, 0, 0, 4]);
    }

    #[test]
    fn the_second_gradient_gathers_again() {
        let graph = Graph::new(Mode::Infer);
        let (x, index) = (graph.input("x", [3]), graph.input_of("index", [4], DType::U32));
        let second = |y: Tensor| {
            let dx = gradients(&y.square().sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
            gradients(&dx.square().sum_all(), std::slice::from_ref(&x)).remove(0).unwrap()
        };
        let table = x.reshape([3, 1]).expand([3, 2]);
        let found = [x.gather(0, &index), x.index_select(0, &index), table.t().index_select(1, &index)].map(second);
        let outputs = [("a", &found[0]), ("b", &found[1]), ("c", &found[2])];
        let inputs = [
            ("x", Array::from_f32([3], &[1.0, 2.0, 3.0]).unwrap()),
            ("index", Array::from_u32([4], &[2, 0, 2, 2]).unwrap()),
        ];
        let found = run(&graph, &outputs, &inputs).unwrap();
        // dx = 2·count·x, so the gradient of its squares is 8·count²·x.
        assert_eq!(found[0].to_f32(), [8.0, 0.0, 216.0]);
        assert_eq!(found[1].to_f32(), [8.0, 0.0, 216.0]);
        assert_eq!(found[2].to_f32(), [32.0, 0.0, 864.0]);
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |mistake: &dyn Fn(&Tensor, &Graph) -> Tensor| {
            let graph = Graph::new(Mode::Infer);
            assert!(mistake(&graph.input("x", [2, 3]), &graph).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        let index = |graph: &Graph, shape: &[usize], dtype| graph.input_of("index", shape, dtype);
        assert_eq!(
            message(&|x, graph| x.gather(1, &index(graph, &[3, 3], DType::U32))),
            "gather: index [3, 3] does not lie in shape [2, 3] outside dimension 1"
        );
        assert_eq!(
            message(&|x, graph| x.gather(1, &index(graph, &[2, 3], DType::F32))),
            "gather: index must be u32, not f32[2, 3]"
        );
        assert_eq!(
            message(&|x, graph| x.index_select(1, &index(graph, &[2, 3], DType::U32))),
            "index_select: ids must be [count], not [2, 3]"
        );
        assert_eq!(
            message(&|x, graph| x.index_select(2, &index(graph, &[2], DType::U32))),
            "index_select: dimension 2 is outside shape [2, 3]"
        );
    }
}
