//! One product of matrices as dispatches: where everything lies, in which pieces it is computed, and by which kernel.

use crate::{
    data::{DType, TensorDesc},
    error::Misfit,
    graph::{Emit, Io, ValueId},
    kernel::{ChainText, Dispatch, Kernel, Params, Shader, Slice, Target},
    shader,
};
use smallvec::SmallVec;
use std::{ops::Range, sync::Arc};

/// Batch dimensions that a kernel tells apart.
const BATCH: usize = 4;

/// The longest sum of one dispatch.
///
/// Mesa's software driver stops a thread's loops after 65,535 rounds in all, without a word.
const LONGEST_SUM: usize = 1 << 15;

/// The most rows for which reading b is the work.
const THIN: usize = 4;

/// a or b as it lies in memory.
#[derive(Clone, Copy, Debug)]
struct Factor {
    value: ValueId,
    bytes: u64,
    /// The length of a row in memory.
    row: usize,
    /// Whether the rows in memory are columns of the factor.
    transposed: bool,
}

impl Factor {
    fn new(value: ValueId, desc: &TensorDesc, transposed: bool) -> Factor {
        let [rows, columns] = [2, 1].map(|back| desc.shape[desc.shape.rank() - back]);
        // A single column lies in memory as a row does, and rows can be read as vectors.
        let (row, transposed) = if columns == 1 { (rows, !transposed) } else { (columns, transposed) };
        Factor { value, bytes: desc.bytes(), row, transposed }
    }

    /// The factor of the transposed product.
    fn flipped(self) -> Factor {
        Factor { transposed: !self.transposed, ..self }
    }

    /// The element at row `i` and column `j`.
    fn at(&self, i: usize, j: usize) -> usize {
        if self.transposed { j * self.row + i } else { i * self.row + j }
    }

    /// From the first element of `rows`×`columns` of the factor to behind the last.
    fn reach(&self, rows: usize, columns: usize) -> usize {
        if rows == 0 || columns == 0 { 0 } else { self.at(rows - 1, columns - 1) + 1 }
    }

    /// The number of neighbours in each row of memory that `rows`×`columns` of the factor take.
    fn width(&self, rows: usize, columns: usize) -> usize {
        if self.transposed { rows } else { columns }
    }
}

/// A batch dimension: its size, and the elements of a and b from one index to the next.
#[derive(Clone, Copy, Debug)]
struct Along {
    size: usize,
    a: usize,
    b: usize,
}

/// y[i, j] = Σ_k a[i, k]·b[k, j] at each index of the batch.
#[derive(Clone, Debug)]
pub(super) struct Product {
    m: usize,
    n: usize,
    k: usize,
    a: Factor,
    b: Factor,
    batch: SmallVec<[Along; BATCH]>,
    /// The elements of y from one row to the next, and from one column to the next.
    y_row: usize,
    y_column: usize,
}

/// Part of a product, in one dispatch.
#[derive(Clone, Debug)]
struct Piece {
    batch: SmallVec<[Range<usize>; BATCH]>,
    m: Range<usize>,
    n: Range<usize>,
    k: Range<usize>,
}

impl Piece {
    /// The number of indices of the batch.
    fn batches(&self) -> usize {
        self.batch.iter().map(ExactSizeIterator::len).product()
    }
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
    /// The product of inputs 0 and 1, where either may be stored transposed.
    pub fn new(io: &Io, transposed_a: bool, transposed_b: bool) -> Product {
        let (a, b, y) = (io.x_shape(0), io.x_shape(1), io.y_shape(0));
        let m = a[a.rank() - if transposed_a { 1 } else { 2 }];
        let k = a[a.rank() - if transposed_a { 2 } else { 1 }];
        let n = b[b.rank() - if transposed_b { 2 } else { 1 }];
        let outer = &y[..y.rank() - 2];
        let strides = |shape: &[usize]| {
            let matrix: usize = shape[shape.len() - 2..].iter().product();
            let strides = crate::data::Shape::from(&shape[..shape.len() - 2]).broadcast_strides(&outer.into());
            strides.into_iter().map(move |stride| stride * matrix)
        };
        let along = outer.iter().zip(strides(a)).zip(strides(b)).map(|((&size, a), b)| Along { size, a, b });
        let mut product = Product {
            m,
            n,
            k,
            a: Factor::new(io.x(0), io.x_desc(0), transposed_a),
            b: Factor::new(io.x(1), io.x_desc(1), transposed_b),
            batch: along.collect(),
            y_row: n,
            y_column: 1,
        };
        product.join_batch();
        product
    }

