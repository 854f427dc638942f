//! moments: the mean and Σ (x − mean)²/n along dimensions; variance and standard deviation.
//!
//! What batch, group and instance normalisation are made of: [`Tensor::moments`], in one pass over
//! memory, and for the gradient Σ dy and Σ dy·(x − center), in another. Everything else about them is
//! pointwise and fused.

use super::{
    reduce::select,
    rows::{LONG, lanes, across, with_lanes},
};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor, ValueId, fit, too_large},
    kernel::{Dispatch, Kernel, Params, Slice, Target},
    shader,
};
use smallvec::SmallVec;
use std::ops::Range;

/// Which elements have their statistics in common.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Over {
    /// For each dimension, whether statistics are taken along it.
    pub reduced: SmallVec<[bool; 6]>,
    /// The number of groups dimension 1 is divided into; statistics are taken within each.
    pub groups: Option<usize>,
}

impl Over {
    /// Statistics along some dimensions.
    pub fn dims(reduced: impl IntoIterator<Item = bool>) -> Over {
        Over { reduced: reduced.into_iter().collect(), groups: None }
    }

    /// The shape of the statistics, with size 1 along the dimensions that are gone.
    fn output(&self, shape: &Shape) -> Shape {
        let kept = shape.iter().zip(&self.reduced).enumerate();
        kept.map(|(d, (&size, &reduced))| match self.groups {
            Some(groups) if d == 1 => groups,
            _ if reduced => 1,
            _ => size,
        })
        .collect()
    }

    /// How statistics of x and parameters for each channel come together.
    pub fn layout(&self, x: &Shape) -> Layout {
        let to = self.output(x);
        match self.groups {
            Some(groups) => {
                let inner = x[1] / groups.max(1);
                Layout {
                    of: [x[0], groups, 1].into(),
                    common: [x[0], groups, inner].into(),
                    parameters: [1, groups, inner].into(),
                    to: to.with(1, x[1]),
                }
            }
            None => {
                let flat = Shape::from([to.numel()]);
                Layout { of: flat.clone(), common: flat.clone(), parameters: flat, to }
            }
        }
    }

    /// The first dimensions along which each element has statistics of its own.
    fn kept(&self) -> usize {
        let kept = self.reduced.iter().take_while(|reduced| !**reduced).count();
        if self.groups.is_some() { kept.min(1) } else { kept }
    }

    /// The elements that share a statistic.
    pub fn count(&self, x: &Shape) -> usize {
        x.numel().checked_div(self.output(x).numel()).unwrap_or(0)
    }

    /// The shape as `[outer, a, c, b]`, statistics along a and b; `None` where that takes another order.
    fn view(&self, shape: &Shape) -> Option<View> {
        let mut runs: SmallVec<[(usize, bool); 6]> = SmallVec::new();
        let mut add = |size: usize, reduced: bool| match runs.last_mut() {
            _ if size == 1 => {}
            Some(last) if last.1 == reduced => last.0 *= size,
            _ => runs.push((size, reduced)),
        };
        for (d, (&size, &reduced)) in shape.iter().zip(&self.reduced).enumerate() {
            match self.groups {
                Some(groups) if d == 1 => {
                    add(groups, false);
                    add(size / groups, true);
                }
                _ => add(size, reduced),
            }
        }
        let [outer, a, c, b] = match runs[..] {
            [] => [1, 1, 1, 1],
            [(b, true)] => [1, 1, 1, b],
            [(c, false)] => [1, 1, c, 1],
            [(outer, false), (b, true)] => [outer, 1, 1, b],
            [(a, true), (c, false)] => [1, a, c, 1],
            [(outer, false), (a, true), (c, false)] => [outer, a, c, 1],
            [(a, true), (c, false), (b, true)] => [1, a, c, b],
            [(outer, false), (a, true), (c, false), (b, true)] => [outer, a, c, b],
            _ => return None,
        };
        Some(View::new(outer, a, c, b))
    }
}

