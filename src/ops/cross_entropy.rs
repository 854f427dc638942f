//! cross_entropy: −Σ w·q·log softmax(x) against a class index or probabilities, with q smoothed towards uniform.

use super::{
    losses::{Reduction, along_classes, class_weights},
    rows::{LONG, Rows, lanes},
};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Precision, Tensor},
    kernel::{Dispatch, Params, Target},
    shader,
};

/// Softmax cross-entropy with its options: `torch.nn.CrossEntropyLoss`.
///
/// ```
/// # use wgrad::{ops::{CrossEntropy, Reduction}, prelude::*};
/// let graph = Graph::new(Mode::Train);
/// let logits = graph.input("logits", [32, 1000]);
/// let target = graph.input_of("target", [32], DType::U32);
/// let loss = CrossEntropy::new().reduction(Reduction::Sum).label_smoothing(0.1).apply(&logits, &target);
/// assert_eq!(loss.rank(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// How the losses of the rows become the result; the mean if not said.
    pub reduction: Reduction,
    /// The target of rows that do not count: their loss and gradient are 0, and the mean is without
    /// them. The `u32` with the bits of −100 if not said.
    pub ignore_index: Option<u32>,
    /// The part of the target distribution that is spread evenly over all classes, 0 to 1.
    pub label_smoothing: f32,
    /// A factor for each class.
    pub weight: Option<Tensor>,
}

impl Default for CrossEntropy {
    fn default() -> CrossEntropy {
        let none = CrossEntropy { reduction: Reduction::Mean, ignore_index: None, label_smoothing: 0.0, weight: None };
        none.ignore_index(-100)
    }
}

impl CrossEntropy {
    /// The mean over all rows but those with target −100, without smoothing.
    pub fn new() -> CrossEntropy {
        CrossEntropy::default()
    }

    /// How the losses of the rows become the result.
    pub fn reduction(self, reduction: Reduction) -> CrossEntropy {
        CrossEntropy { reduction, ..self }
    }

    /// The target of rows that do not count.
    ///
    /// Targets are `u32`; a negative index is the one with the bits of that `i32`, −100 is 4294967196.
    pub fn ignore_index(self, index: i64) -> CrossEntropy {
        CrossEntropy { ignore_index: Some(index as u32), ..self }
    }

    /// The part of the target distribution that is spread evenly over all classes, 0 to 1.
    pub fn label_smoothing(self, smoothing: f32) -> CrossEntropy {
        CrossEntropy { label_smoothing: smoothing, ..self }
    }

    /// A factor for each class, `[C]`; no gradient flows through it.
    ///
    /// The mean over rows with class indices divides by the sum of the factors of the targets.
    pub fn weight(self, weight: &Tensor) -> CrossEntropy {
        CrossEntropy { weight: Some(weight.clone()), ..self }
    }

