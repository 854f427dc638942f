//! reduce: y = Σ x along dimensions, or the mean, Σ x², Σ |x|, the product, the maximum or the minimum.
//!
//! A group of neighbouring dimensions is reduced in stages: `[outer, n, inner]` to
//! `[outer, parts, inner]` until one part is left, in `f32`. So one long sum is as parallel as many
//! short ones, its order is fixed, and its rounding errors stay those of short sums.

use super::rows::{lanes, neighbours, with_lanes};
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
        _ if inner.is_multiple_of(4 * neighbours(target)) => neighbours(target),
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
mod tests {
    use crate::{
        autodiff::gradients,
        kernel::{DeviceClass, Target},
        ops::rows::map_rows,
        plan::PlanOptions,
        prelude::*,
        testing::{Check, Numbers, context, run, run_on},
    };

    /// The definition of a reduction: one dimension after the other, then without them.
    fn fold(x: &Numbers, dims: &[isize], keepdim: bool, f: impl Fn(&[f64]) -> f64) -> Numbers {
        let rank = x.shape().rank() as isize;
        let all: Vec<isize> = (0..rank).collect();
        let axes: Vec<usize> =
            if dims.is_empty() { &all[..] } else { dims }.iter().map(|d| ((d + rank) % rank) as usize).collect();
        let y = axes.iter().fold(x.clone(), |x, &axis| map_rows(&x, axis as isize, |row| vec![f(row)]));
        let kept: Shape = (0..rank as usize).filter(|d| !axes.contains(d)).map(|d| x.shape()[d]).collect();
        if keepdim { y } else { y.reshape(kept) }
    }

    fn sum(row: &[f64]) -> f64 {
        row.iter().sum()
    }

    fn mean(row: &[f64]) -> f64 {
        sum(row) / row.len() as f64
    }