/// Shapes of small tensors beside x: arithmetic is done in one of them, so that it is one kernel.
pub(super) struct Layout {
    /// Of the statistics, so that they broadcast to the common shape.
    of: Shape,
    /// In which statistics and parameters are combined.
    common: Shape,
    /// Of the parameters, so that they broadcast to the common shape.
    parameters: Shape,
    /// As which the results broadcast to x.
    to: Shape,
}

impl Layout {
    /// A statistic in the common shape.
    #[track_caller]
    fn common(&self, statistic: &Tensor) -> Tensor {
        statistic.reshape(&self.of).expand(&self.common)
    }

    /// A parameter that broadcasts to the common shape, in `f32`.
    #[track_caller]
    fn parameter(&self, parameter: &Tensor) -> Tensor {
        parameter.cast(DType::F32).reshape(&self.parameters)
    }
}

/// Neighbours in memory that one binding covers.
struct Piece {
    /// The first of `[outer, parts along a, c, parts along b]`.
    first: [usize; 4],
    count: [usize; 4],
    elements: Range<usize>,
}

/// `[outer, a, c, b]` in parts of `chunk_a` by `chunk_b` elements.
#[derive(Clone, Copy, Debug)]
struct View {
    outer: usize,
    a: usize,
    c: usize,
    b: usize,
    chunk_a: usize,
    chunk_b: usize,
}

impl View {
    /// Enough parts to occupy a device, few enough to be cheap to combine.
    fn new(outer: usize, a: usize, c: usize, b: usize) -> View {
        let n = a * b;
        let (chunk_a, chunk_b) = if b == 1 {
            (a.div_ceil(1024).clamp(64, 4096), 1)
        } else {
            let wanted = 4096_usize.div_ceil((outer * c).max(1));
            let chunk = n.div_ceil(wanted).clamp(1024, 8192);
            let across = b.div_ceil(b.div_ceil(chunk).max(1)).next_multiple_of(4).min(b);
            (if across < b { 1 } else { chunk / b.max(1) }, across)
        };
        View { outer, a, c, b, chunk_a: chunk_a.clamp(1, a.max(1)), chunk_b: chunk_b.max(1) }
    }

    fn groups(&self) -> usize {
        self.outer * self.c
    }

    fn parts_b(&self) -> usize {
        self.b.div_ceil(self.chunk_b).max(1)
    }

    fn parts(&self) -> usize {
        self.a.div_ceil(self.chunk_a).max(1) * self.parts_b()
    }

    fn by_columns(&self) -> bool {
        self.b == 1 && self.c > 1
    }

    /// The pieces of x that a binding covers, in the order of memory, each of them whole parts.
    fn pieces(&mut self, x: &TensorDesc, target: &Target) -> Result<Vec<Piece>, Misfit> {
        let wide = x.dtype.bytes();
        let mut most = target.max_binding_bytes as usize / wide;
        if x.shape.numel() > most {
            // A piece may begin between two places where bindings may.
            most = most.saturating_sub(target.offset_alignment as usize / wide);
            self.chunk_a = self.chunk_a.min(most / (self.c * self.b).max(1)).max(1);
        }
        let sizes = [self.outer, self.a, self.c, self.b];
        let columns = if self.by_columns() { 4 * across(target) } else { 1 };
        let steps = [1, self.chunk_a, columns, self.chunk_b];
        let inner = |d: usize| sizes[d + 1..].iter().product::<usize>();
        // All that is before the first dimension of which a step fits is done one by one.
        let fits = |d: &usize| steps[*d].min(sizes[*d]) * inner(*d) <= most;
        let cut = (0..4).find(fits).ok_or_else(|| too_large(x, target))?;
        let length = (most / (steps[cut] * inner(cut)).max(1)).max(1) * steps[cut];
        let mut pieces = Vec::new();
        for before in 0..sizes[..cut].iter().product() {
            for from in (0..sizes[cut].max(1)).step_by(length) {
                let mut piece = Piece { first: [0; 4], count: sizes, elements: 0..0 };
                let mut rest = before;
                for d in (0..cut).rev() {
                    (piece.first[d], piece.count[d]) = (rest % sizes[d], 1);
                    rest /= sizes[d];
                }
                piece.first[cut] = from;
                piece.count[cut] = length.min(sizes[cut] - from);
                let start = (before * sizes[cut] + from) * inner(cut);
                piece.elements = start..start + piece.count[cut] * inner(cut);
                for (d, chunk) in [(1, self.chunk_a), (3, self.chunk_b)] {
                    piece.first[d] /= chunk;
                    piece.count[d] = piece.count[d].div_ceil(chunk).max(1);
                }
                pieces.push(piece);
            }
        }
        Ok(pieces)
    }