    /// −Σ w·q·log softmax(x) of `logits [N, C, d…]` against class indices `target [N, d…]`, `u32`, or
    /// against probabilities of the classes, `target [N, C, d…]`: a scalar, or `[N, d…]` without reduction.
    ///
    /// A row whose class index is not below C, and is not the ignored index, has loss and gradient NaN.
    /// With probabilities no row is ignored.
    ///
    /// # Gradient
    /// softmax(x) − q for the logits, where there are no weights, and −log softmax(x) for probabilities; a second
    /// one exists.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or types that do not fit; no classes; smoothing outside 0..=1.
    #[track_caller]
    pub fn apply(&self, logits: &Tensor, target: &Tensor) -> Tensor {
        let graph = logits.graph();
        if logits.is_failed() || target.is_failed() {
            return graph.failed();
        }
        let classes = logits.shape().get(1).copied().unwrap_or(0);
        let weight = match &self.weight {
            None => None,
            Some(weight) => match class_weights("cross_entropy", weight, classes) {
                None => return graph.failed(),
                weight => weight,
            },
        };
        if target.dtype().is_float() {
            return self.apply_to_probabilities(logits, target, weight.as_ref());
        }
        // With weights the kernel does not smooth: its sum over the classes has none.
        let smoothing = if weight.is_some() { 0.0 } else { self.label_smoothing };
        let outputs = graph.apply(Losses { ignored: self.ignore_index, smoothing }, &[logits, target]);
        let (mut loss, mut counts) = (outputs[0].clone(), outputs[2].clone());
        if outputs[0].is_failed() {
            return graph.failed();
        }
        if let Some(weight) = &weight {
            if let Err(misfit) = Losses::check(self.label_smoothing) {
                graph.fail(misfit.of("cross_entropy"));
                return graph.failed();
            }
            let rows = weight.pick(target, self.ignore_index);
            loss = loss * &rows;
            if self.label_smoothing > 0.0 {
                let zero = graph.constant(0.0, DType::F32);
                let all = logits.cast(DType::F32).log_softmax(1) * along_classes(weight, logits.rank());
                let all = counts.gt(&zero).where_(&-all.sum(&[1], false), &zero);
                loss = loss * (1.0 - self.label_smoothing) + all * (self.label_smoothing / classes as f32);
            }
            counts = rows;
        }
        self.reduction.weighted(&loss, Some(&counts), logits.dtype())
    }

    /// −Σ w·q·log softmax(x) with q = (1 − s)·target + s/C.
    #[track_caller]
    fn apply_to_probabilities(&self, logits: &Tensor, target: &Tensor, weight: Option<&Tensor>) -> Tensor {
        let (graph, x, q) = (logits.graph(), logits.desc(), target.desc());
        let misfit = if x != q || !x.dtype.is_float() {
            Misfit::shape(format!("targets must be class indices, u32, or probabilities {x} as the logits, not {q}"))
        } else if x.shape.rank() < 2 {
            Misfit::shape(format!("logits must be [N, C, ...], not {}", x.shape))
        } else if x.shape[1] == 0 {
            Misfit::shape(format!("logits {} have no classes", x.shape))
        } else if let Err(misfit) = Losses::check(self.label_smoothing) {
            misfit
        } else {
            let (s, mut q) = (self.label_smoothing, target.cast(DType::F32));
            if s > 0.0 {
                q = q * (1.0 - s) + s / x.shape[1] as f32;
            }
            if let Some(weight) = weight {
                q = q * along_classes(weight, x.shape.rank());
            }
            let loss = -(logits.cast(DType::F32).log_softmax(1) * q).sum(&[1], false);
            return self.reduction.of(&loss, x.dtype);
        };
        graph.fail(misfit.of("cross_entropy"));
        graph.failed()
    }
}

/// The loss of each row, m and l of its log-sum-exp m + l, and 1 where it counts; all `f32`.
#[derive(Clone, Copy, Debug)]
struct Losses {
    ignored: Option<u32>,
    smoothing: f32,
}

impl Losses {
    fn check(smoothing: f32) -> Result<(), Misfit> {
        if (0.0..=1.0).contains(&smoothing) {
            Ok(())
        } else {
            Err(Misfit::shape(format!("label smoothing {smoothing} is not between 0 and 1")))
        }
    }

    fn params(&self, rows: &Rows, lanes: usize) -> Params {
        let params = rows.params().u32(self.ignored.is_some().into()).bits(self.ignored.unwrap_or(0));
        params.f32(self.smoothing).u32(lanes)
    }
}

impl Op for Losses {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn outputs(&self) -> usize {
        3
    }

