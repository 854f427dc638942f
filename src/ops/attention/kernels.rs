//! Which kernels compute attention and its gradients, and their dispatches.

use super::{Attend, Pass, sizes};
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Emit, Io, Op, fit, too_large},
    kernel::{Dispatch, Kernel, Params, Slice, Target},
    shader,
};

/// Iterations of all its loops that one thread may make on Mesa's software driver, which stops them without a word.
const MOST_ITERATIONS: usize = 65_000;

/// Columns of a tile.
const SIDE: usize = 64;

/// The elements from one batch, head and row to the next.
fn steps(shape: &[usize], heads_last: bool) -> [usize; 4] {
    let [_, heads, rows, width] = sizes(shape, heads_last);
    let (head, row) = if heads_last { (width, heads * width) } else { (rows * width, width) };
    [heads * rows * width, head, row, 1]
}

impl Attend {
    pub(super) fn dispatch(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let [q, k, v] = [0, 1, 2].map(|i| io.x_shape(i));
        let [batches, heads, queries, width] = sizes(q, self.heads_last);
        let [_, kv_heads, keys, value_width] = sizes(v, self.heads_last);
        if (0..io.outputs.len()).all(|i| io.y_shape(i).numel() == 0) {
            return Ok(());
        }
        let sharing = heads / kv_heads.max(1);
        let rows = if self.pass == Pass::KeysAndValues { keys } else { queries };
        let (blocks, height) = match (target.class.is_software(), rows) {
            (false, _) => (1, 32),
            (true, 0..=4) => (1, 4),
            (true, _) => (4, 16),
        };
        let tiles = rows.div_ceil(height);
        let both = (width + value_width).div_ceil(4);
        let bias = if self.bias { io.x_shape(self.bias_input()).to_vec() } else { vec![1; 4] };
        let [bias_batches, bias_heads, bias_queries, _] = [0, 1, 2, 3].map(|i| bias[i]);

        // Groups of threads, the rounds a thread makes in its loops, and the products of q's and v's width.
        let mut parts = 1;
        let (entry, groups, rounds, products) = match self.pass {
            Pass::Forward => {
                let groups = batches * heads * tiles * value_width.div_ceil(SIDE);
                ("forward", groups, keys.div_ceil(SIDE) * (width.div_ceil(4) + 64), width + value_width)
            }
            Pass::Queries => {
                let groups = batches * heads * tiles * width.div_ceil(SIDE);
                ("backward_q", groups, keys.div_ceil(SIDE) * (both + 32), 2 * width + value_width)
            }
            Pass::KeysAndValues => {
                let groups = batches * kv_heads * tiles * width.max(value_width).div_ceil(SIDE);
                let rounds = sharing * queries.div_ceil(SIDE) * (both + 48);
                ("backward_kv", groups, rounds, 2 * width + 2 * value_width)
            }
            Pass::Bias => {
                let down = if bias_queries > 1 { tiles } else { 1 };
                let groups = bias_batches * bias_heads * down * keys.div_ceil(SIDE);
                let summed = (batches / bias_batches.max(1)) * (heads / bias_heads.max(1)) * (tiles / down.max(1));
                // Enough parts to keep a device busy, and short enough ones.
                let busy = if target.class.is_software() { 16 } else { 256 };
                let each = both + 8;
                parts = (busy / groups.max(1)).max((summed * each).div_ceil(MOST_ITERATIONS / 2)).clamp(1, summed.max(1));
                // Their sums are one value.
                let most = target.max_binding_bytes as usize / 4 / bias.iter().product::<usize>().max(1);
                parts = parts.min(most.max(1));
                ("backward_bias", groups * parts, summed.div_ceil(parts) * each, width + value_width)
            }
        };
        if target.class.is_software() && rounds + 1024 > MOST_ITERATIONS {
            let reason = format!("{queries} queries and {keys} keys are more than a software driver can go through");
            return Err(Misfit::limit(reason));
        }

        let words = self.words.unwrap_or_default();
        // Backward, the words follow two numbers for each row.
        let all_rows = self.batches * self.heads * queries;
        let before = if self.pass == Pass::Forward { 0 } else { 2 * all_rows };
        let first = io.first(0) * self.heads + io.first(1);
        let mask = words.mask.unwrap_or_default();
        let [b, h, t] = [bias_heads * bias_queries * keys, bias_queries * keys, keys];
        let apart = |size: usize, step: usize| if size > 1 { step } else { 0 };
        let bias_steps = [apart(bias_batches, b), apart(bias_heads, h), apart(bias_queries, t), 1];
        let y = q.with(3, value_width);
        let flags = [self.causal, self.from_end, words.lengths.is_some(), self.bias, words.mask.is_some()];
        let flags = (0..flags.len()).map(|i| usize::from(flags[i]) << i).sum();
        let params = Params::new()
            .all([batches, heads, sharing])
            .f32(self.scale)
            .all([queries, keys, width, value_width])
            .all([q, k, v, &y].into_iter().flat_map(|shape| steps(shape, self.heads_last)))
            .all(bias_steps)
            .all(mask.1)
            .all([before + words.seed, before + words.lengths.unwrap_or_default(), before + mask.0])
            .all([((1.0 - f64::from(self.dropout)) * 65_536.0).round() as usize])
            .f32(if self.dropout < 1.0 { 1.0 / (1.0 - self.dropout) } else { 0.0 })
            .bits(self.stream)
            .all([bias_batches, bias_heads, bias_queries, parts, blocks, flags])
            .all([first, self.heads, all_rows]);

        // Matrices of f32 would need more workgroup memory than every device has.
        let side = (io.real() == DType::F16).then(|| target.cooperative_side(DType::F16)).flatten();
        let shader = match (target.class.is_software(), target.subgroups, side) {
            (true, true, _) => shader!("attention/subgroup"),
            (true, false, _) => shader!("attention/software"),
            (false, _, Some(16)) => shader!("attention/cooperative_16x16"),
            (false, _, Some(_)) => shader!("attention/cooperative_8x8"),
            (false, _, None) => shader!("attention/portable"),
        };
        let kernel = Kernel::new(shader, entry, io.real())
            .constant("EXTRAS", (self.bias || words.mask.is_some()).into())
            .constant("DROPOUT", (self.dropout > 0.0).into())
            .constant("BLOCKS", blocks as u32);
        // Something has to be bound where a kernel could, but does not, read.
        let forward = self.pass == Pass::Forward;
        let dy = io.x(if forward { 0 } else { 3 });
        let of_bias = io.x(if self.bias { self.bias_input() } else { 0 });
        let of_words = io.x(if forward && self.words.is_none() { 0 } else { self.words_input() });
        let pairs = (batches * heads * queries) as u64 * keys as u64 / (1 + u64::from(self.causal));
        let dispatch = Dispatch::new(kernel)
            .read(io.x(0))
            .read(io.x(1))
            .read(io.x(2))
            .read(dy)
            .read(of_bias)
            .read(of_words)
            .groups(groups as u64)
            .cost(2 * pairs * products as u64, io.bytes());
        if self.pass != Pass::Bias {
            let dispatch = (0..io.outputs.len()).fold(dispatch, |dispatch, i| dispatch.write(io.y(i)));
            out.push(dispatch.params(params));
            return Ok(());
        }
        let dbias = io.y_desc(0);
        if parts == 1 && dbias.dtype == DType::F32 {
            out.push(dispatch.write(io.y(0)).params(params));
            return Ok(());
        }
        let elements = dbias.shape.numel();
        let sums = TensorDesc::new([parts, elements], DType::F32);
        let bytes = sums.bytes() + dbias.bytes();
        fit([&sums], target)?;
        let sums = out.scratch(sums);
        out.push(dispatch.write(sums).params(params));
        let vectors = elements.is_multiple_of(4);
        let kernel =
            Kernel::new(shader!("matmul/sum_parts"), "main", dbias.dtype).storing(shader!("matmul/store"));
        let dispatch = Dispatch::new(kernel.constant("VECTORS", vectors.into()))
            .read(sums)
            .write(io.y(0))
            .params(Params::new().all([parts, elements]))
            .groups((if vectors { elements / 4 } else { elements }).div_ceil(64) as u64);
        out.push(dispatch.cost((parts * elements) as u64, bytes));
        Ok(())
    }
}

