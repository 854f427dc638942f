//! The sizes of a recurrence, and how its steps are spread over dispatches, workgroups and threads.

use super::Cell;
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Emit, Io, ValueId, fit, too_large},
    kernel::{ChainText, Dispatch, Kernel, Params, Shader, Slice, Target},
    shader,
};
use std::{ops::Range, sync::Arc};

/// The rounds of loops one thread of a software driver may go through in one dispatch: Mesa's ends them
/// after 65,535 in all, without a word.
const ROUNDS: usize = 50_000;

/// Vectors of workgroup memory that every device has room for.
const ROOM: usize = 1024;

/// Vectors of h or dq that one step goes through at once where all of it has no room.
const PART: usize = 64;

/// Sums of a thread.
const SUMS: usize = 8;

/// The sizes of the steps of one layer in one direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub cell: Cell,
    pub sequences: usize,
    pub steps: usize,
    pub width: usize,
    by_sequence: usize,
    by_time: usize,
}

impl Sizes {
    /// The sizes for a projected input: `[B, T, gates·H]`, or `[T, B, gates·H]` if that is said.
    pub fn new(cell: Cell, rows: &TensorDesc, time_major: bool) -> Sizes {
        let [first, second, all] = [rows.shape[0], rows.shape[1], rows.shape[2]];
        let (sequences, steps) = if time_major { (second, first) } else { (first, second) };
        // One sequence lies the same in both.
        let (by_sequence, by_time) = if time_major && sequences > 1 { (1, sequences) } else { (steps, 1) };
        Sizes { cell, sequences, steps, width: all / cell.gates(), by_sequence, by_time }
    }

    fn columns(&self) -> usize {
        self.cell.gates() * self.width
    }

    /// What is gone through piece by piece, so that a binding covers the rows of a piece in any of the values that have a
    /// row for each sequence and time: some sequences, or some steps of all or one of them.
    ///
    /// The pieces of a sequence follow each other in the order of its steps, from the last time to the first if that is
    /// said. Each binds the rows of the step before it too.
    pub fn pieces(&self, with_rows: &[&TensorDesc], from_last: bool, target: &Target) -> Result<Vec<Piece>, Misfit> {
        let total = self.sequences * self.steps;
        let row = |desc: &TensorDesc| desc.bytes() / total.max(1) as u64;
        let largest = with_rows.iter().map(|desc| row(desc)).max().unwrap_or(0).max(1);
        let most = (target.max_binding_bytes / largest) as usize;
        let mut pieces = Vec::new();
        if most >= total {
            let rows = 0..total;
            pieces.push(Piece { sequences: 0..self.sequences, steps: 0..self.steps, own: rows.clone(), rows, total });
            return Ok(pieces);
        }
        // A binding begins at one of so many rows.
        let unit = with_rows.iter().map(|desc| target.aligned_rows(row(desc))).max().unwrap_or(1) as usize;
        let most = most.saturating_sub(unit - 1);
        let (sequences, steps) = match self.by_time {
            1 if most >= self.steps => (most / self.steps, self.steps),
            1 => (1, most.saturating_sub(1)),
            _ => (self.sequences, (most / self.sequences).saturating_sub(1)),
        };
        if steps == 0 {
            let desc = with_rows.iter().max_by_key(|desc| row(desc));
            return Err(desc.map_or_else(|| Misfit::limit("has no rows"), |desc| too_large(desc, target)));
        }
        let range = |first: usize, count: usize, end: usize| first..end.min(first + count);
        for sequences in (0..self.sequences).step_by(sequences).map(|first| range(first, sequences, self.sequences)) {
            for steps in (0..self.steps).step_by(steps).map(|first| range(first, steps, self.steps)) {
                let rows = |steps: Range<usize>| {
                    let times = if from_last { self.steps - steps.end..self.steps - steps.start } else { steps };
                    let last = (sequences.end - 1) * self.by_sequence + (times.end - 1) * self.by_time;
                    sequences.start * self.by_sequence + times.start * self.by_time..last + 1
                };
                let bound = rows(steps.start.saturating_sub(1)..steps.end);
                let bound = bound.start / unit * unit..bound.end;
                pieces.push(Piece { own: rows(steps.clone()), rows: bound, sequences: sequences.clone(), steps, total });
            }
        }
        Ok(pieces)
    }

