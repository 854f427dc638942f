//! layer_norm: y = γ·(x − mean)/√(variance + ε) + β over the last dimensions (Ba, Kiros, Hinton 2016), and
//! rms_norm: y = γ·x/√(Σ x²/n + ε) (Zhang, Sennrich 2019).

use super::{
    reduce::sum_first,
    rows::{Rows, across},
};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor, ValueId},
    kernel::{Dispatch, Params, Slice, Target},
    shader,
};

/// Returns y, and for each row the mean (of x − x₀, see the shader) and 1/√(variance + ε), from x and
/// those of weight and bias that there are.
#[derive(Clone, Debug)]
struct Norm {
    /// Whether the mean is subtracted.
    centered: bool,
    /// The sizes of the last dimensions, those that are normalised.
    inner: Shape,
    weight: bool,
    bias: bool,
    eps: f32,
}

impl Norm {
    /// The shape without the dimensions that are normalised.
    fn outer(&self, x: &Shape) -> Shape {
        x[..x.rank() - self.inner.rank()].into()
    }

    fn rows(&self, x: &Shape) -> Rows {
        Rows::contiguous(self.outer(x).numel(), self.inner.numel())
    }

    /// The dimensions that are normalised, counted from the back.
    fn dims(&self) -> Vec<isize> {
        (1..=self.inner.rank() as isize).map(|d| -d).collect()
    }

    fn dispatch(&self, io: &Io, entries: [&'static str; 2], held: &'static str, target: &Target) -> Result<Dispatch, Misfit> {
        io.fits(target)?;
        let rows = self.rows(io.x_shape(0));
        let mut dispatch = rows.dispatch(shader!("layer_norm"), entries, Some(held), io.real(), target)?;
        let choices = [("CENTERED", self.centered), ("WEIGHTED", self.weight), ("BIASED", self.bias)];
        for (choice, set) in choices.into_iter().filter(|(_, set)| !set) {
            dispatch.kernel = dispatch.kernel.constant(choice, set.into());
        }
        // Lanes of a processor keep γ and β for several rows, where there are enough to share.
        if target.class.is_software() && dispatch.kernel.entry == held && rows.count() >= 64 * EACH {
            dispatch.kernel = dispatch.kernel.constant("EACH", EACH as u32);
            dispatch = dispatch.groups(rows.count().div_ceil(EACH) as u64);
        }
        Ok(dispatch)
    }

    fn params(&self, x: &Shape) -> Params {
        self.rows(x).params().f32(self.eps)
    }

    /// x̂ and 1/√(variance + ε) of an x in `f32`, as differentiable values.
    fn plain(&self, x: &Tensor) -> (Tensor, Tensor) {
        let op = Norm { weight: false, bias: false, ..self.clone() };
        let dims = self.dims();
        let squares = if self.centered { x.var(&dims, false, true) } else { x.square().mean(&dims, true) };
        (x.graph().apply(op, &[x]).swap_remove(0), (squares + self.eps).rsqrt())
    }
}

/// Rows that the same threads of a software driver take, one after the other.
const EACH: usize = 8;

impl Op for Norm {
    fn name(&self) -> &'static str {
        if self.centered { "layer_norm" } else { "rms_norm" }
    }

