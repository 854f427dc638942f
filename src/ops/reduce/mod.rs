//! reduce: y = Σ x along dimensions, or the mean, Σ x², Σ |x|, the product, the maximum or the minimum.
//!
//! A group of neighbouring dimensions is reduced in stages: `[outer, n, inner]` to
//! `[outer, parts, inner]` until one part is left, in `f32`. So one long sum is as parallel as many
//! short ones, its order is fixed, and its rounding errors stay those of short sums.

use super::rows::{lanes, across, with_lanes};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Pointwise, Precision, Tensor, ValueId, fit, too_large},
    kernel::{Dispatch, Kernel, Params, Slice, Target},
    shader,
};
use smallvec::SmallVec;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Sum,
    Mean,
    SumSquares,
    SumAbs,
    Max,
    Min,
    MaxAbs,
    Prod,
    /// The product of all elements but zeros.
    ProdNonzero,
    CountZeros,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Sum => "sum",
            Kind::Mean => "mean",
            Kind::SumSquares => "sum_squares",
            Kind::SumAbs => "sum_abs",
            Kind::Max => "max",
            Kind::Min => "min",
            Kind::MaxAbs => "max_abs",
            Kind::Prod => "prod",
            Kind::ProdNonzero => "prod_nonzero",
            Kind::CountZeros => "count_zeros",
        }
    }

    /// The number of the combination in `lib/tree.wgsl`, and what leaves its other operand as it is.
    fn combination(self) -> (u32, f32) {
        match self {
            Kind::Sum | Kind::Mean | Kind::SumSquares | Kind::SumAbs | Kind::CountZeros => (0, 0.0),
            Kind::Max | Kind::MaxAbs => (1, f32::NEG_INFINITY),
            Kind::Min => (2, f32::INFINITY),
            Kind::Prod | Kind::ProdNonzero => (3, 1.0),
        }
    }

    /// The number of the function of each element in the shader.
    fn map(self) -> u32 {
        match self {
            Kind::Sum | Kind::Mean | Kind::Max | Kind::Min | Kind::Prod => 0,
            Kind::SumSquares => 1,
            Kind::SumAbs | Kind::MaxAbs => 2,
            Kind::ProdNonzero => 3,
            Kind::CountZeros => 4,
        }
    }
}

#[derive(Debug)]
struct Reduce {
    kind: Kind,
    /// For each dimension, whether it is reduced.
    reduced: SmallVec<[bool; 6]>,
    keepdim: bool,
    /// Whether the result is `f32` whatever is reduced.
    wide: bool,
}

impl Reduce {
    fn output(&self, shape: &Shape, keepdim: bool) -> Shape {
        let sizes = shape.iter().zip(&self.reduced);
        sizes
            .filter(|(_, reduced)| keepdim || !**reduced)
            .map(|(&size, &reduced)| if reduced { 1 } else { size })
            .collect()
    }