    /// The uniform structure of `lib/recurrent.wgsl`; the flags say whether there are lengths, initial states,
    /// a bias, dy and the gradient of the last states, and whether what backward needs is saved.
    pub fn params(
        &self,
        pass: &Pass,
        piece: &Piece,
        steps: &Range<usize>,
        reverse: bool,
        flags: [bool; 6],
    ) -> Params {
        Params::new()
            .all([self.sequences, self.steps, self.width, pass.depth, pass.columns, steps.start, steps.end])
            .all([usize::from(reverse), self.by_sequence, self.by_time])
            .all(flags.map(usize::from))
            .all([piece.sequences.start, piece.sequences.end, piece.rows.start])
    }

    /// The uniform structure of `recurrent/previous.wgsl`.
    pub fn previous_params(&self, piece: &Piece, reverse: bool, lengths: bool, initial: bool) -> Params {
        Params::new()
            .all([piece.own.len() * self.width, self.steps, self.width, usize::from(reverse)])
            .all([self.by_sequence, self.by_time, usize::from(lengths), usize::from(initial)])
            .all([piece.own.start * self.width, piece.rows.start * self.width])
    }

    /// A dispatch with what so many of the steps of a piece cost.
    pub fn cost(&self, dispatch: Dispatch, piece: &Piece, steps: usize, io: &Io) -> Dispatch {
        let rows = (piece.sequences.len() * steps) as u64;
        let flops = rows * self.width as u64 * (2 * self.columns() as u64 + 10 * self.cell.gates() as u64);
        dispatch.cost(flops, io.bytes() / piece.total.max(1) as u64 * rows)
    }
}

/// Some steps of some sequences.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub sequences: Range<usize>,
    /// In the order of the direction.
    pub steps: Range<usize>,
    /// Their rows, and those that are bound.
    pub own: Range<usize>,
    rows: Range<usize>,
    /// All rows there are.
    total: usize,
}

impl Piece {
    /// What is bound of a value.
    pub fn slice(&self, value: ValueId, desc: &TensorDesc) -> Slice {
        let row = desc.bytes() / self.total.max(1) as u64;
        let bytes = (self.rows.end < self.total).then_some((self.rows.len() as u64 * row).next_multiple_of(16));
        Slice { value, offset: self.rows.start as u64 * row, bytes }
    }
}

/// How one direction of differentiation goes through the steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// The rows and columns of what is multiplied in each step.
    depth: usize,
    columns: usize,
    /// Columns of a unit.
    gates: usize,
    backward: bool,
    /// Whether the matrix is packed first, or read where it is.
    packed: bool,
    /// Vectors of workgroup memory.
    space: usize,
    /// Whether all steps are one dispatch.
    persistent: bool,
    threads: usize,
    units: usize,
    /// Sets of four sequences of a workgroup.
    sets: usize,
    /// How the rows of h or dq come to a thread.
    rows: &'static Shader,
}

impl Pass {
    /// From the first step to the last: h times all gates' columns.
    pub fn forward(sizes: &Sizes, target: &Target) -> Pass {
        // The old and the new h.
        let space = 2 * sizes.width.next_multiple_of(4);
        Pass::new(sizes, sizes.width, sizes.cell.gates(), space, target)
    }

    /// From the last step to the first: dq of all gates times the columns of the transposed matrix.
    pub fn backward(sizes: &Sizes, target: &Target) -> Pass {
        let space = sizes.columns().next_multiple_of(4);
        Pass { backward: true, packed: true, ..Pass::new(sizes, sizes.columns(), 1, space, target) }
    }