    /// Joins batch dimensions that lie behind each other in both factors, and with the rows where b is the same.
    fn join_batch(&mut self) {
        let mut joined: SmallVec<[Along; BATCH]> = SmallVec::new();
        for &inner in self.batch.iter().filter(|along| along.size != 1) {
            match joined.last_mut() {
                Some(outer) if outer.a == inner.a * inner.size && outer.b == inner.b * inner.size => {
                    *outer = Along { size: outer.size * inner.size, ..inner };
                }
                _ => joined.push(inner),
            }
        }
        if let Some(inner) = joined.last().copied()
            && inner.b == 0
            && !self.a.transposed
            && inner.a == self.m * self.a.row
        {
            self.m *= inner.size;
            joined.pop();
        }
        self.batch = joined;
    }

    /// yᵀ = bᵀ·aᵀ: the same product with rows and columns exchanged.
    fn flipped(&self) -> Product {
        let batch = self.batch.iter().map(|&Along { size, a, b }| Along { size, a: b, b: a }).collect();
        Product {
            m: self.n,
            n: self.m,
            k: self.k,
            a: self.b.flipped(),
            b: self.a.flipped(),
            batch,
            y_row: self.y_column,
            y_column: self.y_row,
        }
    }

    /// Adds the dispatches that compute output 0.
    pub fn emit(self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let product = if self.is_better_flipped(target) { self.flipped() } else { self };
        let elements = io.y_shape(0).numel();
        if elements == 0 {
            return Ok(());
        }
        let pieces = product.pieces(io, target)?;
        let variant = product.variant(&pieces[0], io.real(), target);
        let ranges = pieces.iter().map(|piece| piece.k.start).max().map_or(1, |last| 1 + last / pieces[0].k.len().max(1));

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
            let results = match sums {
                Some((value, bytes)) => {
                    Results { value, bytes, element: 4, store: shader!("matmul/part"), first: range * parts * elements, parts, elements }
                }
                None => {
                    let store = if range == 0 { shader!("matmul/store") } else { shader!("matmul/accumulate") };
                    Results { value: io.y(0), bytes: y.bytes(), element: y.dtype.bytes(), store, first: 0, parts, elements }
                }
            };
            let dispatch = product.dispatch(piece, &variant, results, y.dtype, target);
            let finishes = sums.is_none() && ranges == 1 && y.bytes() <= target.max_binding_bytes;
            out.push(if finishes { dispatch.finishing() } else { dispatch });
        }
        if let Some((sums, bytes)) = sums {
            let vectors = elements.is_multiple_of(4);
            let kernel = Kernel::new(shader!("matmul/sum_parts"), "main", y.dtype).constant("VECTORS", vectors.into());
            let dispatch = Dispatch::new(storing(kernel, shader!("matmul/store")))
                .read(sums)
                .write(io.y(0))
                .params(Params::new().all([ranges * parts, elements]))
                .groups((if vectors { elements / 4 } else { elements }).div_ceil(64) as u64)
                .cost((ranges * parts * elements) as u64, bytes + y.bytes());
            out.push(dispatch.finishing());
        }
        Ok(())
    }

    /// Whether exchanging rows and columns leaves less of the workgroups unused.
    fn is_better_flipped(&self, target: &Target) -> bool {
        if self.m.min(self.n) <= THIN || !target.class.is_software() {
            return self.n < self.m && self.n <= THIN;
        }
        5 * software_rows(self.n, self.m).1 < 4 * software_rows(self.m, self.n).1
    }

    /// The pieces whose factors and results one binding each can cover.
    fn pieces(&self, io: &Io, target: &Target) -> Result<Vec<Piece>, Misfit> {
        let element = io.real().bytes() as u64;
        // A range begins at a multiple of the alignment and ends with a whole vector.
        let room = (target.max_binding_bytes.saturating_sub(target.offset_alignment + 16) / element) as usize;
        let is_small = |bytes: u64| bytes <= target.max_binding_bytes;
        let mut batch: SmallVec<[usize; BATCH]> = self.batch.iter().map(|along| along.size).collect();
        let (mut m, mut n, mut k) = (self.m, self.n, self.k.min(LONGEST_SUM));
        loop {
            let reach = |stride: fn(&Along) -> usize| -> usize {
                batch.iter().zip(&self.batch).map(|(&size, along)| (size - 1) * stride(along)).sum()
            };
            let a_fits = is_small(self.a.bytes) || reach(|along| along.a) + self.a.reach(m, k) <= room;
            let b_fits = is_small(self.b.bytes) || reach(|along| along.b) + self.b.reach(k, n) <= room;
            let y_reach = (m - 1) * self.y_row + (n - 1) * self.y_column + 1;
            let batches: usize = batch.iter().product();
            let y_fits = is_small(io.y_desc(0).bytes()) || (batches - 1) * self.m * self.n + y_reach <= room;
            let few = self.batch.len() - batch.iter().take_while(|&&size| size == 1).count() <= BATCH;
            if a_fits && b_fits && y_fits && few {
                break;
            }
            // Halve what is outermost in the memory of what does not fit.
            let size = if let Some(size) = batch.iter_mut().find(|size| **size > 1) {
                size
            } else if !a_fits {
                outermost(&mut m, &mut k, self.a.transposed)
            } else if !b_fits {
                outermost(&mut k, &mut n, self.b.transposed)
            } else {
                outermost(&mut m, &mut n, self.y_column != 1)
            };
            if *size <= 1 {
                let limit = target.max_binding_bytes;
                return Err(Misfit::limit(format!("one binding of this device covers {limit} bytes, too few for a product")));
            }
            *size = half(*size);
        }

        let mut pieces = vec![Piece { batch: SmallVec::new(), m: 0..0, n: 0..0, k: 0..0 }];
        let mut cut = |size: usize, chunk: usize, set: &dyn Fn(&mut Piece, Range<usize>)| {
            let ranges = (0..size.max(1)).step_by(chunk.max(1)).map(|begin| begin..size.min(begin + chunk));
            pieces = ranges
                .flat_map(|range| {
                    pieces.iter().map(move |piece| {
                        let mut piece = piece.clone();
                        set(&mut piece, range.clone());
                        piece
                    })
                })
                .collect();
        };
        for (along, &chunk) in self.batch.iter().zip(&batch) {
            cut(along.size, chunk, &|piece, range| piece.batch.push(range));
        }
        cut(self.n, n, &|piece, range| piece.n = range);
        cut(self.m, m, &|piece, range| piece.m = range);
        cut(self.k, k, &|piece, range| piece.k = range);
        Ok(pieces)
    }

    fn variant(&self, piece: &Piece, real: DType, target: &Target) -> Variant {
        let software = target.class.is_software();
        if piece.m.len() <= THIN && piece.k.len() >= 32 {
            let (rows, threads) = (if piece.m.len() == 1 { 1 } else { THIN }, if software { 8 } else { 64 });
            let kernel = |entry| {
                let kernel = Kernel::new(shader!("matmul/thin"), entry, real);
                kernel.constant("ROWS", rows as u32).constant("THREADS", threads)
            };
            return match (self.b.transposed, software) {
                (true, true) => Variant { kernel: kernel("along_k"), rows, columns: 8, busy: 8, shortest: 2048 },
                (true, false) => Variant { kernel: kernel("along_k"), rows, columns: 8, busy: 128, shortest: 2048 },
                // Short sums keep to few pages of b at a time.
                (false, true) => Variant { kernel: kernel("along_n"), rows, columns: 64, busy: usize::MAX, shortest: 128 },
                (false, false) => Variant { kernel: kernel("along_n"), rows, columns: 512, busy: 256, shortest: 64 },
            };
        }
        if !software {
            let kernel = Kernel::new(shader!("matmul/portable"), "main", real);
            return Variant { kernel, rows: 64, columns: 64, busy: 128, shortest: 256 };
        }
        let shader = if target.subgroups { shader!("matmul/subgroup") } else { shader!("matmul/software") };
        let (rows, _) = software_rows(piece.m.len(), piece.n.len());
        let kernel = Kernel::new(shader, "main", real).constant("ROWS", rows as u32);
        Variant { kernel, rows, columns: 64, busy: 16, shortest: 256 }
    }

    fn dispatch(&self, piece: &Piece, variant: &Variant, results: Results, real: DType, target: &Target) -> Dispatch {
        let (m, n, k, batches) = (piece.m.len(), piece.n.len(), piece.k.len(), piece.batches());
        let offset = |stride: fn(&Along) -> usize| -> usize {
            piece.batch.iter().zip(&self.batch).map(|(range, along)| range.start * stride(along)).sum()
        };
        let reach = |stride: fn(&Along) -> usize| -> usize {
            piece.batch.iter().zip(&self.batch).map(|(range, along)| (range.len() - 1) * stride(along)).sum()
        };
        let first = offset(|along| along.a) + self.a.at(piece.m.start, piece.k.start);
        let length = reach(|along| along.a) + self.a.reach(m, k);
        let (a, a_first) = range(self.a.value, self.a.bytes, real.bytes(), first..first + length, target);
        let first = offset(|along| along.b) + self.b.at(piece.k.start, piece.n.start);
        let length = reach(|along| along.b) + self.b.reach(k, n);
        let (b, b_first) = range(self.b.value, self.b.bytes, real.bytes(), first..first + length, target);
        let matrix = self.m * self.n;
        let index = piece.batch.iter().zip(&self.batch).fold(0, |index, (range, along)| index * along.size + range.start);
        let first = results.first + index * matrix + piece.m.start * self.y_row + piece.n.start * self.y_column;
        let length = (batches - 1) * matrix + (m - 1) * self.y_row + (n - 1) * self.y_column + 1;
        let (y, y_first) = range(results.value, results.bytes, results.element, first..first + length, target);

        // Vectors need every row to begin at a whole one.
        let even = |numbers: &[usize]| numbers.iter().all(|number| number.is_multiple_of(4));
        let strides_are_even = |stride: fn(&Along) -> usize| self.batch.iter().all(|along| even(&[stride(along)]));
        let vectors_a = even(&[self.a.row, a_first, self.a.width(m, k)]) && strides_are_even(|along| along.a) && k > 0;
        let vectors_b = even(&[self.b.row, b_first, self.b.width(k, n)]) && strides_are_even(|along| along.b) && k > 0;
        let vectors_y = self.y_column == 1 && even(&[self.y_row, y_first, n, matrix]);
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
            .all([results.parts, k.div_ceil(results.parts).next_multiple_of(16), results.elements, 0])
            .all(batch(&|i| piece.batch[i].len(), 1))
            .all(batch(&|i| self.batch[i].a, 0))
            .all(batch(&|i| self.batch[i].b, 0));
        let groups = m.div_ceil(variant.rows) * n.div_ceil(variant.columns) * results.parts * batches;
        let repeats = |stride: fn(&Along) -> usize| -> usize {
            piece.batch.iter().zip(&self.batch).filter(|(_, along)| stride(along) != 0).map(|(range, _)| range.len()).product()
        };
        let read = (m * k * repeats(|along| along.a) + k * n * repeats(|along| along.b)) * real.bytes();
        let written = m * n * batches * results.parts * results.element;
        Dispatch::new(storing(kernel, results.store))
            .read(a)
            .read(b)
            .write(y)
            .params(params)
            .groups(groups as u64)
            .cost(2 * (m * n * batches) as u64 * k as u64, (read + written) as u64)
    }
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