    fn precision(&self) -> Precision {
        Precision::Single
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let (x, target) = (&inputs[0], &inputs[1]);
        if !x.dtype.is_float() {
            return Err(Misfit::dtype(format!("logits must be floating point numbers, not {x}")));
        }
        if target.dtype != DType::U32 {
            return Err(Misfit::dtype(format!("targets must be class indices, u32, not {target}")));
        }
        if x.shape.rank() < 2 {
            return Err(Misfit::shape(format!("logits must be [N, C, ...], not {}", x.shape)));
        }
        let expected: Shape = x.shape[..1].iter().chain(&x.shape[2..]).copied().collect();
        if target.shape != expected {
            let reason = format!("target {} does not fit logits {}, it must be {expected}", target.shape, x.shape);
            return Err(Misfit::shape(reason));
        }
        if x.shape[1] == 0 {
            return Err(Misfit::shape(format!("logits {} have no classes", x.shape)));
        }
        Losses::check(self.smoothing)?;
        let pairs: Shape = expected.iter().copied().chain([2]).collect();
        let row = TensorDesc::new(expected, DType::F32);
        Ok(vec![row.clone(), TensorDesc::new(pairs, DType::F32), row])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![1; 2])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = Rows::along(io.x_shape(0), 1);
        let dispatch = rows.dispatch(shader!("cross_entropy"), ["rows", "shared_rows"], None, io.real(), target)?;
        let dispatch = dispatch.read(io.x(0)).read(io.x(1)).write(io.y(0)).write(io.y(1)).write(io.y(2));
        let flops = 5 * io.x_shape(0).numel() as u64;
        out.push(dispatch.params(self.params(&rows, 1)).cost(flops, io.bytes()));
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = CrossEntropyGrad(*self);
        let dx = at.x(0).graph().apply1(op, &[at.x(0), at.x(1), at.y(1), &at.dy(0)]);
        Gradients::of([Some(dx), None])
    }
}

/// The gradient of the logits, from logits, target, log-sum-exp and the gradient of each row's loss.
#[derive(Clone, Copy, Debug)]
struct CrossEntropyGrad(Losses);

impl Op for CrossEntropyGrad {
    fn name(&self) -> &'static str {
        "cross_entropy_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![inputs[0].clone()])
    }

    fn batched(&self, _inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        Some(vec![1; 4])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = Rows::along(io.x_shape(0), 1);
        // Threads for each row: enough in all to occupy the device, each with two vectors or more.
        let (wanted, least) = if target.class.is_software() { (4096, 1) } else { (65_536, lanes(rows.n)) };
        let lanes = if rows.is_contiguous() {
            (wanted / rows.count().max(1)).max(least).min(rows.n.div_ceil(8)).max(rows.n.div_ceil(LONG))
        } else {
            1
        };
        let dispatch = Dispatch::new(rows.kernel(shader!("cross_entropy"), "backward", io.real()));
        let dispatch = (0..4).fold(dispatch, |dispatch, i| dispatch.read(io.x(i))).write(io.y(0));
        let dispatch = dispatch.groups((rows.count() * lanes).div_ceil(64) as u64);
        out.push(dispatch.params(self.0.params(&rows, lanes)).cost(5 * io.x_shape(0).numel() as u64, io.bytes()));
        Ok(())
    }

    // dx = dy·(p − q) with p = softmax(x), all of whose dependence on x is put into the first input.
    fn backward(&self, at: &Backward) -> Gradients {
        let (graph, x, target, v) = (at.x(0).graph(), at.x(0), at.x(1), at.dy(0).cast(DType::F32));
        let dx = || {
            let p = x.cast(DType::F32).softmax(1);
            let along = &p * (&v - (&p * &v).sum(&[1], true)) * at.x(3).unsqueeze(1);
            let along = match self.0.ignored {
                Some(ignored) => {
                    let counts = target.ne(&graph.full_u32([], ignored)).unsqueeze(1);
                    counts.where_(&along, &graph.constant(0.0, DType::F32))
                }
                None => along,
            };
            along.cast(x.dtype())
        };
        let ddy = || {
            let one = graph.constant(1.0, DType::F32).expand(target.shape());
            let slope = graph.apply1(*self, &[x, target, at.x(2), &one]);
            (slope.cast(DType::F32) * &v).sum(&[1], false)
        };
        Gradients::of([at.needs(0).then(dx), None, None, at.needs(3).then(ddy)])
    }
}