    fn new(sizes: &Sizes, depth: usize, gates: usize, space: usize, target: &Target) -> Pass {
        let (software, width) = (target.class.is_software(), sizes.width);
        let space = space.next_power_of_two().max(PART);
        let room = target.max_workgroup_bytes as usize / 16;
        let room = if software { room } else { room.min(ROOM) };
        let persistent = space <= room;
        let space = if persistent { space } else { PART };
        // More sums of a thread share what they load; a GPU rather has more threads.
        let units = if software { (SUMS / gates).min(width.div_ceil(8)) } else { 1 };
        let (least, most) = if software { (8, 64) } else { (32, if persistent { 256 } else { 64 }) };
        let threads = width.div_ceil(units).next_power_of_two().clamp(least, most);
        Pass {
            depth,
            columns: gates * width,
            gates,
            backward: false,
            // Threads of a GPU read neighbours. A lane of a processor reads a row of the matrix for itself, and rows
            // share few places of a cache: over many steps packing pays there too.
            packed: !software || !depth.is_multiple_of(4) || sizes.steps > 8,
            space,
            persistent,
            threads,
            units: units.min(width.div_ceil(threads)),
            // Two sets share what is loaded of the matrix; with one there are workgroups for two processors.
            sets: if software && sizes.sequences > 8 && 2 * space <= room { 2 } else { 1 },
            rows: if software && target.subgroups {
                shader!("recurrent/rows_broadcast")
            } else {
                shader!("recurrent/rows")
            },
        }
    }

    /// The matrix W_hh, the `i`-th input, as the kernels read it.
    pub fn weight(
        &self,
        sizes: &Sizes,
        io: &Io,
        i: usize,
        target: &Target,
        out: &mut Emit,
    ) -> Result<ValueId, Misfit> {
        if !self.packed {
            return Ok(io.x(i));
        }
        let vectors = self.depth.div_ceil(4) * self.columns;
        let desc = TensorDesc::new([4 * vectors], io.real());
        fit([&desc], target)?;
        let packed = out.scratch(desc);
        let by = if self.backward { [1, sizes.width] } else { [sizes.width, 1] };
        let dispatch = Dispatch::new(Kernel::new(shader!("recurrent/pack"), "pack", io.real()))
            .read(io.x(i))
            .write(packed)
            .params(Params::new().all([self.columns, self.depth]).all(by))
            .groups(vectors.div_ceil(64) as u64)
            .cost(0, 2 * io.x_desc(i).bytes());
        out.push(dispatch);
        Ok(packed)
    }

    /// The steps of each dispatch of a piece; backward has one more where each is its own, behind the last.
    pub fn segments(&self, sizes: &Sizes, piece: &Piece, target: &Target) -> Vec<Range<usize>> {
        let steps = piece.steps.clone();
        if !self.persistent {
            let end = steps.end + usize::from(self.backward && steps.end == sizes.steps);
            return (steps.start..end).map(|step| step..step + 1).collect();
        }
        let most = if target.class.is_software() {
            let blocks = sizes.width.div_ceil(self.threads * self.units);
            let products = blocks * (1 + self.depth.div_ceil(4) + self.units * self.sets * 5);
            let gates = if self.backward { sizes.width.div_ceil(self.threads) * (1 + self.sets * 5) } else { 0 };
            (ROUNDS / (1 + products + gates)).max(1)
        } else {
            sizes.steps.max(1)
        };
        let count = steps.len().div_ceil(most).max(1);
        (0..count).map(|i| steps.start + i * most..steps.end.min(steps.start + (i + 1) * most)).collect()
    }

    /// A dispatch of this pass, without its arguments.
    pub fn dispatch(&self, shader: &'static Shader, sizes: &Sizes, piece: &Piece, real: DType) -> Dispatch {
        let entry = if self.persistent { "all_steps" } else { "one_step" };
        let mut kernel = Kernel::new(shader, entry, real)
            .constant("CELL", sizes.cell.number())
            .constant("THREADS", self.threads as u32)
            .constant("UNITS", self.units as u32)
            .constant("GATES", self.gates as u32)
            .constant("PACKED", self.packed.into())
            .constant("SETS", self.sets as u32)
            .constant("SPACE", (self.space * self.sets) as u32);
        kernel.chain = Some(Arc::new(ChainText { text: String::new(), shaders: vec![self.rows] }));
        let across = if self.persistent { 1 } else { sizes.width.div_ceil(self.threads * self.units) };
        Dispatch::new(kernel).groups((piece.sequences.len().div_ceil(4 * self.sets) * across) as u64)
    }
}
