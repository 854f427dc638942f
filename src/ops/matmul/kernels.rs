//! Which kernel computes a product, in which parts, and its dispatches.

use super::product::{Along, BATCH, Piece, Product};
use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Emit, Io, ValueId},
    kernel::{Choice, Dispatch, Kernel, Params, Shader, Slice, Target},
    shader,
};
use std::ops::Range;

/// The rows of a tile on software drivers, for the rows, columns and sums of a product.
pub(super) const SOFTWARE_ROWS: Choice = Choice { name: "matmul.software.rows", values: &[8, 16, 32] };

/// The same where there are subgroups. Tiles of more rows load less and take longer to compile: the rules stop at 16
/// where loads are by way of textures, and else at 32, so that a first result is there soon.
pub(super) const SUBGROUP_ROWS: Choice = Choice { name: "matmul.subgroup.rows", values: &[8, 16, 32, 64] };

/// The rows of a tile on GPUs.
pub(super) const PORTABLE_ROWS: Choice = Choice { name: "matmul.portable.rows", values: &[64, 128] };

/// The columns of a tile of cooperative matrices in whole vectors.
const WIDE_COLUMNS: Choice = Choice { name: "matmul.wide.columns", values: &[128, 256] };

/// The choices between kernels for products of a type that there are on a device, for who measures them.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn choices(real: DType, target: &Target) -> &'static [Choice] {
    match target.cooperative_side(real) {
        _ if target.class.is_software() && target.subgroups => &[SUBGROUP_ROWS],
        _ if target.class.is_software() => &[SOFTWARE_ROWS],
        None => &[PORTABLE_ROWS],
        Some(16) if real == DType::F16 && fits_wide(target) => &[WIDE_COLUMNS],
        Some(_) => &[],
    }
}

/// Whether a device has room for the wider tiles of cooperative matrices.
fn fits_wide(target: &Target) -> bool {
    target.max_workgroup_threads >= 256 && target.max_workgroup_bytes >= 40 << 10
}

/// The most rows for which reading b is the work; software drivers do better with a tile for more than one.
fn thin(target: &Target) -> usize {
    if target.class.is_software() { 1 } else { 4 }
}

/// The kernel for a product and how it divides the work.
#[derive(Clone, Debug)]
struct Variant {
    kernel: Kernel,
    /// What one workgroup computes.
    rows: usize,
    columns: usize,
    /// How many workgroups keep a device busy.
    busy: usize,
    /// The shortest sum over k that is worth a workgroup of its own.
    shortest: usize,
}

/// Where the results of a dispatch go.
#[derive(Clone, Copy, Debug)]
struct Results {
    value: ValueId,
    bytes: u64,
    element: usize,
    /// What is stored, and how.
    store: &'static Shader,
    /// The first element, before that of the piece.
    first: usize,
    /// How many parts the sum over k is cut into, each `elements` elements from the one before it.
    parts: usize,
    elements: usize,
}

impl Product {
    /// Adds the dispatches that compute output 0.
    pub fn emit(self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let product = if self.is_better_flipped(target) { self.flipped() } else { self };
        let elements = io.y_shape(0).numel();
        if elements == 0 {
            return Ok(());
        }
        let pieces = product.pieces(io, target)?;
        let variant = product.variant(&pieces, io.real(), target);
        let ranges =
            pieces.iter().map(|piece| piece.k.start).max().map_or(1, |last| 1 + last / pieces[0].k.len().max(1));

        // The sum over k is cut where one dispatch must not or one binding cannot cover it, and where
        // there would be too few workgroups. What is cut is summed in order at the end, or, where
        // there is no room for the parts, range by range in y.
        let mut parts = variant.parts(&pieces[0]);
        let mut sums = TensorDesc::new([ranges * parts, elements], DType::F32);
        let has_room = sums.bytes() <= target.max_binding_bytes;
        if !has_room {
            parts = 1;
            sums.shape = [ranges, elements].into();
        }
        let sums = (has_room && ranges * parts > 1).then(|| (out.scratch(sums.clone()), sums.bytes()));
        let y = io.y_desc(0);
        for piece in &pieces {
            let range = piece.k.start / pieces[0].k.len().max(1);
            let store = if range == 0 { shader!("matmul/store") } else { shader!("matmul/accumulate") };
            let in_y = Results {
                value: io.y(0),
                bytes: y.bytes(),
                element: y.dtype.bytes(),
                store,
                first: 0,
                parts,
                elements,
            };
            let in_parts = |(value, bytes)| {
                let first = range * parts * elements;
                Results {
                    value,
                    bytes,
                    element: DType::F32.bytes(),
                    store: shader!("matmul/part"),
                    first,
                    parts,
                    elements,
                }
            };
            let results = sums.map_or(in_y, in_parts);
            let dispatch = product.dispatch(piece, &variant, results, y.dtype, target);
            let finishes = sums.is_none() && ranges == 1 && y.bytes() <= target.max_binding_bytes;
            out.push(if finishes { dispatch.finishing() } else { dispatch });
        }
        if let Some((sums, bytes)) = sums {
            let vectors = elements.is_multiple_of(4);
            let kernel = Kernel::new(shader!("matmul/sum_parts"), "main", y.dtype).constant("VECTORS", vectors.into());
            let dispatch = Dispatch::new(kernel.storing(shader!("matmul/store")))
                .read(sums)
                .write(io.y(0))
                .params(Params::new().all([ranges * parts, elements]))
                .groups((if vectors { elements / 4 } else { elements }).div_ceil(64) as u64)
                .cost((ranges * parts * elements) as u64, bytes + y.bytes());
            out.push(dispatch.finishing().storing_vectors(vectors));
        }
        Ok(())
    }

