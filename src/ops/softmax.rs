//! softmax: yₖ = exp(xₖ) / Σ exp(x) along a dimension, its logarithm, and logsumexp: log Σ exp(x).

use super::{
    reduce::select,
    rows::{Rows, are_long_and_apart},
};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::Target,
    shader,
};

#[derive(Debug)]
struct Softmax {
    dim: isize,
    logarithm: bool,
}

fn name(logarithm: bool) -> &'static str {
    if logarithm { "log_softmax" } else { "softmax" }
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        name(self.logarithm)
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        x.shape.axis(self.dim)?;
        if !x.dtype.is_float() {
            return Err(Misfit::dtype(format!("needs floating point numbers, not {x}")));
        }
        Ok(vec![x.clone()])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        let axis = inputs[0].shape.axis(self.dim).ok()?;
        (axis != 0).then(|| vec![axis; inputs.len()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = Rows::along(io.x_shape(0), io.x_shape(0).axis(self.dim)?);
        let mut dispatch = rows.dispatch(shader!("softmax"), ["rows", "shared_rows"], Some("held_rows"), io.real(), target)?;
        dispatch.kernel = dispatch.kernel.constant("LOG", self.logarithm.into());
        let flops = 8 * io.x_shape(0).numel() as u64;
        let dispatch = dispatch.read(io.x(0)).write(io.y(0)).params(rows.params()).cost(flops, io.bytes());
        out.push(dispatch.finishing().storing_vectors(rows.is_aligned()));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = SoftmaxGrad { dim: self.dim, logarithm: self.logarithm };
        Gradients::of([Some(at.x(0).graph().apply1(op, &[at.y(0), &at.dy(0)]))])
    }
}

/// dx = y·(dy − Σ dy·y), for the logarithm dx = dy − exp(y)·Σ dy.
#[derive(Debug)]
struct SoftmaxGrad {
    dim: isize,
    logarithm: bool,
}

impl Op for SoftmaxGrad {
    fn name(&self) -> &'static str {
        if self.logarithm { "log_softmax_grad" } else { "softmax_grad" }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![inputs[0].clone()])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        let axis = inputs[0].shape.axis(self.dim).ok()?;
        (axis != 0).then(|| vec![axis; inputs.len()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = Rows::along(io.x_shape(0), io.x_shape(0).axis(self.dim)?);
        let entries = ["backward_rows", "backward_shared_rows"];
        let mut dispatch = rows.dispatch(shader!("softmax"), entries, Some("backward_held_rows"), io.real(), target)?;
        dispatch.kernel = dispatch.kernel.constant("LOG", self.logarithm.into());
        let flops = 5 * io.x_shape(0).numel() as u64;
        let dispatch = dispatch.read(io.x(0)).read(io.x(1)).write(io.y(0));
        out.push(dispatch.params(rows.params()).cost(flops, io.bytes()));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (y, dy, g) = (at.x(0), at.x(1), at.dy(0));
        let along = |x: &Tensor| x.sum(&[self.dim], true);
        Gradients::of(if self.logarithm {
            let p = y.exp();
            let (of_y, of_dy) = (g.mul(&p).mul(&along(dy)).neg(), g.sub(&along(&g.mul(&p))));
            [Some(of_y), Some(of_dy)]
        } else {
            let of_y = g.mul(&dy.sub(&along(&dy.mul(y)))).sub(&dy.mul(&along(&g.mul(y))));
            let of_dy = y.mul(&g.sub(&along(&g.mul(y))));
            [Some(of_y), Some(of_dy)]
        })
    }
}

/// y = m + l along the middle one of three dimensions, m and l; these are `f32`.
#[derive(Debug)]
struct LogSumExp;