    /// The sizes, for a piece whose binding begins behind some elements.
    fn params(&self, piece: &Piece, skipped: usize) -> Params {
        let params = Params::new().u32(self.groups()).u32(self.a).u32(self.c).u32(self.b);
        let params = params.u32(self.chunk_a).u32(self.chunk_b).u32(self.parts_b()).u32(self.parts());
        params.all(piece.first).all(piece.count).u32(skipped)
    }

    /// The first of two dispatches for each piece of values like x, which come first among what is bound, of one of two
    /// entry points: rows, or columns where b = 1.
    fn dispatches(
        &self,
        pieces: &[Piece],
        entries: [&'static str; 2],
        like_x: &[(ValueId, TensorDesc)],
        target: &Target,
        bind: impl Fn(Dispatch) -> Dispatch,
        out: &mut Emit,
    ) {
        let desc = &like_x[0].1;
        let wide = desc.dtype.bytes() as u64;
        for piece in pieces {
            let whole = piece.elements.len() == desc.shape.numel();
            let offset = piece.elements.start as u64 * wide / target.offset_alignment * target.offset_alignment;
            let end = (piece.elements.end as u64 * wide).next_multiple_of(16);
            let bytes = (!whole).then_some(end - offset);
            let dispatch = self.dispatch(piece, entries, desc.dtype, target);
            let slices = like_x.iter().map(|(value, _)| Slice { value: *value, offset, bytes });
            let dispatch = bind(slices.fold(dispatch, Dispatch::read));
            let elements = piece.elements.len() as u64;
            let cost = (2 + 2 * like_x.len() as u64) * elements;
            let dispatch = dispatch.params(self.params(piece, (offset / wide) as usize));
            out.push(dispatch.cost(cost, like_x.len() as u64 * elements * wide));
        }
    }

    /// Goes through one piece.
    fn dispatch(&self, piece: &Piece, [rows, columns]: [&'static str; 2], real: DType, target: &Target) -> Dispatch {
        let kernel = |entry| Kernel::new(shader!("moments"), entry, real);
        let [outer, parts_a, c, parts_b] = piece.count;
        if self.by_columns() {
            let vectors = across(target);
            let kernel = kernel(columns).constant("ALIGNED", self.c.is_multiple_of(4).into());
            let threads = parts_a * outer * c.div_ceil(4 * vectors);
            Dispatch::new(kernel.constant("VECTORS", vectors as u32)).groups(threads.div_ceil(64) as u64)
        } else {
            let lanes = if target.class.is_software() { 1 } else { lanes(self.chunk_a * self.chunk_b) };
            let across = self.chunk_b.div_ceil(4).next_power_of_two().min(lanes);
            let kernel = kernel(rows).constant("ALIGNED", self.b.is_multiple_of(4).into());
            let kernel = with_lanes(kernel.constant("ACROSS", across as u32), lanes, target);
            Dispatch::new(kernel).groups((parts_a * parts_b * outer * c).div_ceil(64 / lanes) as u64)
        }
    }

    /// The second dispatch, where there is more than one part.
    fn finish(&self, entry: &'static str, target: &Target) -> Dispatch {
        let lanes: usize = if target.class.is_software() { 1 } else { 64 };
        let kernel = with_lanes(Kernel::new(shader!("moments"), entry, DType::F32), lanes, target);
        let (parts, groups) = (self.parts() as u64, self.groups() as u64);
        let dispatch = Dispatch::new(kernel).groups(groups.div_ceil(64 / lanes as u64));
        dispatch.cost(5 * parts * groups, 8 * (parts + 1) * groups)
    }

    /// Refuses more parts than one thread of a software driver can combine.
    fn fits(&self, target: &Target) -> Result<(), Misfit> {
        let most = 2 * LONG;
        if target.class.is_software() && self.parts() > most {
            let reason = format!("groups of {} elements are longer than a software driver can go through", self.a * self.b);
            return Err(Misfit::limit(reason));
        }
        Ok(())
    }

    /// As many values of each part for the second dispatch, or the results where there is one part.
    fn parts_or<const N: usize>(
        &self,
        results: [ValueId; N],
        target: &Target,
        out: &mut Emit,
    ) -> Result<[ValueId; N], Misfit> {
        let desc = TensorDesc::new([self.parts(), self.groups()], DType::F32);
        fit([&desc], target)?;
        Ok(if self.parts() > 1 { [0; N].map(|_| out.scratch(desc.clone())) } else { results })
    }
}

/// The mean of each group, what it differs from its nearest `f32` by, and the biased variance; all `f32`.
#[derive(Debug)]
struct Moments {
    over: Over,
}

fn rearranged(shape: &Shape) -> Misfit {
    Misfit::shape(format!("the dimensions of {shape} are in another order"))
}

impl Op for Moments {
    fn name(&self) -> &'static str {
        "moments"
    }

    fn outputs(&self) -> usize {
        3
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        if !x.dtype.is_float() {
            return Err(Misfit::dtype(format!("needs floating point numbers, not {x}")));
        }
        self.over.view(&x.shape).ok_or_else(|| rearranged(&x.shape))?;
        Ok(vec![TensorDesc::new(self.over.output(&x.shape), DType::F32); 3])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![self.over.kept()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let mut view = self.over.view(io.x_shape(0)).ok_or_else(|| rearranged(io.x_shape(0)))?;
        let pieces = view.pieces(io.x_desc(0), target)?;
        view.fits(target)?;
        let results = [io.y(0), io.y(1), io.y(2)];
        let values = view.parts_or(results, target, out)?;
        let bind = |dispatch| values.into_iter().fold(dispatch, Dispatch::write);
        view.dispatches(&pieces, ["rows", "columns"], &io.inputs[..1], target, bind, out);
        if view.parts() > 1 {
            let [origins, means, variances] = values;
            let finish = results.into_iter().fold(view.finish("finish", target), Dispatch::write);
            out.push(finish.read(means).read(variances).read(origins).params(view.params(&pieces[0], 0)));
        }
        Ok(())
    }

    /// dx = (drest + 2·dvariance·(x − mean)) / n. The center is a constant: it is the rest that moves with x.
    fn backward(&self, at: &Backward) -> Gradients {
        let (x, center, rest) = (at.x(0), at.y(0).detach(), at.y(1));
        let shape = x.shape();
        let layout = self.over.layout(&shape);
        let share = 1.0 / self.over.count(&shape) as f32;
        let scale = layout.common(&at.dy(2)) * (2.0 * share);
        let shift = layout.common(&at.dy(1)) * share - &scale * layout.common(rest);
        let [center, scale, shift] = [layout.common(&center), scale, shift].map(|tensor| tensor.reshape(&layout.to));
        Gradients::of([Some(x.scale_shift(&center, &scale, &shift))])
    }
}

/// Σ dy and Σ dy·(x − center) over the elements that share a center; all but dy and x `f32`.
#[derive(Debug)]
struct DotSums {
    over: Over,
}

impl Op for DotSums {
    fn name(&self) -> &'static str {
        "dot_sums"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (x, center) = (&inputs[0].shape, &inputs[2]);
        self.over.view(x).ok_or_else(|| rearranged(x))?;
        Ok(vec![center.clone(); 2])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![self.over.kept(); 3])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let mut view = self.over.view(io.x_shape(0)).ok_or_else(|| rearranged(io.x_shape(0)))?;
        let pieces = view.pieces(io.x_desc(0), target)?;
        view.fits(target)?;
        let results = [io.y(0), io.y(1)];
        let [sums, products] = view.parts_or(results, target, out)?;
        let bind = |dispatch: Dispatch| dispatch.read(io.x(2)).write(sums).write(products);
        view.dispatches(&pieces, ["sum_rows", "sum_columns"], &io.inputs[..2], target, bind, out);
        if view.parts() > 1 {
            let finish = view.finish("finish_sums", target).read(sums).read(products);
            out.push(finish.write(results[0]).write(results[1]).params(view.params(&pieces[0], 0)));
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, dy, center) = (at.x(0), at.x(1), at.x(2));
        let (of_sum, of_product) = (at.dy(0), at.dy(1));
        let wide = |x: &Tensor| x.cast(DType::F32);
        Gradients::of([
            at.needs(0).then(|| (wide(dy) * &of_product).cast(x.dtype())),
            at.needs(1).then(|| ((wide(x) - center) * &of_product + of_sum).cast(dy.dtype())),
            at.needs(2).then(|| -&of_product * at.y(0)),
        ])
    }
}