/// The same kernel with another way of storing, which a fused chain replaces.
fn storing(mut kernel: Kernel, store: &'static Shader) -> Kernel {
    kernel.chain = Some(Arc::new(ChainText { text: String::new(), shaders: vec![store] }));
    kernel
}

/// The rows of a workgroup of the software kernels, and what a product then costs in its own unit.
fn software_rows(m: usize, n: usize) -> (usize, usize) {
    let cost = |rows: usize, each: usize| (rows, m.div_ceil(rows) * n.div_ceil(64) * each);
    // A block of 16 rows takes 1.4 times as long as one of 8.
    let (narrow, wide) = (cost(8, 5), cost(16, 7));
    if narrow.1 < wide.1 { narrow } else { wide }
}

/// Of a matrix' rows and columns the one that lies outermost in memory, or where it is 1 the other.
fn outermost<'a>(rows: &'a mut usize, columns: &'a mut usize, transposed: bool) -> &'a mut usize {
    let (outer, inner) = if transposed { (columns, rows) } else { (rows, columns) };
    if *outer > 1 { outer } else { inner }
}

/// About half, in whole tiles or vectors where it is long enough.
fn half(size: usize) -> usize {
    match size.div_ceil(2) {
        half @ 0..=4 => half,
        half @ 5..=64 => half.next_multiple_of(4),
        half => half.next_multiple_of(64),
    }
}

/// The binding of a range of elements, all of the value where that is possible, and the range's first element in it.
fn range(value: ValueId, bytes: u64, element: usize, elements: Range<usize>, target: &Target) -> (Slice, usize) {
    if bytes <= target.max_binding_bytes {
        return (value.into(), elements.start);
    }
    let begin = (elements.start * element) as u64;
    let offset = begin / target.offset_alignment * target.offset_alignment;
    let end = ((elements.end * element) as u64).next_multiple_of(16);
    (Slice { value, offset, bytes: Some(end - offset) }, (begin - offset) as usize / element)
}