    fn outputs(&self) -> usize {
        3
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        let named = |name: &'static str, there: bool, i: usize| there.then(|| (name, &inputs[i]));
        let [weight, bias] =
            [named("weight", self.weight, 1), named("bias", self.bias, 1 + usize::from(self.weight))];
        if !x.shape.ends_with(&self.inner) || self.inner.numel() == 0 || self.inner.rank() == 0 {
            let name = weight.or(bias).map_or("normalised shape", |(name, _)| name);
            return Err(Misfit::shape(format!("{name} {} is not the end of shape {}", self.inner, x.shape)));
        }
        if let (Some((_, weight)), Some((_, bias))) = (weight, bias)
            && weight.shape != bias.shape
        {
            return Err(Misfit::shape(format!("weight {} and bias {} differ", weight.shape, bias.shape)));
        }
        let others: Vec<(&str, &TensorDesc)> = weight.into_iter().chain(bias).collect();
        if !x.dtype.is_float() || others.iter().any(|(_, other)| other.dtype != x.dtype) {
            let list: Vec<String> = others.iter().map(|(name, other)| format!("{name} {other}")).collect();
            return Err(Misfit::dtype(if list.is_empty() {
                format!("needs floating point numbers, not {x}")
            } else {
                format!("mixes {x}, {}", list.join(" and "))
            }));
        }
        let statistics = TensorDesc::new(self.outer(&x.shape), DType::F32);
        Ok(vec![x.clone(), statistics.clone(), statistics])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        let outer = inputs[0].shape.rank() - self.inner.rank();
        Some((0..inputs.len()).map(|i| if i == 0 { outer } else { 0 }).collect())
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let dispatch = self.dispatch(io, ["rows", "shared_rows"], "held_rows", target)?;
        // What there is not is not read either; something has to be bound.
        let weight = if self.weight { io.x(1) } else { io.x(0) };
        let bias = if self.bias { io.x(1 + usize::from(self.weight)) } else { io.x(0) };
        let dispatch = dispatch.read(io.x(0)).read(weight).read(bias).write(io.y(0)).write(io.y(1)).write(io.y(2));
        let params = self.params(io.x_shape(0)).u32(0);
        let dispatch = dispatch.params(params).cost(8 * io.x_shape(0).numel() as u64, io.bytes());
        out.push(dispatch.finishing().storing_vectors(self.inner.numel().is_multiple_of(4)));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, mean, rstd, dy) = (at.x(0), at.y(1), at.y(2), at.dy(0));
        let graph = x.graph();
        let mut gradients = Vec::new();
        gradients.push(at.needs(0).then(|| {
            let inputs = [Some(x), Some(mean), Some(rstd), Some(&dy), self.weight.then(|| at.x(1))];
            graph.apply1(NormGrad(self.clone()), &inputs.into_iter().flatten().collect::<Vec<_>>())
        }));
        let others = usize::from(self.weight) + usize::from(self.bias);
        if (1..=others).any(|i| at.needs(i)) {
            let sums = graph.apply(NormWeightGrad(self.clone()), &[x, mean, rstd, &dy]);
            let sums = [self.weight, self.bias].into_iter().zip(&sums).filter(|(there, _)| *there);
            gradients.extend(sums.zip(1..).map(|((_, sum), i)| at.needs(i).then(|| sum.cast(x.dtype()))));
        } else {
            gradients.extend((0..others).map(|_| None));
        }
        Gradients::of(gradients)
    }
}

/// dx from x, mean, rstd, dy, and weight if there is one.
#[derive(Debug)]
struct NormGrad(Norm);

impl Op for NormGrad {
    fn name(&self) -> &'static str {
        if self.0.centered { "layer_norm_grad" } else { "rms_norm_grad" }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![inputs[0].clone()])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        let outer = inputs[0].shape.rank() - self.0.inner.rank();
        Some((0..inputs.len()).map(|i| if i < 4 { outer } else { 0 }).collect())
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let dispatch = self.0.dispatch(io, ["backward_rows", "backward_shared_rows"], "backward_held_rows", target)?;
        let weight = if self.0.weight { io.x(4) } else { io.x(0) };
        let dispatch = dispatch.read(io.x(0)).read(weight).read(io.x(1)).read(io.x(2)).read(io.x(3)).write(io.y(0));
        let params = self.0.params(io.x_shape(0)).u32(0);
        out.push(dispatch.params(params).cost(12 * io.x_shape(0).numel() as u64, io.bytes()));
        Ok(())
    }

    /// dx = r·P g with g = γ·dy and the symmetric P g = g − mean(g) − x̂·mean(g·x̂), of which r and x̂ depend
    /// on x: so the gradient of x is here the whole one, and mean and rstd have none of their own.
    fn backward(&self, at: &Backward) -> Gradients {
        let wide = |i: usize| at.x(i).cast(DType::F32);
        let (x, dy, upper) = (wide(0), wide(3), at.dy(0).cast(DType::F32));
        let weight = self.0.weight.then(|| wide(4));
        let dims = self.0.dims();
        let mean = |x: &Tensor| x.mean(&dims, true);
        let (normalised, rstd) = self.0.plain(&x);
        let g = weight.as_ref().map_or(dy.clone(), |weight| &dy * weight);
        let (along_upper, along_g) = (mean(&(&upper * &normalised)), mean(&(&g * &normalised)));
        let project = |g: &Tensor, along: &Tensor| {
            let rest = g - &normalised * along;
            if self.0.centered { rest - mean(g) } else { rest }
        };
        let (p_upper, p_g) = (project(&upper, &along_upper), project(&g, &along_g));
        let dg = &rstd * &p_upper;
        // mean(upper·P g) is what the derivative of r is multiplied by.
        let of_rstd = mean(&(&upper * &p_g)) * &normalised;
        let dx = -rstd.square() * (of_rstd + along_g * p_upper + along_upper * p_g);
        let mut gradients = vec![Some(dx.cast(at.x(0).dtype())), None, None];
        gradients.push(Some(weight.as_ref().map_or(dg.clone(), |weight| &dg * weight).cast(at.x(3).dtype())));
        gradients.extend(weight.map(|_| Some((dg * dy).sum_to(&self.0.inner).cast(at.x(4).dtype()))));
        Gradients::of(gradients)
    }
}