/// Mean and variance of groups of elements, `f32`.
pub(super) struct Statistics {
    /// The mean's nearest `f32`, a constant: no gradient flows through it.
    pub center: Tensor,
    /// The mean less its nearest `f32`, with the gradient of the mean; absent where that is not computed.
    pub rest: Option<Tensor>,
    /// Σ (x − mean)² / n.
    pub variance: Tensor,
}

impl Statistics {
    /// γ·(x − mean)/√(variance + ε) + β.
    #[track_caller]
    pub fn normalise(
        &self,
        x: &Tensor,
        layout: &Layout,
        eps: f32,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
    ) -> Tensor {
        let rstd = (layout.common(&self.variance) + eps).rsqrt();
        let scale = weight.map_or(rstd.clone(), |weight| rstd * layout.parameter(weight));
        // The rest is at most a rounding error of the mean, so nothing cancels.
        let rest = self.rest.as_ref().map(|rest| -layout.common(rest) * &scale);
        let bias = bias.map(|bias| layout.parameter(bias));
        let shift = match (rest, bias) {
            (Some(rest), Some(bias)) => rest + bias,
            (Some(shift), None) | (None, Some(shift)) => shift,
            (None, None) => x.graph().constant(0.0, DType::F32),
        };
        let tensors = [layout.common(&self.center), scale, shift.expand(&layout.common)];
        let [center, scale, shift] = tensors.map(|tensor| tensor.reshape(&layout.to));
        x.scale_shift(&center, &scale, &shift)
    }
}