    /// The number of elements that become one.
    fn count(&self, shape: &Shape) -> usize {
        shape.iter().zip(&self.reduced).filter(|(_, reduced)| **reduced).map(|(size, _)| size).product()
    }
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn precision(&self) -> Precision {
        match self.kind {
            Kind::Sum | Kind::SumSquares | Kind::SumAbs | Kind::Prod | Kind::ProdNonzero => Precision::Single,
            Kind::Mean | Kind::Max | Kind::Min | Kind::MaxAbs | Kind::CountZeros => Precision::Any,
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        if !x.dtype.is_float() {
            return Err(Misfit::dtype(format!("needs floating point numbers, not {x}")));
        }
        let of_nothing = self.count(&x.shape) == 0;
        if of_nothing && matches!(self.kind, Kind::Max | Kind::Min | Kind::MaxAbs) {
            return Err(Misfit::shape(format!("shape {} has no elements to compare", x.shape)));
        }
        let dtype = if self.wide { DType::F32 } else { x.dtype };
        Ok(vec![TensorDesc::new(self.output(&x.shape, self.keepdim), dtype)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let stages = stages(io.x_shape(0), &self.reduced, target);
        let mut from = (io.x(0), io.x_desc(0).clone());
        for (i, stage) in stages.iter().enumerate() {
            let (first, last) = (i == 0, i + 1 == stages.len());
            let to = if last {
                (io.y(0), io.y_desc(0).clone())
            } else {
                let desc = TensorDesc::new([stage.outer, stage.parts(), stage.inner], DType::F32);
                (out.scratch(desc.clone()), desc)
            };
            let (kind, identity) = self.kind.combination();
            let scale = if last && self.kind == Kind::Mean { 1.0 / self.count(io.x_shape(0)) as f32 } else { 1.0 };
            let half = from.1.dtype == DType::F16;
            let (entry, (choice, value)) = stage.entry(target);
            let kernel = Kernel::new(shader!("reduce"), entry, to.1.dtype)
                .constant("KIND", kind)
                .constant("MAP", if first { self.kind.map() } else { 0 })
                .constant("HALF", half.into());
            let kernel = match choice {
                "LANES" => with_lanes(kernel, value as usize, target),
                _ => kernel.constant(choice, value),
            };
            fit([&to.1], target)?;
            for piece in stage.pieces(from.0, from.1.dtype, target)? {
                let params = Params::new().u32(stage.n).u32(stage.inner).u32(stage.chunk).u32(stage.parts());
                let params = params.u32(piece.rows.0).u32(piece.rows.1).u32(piece.base).f32(identity).f32(scale);
                let elements = ((piece.rows.1 - piece.rows.0) * stage.chunk * stage.inner) as u64;
                let written = ((piece.rows.1 - piece.rows.0) * stage.inner * to.1.dtype.bytes()) as u64;
                let dispatch = Dispatch::new(kernel.clone())
                    .read(piece.slice)
                    .write(to.0)
                    .params(params)
                    .groups(stage.groups(piece.rows.1 - piece.rows.0, target))
                    .cost(elements, elements * from.1.dtype.bytes() as u64 + written);
                out.push(if last { dispatch.finishing() } else { dispatch });
            }
            from = to;
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, shape) = (at.x(0), at.x(0).shape());
        let kept = self.output(&shape, true);
        let (y, dy) = (at.y(0).reshape(&kept), at.dy(0).reshape(&kept));
        // Where the result is wide, so is what its gradient is computed from.
        let x = if self.wide { x.cast(DType::F32) } else { x.clone() };
        let of = |kind| self.also(kind, at.x(0));
        // Equal extremes share the gradient evenly.
        let shared = |x: &Tensor, ties: Tensor| {
            let count = ties.cast(DType::F32).reduce(Kind::Sum, self.reduced.clone(), true);
            ties.cast(x.dtype()) * count.recip().cast(x.dtype()) * &dy
        };
        let dx = match self.kind {
            Kind::Sum => dy.expand(&shape),
            Kind::Mean => (dy * (1.0 / self.count(&shape) as f32)).expand(&shape),
            Kind::SumSquares => x.mul(&(dy * 2.0)),
            Kind::SumAbs => x.sign() * dy,
            Kind::Max | Kind::Min => shared(&x, x.eq(&y)),
            // Here, as in PyTorch, also those that are NaN.
            Kind::MaxAbs => shared(&x, x.abs().eq(&y).logical_or(&x.ne(&x).logical_and(&y.ne(&y)))) * x.sign(),
            Kind::Prod => {
                let inputs = [&x.cast(DType::F32), &dy.cast(DType::F32), &of(Kind::ProdNonzero), &of(Kind::CountZeros)];
                x.graph().apply1(ProdGrad, &inputs)
            }
            Kind::ProdNonzero | Kind::CountZeros => return Gradients::none(),
        };
        Gradients::of([Some(dx.cast(at.x(0).dtype()))])
    }
}

impl Reduce {
    /// Another reduction of the same dimensions, `f32`, with size 1 for them.
    fn also(&self, kind: Kind, x: &Tensor) -> Tensor {
        let op = Reduce { kind, reduced: self.reduced.clone(), keepdim: true, wide: true };
        x.graph().apply1(op, &[x])
    }
}

/// dx of a product from x, dy, the product of all elements but zeros, and the number of zeros.
#[derive(Debug)]
struct ProdGrad;

impl Op for ProdGrad {
    fn name(&self) -> &'static str {
        "prod_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Pointwise::infer(inputs)
    }

    fn pointwise(&self) -> Option<Pointwise> {
        Some(Pointwise::new(shader!("prod"), "prod_grad"))
    }
}

/// Adds the dispatches that sum a value along its first dimension, for operations that do so themselves.
pub(super) fn sum_first(
    from: ValueId,
    desc: &TensorDesc,
    to: ValueId,
    target: &Target,
    out: &mut Emit,
) -> Result<(), Misfit> {
    let reduced = (0..desc.shape.rank()).map(|d| d == 0).collect();
    let op = Reduce { kind: Kind::Sum, reduced, keepdim: false, wide: false };
    let sum = TensorDesc::new(op.output(&desc.shape, false), desc.dtype);
    let before = out.dispatches.len();
    op.emit(&Io::new(vec![(from, desc.clone())], vec![(to, sum)]), target, out)?;
    out.dispatches[before..].iter_mut().for_each(|dispatch| dispatch.finishes = false);
    Ok(())
}

/// One pass: `[outer, n, inner]` to `[outer, parts, inner]`, `chunk` elements to one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stage {
    outer: usize,
    n: usize,
    inner: usize,
    chunk: usize,
    /// Whether 64 threads share a column.
    shared: bool,
}

/// The rows of a stage that one dispatch computes, and what it binds of the argument.
struct Piece {
    rows: (usize, usize),
    slice: Slice,
    /// The element at which the slice begins.
    base: usize,
}

/// Every stage of a reduction: the largest group of neighbouring reduced dimensions first.
fn stages(shape: &Shape, reduced: &[bool], target: &Target) -> Vec<Stage> {
    let mut runs: Vec<(usize, bool)> = Vec::new();
    for (&size, &reduced) in shape.iter().zip(reduced).filter(|(size, _)| **size != 1) {
        match runs.last_mut() {
            Some(last) if last.1 == reduced => last.0 *= size,
            _ => runs.push((size, reduced)),
        }
    }
    let mut stages = Vec::new();
    while let Some(at) = (0..runs.len()).filter(|&i| runs[i].1).max_by_key(|&i| runs[i].0) {
        let product = |runs: &[(usize, bool)]| runs.iter().map(|(size, _)| size).product();
        let (outer, inner) = (product(&runs[..at]), product(&runs[at + 1..]));
        let mut n = runs[at].0;
        while n != 1 {
            let stage = Stage::new(outer, n, inner, target);
            n = stage.parts();
            stages.push(stage);
        }
        runs.remove(at);
    }
    if stages.is_empty() {
        stages.push(Stage { outer: shape.numel(), n: 1, inner: 1, chunk: 1, shared: false });
    }
    stages
}

impl Stage {
    /// Cuts rows into parts where there are fewer rows than the device has use for, or long ones.
    fn new(outer: usize, n: usize, inner: usize, target: &Target) -> Stage {
        let (software, contiguous) = (target.class.is_software(), inner == 1);
        // What is worth its own dispatch, and the parts wanted of at least and at most so many elements.
        let (short, wanted, least, most) = match (contiguous, software) {
            (true, true) => (4096, 4096, 256, 8192),
            (true, false) => (8192, 1024, 4096, 65_536),
            (false, true) => (256, 4096, 64, 2048),
            (false, false) => (64, 32_768, 32, 2048),
        };
        let there = outer * inner / (4 * vectors(inner, target)).max(1);
        let parts = wanted / there.max(1);
        let parts = parts.min(n.div_ceil(least)).max(n.div_ceil(most)).max(1);
        // On GPUs the threads of a workgroup share columns that are too few and not too long.
        let shared = !software && !contiguous && parts > 1 && n <= 4096 && vectors(inner, target) > 0;
        let chunk = if n <= short || shared { n } else { n.div_ceil(parts).next_multiple_of(4) };
        // One binding covers the elements of a part.
        let bound = (target.max_binding_bytes.saturating_sub(target.offset_alignment + 16) / 4) as usize / inner.max(1);
        Stage { outer, n, inner, chunk: chunk.min(bound.max(2)).max(1), shared }
    }

