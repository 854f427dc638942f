//! embedding: y[i] = W[ids[i]], a row of W for each id.

use super::rows::{neighbours};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor, ValueId, fit, too_large},
    kernel::{Dispatch, Kernel, Params, Slice, Target},
    shader,
};

/// What [`Tensor::embedding_with`] may be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Embedding {
    /// The id whose row gets no gradient.
    pub padding_idx: Option<usize>,
}

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (w, ids) = (&inputs[0], &inputs[1]);
        if w.shape.rank() != 2 {
            return Err(Misfit::shape(format!("weight must be [vocabulary, width], not {}", w.shape)));
        }
        if !w.dtype.is_float() {
            return Err(Misfit::dtype(format!("weight must have floating point numbers, not {w}")));
        }
        if ids.dtype != DType::U32 {
            return Err(Misfit::dtype(format!("ids must be u32, not {ids}")));
        }
        if let Some(padding) = self.padding_idx.filter(|&padding| padding >= w.shape[0]) {
            return Err(Misfit::shape(format!("padding_idx {padding} is no row of weight {}", w.shape)));
        }
        let shape: Shape = ids.shape.iter().copied().chain([w.shape[1]]).collect();
        Ok(vec![TensorDesc::new(shape, w.dtype)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![0, inputs[1].shape.rank()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let table = Table::new(io.x_desc(0), io.x_shape(1).numel());
        fit([io.x_desc(1), io.y_desc(0)], target)?;
        for part in table.parts(io.x(0), target)? {
            let block = 4 * neighbours(target);
            let kernel = table.kernel("gather").constant("BLOCK", block as u32);
            let dispatch = Dispatch::new(kernel).read(part.slice).read(io.x(1)).write(io.y(0));
            let dispatch = dispatch.params(table.params(&part).u32(0)).groups(table.groups(block));
            let dispatch = dispatch.cost(0, 2 * io.y_desc(0).bytes() + io.x_desc(1).bytes());
            out.push(dispatch.finishing().storing_vectors(table.is_aligned()));
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let shape = at.x(0).shape();
        let op = EmbeddingGrad { rows: shape[0], width: shape[1], padding_idx: self.padding_idx };
        Gradients::of([Some(at.x(0).graph().apply1(op, &[at.x(1), &at.dy(0)])), None])
    }
}

/// dW[v] = Σ dy[i] over the i with ids[i] = v, from ids and dy, always in the order of i; zero for the padding.
#[derive(Debug)]
struct EmbeddingGrad {
    rows: usize,
    width: usize,
    padding_idx: Option<usize>,
}

impl EmbeddingGrad {
    /// How many ids and their rows are linked and summed together: no more than a binding covers.
    fn longest(dy: &TensorDesc, width: usize, target: &Target) -> Result<usize, Misfit> {
        let row = (width * dy.dtype.bytes()) as u64;
        let step = target.aligned_rows(row).max(target.aligned_rows(4));
        match (target.max_binding_bytes / row.max(4) / step * step) as usize {
            0 => Err(too_large(dy, target)),
            most => Ok(most.min(CHUNK)),
        }
    }
}

impl Op for EmbeddingGrad {
    fn name(&self) -> &'static str {
        "embedding_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new([self.rows, self.width], inputs[1].dtype)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let (count, dtype) = (io.x_shape(0).numel(), io.y_desc(0).dtype);
        let longest = EmbeddingGrad::longest(io.x_desc(1), self.width, target)?;
        let table = Table::new(io.y_desc(0), count.min(longest));
        let parts = table.parts(io.y(0), target)?;
        for part in &parts {
            let vectors = ((part.last * self.width - part.base).div_ceil(4)) as u64;
            let dispatch = Dispatch::new(Kernel::new(shader!("embedding"), "clear", io.real())).write(part.slice);
            let params = Params::new().u32(vectors as usize).all([0; 6]);
            let bytes = ((part.last - part.first) * self.width * dtype.bytes()) as u64;
            out.push(dispatch.params(params).groups(vectors.div_ceil(64 * 4)).cost(0, bytes));
        }

        let heads = out.scratch(TensorDesc::new([self.rows], DType::U32));
        let nexts = out.scratch(TensorDesc::new([table.count], DType::U32));
        for begin in (0..count).step_by(longest) {
            let table = Table::new(io.y_desc(0), (count - begin).min(longest));
            let chunk = |value: ValueId, row: usize| {
                let bytes = (begin + longest < count).then_some((longest * row) as u64);
                Slice { value, offset: (begin * row) as u64, bytes }
            };
            let (ids, dy) = (chunk(io.x(0), 4), chunk(io.x(1), self.width * dtype.bytes()));
            let dispatch = Dispatch::new(Kernel::new(shader!("embedding"), "link", io.real()));
            let params = table.params(&Part { slice: ids, first: 0, last: self.rows, base: 0 });
            let params = params.u32(self.padding_idx.unwrap_or(u32::MAX as usize));
            let dispatch = dispatch.read(ids).write(heads).write(nexts).params(params);
            out.push(dispatch.groups(1).cost(0, 4 * (self.rows + 2 * table.count) as u64));
            for part in &parts {
                let dispatch = Dispatch::new(table.kernel("scatter")).read(ids).read(heads).read(nexts).read(dy);
                let dispatch = dispatch.write(part.slice).params(table.params(part).u32(0)).groups(table.groups(4));
                let numbers = table.count * self.width;
                out.push(dispatch.cost(numbers as u64, (3 * numbers * dtype.bytes() + 8 * table.count) as u64));
            }
        }
        Ok(())
    }

    /// The sums are linear in dy: their gradient looks the rows up again, none for the padding and for ids without
    /// a row.
    fn backward(&self, at: &Backward) -> Gradients {
        let (ids, dw) = (at.x(0), at.dy(0));
        let graph = ids.graph();
        let bound = graph.full_u32([], self.rows as u32);
        let mut counts = ids.lt(&bound);
        if let Some(padding) = self.padding_idx {
            counts = counts.logical_and(&ids.ne(&graph.full_u32([], padding as u32)));
        }
        let rows = dw.embedding(ids).reshape(at.x(1).shape());
        Gradients::of([None, Some(counts.unsqueeze(-1).where_(&rows, &graph.constant(0.0, rows.dtype())))])
    }
}

/// Ids that are linked and summed together. Mesa's software driver ends the loops of a thread after
/// 65,535 rounds in all, without a word, and the same id may come every time.
const CHUNK: usize = 1 << 15;

/// A table of rows of which `count` are looked up.
struct Table {
    desc: TensorDesc,
    rows: usize,
    width: usize,
    count: usize,
}

/// The rows of a table that one binding covers.
struct Part {
    slice: Slice,
    first: usize,
    last: usize,
    /// The element at which the slice begins.
    base: usize,
}

impl Table {
    fn new(desc: &TensorDesc, count: usize) -> Table {
        Table { desc: desc.clone(), rows: desc.shape[0], width: desc.shape[1], count }
    }

    fn kernel(&self, entry: &'static str) -> Kernel {
        Kernel::new(shader!("embedding"), entry, self.desc.dtype).constant("ALIGNED", self.is_aligned().into())
    }

    /// Whether rows are whole vectors.
    fn is_aligned(&self) -> bool {
        self.width.is_multiple_of(4)
    }

    fn params(&self, part: &Part) -> Params {
        Params::new().all([self.count, self.width, self.rows, part.first, part.last, part.base])
    }

    /// Workgroups with a thread for every `block` columns of every id.
    fn groups(&self, block: usize) -> u64 {
        (self.count * self.width.div_ceil(block)).div_ceil(64) as u64
    }

    /// The table in as few parts as bindings allow; each begins at an aligned offset.
    fn parts(&self, value: ValueId, target: &Target) -> Result<Vec<Part>, Misfit> {
        if self.desc.bytes() <= target.max_binding_bytes {
            return Ok(vec![Part { slice: value.into(), first: 0, last: self.rows, base: 0 }]);
        }
        let row_bytes = self.width as u64 * self.desc.dtype.bytes() as u64;
        // Every part begins at a row that lies on the alignment: a multiple of so many rows.
        let step = target.aligned_rows(row_bytes);
        let rows = target.max_binding_bytes / row_bytes / step * step;
        if rows == 0 {
            let limit = target.max_binding_bytes;
            return Err(Misfit::limit(format!(
                "{step} rows of {} exceed one binding of this device, {limit}",
                self.desc
            )));
        }
        let rows = rows as usize;
        let part = |first: usize| {
            let last = (first + rows).min(self.rows);
            let (offset, end) = (first as u64 * row_bytes, (last as u64 * row_bytes).next_multiple_of(16));
            Part { slice: Slice { value, offset, bytes: Some(end - offset) }, first, last, base: first * self.width }
        };
        Ok((0..self.rows).step_by(rows).map(part).collect())
    }
}

impl Tensor {
    /// The row of this `[vocabulary, width]` tensor for each of `ids`, `u32` of any shape:
    /// `[ids…, width]`, `torch.nn.functional.embedding`.
    ///
    /// An id that is not below the vocabulary gives a row of NaN. The gradient adds the rows of equal
    /// ids in a fixed order. The table may exceed one binding of the device.
    ///
    /// # Gradient
    /// To the rows that were looked up.
    ///
    /// # Errors
    /// Recorded in the graph: a weight that is not `[vocabulary, width]`, ids that are not `u32`.
    #[track_caller]
    pub fn embedding(&self, ids: &Tensor) -> Tensor {
        self.embedding_with(ids, Embedding::default())
    }

    /// [`embedding`](Tensor::embedding) with options, as `torch.nn.functional.embedding(padding_idx=…)`: the row of
    /// `padding_idx` gets no gradient.
    ///
    /// # Gradient
    /// To the rows that were looked up, but for that of `padding_idx`.
    ///
    /// # Errors
    /// Recorded in the graph: those of [`embedding`](Tensor::embedding), or a `padding_idx` that is no row.
    #[track_caller]
    pub fn embedding_with(&self, ids: &Tensor, options: Embedding) -> Tensor {
        self.graph().apply1(options, &[self, ids])
    }

    /// Σ dy\[i\] over the i at which this tensor of ids is v, for each of `rows` v: `[rows, width]` from
    /// `[count, width]`.
    #[track_caller]
    pub(super) fn summed_rows(&self, dy: &Tensor, rows: usize) -> Tensor {
        let op = EmbeddingGrad { rows, width: dy.shape()[1], padding_idx: None };
        self.graph().apply1(op, &[self, dy])
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        autodiff::gradients,
        kernel::{DeviceClass, Target},
        ops::Embedding,
        plan::PlanOptions,
        prelude::*,
        testing::{Check, Numbers, context, run, run_on},
    };

    fn check(shape: [usize; 2], ids_shape: &[usize], ids: &[u32]) {
        Check::new(
            |[w]: [Tensor; 1]| w.embedding(&w.graph().input_of("ids", ids_shape, DType::U32)),
            |[w]| {
                let rows = ids.iter().flat_map(|&id| (0..shape[1]).map(move |e| (id as usize, e)));
                let shape: Vec<usize> = ids_shape.iter().copied().chain([shape[1]]).collect();
                Numbers::new(shape, rows.map(|(id, e)| w.at(&[id, e])).collect())
            },
        )
        .shapes([shape])
        .index("ids", ids_shape, ids)
        .run();
    }

    #[test]
    fn rows_are_looked_up_and_their_gradients_added() {
        check([5, 3], &[4], &[1, 4, 1, 0]);
        check([5, 4], &[2, 3], &[1, 4, 1, 0, 1, 1]);
        check([1, 1], &[1], &[0]);
        check([7, 6], &[], &[6]);
        check([3, 8], &[2, 1, 2], &[2, 2, 2, 2]);
        let many: Vec<u32> = (0..600).map(|i| i * i % 37).collect();
        check([37, 33], &[600], &many);
        check([40, 20], &[3, 200], &many);
    }

    #[test]
    fn equal_ids_are_added_in_the_same_order_every_time() {
        let graph = Graph::new(Mode::Infer);
        let (w, ids) = (graph.input("w", [4, 5]), graph.input_of("ids", [1000], DType::U32));
        let weight = graph.input("weight", [1000, 5]);
        let loss = w.embedding(&ids).mul(&weight).sum_all();
        let dw = gradients(&loss, &[w]).remove(0).unwrap();
        let numbers: Vec<f32> = (0..5000).map(|i| ((i * 31) % 997) as f32 * 1e-3 + 1.0).collect();
        let ids: Vec<u32> = (0..1000).map(|i| i % 3).collect();
        let inputs = [
            ("ids", Array::from_u32([1000], &ids).unwrap()),
            ("weight", Array::from_f32([1000, 5], &numbers).unwrap()),
        ];
        let first = run(&graph, &[("dw", &dw)], &inputs).unwrap()[0].to_f32();
        assert_eq!(first, run(&graph, &[("dw", &dw)], &inputs).unwrap()[0].to_f32());
        for e in 0..5 {
            let exact: f64 = (0..1000).filter(|i| i % 3 == 0).map(|i| f64::from(numbers[i * 5 + e])).sum();
            assert!((f64::from(first[e]) / exact - 1.0).abs() < 1e-6);
            assert_eq!(first[15 + e], 0.0);
        }
    }

    #[test]
    fn ids_past_the_vocabulary_give_nan_and_no_gradient() {
        for width in [3, 4] {
            let graph = Graph::new(Mode::Infer);
            let (w, ids) = (graph.input("w", [2, width]), graph.input_of("ids", [3], DType::U32));
            let y = w.embedding(&ids);
            let dw = gradients(&y.sum_all(), &[w]).remove(0).unwrap();
            let inputs = [
                ("w", Array::from_f32([2, width], &vec![1.0; 2 * width]).unwrap()),
                ("ids", Array::from_u32([3], &[1, 2, u32::MAX]).unwrap()),
            ];
            let found = run(&graph, &[("y", &y), ("dw", &dw)], &inputs).unwrap();
            let y = found[0].to_f32();
            assert!(y[..width].iter().all(|&y| y == 1.0) && y[width..].iter().all(|y| y.is_nan()), "{y:?}");
            assert_eq!(found[1].to_f32(), [vec![0.0; width], vec![1.0; width]].concat());
        }
    }

    #[test]
    fn tables_larger_than_a_binding_are_bound_in_parts() {
        for (class, shape, dtype) in [DeviceClass::Software, DeviceClass::Portable]
            .into_iter()
            .flat_map(|class| [[300, 5], [300, 8]].map(|shape| (class, shape)))
            .flat_map(|(class, shape)| [DType::F32, DType::F16].map(|dtype| (class, shape, dtype)))
        {
            let whole = context().target().with_class(class);
            if dtype == DType::F16 && !whole.f16 {
                continue;
            }
            let graph = Graph::new(Mode::Infer);
            let (w, ids) = (graph.input_of("w", shape, dtype), graph.input_of("ids", [40], DType::U32));
            let y = w.embedding(&ids);
            let dw = gradients(&y.cast(DType::F32).square().sum_all(), &[w]).remove(0).unwrap();
            let ids: Vec<u32> = (0..40).map(|i| if i == 7 { 300 } else { i * i * 13 % 300 }).collect();
            let numbers: Vec<f32> = (0..300 * shape[1]).map(|i| (i % 57) as f32).collect();
            let inputs = [
                ("w", Array::from_f32_as(dtype, shape, &numbers).unwrap()),
                ("ids", Array::from_u32([40], &ids).unwrap()),
            ];
            let results = [2560, whole.max_binding_bytes].map(|max_binding_bytes| {
                let target = Target { max_binding_bytes, ..whole.clone() };
                let found =
                    run_on(&graph, &[("y", &y), ("dw", &dw)], &inputs, &target, PlanOptions::default()).unwrap();
                found.iter().flat_map(Array::to_f32).map(f32::to_bits).collect::<Vec<u32>>()
            });
            assert!(results[0] == results[1], "{class:?} {shape:?} {dtype}");
        }
    }

    #[test]
    fn the_padding_gets_no_gradient() {
        let ids = [1, 4, 1, 0, 4, 2, 1];
        for (class, padding) in [(DeviceClass::Software, 4), (DeviceClass::Portable, 1)] {
            let graph = Graph::new(Mode::Infer);
            let (w, index) = (graph.input("w", [5, 3]), graph.input_of("ids", [7], DType::U32));
            let y = w.embedding_with(&index, Embedding { padding_idx: Some(padding) });
            let dw = gradients(&y.square().sum_all(), std::slice::from_ref(&w)).remove(0).unwrap();
            let ddw = gradients(&dw.square().sum_all(), std::slice::from_ref(&w)).remove(0).unwrap();
            let numbers: Vec<f32> = (0..15).map(|i| i as f32 - 3.0).collect();
            let inputs =
                [("w", Array::from_f32([5, 3], &numbers).unwrap()), ("ids", Array::from_u32([7], &ids).unwrap())];
            let outputs = [("y", &y), ("dw", &dw), ("ddw", &ddw)];
            let target = context().target().with_class(class);
            let found = run_on(&graph, &outputs, &inputs, &target, PlanOptions::default()).unwrap();
            let row = |v: u32| (0..3).map(move |e| (v as usize, e));
            let looked_up: Vec<f32> = ids.iter().flat_map(|&id| row(id)).map(|(v, e)| numbers[3 * v + e]).collect();
            assert_eq!(found[0].to_f32(), looked_up);
            let count = |v: usize| ids.iter().filter(|&&id| id as usize == v && v != padding).count() as f32;
            // dW = 2·count·W, and the gradient of its squares 8·count²·W.
            let slopes = |f: fn(f32) -> f32| -> Vec<f32> { (0..15).map(|i| f(count(i / 3)) * numbers[i]).collect() };
            assert_eq!(found[1].to_f32(), slopes(|count| 2.0 * count));
            assert_eq!(found[2].to_f32(), slopes(|count| 8.0 * count * count));
        }
        let graph = Graph::new(Mode::Infer);
        let ids = graph.input_of("ids", [2], DType::U32);
        graph.input("w", [5, 3]).embedding_with(&ids, Embedding { padding_idx: Some(5) });
        assert_eq!(graph.check().unwrap_err().message(), "embedding: padding_idx 5 is no row of weight [5, 3]");
    }

    #[test]
    fn no_ids_give_no_rows() {
        let graph = Graph::new(Mode::Infer);
        let (w, ids) = (graph.input("w", [3, 2]), graph.input_of("ids", [0], DType::U32));
        let y = w.embedding(&ids);
        let dw = gradients(&y.sum_all(), &[w]).remove(0).unwrap();
        let found = run(&graph, &[("dw", &dw)], &[]).unwrap();
        assert_eq!(found[0].to_f32(), [0.0; 6]);
        assert_eq!(y.shape(), Shape::from([0, 2]));
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |weight: &[usize], dtype: DType| {
            let graph = Graph::new(Mode::Infer);
            graph.input("w", weight).embedding(&graph.input_of("ids", [3], dtype));
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(message(&[4], DType::U32), "embedding: weight must be [vocabulary, width], not [4]");
        assert_eq!(message(&[4, 2], DType::F32), "embedding: ids must be u32, not f32[3]");
    }
}