impl Op for LogSumExp {
    fn name(&self) -> &'static str {
        "logsumexp"
    }

    fn outputs(&self) -> usize {
        3
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let x = &inputs[0];
        if !x.dtype.is_float() {
            return Err(Misfit::dtype(format!("needs floating point numbers, not {x}")));
        }
        let shape = x.shape.with(1, 1);
        let part = TensorDesc::new(&shape, DType::F32);
        Ok(vec![TensorDesc::new(shape, x.dtype), part.clone(), part])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![1])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = Rows::along(io.x_shape(0), 1);
        let entries = ["logsumexp_rows", "logsumexp_shared_rows"];
        let dispatch = rows.dispatch(shader!("softmax"), entries, None, io.real(), target)?;
        let flops = 4 * io.x_shape(0).numel() as u64;
        let dispatch = dispatch.read(io.x(0)).write(io.y(0)).write(io.y(1)).write(io.y(2));
        out.push(dispatch.params(rows.params()).cost(flops, io.bytes()).finishing());
        Ok(())
    }

    /// dx = dy·exp(x − m − l). The sum of m and l is that of y, so the gradients of y and of l go the same
    /// way, and m is a constant.
    fn backward(&self, at: &Backward) -> Gradients {
        let (x, m, l) = (at.x(0), at.y(1).detach(), at.y(2));
        let dy = at.dy(0).cast(DType::F32);
        let dy = if at.has(2) { dy + at.dy(2) } else { dy };
        Gradients::of([Some(((x.cast(DType::F32) - m - l).exp() * dy).cast(x.dtype()))])
    }
}

impl Tensor {
    /// log Σ exp(x) along `dims`, along all dimensions if there are none: `torch.logsumexp`.
    ///
    /// The maximum is subtracted first, so no input overflows. It is −∞ where all elements are and of
    /// nothing, ∞ where one is, NaN where one is. Reduced dimensions have size 1 in the result with
    /// `keepdim`, else they are gone.
    ///
    /// # Gradient
    /// dx = dy·exp(x − y), of any order; NaN where y is −∞, as in PyTorch.
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist or is given twice.
    #[track_caller]
    pub fn logsumexp(&self, dims: &[isize], keepdim: bool) -> Tensor {
        if self.is_failed() {
            return self.clone();
        }
        let shape = self.shape();
        let reduced = match select(&shape, dims) {
            Ok(reduced) => reduced,
            Err(misfit) => {
                self.graph().fail(misfit.of("logsumexp"));
                return self.graph().failed();
            }
        };
        let to: Shape = shape
            .iter()
            .zip(&reduced)
            .filter(|(_, reduced)| keepdim || !**reduced)
            .map(|(&size, &reduced)| if reduced { 1 } else { size })
            .collect();
        // Neighbouring dimensions are one; others are moved behind the rest.
        let axes = |wanted: bool| (0..shape.rank()).filter(move |&d| reduced[d] == wanted);
        let own: Vec<usize> = axes.clone()(true).collect();
        let neighbours = own.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let product = |sizes: &[usize]| sizes.iter().product::<usize>();
        let x = match (own.first(), own.last()) {
            (Some(&first), Some(&last)) if neighbours => {
                self.reshape([product(&shape[..first]), product(&shape[first..=last]), product(&shape[last + 1..])])
            }
            _ => {
                let n: usize = own.iter().map(|&d| shape[d]).product();
                let order: Vec<usize> = axes(false).chain(own).collect();
                self.permute(&order).reshape([to.numel(), n, 1])
            }
        };
        let long = are_long_and_apart(&x, 1);
        let x = if long { x.transpose(1, 2).reshape([x.size(0) * x.size(2), x.size(1), 1]) } else { x };
        x.graph().apply(LogSumExp, &[&x]).swap_remove(0).reshape(to)
    }

    /// exp(x) / Σ exp(x) along `dim`: `torch.softmax`.
    ///
    /// The maximum is subtracted first, so no input overflows. Elements of −∞ get 0; where all are −∞,
    /// and where one is NaN or ∞, the result is NaN.
    ///
    /// # Gradient
    /// y·(dy − Σ dy·y).
    ///
    /// # Errors
    /// Recorded in the graph: a dimension that does not exist, an index tensor.
    #[track_caller]
    pub fn softmax(&self, dim: isize) -> Tensor {
        self.softmax_of(dim, false)
    }

    /// x − log Σ exp(x) along `dim`: `torch.log_softmax`; see [`softmax`](Tensor::softmax).
    ///
    /// # Gradient
    /// dy − exp(y)·Σ dy.
    ///
    /// # Errors
    /// Recorded in the graph: as [`softmax`](Tensor::softmax).
    #[track_caller]
    pub fn log_softmax(&self, dim: isize) -> Tensor {
        self.softmax_of(dim, true)
    }

