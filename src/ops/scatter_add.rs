//! scatter_add: y[o, index[o, k, i], i] = x[…] + Σ src[o, k, i], without float atomics.

use super::{
    gather::{is_index, lies_within},
    rows::{neighbours},
    sort::Keys,
};
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor, ValueId, too_large},
    kernel::{Dispatch, Kernel, Params, Slice, Target},
    shader,
};

/// Sorted elements that one thread adds up.
const LENGTH: usize = 32;

/// The sums of what goes to each element along an axis of size `n`, from index and src of one shape.
#[derive(Debug)]
struct Scatter {
    axis: usize,
    n: usize,
}

impl Op for Scatter {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (index, src) = (&inputs[0], &inputs[1]);
        is_index(index)?;
        if !src.dtype.is_float() {
            return Err(Misfit::dtype(format!("adds floating point numbers, not {src}")));
        }
        debug_assert_eq!(index.shape, src.shape);
        Ok(vec![TensorDesc::new(src.shape.with(self.axis, self.n), src.dtype)])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        (self.axis != 0).then(|| vec![self.axis; 2])
    }

    /// Part by part of y, and for each of them part by part of src, in their order.
    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let [outer, m, inner] = io.x_shape(1).split_at_axis(self.axis);
        let (y, src) = (io.y_desc(0), io.x_desc(1));
        let wide = y.dtype.bytes();
        let (of_y, of_src) = (length(y, outer, self.n, inner, target)?, length(src, outer, m, inner, target)?);
        for first in (0..self.n).step_by(of_y) {
            let n = of_y.min(self.n - first);
            let rows = |value: ValueId, wide: usize| part(value, first, n, self.n, inner * wide);
            let sums = TensorDesc::new([outer, n, inner], DType::F32);
            let sums_at = if y.dtype == DType::F32 { rows(io.y(0), 4) } else { out.scratch(sums.clone()).into() };
            let mut work = Work { io, target, sums: sums_at, outer, m, first, n, inner, begin: 0 };
            let dispatch = Dispatch::new(work.kernel("clear")).write(sums_at).params(work.params(0, 0));
            out.push(dispatch.groups(work.blocks_of(sums.shape.numel())).cost(0, sums.bytes()));
            for begin in (0..m).step_by(of_src) {
                work = Work { begin, m: of_src.min(m - begin), ..work };
                work.add(m, out)?;
            }
            if y.dtype != DType::F32 {
                let dispatch = Dispatch::new(work.kernel("round_sums")).read(sums_at).write(rows(io.y(0), wide));
                let dispatch = dispatch.params(work.params(0, 0)).groups(work.blocks_of(sums.shape.numel()));
                let dispatch = dispatch.cost(0, sums.bytes() + (sums.shape.numel() * wide) as u64);
                out.push(if n == self.n { dispatch.finishing() } else { dispatch });
            }
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        Gradients::of([None, Some(at.dy(0).gather_or_zero(self.axis, at.x(0)))])
    }
}

/// How many rows along the axis of `[outer, n, inner]` a binding covers as 32-bit numbers; of several outer ones all.
fn length(desc: &TensorDesc, outer: usize, n: usize, inner: usize, target: &Target) -> Result<usize, Misfit> {
    let row = 4 * inner as u64;
    if outer as u64 * n as u64 * row <= target.max_binding_bytes {
        return Ok(n.max(1));
    }
    let unit = target.aligned_rows(row).max(target.aligned_rows(inner as u64 * desc.dtype.bytes() as u64));
    match (target.max_binding_bytes / row.max(1) / unit * unit) as usize {
        length if outer == 1 && length > 0 => Ok(length.min(n)),
        _ => Err(too_large(&TensorDesc::new(&desc.shape, DType::F32), target)),
    }
}

/// `count` of n rows of a value.
fn part(value: ValueId, first: usize, count: usize, n: usize, row: usize) -> Slice {
    let bytes = (first + count < n).then_some((count * row) as u64);
    Slice { value, offset: (first * row) as u64, bytes }
}

/// Parts of src and of y.
struct Work<'a> {
    io: &'a Io,
    target: &'a Target,
    sums: Slice,
    outer: usize,
    /// The first row of src along the axis, and how many.
    begin: usize,
    m: usize,
    /// The first row of y along the axis, and how many.
    first: usize,
    n: usize,
    inner: usize,
}