    /// Whether exchanging rows and columns leaves less of the workgroups unused.
    fn is_better_flipped(&self, target: &Target) -> bool {
        if self.m.min(self.n) <= thin(target) || !target.class.is_software() {
            return self.n < self.m && self.n <= thin(target);
        }
        5 * software_rows(self.n, self.m, target).1 < 4 * software_rows(self.m, self.n, target).1
    }

    /// The kernel for pieces of which the first is the largest.
    fn variant(&self, pieces: &[Piece], real: DType, target: &Target) -> Variant {
        let piece = &pieces[0];
        let (software, busy) = (target.class.is_software(), target.class.busy());
        let size = [piece.m.len(), piece.n.len(), piece.k.len()];
        let tuned = |choice: Choice, rule: usize| target.tuning.pick(&choice, size).map_or(rule, |value| value as usize);
        // Each k is on a page of its own: short sums, side by side, keep to few pages at a time.
        let pages = !self.b.transposed && self.b.row * real.bytes() >= 4096;
        if piece.m.len() <= thin(target) && piece.k.len() >= 32 {
            let (rows, threads) = (if piece.m.len() == 1 { 1 } else { 4 }, if software { 8 } else { 64 });
            let kernel = |entry| {
                let kernel = Kernel::new(shader!("matmul/thin"), entry, real);
                kernel.constant("ROWS", rows as u32).constant("THREADS", threads)
            };
            return match (self.b.transposed, software) {
                (true, true) => Variant { kernel: kernel("along_k"), rows, columns: 8, busy: 8, shortest: 2048 },
                (true, false) => Variant { kernel: kernel("along_k"), rows, columns: 8, busy, shortest: 2048 },
                (false, true) if pages => {
                    Variant { kernel: kernel("along_n"), rows, columns: 64, busy: usize::MAX, shortest: 128 }
                }
                (false, true) => Variant { kernel: kernel("along_n"), rows, columns: 64, busy: 16, shortest: 256 },
                (false, false) => Variant { kernel: kernel("along_n"), rows, columns: 512, busy: 2 * busy, shortest: 64 },
            };
        }
        // Little work: compiling more takes longer than all runs of this.
        let work = piece.batches() * piece.m.len() * piece.n.len() * piece.k.len();
        if software && work < 1 << 14 {
            let kernel = Kernel::new(shader!("matmul/thin"), "one_each", real).constant("THREADS", 8);
            return Variant { kernel, rows: 1, columns: 8, busy: 1, shortest: usize::MAX };
        }
        if let Some(side) = target.cooperative_side(real) {
            // In whole vectors, and enough of them that large tiles are worth it.
            let is_large = piece.m.len().min(piece.n.len()) >= 96 && target.max_workgroup_bytes >= 32 << 10;
            let are_vectors = |piece: &Piece| {
                let factors = self.factors(piece, real, target);
                factors.vectors_a && factors.vectors_b
            };
            if side == 16 && real == DType::F16 && is_large && pieces.iter().all(are_vectors) {
                let across = |columns: usize| piece.m.len().div_ceil(128) * piece.n.len().div_ceil(columns) * piece.batches();
                // Tiles twice as wide read less, and take the workgroup memory of two.
                let rule = if across(256) >= busy { 256 } else { 128 };
                let columns = if fits_wide(target) { tuned(WIDE_COLUMNS, rule) } else { 128 };
                let kernel = Kernel::new(shader!("matmul/cooperative_wide"), "main", real)
                    .constant("COLUMNS", columns as u32)
                    .constant("WHOLE", pieces.iter().all(|piece| piece.k.len().is_multiple_of(32)).into());
                return Variant { kernel, rows: 128, columns, busy, shortest: 256 };
            }
            let shader =
                if side == 16 { shader!("matmul/cooperative_16x16") } else { shader!("matmul/cooperative_8x8") };
            let (rows, columns) = (4 * side as usize, 8 * side as usize);
            return Variant { kernel: Kernel::new(shader, "main", real), rows, columns, busy, shortest: 256 };
        }
        if !software {
            let tall = piece.m.len().div_ceil(128) * piece.n.len().div_ceil(64) * piece.batches() >= busy / 2;
            let rows = tuned(PORTABLE_ROWS, if tall { 128 } else { 64 });
            let kernel = Kernel::new(shader!("matmul/portable"), "main", real).constant("ROWS", rows as u32);
            return Variant { kernel, rows, columns: 64, busy: busy / 2, shortest: 256 };
        }
        let (shader, choice) = match target.subgroups {
            true => (shader!("matmul/subgroup"), SUBGROUP_ROWS),
            false => (shader!("matmul/software"), SOFTWARE_ROWS),
        };
        let rows = tuned(choice, software_rows(piece.m.len(), piece.n.len(), target).0);
        let kernel = Kernel::new(shader, "main", real).constant("ROWS", rows as u32);
        let busy = if pages && rows == 8 { usize::MAX } else { 16 };
        Variant { kernel, rows, columns: 64, busy, shortest: 256 }
    }