    fn parts(&self) -> usize {
        self.n.div_ceil(self.chunk).max(1)
    }

    /// The entry point and its choice.
    fn entry(&self, target: &Target) -> (&'static str, (&'static str, u32)) {
        if self.shared {
            return ("shared_columns", ("VECTORS", 1));
        }
        match (self.inner == 1, target.class.is_software() || lanes(self.chunk) == 1) {
            (false, _) => ("columns", ("VECTORS", vectors(self.inner, target) as u32)),
            (true, true) => ("rows", ("VECTORS", 0)),
            (true, false) => ("shared_rows", ("LANES", lanes(self.chunk) as u32)),
        }
    }

    /// The workgroups for so many rows.
    fn groups(&self, rows: usize, target: &Target) -> u64 {
        let threads = match self.entry(target) {
            ("shared_columns", _) => return (rows * self.inner.div_ceil(16)) as u64,
            ("columns", (_, vectors)) => rows * (self.inner / (4 * vectors as usize).max(1)),
            ("rows", _) => rows,
            (_, (_, lanes)) => rows * lanes as usize,
        };
        threads.div_ceil(64) as u64
    }

    /// The elements a range of rows covers.
    fn span(&self, rows: (usize, usize)) -> (usize, usize) {
        let begin = |row: usize| row / self.parts() * self.n + (row % self.parts() * self.chunk).min(self.n);
        (begin(rows.0) * self.inner, begin(rows.1) * self.inner)
    }