/// dγ = Σ dy·x̂ and dβ = Σ dy over the rows, `f32`, from x, mean, rstd and dy.
#[derive(Debug)]
struct NormWeightGrad(Norm);

impl NormWeightGrad {
    /// Rows of one part: enough parts to occupy a device, few enough to be cheap to add.
    fn chunk(rows: &Rows) -> usize {
        rows.count().div_ceil(256).max(32)
    }

    /// Rows of one dispatch: whole parts, as many as bindings cover.
    fn longest(rows: &Rows, chunk: usize, io: &Io, target: &Target) -> Result<usize, Misfit> {
        if io.fits(target).is_ok() {
            return Ok(rows.count().max(1));
        }
        let numbers = (rows.n * io.x_desc(0).dtype.bytes()) as u64;
        let parts = target.aligned_rows(numbers).max(target.aligned_rows(4)).max(target.aligned_rows(4 * rows.n as u64));
        let step = parts * chunk as u64;
        match target.max_binding_bytes / numbers / step * step {
            0 => io.fits(target).map(|()| rows.count()),
            longest => Ok(longest as usize),
        }
    }
}

impl Op for NormWeightGrad {
    fn name(&self) -> &'static str {
        if self.0.centered { "layer_norm_weight_grad" } else { "rms_norm_weight_grad" }
    }

    fn outputs(&self) -> usize {
        2
    }

    fn infer(&self, _: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(&self.0.inner, DType::F32); 2])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let rows = self.0.rows(io.x_shape(0));
        let (chunk, vectors) = (NormWeightGrad::chunk(&rows), across(target));
        let parts = TensorDesc::new([rows.count().div_ceil(chunk), rows.n], DType::F32);
        let sums = [0, 1].map(|_| out.scratch(parts.clone()));
        let kernel = rows.kernel(shader!("layer_norm"), "backward_columns", io.real());
        let kernel = kernel.constant("CENTERED", self.0.centered.into()).constant("VECTORS", vectors as u32);
        let longest = NormWeightGrad::longest(&rows, chunk, io, target)?;
        for first in (0..rows.count()).step_by(longest) {
            let count = longest.min(rows.count() - first);
            let last = first + count == rows.count();
            let rows_of = |value: ValueId, begin: usize, rows: usize, row: usize| {
                Slice { value, offset: (begin * row) as u64, bytes: (!last).then_some((rows * row) as u64) }
            };
            let numbers = rows.n * io.x_desc(0).dtype.bytes();
            let dispatch = [numbers, 4, 4, numbers].into_iter().enumerate();
            let dispatch = dispatch.fold(Dispatch::new(kernel.clone()), |dispatch, (i, row)| {
                dispatch.read(rows_of(io.x(i), first, count, row))
            });
            let parts = count.div_ceil(chunk);
            let dispatch = sums.iter().fold(dispatch, |dispatch, sums| {
                dispatch.write(rows_of(*sums, first / chunk, parts, 4 * rows.n))
            });
            let params = Rows::contiguous(count, rows.n).params().f32(self.0.eps).u32(chunk);
            let threads = parts * rows.n.div_ceil(4 * vectors);
            let (flops, bytes) = (5 * count * rows.n, io.bytes() / rows.count() as u64 * count as u64);
            out.push(dispatch.params(params).groups(threads.div_ceil(64) as u64).cost(flops as u64, bytes));
        }
        for (i, from) in sums.into_iter().enumerate() {
            sum_first(from, &parts, io.y(i), target, out)?;
        }
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, dy) = (at.x(0), at.x(3));
        let upper = at.dy(0);
        let dx = at.needs(0).then(|| {
            let op = NormGrad(Norm { weight: true, ..self.0.clone() });
            x.graph().apply1(op, &[x, at.x(1), at.x(2), dy, &upper.cast(x.dtype())])
        });
        let normalised = at.needs(3).then(|| self.0.plain(&x.cast(DType::F32)).0);
        let ddy = normalised.map(|normalised| (normalised * upper + at.dy(1)).cast(dy.dtype()));
        Gradients::of([dx, None, None, ddy])
    }
}