impl Tensor {
    /// The mean softmax cross-entropy of logits `[N, C, d…]` against class indices `target [N, d…]`, `u32`, or
    /// probabilities `[N, C, d…]`: `torch.nn.functional.cross_entropy`. [`CrossEntropy`] has the options.
    ///
    /// Rows with target −100 (as `u32`) do not count. A target that is not below C gives NaN.
    ///
    /// # Gradient
    /// (softmax(x) − q)/N for the logits; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: see [`CrossEntropy::apply`].
    #[track_caller]
    pub fn cross_entropy(&self, target: &Tensor) -> Tensor {
        CrossEntropy::new().apply(self, target)
    }

    /// [`cross_entropy`](Tensor::cross_entropy) with options.
    ///
    /// # Gradient
    /// As [`cross_entropy`](Tensor::cross_entropy).
    ///
    /// # Errors
    /// Recorded in the graph: as [`cross_entropy`](Tensor::cross_entropy).
    #[track_caller]
    pub fn cross_entropy_with(&self, target: &Tensor, options: CrossEntropy) -> Tensor {
        options.apply(self, target)
    }
}

#[cfg(test)]
mod tests {
    use super::{CrossEntropy, Reduction};
    use crate::{
        autodiff::gradients,
        kernel::DeviceClass,
        plan::PlanOptions,
        prelude::*,
        testing::{Check, Numbers, context, run, run_on},
    };

    const IGNORED: u32 = -100_i32 as u32;

    /// The definition, for each row; rows that do not count are 0.
    fn losses(x: &Numbers, target: &[u32], smoothing: f64) -> Numbers {
        let [outer, n, inner] = x.shape().split_at_axis(1);
        let rows = (0..outer * inner).map(|row| {
            let value = |k: usize| x.data()[(row / inner * n + k) * inner + row % inner];
            let m = (0..n).map(value).fold(f64::NEG_INFINITY, f64::max);
            let log = (0..n).map(|k| (value(k) - m).exp()).sum::<f64>().ln();
            let q = |k: usize| smoothing / n as f64 + if k == target[row] as usize { 1.0 - smoothing } else { 0.0 };
            if target[row] == IGNORED { 0.0 } else { (0..n).map(|k| q(k) * (m - value(k) + log)).sum() }
        });
        let shape: Vec<usize> = x.shape()[..1].iter().chain(&x.shape()[2..]).copied().collect();
        Numbers::new(shape, rows.collect())
    }

    /// Targets that reach every class, every fifth ignored.
    fn targets(count: usize, classes: usize) -> Vec<u32> {
        (0..count).map(|i| if i % 5 == 3 { IGNORED } else { (i * 7 % classes) as u32 }).collect()
    }

    fn check(shape: &[usize], options: &CrossEntropy, range: (f64, f64)) {
        let smoothing = f64::from(options.label_smoothing);
        let rows: Vec<usize> = shape[..1].iter().chain(&shape[2..]).copied().collect();
        let target = targets(rows.iter().product(), shape[1]);
        let counted = target.iter().filter(|&&t| t != IGNORED).count() as f64;
        Check::new(
            |[x]: [Tensor; 1]| options.apply(&x, &x.graph().input_of("target", &rows[..], DType::U32)),
            |[x]| {
                let loss = losses(&x, &target, smoothing);
                match options.reduction {
                    Reduction::None => loss,
                    Reduction::Sum => Numbers::new([], vec![loss.sum()]),
                    Reduction::BatchMean => Numbers::new([], vec![loss.sum() / shape[0] as f64]),
                    Reduction::Mean => Numbers::new([], vec![loss.sum() / counted]),
                }
            },
        )
        .shapes([shape])
        .index("target", &rows[..], &target)
        .range(range.0, range.1)
        .run();
    }

