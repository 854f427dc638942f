//! Operations on values larger than one binding, computed part by part along one of their first dimensions, or summed
//! over it.

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Emit, Io, Op, ValueId},
    kernel::{Arg, Dispatch, Kernel, Params, Slice, Target},
    shader,
};

/// A value of which each part binds its own rows.
struct Cut {
    value: ValueId,
    /// The dimension that is cut: the first that is not 1.
    dim: usize,
    /// Bytes of a row: everything behind that dimension.
    row: u64,
}

/// The dispatches of an operation; where a value is too large, those of its parts, each of which fits.
pub(super) fn emit(op: &dyn Op, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
    if io.fits(target).is_ok() {
        return op.emit(io, target, out);
    }
    let descs: Vec<TensorDesc> = io.inputs.iter().map(|(_, desc)| desc.clone()).collect();
    if let Some(parts) = op.batched(&descs).and_then(|batched| Parts::new(io, &batched, false, target)) {
        return parts.emit(op, io, target, out);
    }
    if let Some(parts) = op.summed(&descs).and_then(|batched| Parts::new(io, &batched, true, target)) {
        return parts.emit(op, io, target, out);
    }
    op.emit(io, target, out)
}

struct Parts {
    /// Which inputs are cut.
    batched: Vec<bool>,
    /// Whether the outputs are sums over the parts; otherwise they are cut too.
    summed: bool,
    cuts: Vec<Cut>,
    rows: usize,
    /// Rows of each part but the last.
    length: usize,
}

impl Parts {
    /// Parts that begin where bindings may, as long as fit; single rows, to be cut further, where none fits.
    fn new(io: &Io, batched: &[usize], summed: bool, target: &Target) -> Option<Parts> {
        if batched.iter().all(|&dims| dims == 0) {
            return None;
        }
        // Of an output all dimensions count that its inputs have.
        let outputs = io.outputs.iter().filter(|_| !summed).map(|output| (output, usize::MAX));
        let inputs = io.inputs.iter().zip(batched.iter().copied()).filter(|(_, dims)| *dims > 0);
        let mut rows = 0;
        let mut cuts: Vec<Cut> = Vec::new();
        for ((value, desc), dims) in inputs.chain(outputs) {
            let dim = desc.shape.iter().position(|&size| size != 1).filter(|dim| *dim < dims)?;
            let own = desc.shape[dim];
            if own == 0 || (rows != 0 && rows != own) {
                return None;
            }
            rows = own;
            cuts.push(Cut { value: *value, dim, row: desc.bytes() / rows as u64 });
        }
        // One value as two inputs, of which one is not cut, cannot be told apart.
        let whole = io.inputs.iter().zip(batched).filter(|(_, batched)| **batched == 0);
        if whole.map(|((value, _), _)| value).any(|value| cuts.iter().any(|cut| cut.value == *value)) {
            return None;
        }
        // The alignment is a power of two, and so are the numbers of rows: the largest is a multiple of all.
        let unit = cuts.iter().map(|cut| target.aligned_rows(cut.row)).max()?;
        let largest = cuts.iter().map(|cut| cut.row).max()?;
        let length = match (target.max_binding_bytes / largest.max(1) / unit * unit) as usize {
            0 if unit == 1 => 1,
            length => length,
        };
        let batched = batched.iter().map(|&batched| batched > 0).collect();
        (length > 0 && length < rows).then_some(Parts { batched, summed, cuts, rows, length })
    }

    fn emit(&self, op: &dyn Op, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        for first in (0..self.rows).step_by(self.length) {
            let count = self.length.min(self.rows - first);
            let part = |(value, desc): &(ValueId, TensorDesc)| {
                let dim = self.cut(*value).map_or(0, |cut| cut.dim);
                (*value, TensorDesc::new(desc.shape.with(dim, count), desc.dtype))
            };
            let inputs = io.inputs.iter().zip(&self.batched);
            let inputs = inputs.map(|(input, batched)| if *batched { part(input) } else { input.clone() }).collect();
            let outputs = match (self.summed, first) {
                (false, _) => io.outputs.iter().map(part).collect(),
                (true, 0) => io.outputs.clone(),
                (true, _) => io.outputs.iter().map(|(_, desc)| (out.scratch(desc.clone()), desc.clone())).collect(),
            };
            let mut here = Io { inputs, outputs, first: io.first.clone() };
            // An operation that asks where it is has the same dimensions in all that is cut.
            let dim = self.cuts.first().map_or(0, |cut| cut.dim);
            here.first.resize(here.first.len().max(dim + 1), 0);
            here.first[dim] += first;
            let before = out.dispatches.len();
            emit(op, &here, target, out)?;
            for dispatch in &mut out.dispatches[before..] {
                // What is fused behind would take the part for the whole.
                dispatch.finishes = false;
                for arg in &mut dispatch.args {
                    if let Arg::Read(slice) | Arg::Write(slice) | Arg::Update(slice, _) = arg {
                        self.place(slice, first, count);
                    }
                }
            }
            if self.summed && first > 0 {
                for ((sum, desc), (part, _)) in io.outputs.iter().zip(&here.outputs) {
                    out.push(add(*sum, *part, desc));
                }
            }
        }
        Ok(())
    }

    fn cut(&self, value: ValueId) -> Option<&Cut> {
        self.cuts.iter().find(|cut| cut.value == value)
    }

    /// Moves a binding of a part to where the part is.
    fn place(&self, slice: &mut Slice, first: usize, count: usize) {
        let Some(cut) = self.cut(slice.value) else { return };
        if first + count < self.rows && slice.bytes.is_none() {
            slice.bytes = Some(count as u64 * cut.row - slice.offset);
        }
        slice.offset += first as u64 * cut.row;
    }
}

/// sum ← sum + part
fn add(sum: ValueId, part: ValueId, desc: &TensorDesc) -> Dispatch {
    let vectors = desc.shape.numel().div_ceil(4);
    let kernel = Kernel::new(shader!("add_parts"), "main", desc.dtype);
    let dispatch = Dispatch::new(kernel).read(part).write(sum).params(Params::new().u32(vectors));
    dispatch.groups(vectors.div_ceil(64) as u64).cost(desc.shape.numel() as u64, 3 * desc.bytes())
}