    /// All rows in pieces whose part of the argument one binding covers.
    fn pieces(&self, value: ValueId, dtype: DType, target: &Target) -> Result<Vec<Piece>, Misfit> {
        let rows = self.outer * self.parts();
        let bytes = dtype.bytes();
        let range = |rows: (usize, usize)| {
            let (from, to) = self.span(rows);
            let offset = (from * bytes) as u64 / target.offset_alignment * target.offset_alignment;
            (offset, ((to * bytes) as u64).next_multiple_of(16) - offset)
        };
        if range((0, rows)).1 <= target.max_binding_bytes {
            return Ok(vec![Piece { rows: (0, rows), slice: value.into(), base: 0 }]);
        }
        let mut pieces = Vec::new();
        let mut first = 0;
        while first < rows {
            // The most rows that fit, by bisection.
            let (mut fits, mut exceeds) = (first, rows + 1);
            while fits + 1 < exceeds {
                let middle = fits + (exceeds - fits) / 2;
                if range((first, middle)).1 <= target.max_binding_bytes { fits = middle } else { exceeds = middle }
            }
            if fits == first {
                return Err(too_large(&TensorDesc::new([self.outer, self.n, self.inner], dtype), target));
            }
            let (offset, size) = range((first, fits));
            let slice = Slice { value, offset, bytes: Some(size) };
            pieces.push(Piece { rows: (first, fits), slice, base: offset as usize / bytes });
            first = fits;
        }
        Ok(pieces)
    }
}

/// Vectors of four neighbouring columns for a thread, none if a thread has a single column.
fn vectors(inner: usize, target: &Target) -> usize {
    match inner {
        _ if inner.is_multiple_of(4 * across(target)) => across(target),
        _ if inner.is_multiple_of(4) => 1,
        _ => 0,
    }
}

/// For each dimension, whether it is among `dims`; all are if `dims` is empty.
pub(super) fn select(shape: &Shape, dims: &[isize]) -> Result<SmallVec<[bool; 6]>, Misfit> {
    let mut reduced = SmallVec::from_elem(dims.is_empty(), shape.rank());
    for &dim in dims {
        let axis = shape.axis(dim)?;
        if std::mem::replace(&mut reduced[axis], true) {
            return Err(Misfit::shape(format!("dimension {dim} of shape {shape} is given twice")));
        }
    }
    Ok(reduced)
}