    #[track_caller]
    fn softmax_of(&self, dim: isize, logarithm: bool) -> Tensor {
        if are_long_and_apart(self, dim) {
            return self.transpose(dim, -1).softmax_of(-1, logarithm).transpose(dim, -1);
        }
        self.graph().apply1(Softmax { dim, logarithm }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        autodiff::gradients,
        kernel::DeviceClass,
        ops::rows::map_rows,
        plan::PlanOptions,
        prelude::*,
        testing::{Check, Numbers, context, run_on},
    };

    fn softmax(x: &Numbers, dim: isize) -> Numbers {
        log_softmax(x, dim).map(f64::exp)
    }

    fn log_softmax(x: &Numbers, dim: isize) -> Numbers {
        map_rows(x, dim, |row| {
            let m = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log = row.iter().map(|x| (x - m).exp()).sum::<f64>().ln();
            row.iter().map(|x| x - m - log).collect()
        })
    }

    #[test]
    fn softmax_and_its_logarithm_match_their_definitions() {
        for dim in [0, 1, -1] {
            Check::new(|[x]: [Tensor; 1]| x.softmax(dim), |[x]| softmax(&x, dim))
                .shapes([[3, 5, 4]])
                .shapes([[1, 1, 1]])
                .shapes([[2, 300, 33]])
                .shapes([[70, 3, 260]])
                .run();
            Check::new(|[x]: [Tensor; 1]| x.log_softmax(dim), |[x]| log_softmax(&x, dim))
                .shapes([[3, 5, 4]])
                .shapes([[1, 1, 1]])
                .shapes([[2, 300, 33]])
                .shapes([[70, 3, 260]])
                .run();
        }
        Check::new(|[x]: [Tensor; 1]| x.softmax(0), |[x]| softmax(&x, 0)).shapes([[5003]]).shapes([[1]]).run();
        // Rows that lanes of a processor keep, some of them not to the last vector.
        Check::new(|[x]: [Tensor; 1]| x.softmax(1), |[x]| softmax(&x, 1)).shapes([[5, 144]]).shapes([[3, 512]]).run();
        Check::new(|[x]: [Tensor; 1]| x.softmax(1), |[x]| softmax(&x, 1)).shapes([[1031, 1020]]).run();
        Check::new(|[x]: [Tensor; 1]| x.log_softmax(1), |[x]| log_softmax(&x, 1)).shapes([[5, 396]]).run();
    }

    #[test]
    fn logsumexp_matches_its_definition() {
        let of = |row: &[f64]| {
            let m = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            vec![m + row.iter().map(|x| (x - m).exp()).sum::<f64>().ln()]
        };
        let dims: [&[isize]; 6] = [&[0], &[1], &[-1], &[0, 1], &[0, 2], &[]];
        for dims in dims {
            let all = [0, 1, 2];
            let axes = if dims.is_empty() { &all[..] } else { dims };
            Check::new(
                |[x]: [Tensor; 1]| x.logsumexp(dims, true),
                |[x]| axes.iter().fold(x, |x, &dim| map_rows(&x, dim, of)),
            )
            .shapes([[3, 5, 4]])
            .shapes([[1, 1, 1]])
            .shapes([[3, 2, 300]])
            .run();
        }
        Check::new(|[x]: [Tensor; 1]| x.logsumexp(&[1], true), |[x]| map_rows(&x, 1, of))
            .shapes([[9, 40]])
            .range(-1e4, 1e4)
            .no_half()
            .run();
    }

    #[test]
    fn more_rows_than_one_workgroup_has_threads() {
        Check::new(|[x]: [Tensor; 1]| x.softmax(1), |[x]| softmax(&x, 1))
            .shapes([[17_000, 3]])
            .shapes([[4099, 9]])
            .run();
    }

    #[test]
    fn large_inputs_lose_nothing() {
        Check::new(|[x]: [Tensor; 1]| x.softmax(1), |[x]| softmax(&x, 1)).shapes([[9, 40]]).range(-1e4, 1e4).run();
        Check::new(|[x]: [Tensor; 1]| x.log_softmax(1), |[x]| log_softmax(&x, 1))
            .shapes([[9, 40]])
            .range(-1e4, 1e4)
            .run();
        Check::new(|[x]: [Tensor; 1]| x.softmax(1), |[x]| softmax(&x, 1)).shapes([[9, 40]]).range(1e4, 1.0001e4).run();
    }

    #[test]
    fn infinities_and_nan_behave_as_in_pytorch() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let rows =
            [[-inf, 0.0, 0.0, -inf], [-inf; 4], [nan, 0.0, 1.0, 2.0], [inf, 0.0, 1.0, 2.0], [-1e30, 1e30, 0.0, 1e30]];
        for (class, copies) in [(DeviceClass::Software, 1), (DeviceClass::Portable, 1), (DeviceClass::Portable, 16)] {
            let numbers: Vec<f32> = rows.iter().flat_map(|row| row.repeat(copies)).collect();
            let graph = Graph::new(Mode::Infer);
            let x = graph.input("x", [5, 4 * copies]);
            let (y, log) = (x.softmax(-1), x.log_softmax(-1));
            let array = Array::from_f32([5, 4 * copies], &numbers).unwrap();
            let target = context().target().with_class(class);
            let outputs = [("y", &y), ("log", &log)];
            let found = run_on(&graph, &outputs, &[("x", array)], &target, PlanOptions::default()).unwrap();
            let [y, log]: [Vec<Vec<f32>>; 2] =
                [0, 1].map(|i| found[i].to_f32().chunks(4 * copies).map(<[f32]>::to_vec).collect());
            let half = 0.5 / copies as f32;
            for (k, (y, log)) in y[0].iter().zip(&log[0]).enumerate() {
                let kept = k % 4 == 1 || k % 4 == 2;
                assert!(if kept { (y - half).abs() < 1e-6 } else { *y == 0.0 }, "{class:?}: {y}");
                assert!(if kept { (log - half.ln()).abs() < 1e-6 } else { *log == -inf }, "{class:?}: {log}");
            }
            assert!(y[1..4].iter().chain(&log[1..4]).flatten().all(|y| y.is_nan()), "{class:?}: {y:?} {log:?}");
            assert!(y[4].iter().enumerate().all(|(k, y)| (y - if k % 2 == 1 { half } else { 0.0 }).abs() < 1e-6));
        }
    }

