//! Where the factors and the results of a product lie, and the pieces that one binding each can cover.

use crate::{
    data::{Shape, TensorDesc},
    error::Misfit,
    graph::{Io, ValueId},
    kernel::Target,
};
use smallvec::SmallVec;
use std::ops::Range;

/// Batch dimensions that a kernel tells apart.
pub(super) const BATCH: usize = 4;

/// The longest sum of one dispatch.
///
/// Mesa's software driver stops a thread's loops after 65,535 rounds in all, without a word.
const LONGEST_SUM: usize = 1 << 15;

/// a or b as it lies in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factor {
    pub value: ValueId,
    pub bytes: u64,
    /// The length of a row in memory.
    pub row: usize,
    /// Whether the rows in memory are columns of the factor.
    pub transposed: bool,
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
    pub fn at(&self, i: usize, j: usize) -> usize {
        if self.transposed { j * self.row + i } else { i * self.row + j }
    }

    /// From the first element of `rows`×`columns` of the factor to behind the last.
    pub fn reach(&self, rows: usize, columns: usize) -> usize {
        if rows == 0 || columns == 0 { 0 } else { self.at(rows - 1, columns - 1) + 1 }
    }

    /// The number of neighbours in each row of memory that `rows`×`columns` of the factor take.
    pub fn width(&self, rows: usize, columns: usize) -> usize {
        if self.transposed { rows } else { columns }
    }
}

/// A batch dimension: its size, and the elements of a and b from one index to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Along {
    pub size: usize,
    pub a: usize,
    pub b: usize,
}

/// y[i, j] = Σ_k a[i, k]·b[k, j] at each index of the batch.
#[derive(Clone, Debug)]
pub(super) struct Product {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Factor,
    pub b: Factor,
    pub batch: SmallVec<[Along; BATCH]>,
    /// The elements of y from one row to the next, and from one column to the next.
    pub y_row: usize,
    pub y_column: usize,
}

/// Part of a product, in one dispatch.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub batch: SmallVec<[Range<usize>; BATCH]>,
    pub m: Range<usize>,
    pub n: Range<usize>,
    pub k: Range<usize>,
}

impl Piece {
    /// The number of indices of the batch.
    pub fn batches(&self) -> usize {
        self.batch.iter().map(ExactSizeIterator::len).product()
    }
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
            let strides = Shape::from(&shape[..shape.len() - 2]).broadcast_strides(&outer.into());
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
    pub fn flipped(&self) -> Product {
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

    /// The pieces whose factors and results one binding each can cover.
    pub fn pieces(&self, io: &Io, target: &Target) -> Result<Vec<Piece>, Misfit> {
        let element = io.real().bytes() as u64;
        // A range begins at a multiple of the alignment and ends with a whole vector.
        let room = |limit: u64| (limit.saturating_sub(target.offset_alignment + 16) / element) as usize;
        let limit = target.max_binding_bytes;
        let mut batch: SmallVec<[usize; BATCH]> = self.batch.iter().map(|along| along.size).collect();
        let (mut m, mut n, mut k) = (self.m, self.n, self.k.min(LONGEST_SUM));
        loop {
            let reach = |stride: fn(&Along) -> usize| -> usize {
                batch.iter().zip(&self.batch).map(|(&size, along)| (size - 1) * stride(along)).sum()
            };
            let a_fits = self.a.bytes <= limit || reach(|along| along.a) + self.a.reach(m, k) <= room(limit);
            let b_fits = self.b.bytes <= limit || reach(|along| along.b) + self.b.reach(k, n) <= room(limit);
            let y_reach = (m - 1) * self.y_row + (n - 1) * self.y_column + 1;
            let batches: usize = batch.iter().product();
            let y_bytes = io.y_desc(0).bytes();
            let y_fits = y_bytes <= limit || (batches - 1) * self.m * self.n + y_reach <= room(limit);
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
                return Err(Misfit::limit(format!(
                    "one binding of this device covers {limit} bytes, too few for a product"
                )));
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