    fn max(row: &[f64]) -> f64 {
        row.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    fn min(row: &[f64]) -> f64 {
        row.iter().copied().fold(f64::INFINITY, f64::min)
    }

    const DIMS: [&[isize]; 9] = [&[0], &[1], &[2], &[-1], &[0, 1], &[1, -1], &[0, 2], &[2, 0, 1], &[]];

    #[test]
    fn every_dimension_is_summed() {
        for (dims, keepdim) in DIMS.into_iter().flat_map(|dims| [(dims, false), (dims, true)]) {
            Check::new(|[x]: [Tensor; 1]| x.sum(dims, keepdim), |[x]| fold(&x, dims, keepdim, sum))
                .shapes([[3, 5, 4]])
                .shapes([[2, 1, 7]])
                .run();
        }
    }

    #[test]
    fn every_dimension_is_averaged_and_compared() {
        for dims in DIMS {
            Check::new(|[x]: [Tensor; 1]| x.mean(dims, true), |[x]| fold(&x, dims, true, mean))
                .shapes([[3, 5, 4]])
                .run();
            Check::new(|[x]: [Tensor; 1]| x.max(dims, true), |[x]| fold(&x, dims, true, max)).shapes([[3, 5, 4]]).run();
            Check::new(|[x]: [Tensor; 1]| x.min(dims, false), |[x]| fold(&x, dims, false, min))
                .shapes([[3, 5, 4]])
                .run();
        }
    }

    #[test]
    fn sizes_past_one_workgroup_and_one_part() {
        let shapes: [([usize; 3], &[isize]); 10] = [
            ([1, 5003, 1], &[1]),
            ([2, 33, 130], &[2]),
            ([300, 33, 2], &[2]),
            ([1, 9001, 4], &[1]),
            ([2, 700, 7], &[1]),
            ([3, 1, 20_001], &[2]),
            ([5, 4, 4100], &[0, 2]),
            ([4101, 3, 5], &[0, 2]),
            ([2, 301, 36], &[1]),
            ([1, 1030, 20], &[1]),
        ];
        for (shape, dims) in shapes {
            Check::new(|[x]: [Tensor; 1]| x.sum(dims, false), |[x]| fold(&x, dims, false, sum)).shapes([shape]).run();
            Check::new(|[x]: [Tensor; 1]| x.max(dims, false), |[x]| fold(&x, dims, false, max)).shapes([shape]).run();
        }
    }

    #[test]
    fn squares_are_summed_without_an_array_of_them() {
        Check::new(
            |[x]: [Tensor; 1]| x.sum_squares(),
            |[x]| fold(&x, &[], false, |row| row.iter().map(|x| x * x).sum()),
        )
        .shapes([[7]])
        .shapes([[1]])
        .shapes([[10_001]])
        .run();
    }

    #[test]
    fn products_match_their_definition() {
        let product = |row: &[f64]| row.iter().product();
        for dims in DIMS {
            Check::new(|[x]: [Tensor; 1]| x.prod(dims, true), |[x]| fold(&x, dims, true, product))
                .shapes([[3, 5, 4]])
                .shapes([[1, 2, 1]])
                .range(0.7, 1.4)
                .run();
        }
        Check::new(|[x]: [Tensor; 1]| x.prod(&[1], false), |[x]| fold(&x, &[1], false, product))
            .shapes([[2, 5003]])
            .range(0.999, 1.001)
            .run();
    }

    #[test]
    fn the_gradient_of_a_product_is_exact_at_zeros() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [3, 3]);
        let y = x.prod(&[1], false);
        let dx = gradients(&y.sum_all(), std::slice::from_ref(&x)).remove(0).unwrap();
        let array = Array::from_f32([3, 3], &[2.0, 3.0, 4.0, 2.0, 0.0, -4.0, 0.0, 5.0, 0.0]).unwrap();
        let found = run(&graph, &[("y", &y), ("dx", &dx)], &[("x", array)]).unwrap();
        assert_eq!(found[0].to_f32(), [24.0, 0.0, 0.0]);
        assert_eq!(found[1].to_f32(), [12.0, 8.0, 6.0, 0.0, -8.0, 0.0, 0.0, 0.0, 0.0]);
        gradients(&dx.sum_all(), &[x]);
        let text = "prod_grad: has no gradient, and the loss needs one through it";
        assert_eq!(graph.check().unwrap_err().message(), text);
    }

    #[test]
    fn norms_match_their_definition() {
        let l1 = |row: &[f64]| row.iter().map(|x| x.abs()).sum();
        let l2 = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
        let largest = |row: &[f64]| row.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
        for dims in DIMS {
            Check::new(|[x]: [Tensor; 1]| x.norm(1.0, dims, false), |[x]| fold(&x, dims, false, l1))
                .shapes([[3, 5, 4]])
                .run();
            Check::new(|[x]: [Tensor; 1]| x.norm(2.0, dims, true), |[x]| fold(&x, dims, true, l2))
                .shapes([[3, 5, 4]])
                .shapes([[1, 1, 1]])
                .run();
            Check::new(|[x]: [Tensor; 1]| x.norm(f32::INFINITY, dims, true), |[x]| fold(&x, dims, true, largest))
                .shapes([[3, 5, 4]])
                .run();
        }
        Check::new(
            |[x]: [Tensor; 1]| x.normalize(2.0, 1, 1e-12),
            |[x]| map_rows(&x, 1, |row| row.iter().map(|x| x / l2(row)).collect()),
        )
        .shapes([[3, 5, 4]])
        .shapes([[2, 1, 1]])
        .run();
    }

    #[test]
    fn norms_of_nothing_and_of_zeros() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [3]);
        let none = graph.input("none", [2, 0]);
        let y = x.norm(2.0, &[], false);
        let dx = gradients(&y, std::slice::from_ref(&x)).remove(0).unwrap();
        let outputs =
            [("y", &y), ("dx", &dx), ("unit", &x.normalize(2.0, 0, 1e-12)), ("none", &none.norm(2.0, &[1], false)), ("prod", &none.prod(&[1], false))];
        let inputs = [("x", Array::from_f32([3], &[0.0; 3]).unwrap()), ("none", Array::from_f32([2, 0], &[]).unwrap())];
        let found = run(&graph, &outputs, &inputs).unwrap();
        assert_eq!(found[0].to_f32(), [0.0]);
        assert_eq!(found[1].to_f32(), [0.0; 3]);
        assert_eq!(found[2].to_f32(), [0.0; 3]);
        assert_eq!(found[3].to_f32(), [0.0; 2]);
        assert_eq!(found[4].to_f32(), [1.0; 2]);
        x.norm(3.0, &[], false);
        assert_eq!(graph.check().unwrap_err().message(), "norm: p is 1, 2 or infinity, not 3");
    }

    #[test]
    fn a_million_numbers_are_summed_to_a_millionth() {
        let million = 1_000_003;
        Check::new(|[x]: [Tensor; 1]| x.sum_all(), |[x]| fold(&x, &[], false, sum))
            .shapes([[million]])
            .range(0.0, 1.0)
            .tolerance(1e-6)
            .no_half()
            .no_gradient()
            .run();
        // Rounding errors of equal numbers add up instead of cancelling.
        for (shape, dim) in [([1, million], 1), ([million, 1], 0), ([million / 3, 3], 0)] {
            for class in [DeviceClass::Software, DeviceClass::Portable] {
                let graph = Graph::new(Mode::Infer);
                let x = graph.input("x", shape);
                let y = x.sum(&[dim], false);
                let n = shape[dim as usize];
                let array = Array::from_f32(shape, &vec![0.1; shape[0] * shape[1]]).unwrap();
                let target = context().target().with_class(class);
                let y = run_on(&graph, &[("y", &y)], &[("x", array)], &target, PlanOptions::default()).unwrap();
                let expected = n as f64 * f64::from(0.1_f32);
                for found in y[0].to_f32() {
                    let error = (f64::from(found) / expected - 1.0).abs();
                    assert!(error < 1e-6, "{class:?} {shape:?}: {found} against {expected}");
                }
            }
        }
    }

    #[test]
    fn nan_and_infinity_behave_as_in_pytorch() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [4, 3]);
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let array = Array::from_f32([4, 3], &[1.0, nan, 2.0, inf, 1.0, -inf, -inf, -inf, -inf, 3.0, 1.0, nan]).unwrap();
        for class in [DeviceClass::Software, DeviceClass::Portable] {
            for dim in [1, -1] {
                let [sum, max, min] = [x.sum(&[dim], false), x.max(&[dim], false), x.min(&[dim], false)];
                let target = context().target().with_class(class);
                let outputs = [("sum", &sum), ("max", &max), ("min", &min)];
                let found = run_on(&graph, &outputs, &[("x", array.clone())], &target, PlanOptions::default()).unwrap();
                let [sum, max, min] = [0, 1, 2].map(|i| found[i].to_f32());
                assert!(sum[0].is_nan() && sum[1].is_nan() && sum[2] == -inf && sum[3].is_nan(), "{sum:?}");
                assert!(max[0].is_nan() && max[1] == inf && max[2] == -inf && max[3].is_nan(), "{max:?}");
                assert!(min[0].is_nan() && min[1] == -inf && min[2] == -inf && min[3].is_nan(), "{min:?}");
            }
        }
    }

    #[test]
    fn equal_extremes_share_the_gradient() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [2, 1, 3]);
        let loss = x.max(&[0, 2], false).sum_all();
        let dx = gradients(&loss, &[x]).remove(0).unwrap();
        let array = Array::from_f32([2, 1, 3], &[5.0, 5.0, 1.0, 5.0, 2.0, 5.0]).unwrap();
        let found = run(&graph, &[("dx", &dx)], &[("x", array)]).unwrap();
        assert_eq!(found[0].to_f32(), [0.25, 0.25, 0.0, 0.25, 0.0, 0.25]);
    }

    #[test]
    fn the_sum_of_nothing_is_zero_and_its_mean_nan() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [3, 0, 2]);
        let (sum, mean, none) = (x.sum(&[1], false), x.mean_all(), x.sum(&[0], false));
        let outputs = [("sum", &sum), ("mean", &mean), ("none", &none)];
        let found = run(&graph, &outputs, &[("x", Array::from_f32([3, 0, 2], &[]).unwrap())]).unwrap();
        assert_eq!(found[0].to_f32(), [0.0; 6]);
        assert!(found[1].to_f32()[0].is_nan());
        assert_eq!(*found[2].shape(), Shape::from([0, 2]));
    }

    #[test]
    fn values_larger_than_a_binding_are_summed_in_parts() {
        let shape = [21, 50, 3];
        let numbers: Vec<f32> = (0..21 * 50 * 3).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
        for (class, dims, dtype) in [DeviceClass::Software, DeviceClass::Portable]
            .into_iter()
            .flat_map(|class| DIMS.map(|dims| (class, dims)))
            .flat_map(|(class, dims)| [DType::F32, DType::F16].map(|dtype| (class, dims, dtype)))
        {
            let whole = context().target().with_class(class);
            if dtype == DType::F16 && !whole.f16 {
                continue;
            }
            let graph = Graph::new(Mode::Infer);
            let x = graph.input_of("x", shape, dtype);
            let y = x.sum(dims, false);
            let array = Array::from_f32_as(dtype, shape, &numbers).unwrap();
            let results = [2048 * dtype.bytes() as u64, whole.max_binding_bytes].map(|max_binding_bytes| {
                let target = Target { max_binding_bytes, ..whole.clone() };
                let inputs = [("x", array.clone())];
                let y = run_on(&graph, &[("y", &y)], &inputs, &target, PlanOptions::default());
                y.unwrap_or_else(|error| panic!("{class:?} {dims:?} {dtype}: {error}"))[0].to_f32()
            });
            assert_eq!(results[0], results[1], "{class:?} {dims:?} {dtype}");
        }
    }

    #[test]
    fn sums_to_the_shape_that_was_broadcast() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [2, 3, 4]);
        for shape in [&[2, 3, 4][..], &[3, 4], &[4], &[], &[1, 1, 1], &[2, 1, 4], &[3, 1], &[1, 3, 1], &[1]] {
            assert_eq!(x.sum_to(&shape.into()).shape(), shape.into());
        }
        Check::new(
            |[x]: [Tensor; 1]| x.sum_to(&[3, 1].into()),
            |[x]| Numbers::from_fn([3, 1], |at| (0..8).map(|i| x.at(&[i / 4, at[0], i % 4])).sum()),
        )
        .shapes([[2, 3, 4]])
        .run();
        graph.check().unwrap();
        x.sum_to(&[2, 3].into());
        let error = graph.check().unwrap_err();
        assert_eq!(error.message(), "sum_to: shape [2, 3] does not broadcast to [2, 3, 4]");
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |mistake: &dyn Fn(&Tensor)| {
            let graph = Graph::new(Mode::Infer);
            mistake(&graph.input("x", [2, 3]));
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(message(&|x| drop(x.sum(&[3], false))), "sum: dimension 3 is outside shape [2, 3]");
        assert_eq!(message(&|x| drop(x.mean(&[1, -1], true))), "mean: dimension -1 of shape [2, 3] is given twice");
        let nothing = |x: &Tensor| drop(x.slice(1, 0..0).max(&[1], false));
        assert_eq!(message(&nothing), "max: shape [2, 0] has no elements to compare");
        let index = |x: &Tensor| drop(x.graph().input_of("i", [2], DType::U32).sum_all());
        assert_eq!(message(&index), "sum: needs floating point numbers, not u32[2]");
    }
}