    /// What a piece reads.
    fn factors(&self, piece: &Piece, real: DType, target: &Target) -> Factors {
        let (m, n, k) = (piece.m.len(), piece.n.len(), piece.k.len());
        let limit = target.max_binding_bytes;
        let offset = |stride: fn(&Along) -> usize| -> usize {
            piece.batch.iter().zip(&self.batch).map(|(range, along)| range.start * stride(along)).sum()
        };
        let reach = |stride: fn(&Along) -> usize| -> usize {
            piece.batch.iter().zip(&self.batch).map(|(range, along)| (range.len() - 1) * stride(along)).sum()
        };
        let first = offset(|along| along.a) + self.a.at(piece.m.start, piece.k.start);
        let length = reach(|along| along.a) + self.a.reach(m, k);
        let (a, a_first) = range(self.a.value, self.a.bytes, real.bytes(), first..first + length, limit, target);
        let first = offset(|along| along.b) + self.b.at(piece.k.start, piece.n.start);
        let length = reach(|along| along.b) + self.b.reach(k, n);
        let (b, b_first) = range(self.b.value, self.b.bytes, real.bytes(), first..first + length, limit, target);

        let strides = |stride: fn(&Along) -> usize| self.batch.iter().all(|along| are_whole_vectors(&[stride(along)]));
        let vectors_a = are_whole_vectors(&[self.a.row, a_first, self.a.width(m, k)]) && strides(|along| along.a) && k > 0;
        let vectors_b = are_whole_vectors(&[self.b.row, b_first, self.b.width(k, n)]) && strides(|along| along.b) && k > 0;
        Factors { a, a_first, b, b_first, vectors_a, vectors_b }
    }