impl Work<'_> {
    fn kernel(&self, entry: &'static str) -> Kernel {
        let block = 4 * neighbours(self.target);
        Kernel::new(shader!("scatter_add"), entry, self.io.real()).constant("BLOCK", block as u32)
    }

    /// Workgroups with a thread for every block of so many elements.
    fn blocks_of(&self, count: usize) -> u64 {
        count.div_ceil(64 * 4 * neighbours(self.target)) as u64
    }

    /// Elements of src.
    fn count(&self) -> usize {
        self.outer * self.m * self.inner
    }

    /// Elements of y.
    fn total(&self) -> usize {
        self.outer * self.n * self.inner
    }

    /// The sizes, for a stage that adds up `count` sorted elements (of src where it is 0) in blocks.
    fn params(&self, count: usize, blocks: usize) -> Params {
        let count = if count == 0 { self.count() } else { count };
        Params::new().all([count, self.m, self.n, self.inner, self.total(), LENGTH, blocks, self.first])
    }

    /// Adds the part of src, which has `m` rows in all, to the sums.
    fn add(&self, m: usize, out: &mut Emit) -> Result<(), Misfit> {
        let rows = |value: ValueId, wide: usize| part(value, self.begin, self.m, m, self.inner * wide);
        let wide = self.io.x_desc(1).dtype.bytes();
        let (index, src) = (rows(self.io.x(0), 4), rows(self.io.x(1), wide));
        let (m, columns) = (self.m, self.outer * self.inner);
        let software = self.target.class.is_software();
        let alone = if software { m <= 32_768 } else { m <= 256 || (m <= 16_384 && columns >= 4096) };
        if m > 0 && alone {
            let dispatch = Dispatch::new(self.kernel("columns")).read(index).read(src).write(self.sums);
            let dispatch = dispatch.params(self.params(0, 0)).groups(columns.div_ceil(64) as u64);
            out.push(dispatch.cost((columns * m) as u64, (self.count() * (4 + 2 * wide)) as u64));
        } else if m * columns > 0 {
            self.sort_and_add(index, src, out)?;
        }
        Ok(())
    }

    /// Sorts the elements of src by where they go and adds up the runs of equal targets, stage by stage.
    fn sort_and_add(&self, index: Slice, src: Slice, out: &mut Emit) -> Result<(), Misfit> {
        let (sums, total) = (self.sums, self.total());
        let mut count = self.count();
        let found = out.scratch(TensorDesc::new([count], DType::U32));
        let dispatch = Dispatch::new(self.kernel("find_targets")).read(index).write(found);
        let dispatch = dispatch.params(self.params(0, 0)).groups(self.blocks_of(count));
        out.push(dispatch.cost(0, 8 * count as u64));

        let bits = (usize::BITS - total.leading_zeros()) as usize;
        let [mut targets, order] = Keys { value: found, rows: 1, n: count, bits }.sort(None, self.target, out)?;
        let mut values = None;
        loop {
            let blocks = count.div_ceil(LENGTH);
            if let Some(values) = values.filter(|_| count <= 2 * LENGTH) {
                let dispatch = Dispatch::new(self.kernel("sum_rest")).read(targets).read(values).write(sums);
                out.push(dispatch.params(self.params(count, blocks)).cost(count as u64, 8 * count as u64));
                return Ok(());
            }
            let border_targets = out.scratch(TensorDesc::new([2 * blocks], DType::U32));
            let border_values = out.scratch(TensorDesc::new([2 * blocks], DType::F32));
            let dispatch = match values {
                None => Dispatch::new(self.kernel("sum_sources")).read(src).read(targets).read(order),
                Some(values) => Dispatch::new(self.kernel("sum_borders")).read(targets).read(values),
            };
            let dispatch = dispatch.write(border_targets).write(border_values).write(sums);
            let dispatch = dispatch.params(self.params(count, blocks)).groups(blocks.div_ceil(64) as u64);
            out.push(dispatch.cost(count as u64, 12 * count as u64));
            (targets, values, count) = (border_targets, Some(border_values), 2 * blocks);
        }
    }
}

impl Tensor {
    /// The sums of `src`'s elements by their indices along an axis of size `n`, where this tensor has the indices.
    #[track_caller]
    pub(super) fn scattered(&self, src: &Tensor, axis: usize, n: usize) -> Tensor {
        self.graph().apply1(Scatter { axis, n }, &[self, src])
    }

