//! Operations on values larger than one binding, computed part by part along their first dimension.

use crate::{
    data::TensorDesc,
    error::Misfit,
    graph::{Emit, Io, Op, ValueId},
    kernel::{Arg, Slice, Target},
};

/// A value of which each part binds its own rows.
struct Cut {
    value: ValueId,
    /// Bytes of a row: everything behind the first dimension.
    row: u64,
}

/// The dispatches of an operation; where a value is too large, those of its parts, each of which fits.
pub(super) fn emit(op: &dyn Op, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
    if io.fits(target).is_ok() {
        return op.emit(io, target, out);
    }
    let descs: Vec<TensorDesc> = io.inputs.iter().map(|(_, desc)| desc.clone()).collect();
    let parts = op.batched(&descs).and_then(|batched| Parts::new(io, batched, target));
    match parts {
        Some(parts) => parts.emit(op, io, target, out),
        None => op.emit(io, target, out),
    }
}

struct Parts {
    /// Which inputs are cut.
    batched: Vec<bool>,
    cuts: Vec<Cut>,
    rows: usize,
    /// Rows of each part but the last.
    length: usize,
}

impl Parts {
    /// Parts that begin where bindings may, as long as fit.
    fn new(io: &Io, batched: Vec<bool>, target: &Target) -> Option<Parts> {
        let rows = *io.outputs.first()?.1.shape.first()?;
        let of_inputs = io.inputs.iter().zip(&batched).filter(|(_, batched)| **batched).map(|(value, _)| value);
        let mut cuts: Vec<Cut> = Vec::new();
        for (value, desc) in of_inputs.chain(&io.outputs) {
            if rows == 0 || desc.shape.first() != Some(&rows) {
                return None;
            }
            cuts.push(Cut { value: *value, row: desc.bytes() / rows as u64 });
        }
        // One value as two inputs, of which one is not cut, cannot be told apart.
        let whole = io.inputs.iter().zip(&batched).filter(|(_, batched)| !**batched);
        if whole.map(|((value, _), _)| value).any(|value| cuts.iter().any(|cut| cut.value == *value)) {
            return None;
        }
        // The alignment is a power of two, and so are the numbers of rows: the largest is a multiple of all.
        let unit = cuts.iter().map(|cut| target.aligned_rows(cut.row)).max()?;
        let largest = cuts.iter().map(|cut| cut.row).max()?;
        let length = (target.max_binding_bytes / largest.max(1) / unit * unit) as usize;
        (length > 0).then_some(Parts { batched, cuts, rows, length })
    }

    fn emit(&self, op: &dyn Op, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        for first in (0..self.rows).step_by(self.length) {
            let count = self.length.min(self.rows - first);
            let part = |(value, desc): &(ValueId, TensorDesc)| {
                (*value, TensorDesc::new(desc.shape.with(0, count), desc.dtype))
            };
            let inputs = io.inputs.iter().zip(&self.batched);
            let inputs = inputs.map(|(input, batched)| if *batched { part(input) } else { input.clone() }).collect();
            let here = Io { inputs, outputs: io.outputs.iter().map(part).collect() };
            let before = out.dispatches.len();
            op.emit(&here, target, out)?;
            for dispatch in &mut out.dispatches[before..] {
                // What is fused behind would take the part for the whole.
                dispatch.finishes = false;
                for arg in &mut dispatch.args {
                    if let Arg::Read(slice) | Arg::Write(slice) | Arg::Update(slice, _) = arg {
                        self.place(slice, first, count);
                    }
                }
            }
        }
        Ok(())
    }

    /// Moves a binding of a part to where the part is.
    fn place(&self, slice: &mut Slice, first: usize, count: usize) {
        let Some(cut) = self.cuts.iter().find(|cut| cut.value == slice.value) else { return };
        if first + count < self.rows && slice.bytes.is_none() {
            slice.bytes = Some(count as u64 * cut.row - slice.offset);
        }
        slice.offset += first as u64 * cut.row;
    }
}
