//! sort: the elements along a dimension in ascending or descending order, stable, by a radix sort on the device.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Emit, Io, Op, Tensor, ValueId, fit},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};

/// Rows up to here are sorted by counting, for each element, those that stand before it; on GPUs up to the second,
/// and up to the third in workgroup memory.
const SHORT: [usize; 3] = [128, 32, 1024];

/// The order of the last dimension.
#[derive(Debug)]
struct Argsort {
    descending: bool,
}

impl Op for Argsort {
    fn name(&self) -> &'static str {
        "argsort"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        inputs[0].shape.axis(-1)?;
        Ok(vec![TensorDesc::new(&inputs[0].shape, DType::U32)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![inputs[0].shape.rank() - 1])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let (x, shape) = (io.x_desc(0), io.x_shape(0));
        let n = shape[shape.rank() - 1];
        let rows = shape[..shape.rank() - 1].iter().product();
        // Widened to 32 bits, numbers of 16 have their lowest bits in common.
        let drop = if x.dtype == DType::F16 { 13 } else { 0 };
        let keys = out.scratch(TensorDesc::new([rows, n], DType::U32));
        let entry = if x.dtype == DType::U32 { "find_index_keys" } else { "find_keys" };
        let invert = if self.descending { u32::MAX } else { 0 };
        let params = Params::new().all([rows, n, 0, 0, 0]).bits(invert).u32(drop);
        let dispatch = Dispatch::new(Kernel::new(shader!("sort"), entry, io.real())).read(io.x(0)).write(keys);
        out.push(dispatch.params(params).groups(shape.numel().div_ceil(64 * 4) as u64).cost(0, io.bytes()));
        Keys { value: keys, rows, n, bits: 32 - drop }.sort(Some(io.y(0)), target, out).map(|_| ())
    }
}

/// Rows of `u32` keys of which the lowest `bits` count.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub value: ValueId,
    pub rows: usize,
    pub n: usize,
    pub bits: usize,
}

impl Keys {
    /// Adds the dispatches that sort each row.
    ///
    /// Where the order is asked for `into` a value, that is all there is; else the sorted keys and the order are
    /// returned.
    pub fn sort(self, into: Option<ValueId>, target: &Target, out: &mut Emit) -> Result<[ValueId; 2], Misfit> {
        let Keys { value, rows, n, .. } = self;
        let desc = TensorDesc::new([rows, n], DType::U32);
        if let (Some(dispatch), Some(order)) = (self.short(target), into) {
            out.push(dispatch.read(value).write(order).params(Params::new().all([rows, n, 0, 0, 0, 0, 0])));
            return Ok([value, order]);
        }
        let spread = Spread::new(rows, n, target);
        let table = TensorDesc::new([rows, spread.digits(), spread.blocks], DType::U32);
        fit([&desc, &table], target)?;
        let counts = out.scratch(table.clone());
        let totals = out.scratch(TensorDesc::new([rows, spread.digits()], DType::U32));
        let keys = [value, out.scratch(desc.clone())];
        let orders = [0; 2].map(|_| out.scratch(desc.clone()));
        let [count, scan, scatter] = spread.entries();
        let kernel = |entry| Keys::kernel(entry).constant("DIGITS", spread.digits() as u32);
        let passes = self.bits.div_ceil(spread.digit_bits).max(1);
        for pass in 0..passes {
            let params = Params::new().all([rows, n, spread.blocks, spread.length, pass * spread.digit_bits, 0, 0]);
            let (from, to) = (keys[pass % 2], keys[(pass + 1) % 2]);
            let dispatch = Dispatch::new(kernel(count)).read(from).write(counts).params(params.clone());
            out.push(dispatch.groups(spread.groups()).cost(0, desc.bytes() + table.bytes()));

            let dispatch = Dispatch::new(kernel(scan)).write(counts).write(totals).params(params.clone());
            out.push(dispatch.groups(spread.scan_groups()).cost(0, 2 * table.bytes()));

            // The first pass has no order yet; it binds the keys in its place.
            let before = if pass == 0 { from } else { orders[pass % 2] };
            let after = into.filter(|_| pass + 1 == passes).unwrap_or(orders[(pass + 1) % 2]);
            let dispatch = Dispatch::new(kernel(scatter).constant("FIRST", (pass == 0).into()));
            let dispatch = dispatch.read(from).read(before).read(counts).read(totals).write(to).write(after);
            let dispatch = dispatch.params(params).groups(spread.groups());
            out.push(dispatch.cost(0, 4 * desc.bytes() + table.bytes()));
        }
        Ok([keys[passes % 2], into.unwrap_or(orders[passes % 2])])
    }