    /// This tensor with src\[o, k, i\] added to its element \[o, index\[o, k, i\], i\] along dimension `dim`:
    /// `torch.scatter_add`.
    ///
    /// `index` is `u32` with as many dimensions, in each at most as large as `src`, and in each but `dim` at most as
    /// large as this tensor. Elements of equal indices are added in a fixed order, so the result is the same in every
    /// run. An index past the end adds nothing.
    ///
    /// # Gradient
    /// To this tensor as it is, to `src` the elements it was added to.
    ///
    /// # Errors
    /// Recorded in the graph: an index that is not `u32`, shapes that do not lie in each other, mixed element types.
    #[track_caller]
    pub fn scatter_add(&self, dim: isize, index: &Tensor, src: &Tensor) -> Tensor {
        if [self, index, src].iter().any(|tensor| tensor.is_failed()) {
            return self.graph().failed();
        }
        let (shape, small) = (self.shape(), index.shape());
        let checked = shape.axis(dim).and_then(|axis| {
            lies_within(&index.desc(), &shape, axis)?;
            lies_within(&index.desc(), &src.shape(), axis)?;
            if small[axis] > src.shape()[axis] {
                return Err(Misfit::shape(format!("index {small} does not lie in src {}", src.shape())));
            }
            Ok(axis)
        });
        match checked {
            Ok(axis) => {
                let src = src.cropped(&small, axis).slice(axis as isize, ..small[axis]);
                // The part of this tensor that the index reaches, and the rest beside it in each dimension.
                let mut reached = self.clone();
                let mut rests = Vec::new();
                for d in (0..shape.rank()).filter(|&d| d != axis && small[d] < shape[d]) {
                    rests.push((d as isize, reached.slice(d as isize, small[d]..)));
                    reached = reached.slice(d as isize, ..small[d]);
                }
                let sum = &reached + &index.scattered(&src, axis, shape[axis]);
                rests.iter().rev().fold(sum, |inner, (d, rest)| Tensor::concat(&[&inner, rest], *d))
            }
            Err(misfit) => self.mistake("scatter_add", misfit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::tests::Dice;
    use crate::{
        autodiff::gradients,
        kernel::DeviceClass,
        plan::PlanOptions,
        prelude::*,
        testing::{Check, Numbers, context, run, run_on},
    };

    fn check(shapes: [&[usize]; 2], dim: isize, index_shape: &[usize], index: &[u32]) {
        let axis = Shape::from(shapes[0]).axis(dim).unwrap();
        let numbers = Numbers::new(index_shape, index.iter().map(|&i| f64::from(i)).collect());
        Check::new(
            |[x, src]: [Tensor; 2]| x.scatter_add(dim, &x.graph().input_of("index", index_shape, DType::U32), &src),
            |[x, src]| {
                let strides = x.shape().strides();
                let mut data = x.data().to_vec();
                Numbers::from_fn(index_shape, |at| {
                    let mut to = at.to_vec();
                    to[axis] = numbers.at(at) as usize;
                    if to[axis] < shapes[0][axis] {
                        data[to.iter().zip(&strides).map(|(i, stride)| i * stride).sum::<usize>()] += src.at(at);
                    }
                    0.0
                });
                Numbers::new(x.shape(), data)
            },
        )
        .shapes(shapes)
        .index("index", index_shape, index)
        .run();
    }

    #[test]
    fn sources_are_added_where_their_indices_point() {
        check([&[5, 3], &[4, 3]], 0, &[4, 3], &[1, 4, 1, 0, 4, 1, 3, 3, 3, 2, 9, 2]);
        check([&[5, 3], &[5, 4]], -1, &[5, 2], &[2, 2, 0, 1, 0, 0, 3, 1, 1, u32::MAX]);
        check([&[4, 3, 5], &[3, 6, 4]], 1, &[2, 6, 3], &(0..36).map(|i| i * i % 3).collect::<Vec<u32>>());
        check([&[1], &[1]], 0, &[1], &[0]);
        check([&[3], &[2]], 0, &[0], &[]);
        let mut dice = Dice(5);
        for _ in 0..16 {
            let (shape, axis) = dice.shape();
            let m = dice.below(2 * shape[axis]);
            let src = Shape::from(&shape[..]).with(axis, m);
            let index = dice.indices(src.numel(), shape[axis] + 1);
            check([&shape, &src], dice.dim(axis, shape.len()), &src, &index);
        }
    }

    #[test]
    fn many_elements_are_sorted_first() {
        let mut dice = Dice(6);
        for (n, m, columns, end) in [(7, 300, 2, 8), (1, 5000, 1, 1), (900, 4099, 3, 900), (3, 40_001, 1, 2)] {
            let index = dice.indices(m * columns, end);
            for class in [DeviceClass::Software, DeviceClass::Portable] {
                for dtype in [DType::F32, DType::F16] {
                    let graph = Graph::new(Mode::Infer);
                    let x = graph.full([n, columns], 1.0, dtype);
                    let src = graph.input_of("src", [m, columns], dtype);
                    let y = x.scatter_add(0, &graph.input_of("index", [m, columns], DType::U32), &src);
                    // Small whole numbers, whose sums are exact.
                    let numbers: Vec<f32> = (0..m * columns).map(|i| ((i * 7) % 5) as f32 - 2.0).collect();
                    let inputs = [
                        ("src", Array::from_f32_as(dtype, [m, columns], &numbers).unwrap()),
                        ("index", Array::from_u32([m, columns], &index).unwrap()),
                    ];
                    let mut expected = vec![1.0_f32; n * columns];
                    for (e, (&t, number)) in index.iter().zip(&numbers).enumerate() {
                        if (t as usize) < n {
                            expected[t as usize * columns + e % columns] += number;
                        }
                    }
                    let target = context().target().with_class(class);
                    let found = run_on(&graph, &[("y", &y)], &inputs, &target, PlanOptions::default()).unwrap();
                    assert_eq!(found[0].to_f32(), expected, "{class:?} {dtype} {n} {m} {columns}");
                }
            }
        }
    }

    #[test]
    fn sums_do_not_change_from_run_to_run() {
        let (n, m) = (50, 70_001);
        let graph = Graph::new(Mode::Infer);
        let (index, src) = (graph.input_of("index", [m], DType::U32), graph.input("src", [m]));
        let y = graph.full([n], 0.0, DType::F32).scatter_add(0, &index, &src);
        let numbers: Vec<f32> = (0..m).map(|i| (i as f32 * 0.37).sin()).collect();
        let ids = Dice(7).indices(m, n);
        let inputs = [("src", Array::from_f32([m], &numbers).unwrap()), ("index", Array::from_u32([m], &ids).unwrap())];
        let found = [0, 1].map(|_| run(&graph, &[("y", &y)], &inputs).unwrap()[0].to_f32());
        assert_eq!(found[0], found[1]);
        let mut expected = vec![0.0_f64; n];
        ids.iter().zip(&numbers).for_each(|(&id, &number)| expected[id as usize] += f64::from(number));
        for (found, expected) in found[0].iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{found}, not {expected}");
        }
    }

    #[test]
    fn the_second_gradient_is_a_scatter_again() {
        let graph = Graph::new(Mode::Infer);
        let (src, index) = (graph.input("src", [3]), graph.input_of("index", [3], DType::U32));
        let y = graph.full([2], 0.0, DType::F32).scatter_add(0, &index, &src);
        let first = gradients(&y.square().sum_all(), std::slice::from_ref(&src)).remove(0).unwrap();
        let second = gradients(&first.square().sum_all(), &[src]).remove(0).unwrap();
        let inputs = [
            ("src", Array::from_f32([3], &[1.0, 2.0, 4.0]).unwrap()),
            ("index", Array::from_u32([3], &[1, 7, 1]).unwrap()),
        ];
        let found = run(&graph, &[("first", &first), ("second", &second)], &inputs).unwrap();
        assert_eq!(found[0].to_f32(), [10.0, 0.0, 10.0]);
        assert_eq!(found[1].to_f32(), [80.0 / 2.0 * 2.0, 0.0, 80.0]);
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |index: &[usize], src: &[usize], dim| {
            let graph = Graph::new(Mode::Infer);
            let (x, index) = (graph.input("x", [2, 3]), graph.input_of("index", index, DType::U32));
            assert!(x.scatter_add(dim, &index, &graph.input("src", src)).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(
            message(&[3, 3], &[3, 3], 1),
            "scatter_add: index [3, 3] does not lie in shape [2, 3] outside dimension 1"
        );
        assert_eq!(message(&[2, 4], &[2, 3], 1), "scatter_add: index [2, 4] does not lie in src [2, 3]");
        assert_eq!(message(&[2], &[2], 1), "scatter_add: index [2] does not lie in shape [2, 3] outside dimension 1");
        assert_eq!(message(&[2, 3], &[2, 3], -3), "scatter_add: dimension -3 is outside shape [2, 3]");
    }
}