impl Tensor {
    #[track_caller]
    fn reduce(&self, kind: Kind, reduced: SmallVec<[bool; 6]>, keepdim: bool) -> Tensor {
        let op = Reduce { kind, reduced, keepdim, wide: false };
        let shape = self.shape();
        if op.count(&shape) == 1 && kind.map() == 0 && self.dtype().is_float() {
            return self.reshape(op.output(&shape, keepdim));
        }
        self.graph().apply1(op, &[self])
    }

    #[track_caller]
    fn reduce_dims(&self, kind: Kind, dims: &[isize], keepdim: bool) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        match select(&self.shape(), dims) {
            Ok(reduced) => self.reduce(kind, reduced, keepdim),
            Err(misfit) => {
                self.graph().fail(misfit.of(kind.name()));
                self.graph().failed()
            }
        }
    }

    /// The sum along `dims`, along all dimensions if there are none: `torch.sum`.
    ///
    /// Reduced dimensions have size 1 in the result with `keepdim`, else they are gone. The sum of
    /// nothing is 0. Sums are kept in `f32` and added in a fixed order. A value may exceed one
    /// binding of the device.
    ///
    /// # Gradient
    /// dy, repeated.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist or is named twice, an index tensor.
    #[track_caller]
    pub fn sum(&self, dims: &[isize], keepdim: bool) -> Tensor {
        self.reduce_dims(Kind::Sum, dims, keepdim)
    }

    /// The mean along `dims`, along all dimensions if there are none: `torch.mean`.
    ///
    /// The mean of nothing is NaN.
    ///
    /// # Gradient
    /// dy/n, repeated.
    ///
    /// # Errors
    /// Recorded in the graph: as [`sum`](Tensor::sum).
    #[track_caller]
    pub fn mean(&self, dims: &[isize], keepdim: bool) -> Tensor {
        self.reduce_dims(Kind::Mean, dims, keepdim)
    }

    /// The maximum along `dims`, along all dimensions if there are none: `torch.amax`.
    ///
    /// NaN wins over every number. Equal maxima share the gradient evenly. There must be something to
    /// compare.
    ///
    /// # Gradient
    /// dy shared evenly by equal maxima.
    ///
    /// # Errors
    /// Recorded in the graph: as [`sum`](Tensor::sum), and nothing to compare.
    #[track_caller]
    pub fn max(&self, dims: &[isize], keepdim: bool) -> Tensor {
        self.reduce_dims(Kind::Max, dims, keepdim)
    }

    /// The minimum along `dims`, along all dimensions if there are none: `torch.amin`; see
    /// [`max`](Tensor::max).
    ///
    /// # Gradient
    /// dy shared evenly by equal minima.
    ///
    /// # Errors
    /// Recorded in the graph: as [`max`](Tensor::max).
    #[track_caller]
    pub fn min(&self, dims: &[isize], keepdim: bool) -> Tensor {
        self.reduce_dims(Kind::Min, dims, keepdim)
    }

    /// The product along `dims`, along all dimensions if there are none: `torch.prod`.
    ///
    /// The product of nothing is 1. Products are kept in `f32` and multiplied in a fixed order.
    ///
    /// # Gradient
    /// dx = dy times the product of the other elements where all are finite, also where some are 0. It has no
    /// gradient itself.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist or is given twice.
    #[track_caller]
    pub fn prod(&self, dims: &[isize], keepdim: bool) -> Tensor {
        self.reduce_dims(Kind::Prod, dims, keepdim)
    }

    /// The norm (Σ |x|ᵖ)^(1/p) along `dims`, along all dimensions if there are none, for p = 1, 2 or ∞:
    /// `torch.linalg.vector_norm`.
    ///
    /// `f16` is summed in `f32`. The norm of nothing is 0, but for p = ∞, where there must be something.
    ///
    /// # Gradient
    /// dx = dy·sign x for p = 1; dy·x/y for p = 2, 0 where y is 0; for p = ∞, dy·sign x, shared evenly by
    /// the elements that are largest.
    ///
    /// # Errors
    /// Recorded in the graph: another p, a dimension that does not exist or is given twice.
    #[track_caller]
    pub fn norm(&self, p: f32, dims: &[isize], keepdim: bool) -> Tensor {
        self.wide_norm(p, dims, keepdim).cast(self.dtype())
    }

    /// x / max(‖x‖, ε) along a dimension, with the [norm](Tensor::norm) for p = 1, 2 or ∞:
    /// `torch.nn.functional.normalize`.
    ///
    /// # Gradient
    /// Of x, through the norm where it is at least ε.
    ///
    /// # Errors
    /// As [`norm`](Tensor::norm).
    #[track_caller]
    pub fn normalize(&self, p: f32, dim: isize, eps: f32) -> Tensor {
        let norm = self.wide_norm(p, &[dim], true);
        (self.cast(DType::F32) / norm.clamp(eps, f32::INFINITY)).cast(self.dtype())
    }

    #[track_caller]
    fn wide_norm(&self, p: f32, dims: &[isize], keepdim: bool) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let kind = match p {
            1.0 => Ok(Kind::SumAbs),
            2.0 => Ok(Kind::SumSquares),
            f32::INFINITY => Ok(Kind::MaxAbs),
            _ => Err(Misfit::shape(format!("p is 1, 2 or infinity, not {p}"))),
        };
        match kind.and_then(|kind| Ok((kind, select(&self.shape(), dims)?))) {
            Ok((kind, reduced)) => {
                let y = self.graph().apply1(Reduce { kind, reduced, keepdim, wide: true }, &[self]);
                if kind == Kind::SumSquares { y.sqrt_flat_at_zero() } else { y }
            }
            Err(misfit) => {
                self.graph().fail(misfit.of("norm"));
                self.graph().failed()
            }
        }
    }

    /// The sum of all elements, a scalar: `torch.sum`.
    ///
    /// # Gradient
    /// dy everywhere.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn sum_all(&self) -> Tensor {
        self.sum(&[], false)
    }

    /// The mean of all elements, a scalar: `torch.mean`.
    ///
    /// # Gradient
    /// dy/n everywhere.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn mean_all(&self) -> Tensor {
        self.mean(&[], false)
    }

    /// Σ x² over all elements, a scalar: the square of the norm, without an array of squares.
    /// No counterpart in PyTorch.
    ///
    /// # Gradient
    /// 2·dy·x.
    ///
    /// # Errors
    /// Recorded in the graph: an index tensor.
    #[track_caller]
    pub fn sum_squares(&self) -> Tensor {
        self.reduce_dims(Kind::SumSquares, &[], false)
    }

    /// The sum over everything that broadcasting a tensor of shape `shape` to this one repeats: what
    /// the gradient of a broadcast operand needs: `torch.Tensor.sum_to_size`.
    ///
    /// `shape` must broadcast to this tensor's shape.
    ///
    /// # Gradient
    /// dy, repeated.
    ///
    /// # Errors
    /// Recorded in the graph: a shape that does not broadcast to that of x.
    #[track_caller]
    pub fn sum_to(&self, shape: &Shape) -> Tensor {
        let own = self.shape();
        if self.is_failed() || own == *shape {
            return self.clone();
        }
        if shape.broadcast(&own).ok().as_ref() != Some(&own) {
            self.graph().fail(Misfit::shape(format!("shape {shape} does not broadcast to {own}")).of("sum_to"));
            return self.graph().failed();
        }
        let extra = own.rank() - shape.rank();
        let repeated = |axis: usize| axis < extra || (shape[axis - extra] == 1 && own[axis] != 1);
        let reduced: SmallVec<[bool; 6]> = (0..own.rank()).map(repeated).collect();
        if reduced.contains(&true) { self.reduce(Kind::Sum, reduced, true).reshape(shape) } else { self.reshape(shape) }
    }
}

#[cfg(test)]
mod tests;