impl Tensor {
    /// Mean and variance over groups of elements.
    #[track_caller]
    pub(super) fn moments(&self, over: &Over) -> Statistics {
        let outputs = self.graph().apply(Moments { over: over.clone() }, &[self]);
        Statistics { center: outputs[0].detach(), rest: Some(outputs[1].clone()), variance: outputs[2].clone() }
    }

    /// Σ dy and Σ dy·(x − center) over the dimensions along which `center` has size 1.
    #[track_caller]
    pub(super) fn dot_sums(&self, dy: &Tensor, center: &Tensor) -> [Tensor; 2] {
        let over = Over::dims(self.shape().iter().zip(center.shape().iter()).map(|(size, one)| size != one));
        let mut outputs = self.graph().apply(DotSums { over }, &[self, dy, center]);
        let product = outputs.swap_remove(1);
        [outputs.swap_remove(0), product]
    }

    /// The variance along `dims`, along all dimensions if there are none: `torch.var`.
    ///
    /// Σ (x − mean)² / (n − 1), or / n if not `unbiased`. `f16` is summed in `f32`, and numbers far from
    /// zero lose no accuracy: everything is computed from differences. Reduced dimensions have size 1 in the
    /// result with `keepdim`, else they are gone. Of nothing, and unbiased of one number, it is NaN.
    ///
    /// # Gradient
    /// dx = 2·dy·(x − mean) / (n − 1), of any order.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist or is given twice.
    #[track_caller]
    pub fn var(&self, dims: &[isize], unbiased: bool, keepdim: bool) -> Tensor {
        self.variance("var", dims, unbiased, keepdim, Tensor::clone)
    }