    #[test]
    fn the_second_gradient_is_that_of_the_definition() {
        for logarithm in [false, true] {
            let apply = |x: &Tensor| if logarithm { x.log_softmax(1) } else { x.softmax(1) };
            let slope = |x: &Numbers| {
                // d/dx Σ f(x)², of which the check takes the next derivative.
                let p = softmax(x, 1);
                let y = if logarithm { log_softmax(x, 1) } else { p.clone() };
                Numbers::from_fn(x.shape(), |at| {
                    let row = |k: usize| [at[0], k];
                    let n = x.shape()[1];
                    if logarithm {
                        2.0 * y.at(at) - p.at(at) * (0..n).map(|k| 2.0 * y.at(&row(k))).sum::<f64>()
                    } else {
                        let mean: f64 = (0..n).map(|k| 2.0 * y.at(&row(k)) * y.at(&row(k))).sum();
                        y.at(at) * (2.0 * y.at(at) - mean)
                    }
                })
            };
            Check::new(
                |[x]: [Tensor; 1]| gradients(&apply(&x).square().sum_all(), &[x]).remove(0).unwrap(),
                |[x]| slope(&x),
            )
            .shapes([[3, 5]])
            .no_half()
            .run();
        }
    }

    #[test]
    fn mistakes_name_shapes() {
        let graph = Graph::new(Mode::Infer);
        graph.input("x", [2, 3]).softmax(2);
        assert_eq!(graph.check().unwrap_err().message(), "softmax: dimension 2 is outside shape [2, 3]");
        let graph = Graph::new(Mode::Infer);
        graph.input_of("x", [2, 3], DType::U32).log_softmax(1);
        let error = graph.check().unwrap_err();
        assert_eq!(error.message(), "log_softmax: needs floating point numbers, not u32[2, 3]");
    }
}