/// [log Σ exp, Σ dy·y, words] from dy, y, log Σ exp and the words of forward, if there are any.
#[derive(Debug)]
pub(super) struct Delta {
    pub heads_last: bool,
}

impl Op for Delta {
    fn name(&self) -> &'static str {
        "attention_delta"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let words = inputs.get(3).map_or(0, |words| words.shape.numel());
        Ok(vec![TensorDesc::new([2 * inputs[2].shape.numel() + words], DType::U32)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let [_, heads, queries, width] = sizes(io.x_shape(0), self.heads_last);
        let rows = io.x_shape(2).numel();
        let words = io.inputs.len() == 4;
        let count = if words { io.x_shape(3).numel() } else { 0 };
        if rows + count == 0 {
            return Ok(());
        }
        fit([io.y_desc(0)], target)?;
        if target.class.is_software() && width > MOST_ITERATIONS {
            return Err(Misfit::limit(format!("rows of {width} are longer than a software driver can go through")));
        }
        // Rows that a binding of y covers; where heads are last those of a batch lie across each other.
        let (y, wide) = (io.x_desc(0), io.real().bytes());
        let unit = if self.heads_last { heads * queries } else { 1 };
        let slack = target.offset_alignment as usize;
        let most = match target.max_binding_bytes as usize / (width * wide) {
            most if most >= rows => rows.max(1),
            _ => (target.max_binding_bytes as usize).saturating_sub(slack) / (width * wide) / unit.max(1) * unit,
        };
        if most == 0 {
            return Err(too_large(y, target));
        }
        for first in (0..rows.max(1)).step_by(most) {
            let last = rows.min(first + most);
            let offset = first * width * wide / slack * slack;
            let bytes = (last < rows).then_some((last * width * wide - offset).next_multiple_of(16) as u64);
            let part = |value| Slice { value, offset: offset as u64, bytes };
            // The words come behind the last rows.
            let own = last - first + if last == rows { count } else { 0 };
            let params = Params::new()
                .all([rows, width, heads, queries])
                .all(steps(io.x_shape(0), self.heads_last))
                .all([count, first, last, offset / wide]);
            let dispatch = Dispatch::new(Kernel::new(shader!("attention/delta"), "delta", io.real()))
                .read(part(io.x(0)))
                .read(part(io.x(1)))
                .read(io.x(2))
                .read(io.x(if words { 3 } else { 2 }))
                .write(io.y(0))
                .params(params)
                .groups(own.div_ceil(64) as u64);
            let flops = 2 * ((last - first) * width) as u64;
            out.push(dispatch.cost(flops, io.bytes() * (last - first) as u64 / rows.max(1) as u64));
        }
        Ok(())
    }
}