impl Tensor {
    /// γ·(x − mean)/√(variance + ε) + β over the last dimensions, those of `weight` (γ) and `bias` (β):
    /// `torch.nn.functional.layer_norm`, with the biased variance (Ba, Kiros, Hinton 2016).
    ///
    /// `x [.., D..]`, `weight [D..]`, `bias [D..]`, all of one element type. Either may be `None`; without both,
    /// the last dimension is normalised. Rows far from zero lose no accuracy: everything is computed from
    /// differences within the row.
    ///
    /// # Gradient
    /// Of x, weight and bias, of any order.
    ///
    /// # Errors
    /// Recorded in the graph: weight or bias that is not the end of x's shape, mixed element types.
    #[track_caller]
    pub fn layer_norm<'a>(
        &self,
        weight: impl Into<Option<&'a Tensor>>,
        bias: impl Into<Option<&'a Tensor>>,
        eps: f32,
    ) -> Tensor {
        self.normalise_rows(true, weight.into(), bias.into(), eps)
    }

    /// γ·x/√(Σ x²/n + ε) over the last dimensions, those of `weight` (γ), over the last one without it:
    /// `torch.nn.functional.rms_norm` (Zhang, Sennrich 2019).
    ///
    /// `x [.., D..]`, `weight [D..]`, of one element type.
    ///
    /// # Gradient
    /// Of x and weight, of any order.
    ///
    /// # Errors
    /// Recorded in the graph: a weight that is not the end of x's shape, mixed element types.
    #[track_caller]
    pub fn rms_norm<'a>(&self, weight: impl Into<Option<&'a Tensor>>, eps: f32) -> Tensor {
        self.normalise_rows(false, weight.into(), None, eps)
    }

    #[track_caller]
    fn normalise_rows(&self, centered: bool, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f32) -> Tensor {
        let shape = self.shape();
        let last: Shape = shape[shape.rank().saturating_sub(1)..].into();
        let inner = weight.or(bias).map_or(last, Tensor::shape);
        let op = Norm { centered, inner, weight: weight.is_some(), bias: bias.is_some(), eps };
        let inputs: Vec<&Tensor> = [Some(self), weight, bias].into_iter().flatten().collect();
        self.graph().apply(op, &inputs).swap_remove(0)
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        autodiff::gradients,
        ops::rows::random_shapes,
        prelude::*,
        testing::{Check, Numbers, run},
    };

    const EPS: f64 = 1e-5;

    /// The definition over the last dimensions of `weight`.
    fn layer_norm(x: &Numbers, weight: &Numbers, bias: &Numbers) -> Numbers {
        let n = weight.data().len();
        let rows = x.data().chunks(n).flat_map(|row| {
            let mean = row.iter().sum::<f64>() / n as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            let scaled = row.iter().zip(weight.data().iter().zip(bias.data()));
            scaled.map(|(x, (w, b))| w * (x - mean) / (variance + EPS).sqrt() + b).collect::<Vec<f64>>()
        });
        Numbers::new(x.shape(), rows.collect())
    }

    fn op([x, weight, bias]: [Tensor; 3]) -> Tensor {
        x.layer_norm(&weight, &bias, EPS as f32)
    }

    #[test]
    fn it_matches_its_definition() {
        Check::new(op, |[x, w, b]| layer_norm(&x, &w, &b))
            .shapes([&[3, 8][..], &[8], &[8]])
            .shapes([&[2, 3, 5][..], &[5], &[5]])
            .shapes([&[2, 3, 5][..], &[3, 5], &[3, 5]])
            .shapes([&[7][..], &[7], &[7]])
            .shapes([&[3, 768][..], &[768], &[768]])
            .shapes([&[300, 33][..], &[33], &[33]])
            .shapes([&[517, 144][..], &[144], &[144]])
            .shapes([&[1031, 1024][..], &[1024], &[1024]])
            .run();
    }

    fn rms_norm(x: &Numbers, weight: &Numbers) -> Numbers {
        let n = weight.data().len();
        let rows = x.data().chunks(n).flat_map(|row| {
            let rms = (row.iter().map(|x| x * x).sum::<f64>() / n as f64 + EPS).sqrt();
            row.iter().zip(weight.data()).map(move |(x, w)| w * x / rms)
        });
        Numbers::new(x.shape(), rows.collect())
    }

    #[test]
    fn without_a_mean_it_is_rms_norm() {
        Check::new(|[x, w]: [Tensor; 2]| x.rms_norm(&w, EPS as f32), |[x, w]| rms_norm(&x, &w))
            .shapes([&[3, 8][..], &[8]])
            .shapes([&[2, 3, 5][..], &[3, 5]])
            .shapes([&[7][..], &[7]])
            .shapes([&[3, 1][..], &[1]])
            .shapes([&[5, 771][..], &[771]])
            .shapes([&[300, 12][..], &[12]])
            .shapes([&[517, 500][..], &[500]])
            .run();
    }

    #[test]
    fn random_shapes_of_both() {
        for (i, shape) in random_shapes(11, 16, 1..5, 6).into_iter().enumerate() {
            let inner = &shape[i % shape.rank()..];
            if inner.iter().product::<usize>() == 1 {
                continue;
            }
            Check::new(op, |[x, w, b]| layer_norm(&x, &w, &b)).shapes([&shape[..], inner, inner]).tolerance(1e-4).run();
            Check::new(|[x, w]: [Tensor; 2]| x.rms_norm(&w, EPS as f32), |[x, w]| rms_norm(&x, &w))
                .shapes([&shape[..], inner])
                .run();
        }
    }

    #[test]
    fn weight_and_bias_may_be_absent() {
        let ones = |x: &Numbers| Numbers::from_fn([x.shape()[1]], |_| 1.0);
        let zeros = |x: &Numbers| Numbers::from_fn([x.shape()[1]], |_| 0.0);
        for shape in [[3, 8], [4, 5], [2, 300]] {
            Check::new(
                |[x]: [Tensor; 1]| x.layer_norm(None, None, EPS as f32),
                |[x]| layer_norm(&x, &ones(&x), &zeros(&x)),
            )
            .shapes([shape])
            .run();
            Check::new(|[x]: [Tensor; 1]| x.rms_norm(None, EPS as f32), |[x]| rms_norm(&x, &ones(&x)))
                .shapes([shape])
                .run();
            let n = shape[1];
            Check::new(
                |[x, w]: [Tensor; 2]| x.layer_norm(&w, None, EPS as f32),
                |[x, w]| layer_norm(&x, &w, &zeros(&x)),
            )
            .shapes([&shape[..], &[n]])
            .run();
            Check::new(
                |[x, b]: [Tensor; 2]| x.layer_norm(None, &b, EPS as f32),
                |[x, b]| layer_norm(&x, &ones(&x), &b),
            )
            .shapes([&shape[..], &[n]])
            .run();
        }
    }

    #[test]
    fn second_gradients_are_those_of_the_definition() {
        // The gradients of Σ y² in f64, of which the check takes the next ones.
        let gradient = |x: &Numbers, w: &Numbers, b: Option<&Numbers>, of_weight: bool| {
            let n = w.data().len();
            let centered = b.is_some();
            let zeros = w.map(|_| 0.0);
            let y = if centered { layer_norm(x, w, b.unwrap_or(&zeros)) } else { rms_norm(x, w) };
            let ones = w.map(|_| 1.0);
            let normal = if centered { layer_norm(x, &ones, &zeros) } else { rms_norm(x, &ones) };
            let mut dw = vec![0.0; n];
            let rows = (0..x.data().len() / n).flat_map(|r| {
                let (x, y, h) = (&x.data()[r * n..][..n], &y.data()[r * n..][..n], &normal.data()[r * n..][..n]);
                let mean = |f: &dyn Fn(usize) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
                let middle = if centered { mean(&|i| x[i]) } else { 0.0 };
                let rstd = 1.0 / (mean(&|i| (x[i] - middle).powi(2)) + EPS).sqrt();
                let g = |i: usize| w.data()[i] * 2.0 * y[i];
                let (plain, along) = (if centered { mean(&g) } else { 0.0 }, mean(&|i| g(i) * h[i]));
                (0..n).for_each(|i| dw[i] += 2.0 * y[i] * h[i]);
                (0..n).map(|i| rstd * (g(i) - plain - h[i] * along)).collect::<Vec<f64>>()
            });
            let dx = Numbers::new(x.shape(), rows.collect());
            if of_weight { Numbers::new(w.shape(), dw) } else { dx }
        };
        for of_weight in [false, true] {
            let slope = |y: Tensor, x: Tensor, w: Tensor| {
                gradients(&y.square().sum_all(), &[if of_weight { w } else { x }]).remove(0).unwrap()
            };
            Check::new(
                |[x, w, b]: [Tensor; 3]| slope(x.layer_norm(&w, &b, EPS as f32), x, w),
                |[x, w, b]| gradient(&x, &w, Some(&b), of_weight),
            )
            .shapes([&[3, 7][..], &[7], &[7]])
            .shapes([&[40, 8][..], &[8], &[8]])
            .tolerance(1e-4)
            .no_half()
            .run();
            Check::new(
                |[x, w]: [Tensor; 2]| slope(x.rms_norm(&w, EPS as f32), x, w),
                |[x, w]| gradient(&x, &w, None, of_weight),
            )
            .shapes([&[3, 7][..], &[7]])
            .tolerance(1e-4)
            .no_half()
            .run();
        }
    }

    #[test]
    fn more_rows_than_one_workgroup_and_one_part() {
        Check::new(op, |[x, w, b]| layer_norm(&x, &w, &b))
            .shapes([&[9000, 4][..], &[4], &[4]])
            .shapes([&[4099, 3][..], &[3], &[3]])
            .tolerance(4e-5)
            .run();
    }

    #[test]
    fn rows_far_from_zero_lose_nothing() {
        // In f32 these rows have 2000, 200 and 20 different numbers.
        for spread in [1.0, 0.1, 0.01] {
            Check::new(op, |[x, w, b]| layer_norm(&x, &w, &b))
                .shapes([&[3, 40][..], &[40], &[40]])
                .shapes([&[5, 7][..], &[7], &[7]])
                .range(1e4 - spread, 1e4 + spread)
                .no_half()
                .run();
        }
    }

    #[test]
    fn tiny_and_absent_variances() {
        Check::new(op, |[x, w, b]| layer_norm(&x, &w, &b))
            .shapes([&[3, 8][..], &[8], &[8]])
            .shapes([&[4, 1][..], &[1], &[1]])
            .range(1e-4, 2e-4)
            .no_half()
            .run();
        let graph = Graph::new(Mode::Infer);
        let [x, w, b] = ["x", "w", "b"].map(|name| graph.input(name, [4]));
        let y = x.layer_norm(&w, &b, 1e-5);
        let array = |numbers: [f32; 4]| Array::from_f32([4], &numbers).unwrap();
        let inputs = [("x", array([7e3; 4])), ("w", array([2.0; 4])), ("b", array([1.0, 2.0, 3.0, 4.0]))];
        assert_eq!(run(&graph, &[("y", &y)], &inputs).unwrap()[0].to_f32(), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn nan_and_infinity_spoil_their_row_only() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.input("x", [3, 2]);
        let (w, b) = (graph.input("w", [2]), graph.input("b", [2]));
        let y = x.layer_norm(&w, &b, 1e-5);
        let array = |shape: &[usize], numbers: &[f32]| Array::from_f32(shape, numbers).unwrap();
        let numbers = [1.0, f32::NAN, 3.0, 5.0, f32::INFINITY, 1.0];
        let inputs = [("x", array(&[3, 2], &numbers)), ("w", array(&[2], &[1.0; 2])), ("b", array(&[2], &[0.0; 2]))];
        let y = run(&graph, &[("y", &y)], &inputs).unwrap()[0].to_f32();
        assert!(y[..2].iter().chain(&y[4..]).all(|y| y.is_nan()), "{y:?}");
        assert!((y[2] + 1.0).abs() < 1e-4 && (y[3] - 1.0).abs() < 1e-4, "{y:?}");
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |weight: &[usize], bias: &[usize], dtype: DType| {
            let graph = Graph::new(Mode::Infer);
            let x = graph.input("x", [2, 3]);
            x.layer_norm(&graph.input_of("w", weight, dtype), &graph.input("b", bias), 1e-5);
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(message(&[2], &[3], DType::F32), "layer_norm: weight [2] is not the end of shape [2, 3]");
        assert_eq!(message(&[3], &[2], DType::F32), "layer_norm: weight [3] and bias [2] differ");
        assert_eq!(message(&[3], &[3], DType::F16), "layer_norm: mixes f32[2, 3], weight f16[3] and bias f32[3]");
    }
}
