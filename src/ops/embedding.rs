//! embedding: y[i] = W[ids[i]], a row of W for each id.

use super::rows::too_large;
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor, ValueId},
    kernel::{Dispatch, Kernel, Params, Slice, Target},
    shader,
};

#[derive(Debug)]
struct Embedding;

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
        let shape: Shape = ids.shape.iter().copied().chain([w.shape[1]]).collect();
        Ok(vec![TensorDesc::new(shape, w.dtype)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let table = Table::new(io.x_desc(0), io.x_shape(1).numel());
        Table::fits(&[io.x_desc(1), io.y_desc(0)], target)?;
        for part in table.parts(io.x(0), target)? {
            let dispatch = Dispatch::new(table.kernel("gather")).read(part.slice).read(io.x(1)).write(io.y(0));
            let dispatch = dispatch.params(table.params(&part)).groups(table.groups());
            out.push(dispatch.cost(0, 2 * io.y_desc(0).bytes() + io.x_desc(1).bytes()).finishing());
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let shape = at.x(0).shape();
        let op = EmbeddingGrad { rows: shape[0], width: shape[1] };
        Gradients::of([Some(at.x(0).graph().apply1(op, &[at.x(1), &at.dy(0)])), None])
    }
}

/// dW[v] = Σ dy[i] over the i with ids[i] = v, from ids and dy, always in the order of i.
#[derive(Debug)]
struct EmbeddingGrad {
    rows: usize,
    width: usize,
}

impl Op for EmbeddingGrad {
    fn name(&self) -> &'static str {
        "embedding_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new([self.rows, self.width], inputs[1].dtype)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let count = io.x_shape(0).numel();
        let table = Table::new(io.y_desc(0), count);
        Table::fits(&[io.x_desc(0), io.x_desc(1)], target)?;
        let links = out.scratch(TensorDesc::new([count, 2], DType::U32));
        let dispatch = Dispatch::new(Kernel::new(shader!("embedding"), "link", io.real())).read(io.x(0)).write(links);
        let params = table.params(&Part { slice: io.x(0).into(), first: 0, last: self.rows, base: 0 });
        let pairs = (count as u64).pow(2);
        out.push(dispatch.params(params).groups(count.div_ceil(64) as u64).cost(pairs, 12 * count as u64));

        for part in table.parts(io.y(0), target)? {
            let vectors = ((part.last * self.width - part.base).div_ceil(4)) as u64;
            let dispatch = Dispatch::new(Kernel::new(shader!("embedding"), "clear", io.real())).write(part.slice);
            let params = Params::new().u32(vectors as usize).all([0; 5]);
            let bytes = ((part.last - part.first) * self.width * io.y_desc(0).dtype.bytes()) as u64;
            out.push(dispatch.params(params).groups(vectors.div_ceil(64 * 4)).cost(0, bytes));
        }
        for part in table.parts(io.y(0), target)? {
            let dispatch = Dispatch::new(table.kernel("scatter")).read(io.x(0)).read(links).read(io.x(1));
            let dispatch = dispatch.write(part.slice).params(table.params(&part)).groups(table.groups());
            out.push(dispatch.cost(io.x_shape(1).numel() as u64, 2 * io.x_desc(1).bytes() + io.x_desc(0).bytes()));
        }
        Ok(())
    }
}

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
        let aligned = self.width.is_multiple_of(4);
        Kernel::new(shader!("embedding"), entry, self.desc.dtype).constant("ALIGNED", aligned.into())
    }

    fn params(&self, part: &Part) -> Params {
        Params::new().all([self.count, self.width, self.rows, part.first, part.last, part.base])
    }

    /// Workgroups with a thread for four columns of every id.
    fn groups(&self) -> u64 {
        (self.count * self.width.div_ceil(4)).div_ceil(64) as u64
    }

    /// Refuses what must be bound whole but cannot be.
    fn fits(descs: &[&TensorDesc], target: &Target) -> Result<(), Misfit> {
        descs.iter().find(|desc| desc.bytes() > target.max_binding_bytes).map_or(Ok(()), |desc| Err(too_large(desc, target)))
    }

    /// The table in as few parts as bindings allow; each begins at an aligned offset.
    fn parts(&self, value: ValueId, target: &Target) -> Result<Vec<Part>, Misfit> {
        if self.desc.bytes() <= target.max_binding_bytes {
            return Ok(vec![Part { slice: value.into(), first: 0, last: self.rows, base: 0 }]);
        }
        let row_bytes = self.width as u64 * self.desc.dtype.bytes() as u64;
        // Every part begins at a row that lies on the alignment: a multiple of so many rows.
        let step = target.offset_alignment / gcd(target.offset_alignment, row_bytes);
        let rows = target.max_binding_bytes / row_bytes / step * step;
        if rows == 0 {
            let limit = target.max_binding_bytes;
            return Err(Misfit::limit(format!("{step} rows of {} exceed one binding of this device, {limit}", self.desc)));
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

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Tensor {
    /// The row of this `[vocabulary, width]` tensor for each of `ids`, `u32` of any shape:
    /// `[ids…, width]`, `torch.nn.functional.embedding`.
    ///
    /// An id that is not below the vocabulary gives a row of NaN. The gradient adds rows in a fixed
    /// order; it compares every id with every other. The table may exceed one binding of the device.
    #[track_caller]
    pub fn embedding(&self, ids: &Tensor) -> Tensor {
        self.graph().apply1(Embedding, &[self, ids])
    }
}