    /// The standard deviation, the square root of the [variance](Tensor::var): `torch.std`.
    ///
    /// # Gradient
    /// dx = dy·(x − mean) / ((n − 1)·y), 0 where y is 0.
    ///
    /// # Errors
    /// As [`var`](Tensor::var).
    #[track_caller]
    pub fn std(&self, dims: &[isize], unbiased: bool, keepdim: bool) -> Tensor {
        self.variance("std", dims, unbiased, keepdim, Tensor::sqrt_flat_at_zero)
    }

    #[track_caller]
    fn variance(
        &self,
        name: &'static str,
        dims: &[isize],
        unbiased: bool,
        keepdim: bool,
        finish: impl Fn(&Tensor) -> Tensor,
    ) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        let reduced = match select(&shape, dims) {
            Ok(reduced) => reduced,
            Err(misfit) => {
                self.graph().fail(misfit.of(name));
                return self.graph().failed();
            }
        };
        let over = Over::dims(reduced.iter().copied());
        let (n, kept) = (over.count(&shape) as f32, over.output(&shape));
        let variance = if over.view(&shape).is_some() {
            self.moments(&over).variance
        } else {
            // The reduced dimensions last.
            let order = (0..shape.rank()).filter(|&d| !reduced[d]).chain((0..shape.rank()).filter(|&d| reduced[d]));
            let order: Vec<usize> = order.collect();
            let outer = reduced.iter().filter(|reduced| !**reduced).count();
            let moved = self.permute(&order);
            moved.moments(&Over::dims((0..shape.rank()).map(|d| d >= outer))).variance
        };
        let variance = if unbiased { variance * (n / (n - 1.0)) } else { variance };
        let gone: Shape = shape.iter().zip(&reduced).filter(|(_, reduced)| !**reduced).map(|(&size, _)| size).collect();
        finish(&variance).cast(self.dtype()).reshape(if keepdim { kept } else { gone })
    }

    /// √x with gradient 0 at 0, as PyTorch has it of norms and standard deviations.
    #[track_caller]
    pub(super) fn sqrt_flat_at_zero(&self) -> Tensor {
        let zero = self.graph().constant(0.0, self.dtype());
        let (is_zero, one) = (self.eq(&zero), self.graph().constant(1.0, self.dtype()));
        is_zero.where_(&zero, &is_zero.where_(&one, self).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        ops::rows::random_shapes,
        prelude::*,
        testing::{Check, Numbers, run},
    };

    fn variance(x: &Numbers, dims: &[usize], correction: f64) -> Numbers {
        let shape = x.shape().clone();
        let kept: Shape = (0..shape.rank()).map(|d| if dims.contains(&d) { 1 } else { shape[d] }).collect();
        let mut groups = vec![Vec::new(); kept.numel()];
        let strides = kept.broadcast_strides(&shape);
        Numbers::from_fn(&shape, |at| {
            groups[at.iter().zip(&strides).map(|(i, stride)| i * stride).sum::<usize>()].push(x.at(at));
            0.0
        });
        let of = |group: &Vec<f64>| {
            let mean = group.iter().sum::<f64>() / group.len() as f64;
            group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (group.len() as f64 - correction)
        };
        Numbers::new(kept, groups.iter().map(of).collect())
    }

    #[test]
    fn variances_match_their_definition() {
        let cases: [&[usize]; 9] = [&[0], &[1], &[2], &[3], &[0, 2], &[1, 3], &[0, 3], &[2, 3], &[0, 1, 2, 3]];
        for dims in cases {
            let signed: Vec<isize> = dims.iter().map(|&d| d as isize).collect();
            Check::new(|[x]: [Tensor; 1]| x.var(&signed, true, true), |[x]| variance(&x, dims, 1.0))
                .shapes([[2, 3, 5, 4]])
                .shapes([[3, 2, 2, 7]])
                .run();
            Check::new(|[x]: [Tensor; 1]| x.std(&signed, false, true), |[x]| variance(&x, dims, 0.0).map(f64::sqrt))
                .shapes([[3, 2, 4, 5]])
                .run();
        }
    }

    #[test]
    fn random_shapes_and_dimensions() {
        for (i, shape) in random_shapes(7, 20, 1..6, 6).into_iter().enumerate() {
            let dims: Vec<usize> = (0..shape.rank()).filter(|d| (i * 5 + d * 3) % 4 < 2).collect();
            let dims = if dims.is_empty() { vec![0] } else { dims };
            let signed: Vec<isize> = dims.iter().map(|&d| d as isize - shape.rank() as isize).collect();
            Check::new(|[x]: [Tensor; 1]| x.var(&signed, false, true), |[x]| variance(&x, &dims, 0.0))
                .shapes([shape])
                .run();
        }
    }

    #[test]
    fn several_parts_and_numbers_far_from_zero() {
        for (shape, dims) in
            [([3, 1, 9001], &[2][..]), ([1, 9001, 6], &[1]), ([40, 2, 700], &[0, 2]), ([2, 3000, 17], &[1])]
        {
            let signed: Vec<isize> = dims.iter().map(|&d| d as isize).collect();
            // The gradient has no parts; its definition takes long.
            Check::new(|[x]: [Tensor; 1]| x.var(&signed, true, true), |[x]| variance(&x, dims, 1.0))
                .shapes([shape])
                .no_gradient()
                .run();
            Check::new(|[x]: [Tensor; 1]| x.std(&signed, true, true), |[x]| variance(&x, dims, 1.0).map(f64::sqrt))
                .shapes([shape])
                .range(1e4 - 0.02, 1e4 + 0.02)
                .no_gradient()
                .no_half()
                .tolerance(1e-6)
                .run();
        }
    }

    #[test]
    fn of_nothing_and_of_one_number() {
        let graph = Graph::new(Mode::Infer);
        let (one, none) = (graph.input("one", [2, 1]), graph.input("none", [2, 0]));
        let of = |x: &Tensor, unbiased| x.var(&[1], unbiased, false);
        let outputs = [("a", &of(&one, false)), ("b", &of(&one, true)), ("c", &of(&none, false)), ("d", &one.std(&[1], false, true))];
        let inputs =
            [("one", Array::from_f32([2, 1], &[3.0, 5.0]).unwrap()), ("none", Array::from_f32([2, 0], &[]).unwrap())];
        let found: Vec<Vec<f32>> = run(&graph, &outputs, &inputs).unwrap().iter().map(Array::to_f32).collect();
        assert_eq!(found[0], [0.0, 0.0]);
        assert!(found[1].iter().chain(&found[2]).all(|x| x.is_nan()), "{found:?}");
        assert_eq!(found[3], [0.0, 0.0]);
        one.var(&[2], true, false);
        assert_eq!(graph.check().unwrap_err().message(), "var: dimension 2 is outside shape [2, 1]");
    }
}