    fn dispatch(&self, piece: &Piece, variant: &Variant, results: Results, real: DType, target: &Target) -> Dispatch {
        let (m, n, k, batches) = (piece.m.len(), piece.n.len(), piece.k.len(), piece.batches());
        let Factors { a, a_first, b, b_first, vectors_a, vectors_b } = self.factors(piece, real, target);
        let matrix = self.m * self.n;
        let index =
            piece.batch.iter().zip(&self.batch).fold(0, |index, (range, along)| index * along.size + range.start);
        let first = results.first + index * matrix + piece.m.start * self.y_row + piece.n.start * self.y_column;
        let length = (batches - 1) * matrix + (m - 1) * self.y_row + (n - 1) * self.y_column + 1;
        let limit = target.max_binding_bytes;
        let (y, y_first) = range(results.value, results.bytes, results.element, first..first + length, limit, target);

        // One of the kernels for thin products stores numbers one by one.
        let by_vectors = variant.kernel.entry != "one_each" && self.y_column == 1;
        let vectors_y = by_vectors && are_whole_vectors(&[self.y_row, y_first, n, matrix]);
        let kernel = (variant.kernel.clone())
            .constant("TRANSPOSED_A", self.a.transposed.into())
            .constant("TRANSPOSED_B", self.b.transposed.into())
            .constant("VECTORS_A", vectors_a.into())
            .constant("VECTORS_B", vectors_b.into())
            .constant("VECTORS_Y", vectors_y.into());

        // The kernel's batch dimensions are the last ones; those before them are cut to one index.
        let skipped = self.batch.len().saturating_sub(BATCH);
        let batch = |field: &dyn Fn(usize) -> usize, none: usize| {
            let mut fields = [none; BATCH];
            let count = self.batch.len() - skipped;
            (0..count).for_each(|i| fields[BATCH - count + i] = field(skipped + i));
            fields
        };
        let params = Params::new()
            .all([m, n, k, batches])
            .all([self.a.row, self.b.row, self.y_row, self.y_column])
            .all([a_first, b_first, y_first, matrix])
            .all([results.parts, k.div_ceil(results.parts).next_multiple_of(32), results.elements, variant.rows])
            .all(batch(&|i| piece.batch[i].len(), 1))
            .all(batch(&|i| self.batch[i].a, 0))
            .all(batch(&|i| self.batch[i].b, 0));
        let groups = m.div_ceil(variant.rows) * n.div_ceil(variant.columns) * results.parts * batches;
        let repeats = |stride: fn(&Along) -> usize| -> usize {
            piece
                .batch
                .iter()
                .zip(&self.batch)
                .filter(|(_, along)| stride(along) != 0)
                .map(|(range, _)| range.len())
                .product()
        };
        let read = (m * k * repeats(|along| along.a) + k * n * repeats(|along| along.b)) * real.bytes();
        let written = m * n * batches * results.parts * results.element;
        Dispatch::new(kernel.storing(results.store))
            .storing_vectors(vectors_y)
            .read(a)
            .read(b)
            .write(y)
            .params(params)
            .groups(groups as u64)
            .cost(2 * (m * n * batches) as u64 * k as u64, (read + written) as u64)
    }
}

/// The bindings of a and b, the first element of each in them, and whether four neighbours always lie in one vector.
struct Factors {
    a: Slice,
    a_first: usize,
    b: Slice,
    b_first: usize,
    vectors_a: bool,
    vectors_b: bool,
}

/// Vectors need every row to begin at a whole one.
fn are_whole_vectors(numbers: &[usize]) -> bool {
    numbers.iter().all(|number| number.is_multiple_of(4))
}

impl Variant {
    /// How many parts the sum over k is cut into so that there are workgroups enough.
    fn parts(&self, piece: &Piece) -> usize {
        let outputs = piece.m.len() * piece.n.len() * piece.batches();
        if outputs * piece.k.len() < 1 << 16 {
            return 1;
        }
        let groups = piece.m.len().div_ceil(self.rows) * piece.n.len().div_ceil(self.columns) * piece.batches();
        self.busy.div_ceil(groups).min(piece.k.len() / self.shortest).max(1)
    }
}

/// The rows of a workgroup of the software kernels, and what a product then costs in its own unit.
fn software_rows(m: usize, n: usize, target: &Target) -> (usize, usize) {
    let cost = |rows: usize, each: usize| (rows, m.div_ceil(rows) * n.div_ceil(64) * each);
    // By way of textures a block of 16 rows takes 1.6 times as long as one of 8, and one of 32 rows 1.9 times as long as
    // one of 16, for twice the compilation. From buffers, where loads are the work, it is 1.4 and 1.7 times as long.
    let choices: &[(usize, usize)] =
        if target.textures > 0 { &[cost(16, 8), cost(8, 5)] } else { &[cost(32, 12), cost(16, 7), cost(8, 5)] };
    choices.iter().copied().min_by_key(|(_, cost)| *cost).unwrap_or_default()
}

/// The binding of a range of elements, all of the value where it is no larger than a limit, and the range's first element in it.
fn range(
    value: ValueId,
    bytes: u64,
    element: usize,
    elements: Range<usize>,
    limit: u64,
    target: &Target,
) -> (Slice, usize) {
    if bytes <= limit {
        return (value.into(), elements.start);
    }
    let begin = (elements.start * element) as u64;
    let offset = begin / target.offset_alignment * target.offset_alignment;
    let end = ((elements.end * element) as u64).next_multiple_of(16);
    (Slice { value, offset, bytes: Some(end - offset) }, (begin - offset) as usize / element)
}