    /// The dispatch that sorts short rows at once.
    fn short(&self, target: &Target) -> Option<Dispatch> {
        let Keys { rows, n, .. } = *self;
        let [software, gpu, shared] = SHORT;
        let bytes = 8 * (rows * n) as u64;
        if n <= if target.class.is_software() { software } else { gpu } {
            let dispatch = Dispatch::new(Keys::kernel("rank")).groups((rows * n).div_ceil(64) as u64);
            Some(dispatch.cost((rows * n * n) as u64, bytes))
        } else if n <= shared && !target.class.is_software() {
            let width = n.next_power_of_two();
            let kernel = Keys::kernel("network").constant("WIDTH", width as u32);
            let steps = (width.ilog2() * (width.ilog2() + 1) / 2) as usize;
            let dispatch = Dispatch::new(kernel).groups(rows.div_ceil(1024 / width) as u64);
            Some(dispatch.cost((rows * width / 2 * steps) as u64, bytes))
        } else {
            None
        }
    }

    fn kernel(entry: &'static str) -> Kernel {
        Kernel::new(shader!("sort"), entry, DType::F32)
    }
}

/// How rows are cut into blocks whose elements are counted and moved together.
struct Spread {
    /// Whether a workgroup shares a block; else a thread has it for itself.
    shared: bool,
    digit_bits: usize,
    rows: usize,
    blocks: usize,
    length: usize,
}

impl Spread {
    fn new(rows: usize, n: usize, target: &Target) -> Spread {
        if !target.class.is_software() {
            return Spread { shared: true, digit_bits: 4, rows, blocks: n.div_ceil(2048), length: 2048 };
        }
        // About 256 threads in all, of as many elements as digits have values up to what a thread may go through.
        let length = (n * rows).div_ceil(256).clamp(256, 16_384).min(n);
        // Counting more digits than there are elements would take longer than more passes.
        let digit_bits = if n < 512 { 4 } else { 8 };
        Spread { shared: false, digit_bits, rows, blocks: n.div_ceil(length), length }
    }

    fn digits(&self) -> usize {
        1 << self.digit_bits
    }

    /// The kernels that count digits, add the counts up, and move the elements.
    fn entries(&self) -> [&'static str; 3] {
        match (self.shared, self.scans_shared()) {
            (false, _) => ["count", "scan", "scatter"],
            (true, false) => ["count_shared", "scan", "scatter_shared"],
            (true, true) => ["count_shared", "scan_shared", "scatter_shared"],
        }
    }

    fn scans_shared(&self) -> bool {
        self.shared && self.blocks > 64
    }

    fn groups(&self) -> u64 {
        let blocks = (self.rows * self.blocks) as u64;
        if self.shared { blocks } else { blocks.div_ceil(64) }
    }

    fn scan_groups(&self) -> u64 {
        let rows = (self.rows * self.digits()) as u64;
        if self.scans_shared() { rows } else { rows.div_ceil(64) }
    }
}

