//! How kernels that work on rows along one dimension are spread over threads.

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Tensor, ValueId},
    kernel::{Dispatch, Kernel, Params, Shader, Slice, Target},
};
use std::ops::{Range, RangeInclusive};

/// Elements of a row that one thread of a software driver may go through, several times: Mesa's ends
/// the loops of a thread after 65,535 rounds in all, without a word.
pub(super) const LONG: usize = 8192;

/// Elements of a row that eight threads of a software driver share, which together read and write neighbours.
const EIGHTS: RangeInclusive<usize> = 128..=16 * LONG;

/// Vectors of a row that one thread keeps in registers, as in `lib/held.wgsl`.
const HELD: usize = 8;

/// The same for the lanes of a processor, whose compilers keep what does not fit in memory at hand.
const MOST_HELD: usize = 32;

/// The rows along one dimension of a tensor: `[outer, n, inner]`, a row for each pair of outer and inner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    outer: usize,
    /// Elements of a row.
    pub n: usize,
    inner: usize,
    /// Whether threads that share a row need barriers.
    barriers: bool,
}

impl Rows {
    /// The rows along a dimension of a shape.
    pub fn along(shape: &Shape, axis: usize) -> Rows {
        let [outer, n, inner] = shape.split_at_axis(axis);
        Rows { outer, n, inner, barriers: false }
    }

    /// `outer` contiguous rows.
    pub fn contiguous(outer: usize, n: usize) -> Rows {
        Rows { outer, n, inner: 1, barriers: false }
    }

    /// The same for a kernel that needs barriers where threads share a row.
    pub fn with_barriers(self) -> Rows {
        Rows { barriers: true, ..self }
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.outer * self.inner
    }

    /// The first fields of every such kernel's uniform structure: `rows, n, inner`.
    pub fn params(&self) -> Params {
        Params::new().u32(self.count()).u32(self.n).u32(self.inner)
    }

    /// Whether the elements of a row are neighbours.
    pub fn is_contiguous(&self) -> bool {
        self.inner == 1
    }

    /// Whether rows are whole vectors of four elements.
    pub fn is_aligned(&self) -> bool {
        self.inner == 1 && self.n.is_multiple_of(4)
    }

    /// A kernel that imports `rows`.
    pub fn kernel(&self, shader: &'static Shader, entry: &'static str, real: DType) -> Kernel {
        let kernel = Kernel::new(shader, entry, real).constant("ALIGNED", self.is_aligned().into());
        kernel.constant("CONTIGUOUS", self.is_contiguous().into())
    }