    #[test]
    fn every_reduction_matches_its_definition() {
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::BatchMean, Reduction::None] {
            for smoothing in [0.0, 0.1] {
                let options = CrossEntropy::new().reduction(reduction).label_smoothing(smoothing);
                for shape in [&[5, 7][..], &[3, 4], &[2, 3, 4], &[2, 5, 3, 2], &[6, 1]] {
                    check(shape, &options, (-2.0, 2.0));
                }
            }
        }
    }

    #[test]
    fn many_rows_and_many_classes() {
        let options = CrossEntropy::new().label_smoothing(0.2);
        check(&[4200, 10], &options, (-2.0, 2.0));
        check(&[70, 1001], &options, (-2.0, 2.0));
        check(&[3, 5000], &options.clone().reduction(Reduction::None), (-2.0, 2.0));
        // The rows of vocabularies, shared by threads of one subgroup on software drivers, and longer ones by more.
        check(&[2, 30_522], &options.clone().reduction(Reduction::None), (-2.0, 2.0));
        check(&[2, 131_075], &options.clone().reduction(Reduction::None), (-2.0, 2.0));
        check(&[5, 40, 60], &options, (-2.0, 2.0));
    }

    #[test]
    fn large_logits_lose_nothing() {
        for (low, high) in [(-1e4, 1e4), (1e4, 1e4 + 2.0)] {
            check(&[6, 12], &CrossEntropy::new(), (low, high));
            check(&[6, 200], &CrossEntropy::new().reduction(Reduction::None), (low, high));
        }
    }

    #[test]
    fn large_logits_lose_nothing_with_weights_and_probabilities() {
        let target = targets(6, 4);
        let weights = |x: &Tensor| x.graph().full([4], 2.0, x.dtype());
        let sum = CrossEntropy::new().reduction(Reduction::Sum).label_smoothing(0.1);
        Check::new(
            |[x]: [Tensor; 1]| {
                let target = x.graph().input_of("target", [6], DType::U32);
                sum.clone().weight(&weights(&x)).apply(&x, &target)
            },
            |[x]| Numbers::new([], vec![2.0 * losses(&x, &target, 0.1).sum()]),
        )
        .shapes([[6, 4]])
        .index("target", [6], &target)
        .range(-1e4, 1e4)
        .no_half()
        .run();
        Check::new(
            |[x]: [Tensor; 1]| sum.clone().weight(&weights(&x)).apply(&x, &x.graph().full([6, 4], 0.25, x.dtype())),
            |[x]| Numbers::new([], vec![2.0 * losses(&x, &[0; 6], 1.0).sum()]),
        )
        .shapes([[6, 4]])
        .range(-1e4, 1e4)
        .no_half()
        .run();
    }

    /// Loss and gradient of two rows of three classes, on both classes of device.
    fn two_rows(options: &CrossEntropy, logits: [f32; 6], target: [u32; 2]) -> Vec<(Vec<f32>, Vec<f32>)> {
        let graph = Graph::new(Mode::Infer);
        let (x, t) = (graph.input("x", [2, 3]), graph.input_of("t", [2], DType::U32));
        let loss = options.apply(&x, &t);
        let dx = gradients(&loss.sum_all(), &[x]).remove(0).unwrap();
        let classes = [DeviceClass::Software, DeviceClass::Portable].into_iter();
        let results = classes.map(|class| {
            let inputs =
                [("x", Array::from_f32([2, 3], &logits).unwrap()), ("t", Array::from_u32([2], &target).unwrap())];
            let target = context().target().with_class(class);
            run_on(&graph, &[("loss", &loss), ("dx", &dx)], &inputs, &target, PlanOptions::default()).unwrap()
        });
        results.map(|found| (found[0].to_f32(), found[1].to_f32())).collect()
    }

    #[test]
    fn where_no_row_counts_the_mean_is_nan_and_the_gradient_zero() {
        for (loss, dx) in two_rows(&CrossEntropy::new(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [IGNORED; 2]) {
            assert!(loss[0].is_nan());
            assert_eq!(dx, [0.0; 6]);
        }
        let sum = CrossEntropy::new().reduction(Reduction::Sum).ignore_index(1);
        for (loss, dx) in two_rows(&sum, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1; 2]) {
            assert_eq!((loss, dx), (vec![0.0], vec![0.0; 6]));
        }
    }

    #[test]
    fn a_target_past_the_classes_gives_nan_in_its_row() {
        for target in [3, u32::MAX, IGNORED] {
            let options = CrossEntropy { ignore_index: None, ..CrossEntropy::new().reduction(Reduction::None) };
            for (loss, dx) in two_rows(&options, [0.0; 6], [target, 0]) {
                assert!(loss[0].is_nan() && (loss[1] - 3.0_f32.ln()).abs() < 1e-6, "{loss:?}");
                assert!(dx[..3].iter().all(|dx| dx.is_nan()) && (dx[3] + 2.0 / 3.0).abs() < 1e-6, "{dx:?}");
            }
        }
    }

    #[test]
    fn infinities_and_nan_behave_as_in_pytorch() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let none = CrossEntropy::new().reduction(Reduction::None);
        for (loss, dx) in two_rows(&none, [-inf, 0.0, 0.0, -inf, -inf, -inf], [1, 0]) {
            assert!((loss[0] - 2.0_f32.ln()).abs() < 1e-6 && loss[1].is_nan(), "{loss:?}");
            assert!(dx[0] == 0.0 && (dx[1] + 0.5).abs() < 1e-6 && dx[3..].iter().all(|dx| dx.is_nan()), "{dx:?}");
        }
        for (loss, _) in two_rows(&none, [-inf, 0.0, 0.0, nan, 1.0, 2.0], [0, 1]) {
            assert!(loss[0] == inf && loss[1].is_nan(), "{loss:?}");
        }
    }

    #[test]
    fn a_loss_of_half_floats_is_a_half_float() {
        let graph = Graph::new(Mode::Infer);
        let (x, t) = (graph.input_of("x", [2, 3], DType::F16), graph.input_of("t", [2], DType::U32));
        assert_eq!(x.cross_entropy(&t).desc(), TensorDesc::new([], DType::F16));
    }

    #[test]
    fn an_empty_batch_has_no_loss() {
        let graph = Graph::new(Mode::Infer);
        let (x, t) = (graph.input("x", [0, 3]), graph.input_of("t", [0], DType::U32));
        let (mean, none) = (x.cross_entropy(&t), CrossEntropy::new().reduction(Reduction::None).apply(&x, &t));
        let found = run(&graph, &[("mean", &mean), ("none", &none)], &[]).unwrap();
        assert!(found[0].to_f32()[0].is_nan() && found[1].to_f32().is_empty());
    }

    #[test]
    fn mistakes_name_shapes() {
        let message = |logits: &[usize], target: &[usize], dtype: DType, smoothing: f32| {
            let graph = Graph::new(Mode::Infer);
            let (x, t) = (graph.input("x", logits), graph.input_of("t", target, dtype));
            CrossEntropy::new().label_smoothing(smoothing).apply(&x, &t);
            graph.check().unwrap_err().message().to_owned()
        };
        let u32 = DType::U32;
        let fit = "cross_entropy: target [4] does not fit logits [4, 3, 2], it must be [4, 2]";
        assert_eq!(message(&[4, 3, 2], &[4], u32, 0.0), fit);
        assert_eq!(message(&[3], &[], u32, 0.0), "cross_entropy: logits must be [N, C, ...], not [3]");
        assert_eq!(message(&[3, 0], &[3], u32, 0.0), "cross_entropy: logits [3, 0] have no classes");
        let index = "cross_entropy: targets must be class indices, u32, or probabilities f32[3, 2] as the logits, not f32[3]";
        assert_eq!(message(&[3, 2], &[3], DType::F32, 0.0), index);
        assert_eq!(message(&[3, 2], &[3], u32, 1.5), "cross_entropy: label smoothing 1.5 is not between 0 and 1");
    }
}