impl Tensor {
    /// The indices that sort this tensor along `dim`, `u32` of its shape: `torch.argsort(stable=True)`.
    ///
    /// Equal elements (also −0 and 0) keep their order in both directions; NaN is larger than every number. Indices
    /// sort too. It has no gradient.
    ///
    /// # Gradient
    /// None: indices have no gradient.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist.
    #[track_caller]
    pub fn argsort(&self, dim: isize, descending: bool) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        match shape.axis(dim) {
            Ok(axis) if axis + 1 == shape.rank() => self.graph().apply1(Argsort { descending }, &[self]),
            Ok(_) => self.transpose(dim, -1).argsort(-1, descending).transpose(dim, -1),
            Err(misfit) => self.mistake("argsort", misfit),
        }
    }

    /// The elements sorted along `dim` and their indices: `torch.sort(stable=True)`.
    ///
    /// Equal elements (also −0 and 0) keep their order in both directions; NaN is larger than every number. Indices
    /// sort too.
    ///
    /// ```
    /// # use wgrad::prelude::*;
    /// let graph = Graph::new(Mode::Infer);
    /// let (values, indices) = graph.input("x", [8, 100]).sort(-1, true);
    /// assert_eq!((values.shape(), indices.dtype()), ([8, 100].into(), DType::U32));
    /// ```
    ///
    /// # Gradient
    /// Each element's to where it came from.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist.
    #[track_caller]
    pub fn sort(&self, dim: isize, descending: bool) -> (Tensor, Tensor) {
        let order = self.argsort(dim, descending);
        let Ok(axis) = self.axis_of(&order, dim) else { return (order.clone(), order) };
        (self.gather_distinct(axis, &order), order)
    }

    /// The `k` largest (or smallest) elements along `dim`, sorted, and their indices: `torch.topk`.
    ///
    /// Of equal elements those with lower indices come first; NaN is larger than every number.
    ///
    /// # Gradient
    /// Each element's to where it came from, zero to all others.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist, or has fewer than `k` elements.
    #[track_caller]
    pub fn topk(&self, k: usize, dim: isize, largest: bool) -> (Tensor, Tensor) {
        let order = self.argsort(dim, largest);
        let Ok(axis) = self.axis_of(&order, dim) else { return (order.clone(), order) };
        let n = self.shape()[axis];
        if k > n {
            let reason = format!("k = {k} is more than the {n} elements along dimension {dim} of shape {}", self.shape());
            let failed = self.mistake("topk", Misfit::shape(reason));
            return (failed.clone(), failed);
        }
        let indices = order.slice(dim, ..k);
        (self.gather_distinct(axis, &indices), indices)
    }

    /// The axis a dimension is, unless the order of it is a mistake already.
    fn axis_of(&self, order: &Tensor, dim: isize) -> Result<usize, Misfit> {
        if order.is_failed() { Err(Misfit::shape("failed")) } else { self.shape().axis(dim) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        gather::tests::Dice,
        map::tests::{INFINITY, NAN, NEG_INFINITY},
        rows::map_rows,
    };
    use crate::{
        autodiff::gradients,
        kernel::DeviceClass,
        plan::PlanOptions,
        prelude::*,
        testing::{Check, context, run, run_on},
    };
    use std::cmp::Ordering;

    /// NaN above all others and equal to itself, −0 equal to 0.
    fn compare(a: f64, b: f64) -> Ordering {
        a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    }

    fn order(row: &[f64], descending: bool) -> Vec<usize> {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&a, &b| if descending { compare(row[b], row[a]) } else { compare(row[a], row[b]) });
        order
    }

    fn sorted(row: &[f64], descending: bool) -> Vec<f64> {
        order(row, descending).into_iter().map(|i| row[i]).collect()
    }

    #[test]
    fn values_along_every_dimension() {
        for (dim, descending) in [(0, false), (1, true), (-1, false), (-1, true)] {
            Check::new(
                |[x]: [Tensor; 1]| x.sort(dim, descending).0,
                |[x]| map_rows(&x, dim, |row| sorted(row, descending)),
            )
            .shapes([[3, 5, 4]])
            .shapes([[1, 1, 1]])
            .shapes([[0, 2, 3]])
            .run();
            Check::new(
                |[x]: [Tensor; 1]| x.sort(dim, descending).0,
                |[x]| map_rows(&x, dim, |row| sorted(row, descending)),
            )
            .shapes([[2, 300, 3]])
            .shapes([[3, 2, 2051]])
            .no_gradient()
            .run();
        }
    }

    #[test]
    fn random_shapes_are_sorted() {
        let mut dice = Dice(8);
        for case in 0..12 {
            let (shape, axis) = dice.shape();
            let (dim, descending, k) = (dice.dim(axis, shape.len()), case % 2 == 0, dice.below(shape[axis] + 1));
            let take = |row: &[f64]| sorted(row, descending)[..k].to_vec();
            Check::new(|[x]: [Tensor; 1]| x.topk(k, dim, descending).0, |[x]| map_rows(&x, dim, take))
                .shapes([&shape[..]])
                .run();
        }
    }

    /// Rows with duplicates, NaN, infinities, zeros of both signs and denormals among other numbers.
    fn hostile(count: usize, seed: u64) -> Vec<f32> {
        let mut dice = Dice(seed);
        let special = [NAN, INFINITY, NEG_INFINITY, 0.0, -0.0, 1e-40, -1e-40, -NAN, 1.0, -1.0];
        let number = |dice: &mut Dice| match dice.below(4) {
            0 => special[dice.below(special.len())],
            1 => dice.below(20) as f32 - 10.0,
            _ => dice.below(1 << 20) as f32 / 4096.0 - 128.0,
        };
        (0..count).map(|_| number(&mut dice)).collect()
    }

    fn check_order(rows: usize, n: usize, dtype: DType, class: DeviceClass) {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input_of("x", [rows, n], dtype);
        let (up, down) = (x.sort(-1, false), x.sort(-1, true));
        let outputs = [("up", &up.0), ("up_order", &up.1), ("down", &down.0), ("down_order", &down.1)];
        let array = Array::from_f32_as(dtype, [rows, n], &hostile(rows * n, n as u64)).unwrap();
        let numbers: Vec<f64> = array.to_f32().into_iter().map(f64::from).collect();
        let target = context().target().with_class(class);
        // Of nothing nothing is computed.
        let inputs = if n == 0 { Vec::new() } else { vec![("x", array)] };
        let found = run_on(&graph, &outputs, &inputs, &target, PlanOptions::default()).unwrap();
        for (i, descending) in [(0, false), (2, true)] {
            let (values, indices) = (found[i].to_f32(), found[i + 1].to_u32());
            for r in 0..rows {
                let row = &numbers[r * n..(r + 1) * n];
                let expected = order(row, descending);
                let indices = &indices[r * n..(r + 1) * n];
                assert!(indices.iter().map(|&k| k as usize).eq(expected.iter().copied()), "{class:?} {dtype} {n} {r}");
                for (value, &k) in values[r * n..(r + 1) * n].iter().zip(&expected) {
                    let same = value.is_nan() && row[k].is_nan() || f64::from(*value) == row[k];
                    assert!(same, "{class:?} {dtype} {n}: {value}, not {}", row[k]);
                }
            }
        }
    }

    #[test]
    fn any_length_and_any_numbers() {
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            for dtype in [DType::F32, DType::F16] {
                let sizes = [(3, 0), (3, 1), (700, 2), (5, 128), (5, 129), (300, 17), (9, 33), (7, 512), (4, 1000), (2, 1025), (1, 70_001)];
                for (rows, n) in sizes {
                    check_order(rows, n, dtype, class);
                }
            }
        }
    }

    #[test]
    fn more_blocks_than_one_thread_adds_up() {
        check_order(1, 65 * 2048 + 5, DType::F32, DeviceClass::Portable);
        check_order(1, 700_003, DType::F32, DeviceClass::Software);
    }

    #[test]
    fn more_groups_than_one_dimension_has() {
        check_order(131_101, 32, DType::F16, DeviceClass::Portable);
    }

    #[test]
    fn gradients_go_where_elements_came_from() {
        // Differences are no derivatives where neighbours change places.
        let shape = [3, 2051, 2];
        let numbers = hostile(shape.iter().product(), 5);
        let weights: Vec<f32> = (0..700 * 6).map(|i| i as f32).collect();
        let graph = Graph::new(Mode::Infer);
        let (x, w) = (graph.input("x", shape), graph.input("w", [3, 700, 2]));
        let loss = (x.topk(700, 1, true).0 * &w).sum_all();
        let dx = gradients(&loss, std::slice::from_ref(&x)).remove(0).unwrap();
        let mut expected = vec![0.0; numbers.len()];
        for row in 0..6 {
            let place = |k: usize, n: usize| (row / 2 * n + k) * 2 + row % 2;
            let values: Vec<f64> = (0..2051).map(|k| f64::from(numbers[place(k, 2051)])).collect();
            for (j, &k) in order(&values, true)[..700].iter().enumerate() {
                expected[place(k, 2051)] = weights[place(j, 700)];
            }
        }
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            let inputs = [
                ("x", Array::from_f32(shape, &numbers).unwrap()),
                ("w", Array::from_f32([3, 700, 2], &weights).unwrap()),
            ];
            let target = context().target().with_class(class);
            let found = run_on(&graph, &[("dx", &dx)], &inputs, &target, PlanOptions::default()).unwrap();
            assert_eq!(found[0].to_f32(), expected, "{class:?}");
        }
    }

    #[test]
    fn indices_sort_too() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input_of("x", [2, 300], DType::U32);
        let (values, order) = x.sort(1, true);
        let numbers: Vec<u32> = (0..600_u32).map(|i| i.wrapping_mul(0x9E37_79B9) >> (i % 9)).collect();
        let array = Array::from_u32([2, 300], &numbers).unwrap();
        let found = run(&graph, &[("values", &values), ("order", &order)], &[("x", array)]).unwrap();
        for r in 0..2 {
            let row = &numbers[300 * r..300 * (r + 1)];
            let mut expected: Vec<usize> = (0..300).collect();
            expected.sort_by_key(|&k| std::cmp::Reverse(row[k]));
            assert!(expected.iter().map(|&k| k as u32).eq(found[1].to_u32()[300 * r..300 * (r + 1)].iter().copied()));
            assert!(expected.iter().map(|&k| row[k]).eq(found[0].to_u32()[300 * r..300 * (r + 1)].iter().copied()));
        }
    }

    #[test]
    fn the_second_gradient_follows_the_order() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [3]);
        let top = x.topk(2, 0, true).0;
        let first = gradients(&(&top * &top * &top).sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
        let second = gradients(&first.sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
        let array = Array::from_f32([3], &[2.0, 1.0, 5.0]).unwrap();
        let found = run(&graph, &[("first", &first), ("second", &second)], &[("x", array)]).unwrap();
        assert_eq!(found[0].to_f32(), [12.0, 0.0, 75.0]);
        assert_eq!(found[1].to_f32(), [12.0, 0.0, 30.0]);
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |mistake: &dyn Fn(&Tensor) -> (Tensor, Tensor)| {
            let graph = Graph::new(Mode::Infer);
            assert!(mistake(&graph.input("x", [2, 3])).0.is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(message(&|x| x.sort(2, false)), "argsort: dimension 2 is outside shape [2, 3]");
        assert_eq!(
            message(&|x| x.topk(4, 1, true)),
            "topk: k = 4 is more than the 3 elements along dimension 1 of shape [2, 3]"
        );
    }
}