    /// A dispatch of one of three entry points: a thread for each row on software drivers and for rows
    /// whose elements are apart or few, else as many threads as leave each about eight elements, which
    /// keep rows that are not too long where the third is given. There eight threads of a software driver share a row
    /// that is neither short nor long, and keep it likewise.
    pub fn dispatch(
        &self,
        shader: &'static Shader,
        [rows, shared_rows]: [&'static str; 2],
        held_rows: Option<&'static str>,
        real: DType,
        target: &Target,
    ) -> Result<Dispatch, Misfit> {
        let (software, lanes) = (target.class.is_software(), lanes(self.n));
        if software && target.subgroups && !self.barriers && self.is_contiguous() && EIGHTS.contains(&self.n) {
            // The longest kernels are worth their compilation where there is much to do.
            let most = if self.count() * self.n >= 1 << 20 { MOST_HELD } else { MOST_HELD / 2 };
            let held = held_rows.filter(|_| self.is_aligned() && self.n <= 4 * 8 * most);
            let kernel = match held {
                Some(entry) => self.held(entry, 8, shader, real),
                None => self.kernel(shader, shared_rows, real),
            };
            let kernel = kernel.constant("LANES", 8).constant("WIDTH", 8);
            return Ok(Dispatch::new(kernel.importing_from("lanes")).groups(self.count() as u64));
        }
        if software && self.n > LONG {
            self.fits(if self.is_contiguous() { 64 } else { 1 })?;
        }
        Ok(if self.inner > 1 || lanes == 1 || (software && self.n <= LONG) {
            Dispatch::new(self.kernel(shader, rows, real)).groups(self.count().div_ceil(64) as u64)
        } else {
            let held = self.n.div_ceil(4 * lanes);
            let kernel = match held_rows.filter(|_| self.is_aligned() && held <= HELD) {
                Some(entry) => self.held(entry, lanes, shader, real),
                None => self.kernel(shader, shared_rows, real),
            };
            let kernel = with_lanes(kernel, lanes, target);
            Dispatch::new(kernel).groups(self.count().div_ceil(64 / lanes) as u64)
        })
    }

    /// A kernel that keeps rows of whole vectors in the registers of so many threads.
    fn held(&self, entry: &'static str, lanes: usize, shader: &'static Shader, real: DType) -> Kernel {
        let held = self.n.div_ceil(4 * lanes);
        let kernel = self.kernel(shader, entry, real).constant("HELD", held as u32);
        kernel.constant("FULL", (held * 4 * lanes == self.n).into())
    }

    /// Refuses rows that so many threads cannot go through on a software driver.
    fn fits(&self, threads: usize) -> Result<(), Misfit> {
        let most = 2 * LONG * threads;
        if self.n <= most {
            return Ok(());
        }
        let how = if self.is_contiguous() { "" } else { " whose elements are apart" };
        Err(Misfit::limit(format!(
            "rows of {}{how} are longer than the {most} a software driver can go through",
            self.n
        )))
    }
}

/// Whether the elements of the rows along a dimension should be moved together first: they are apart,
/// and more than one thread of a software driver can go through.
pub(super) fn are_long_and_apart(x: &Tensor, dim: isize) -> bool {
    let shape = x.shape();
    shape.axis(dim).is_ok_and(|axis| {
        let rows = Rows::along(&shape, axis);
        !rows.is_contiguous() && rows.n > 2 * LONG
    })
}

/// Threads of a GPU that share a contiguous row of `n` elements: a power of two up to 64.
pub(super) fn lanes(n: usize) -> usize {
    n.div_ceil(8).clamp(1, 64).next_power_of_two()
}

/// A kernel that imports `tree`, for so many threads that share a row: by subgroups where a row has the
/// whole workgroup and the device has them.
pub(super) fn with_lanes(kernel: Kernel, lanes: usize, target: &Target) -> Kernel {
    let kernel = kernel.constant("LANES", lanes as u32);
    if lanes == 64 && target.subgroups { kernel.importing_from("subgroups") } else { kernel }
}

/// Neighbouring vectors of four elements for one thread: a lane of a processor reads whole cache
/// lines, threads of a GPU share them.
pub(super) fn neighbours(target: &Target) -> usize {
    if target.class.is_software() { 8 } else { 1 }
}

/// Neighbouring vectors of four columns for one thread that goes down them. A lane that reads by itself reads whole cache
/// lines; where eight read together, as from textures, they do so with one each.
pub(super) fn across(target: &Target) -> usize {
    if target.class.is_software() && target.textures == 0 { 4 } else { 1 }
}

/// So many elements in pieces that begin where bindings may and leave room for a binding that begins before them.
pub(super) fn pieces(count: usize, wide: usize, target: &Target) -> Vec<Range<usize>> {
    let unit = (target.offset_alignment as usize / wide).max(1);
    let length = (target.max_binding_bytes as usize / wide / unit).saturating_sub(1).max(1) * unit;
    (0..count).step_by(length).map(|first| first..count.min(first + length)).collect()
}

/// The bytes around some neighbouring elements of a value, and how many elements lie before those bytes.
pub(super) fn window(value: ValueId, elements: Range<usize>, desc: &TensorDesc, target: &Target) -> (Slice, usize) {
    let wide = desc.dtype.bytes() as u64;
    let start = elements.start.min(desc.shape.numel().saturating_sub(1)) as u64;
    let offset = start * wide / target.offset_alignment * target.offset_alignment;
    let end = (elements.end as u64 * wide).next_multiple_of(16).max(offset + 16);
    (Slice { value, offset, bytes: Some(end - offset) }, (offset / wide) as usize)
}

/// `f` of every row along a dimension, for definitions in tests: a row of whatever length it returns.
#[cfg(test)]
pub(super) fn map_rows(
    x: &crate::testing::Numbers,
    dim: isize,
    f: impl Fn(&[f64]) -> Vec<f64>,
) -> crate::testing::Numbers {
    let axis = x.shape().axis(dim).unwrap();
    let [outer, n, inner] = x.shape().split_at_axis(axis);
    let row = |o: usize, i: usize| -> Vec<f64> { (0..n).map(|k| x.data()[(o * n + k) * inner + i]).collect() };
    let rows: Vec<Vec<f64>> = (0..outer * inner).map(|r| f(&row(r / inner, r % inner))).collect();
    let length = rows.first().map_or(n, Vec::len);
    let data =
        (0..outer * length * inner).map(|at| rows[at / (length * inner) * inner + at % inner][at / inner % length]);
    crate::testing::Numbers::new(x.shape().with(axis, length), data.collect())
}

/// Reproducible shapes with ranks in a range and sizes from 1 to `largest`, for tests.
#[cfg(test)]
pub(super) fn random_shapes(seed: u32, count: usize, ranks: std::ops::Range<usize>, largest: usize) -> Vec<Shape> {
    let mut state = seed;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let shape = |_| {
        let rank = ranks.start + next(ranks.len());
        (0..rank).map(|_| 1 + next(largest)).collect()
    };
    (0..count).map(shape).collect()
}
