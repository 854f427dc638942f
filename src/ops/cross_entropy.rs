//! cross_entropy: −Σ q·log softmax(x) against a class index, with q smoothed towards uniform.

use super::rows::{Rows, lanes};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Params, Target},
    shader,
};

/// How the losses of the rows become the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The mean over the rows that count; NaN where none does.
    #[default]
    Mean,
    /// The sum.
    Sum,
    /// No reduction: the loss of each row, of the target's shape.
    None,
}

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy {
    /// How the losses of the rows become the result; the mean if not said.
    pub reduction: Reduction,
    /// The target of rows that do not count: their loss and gradient are 0, and the mean is without
    /// them. The `u32` with the bits of −100 if not said.
    pub ignore_index: Option<u32>,
    /// The part of the target distribution that is spread evenly over all classes, 0 to 1.
    pub label_smoothing: f32,
}

impl Default for CrossEntropy {
    fn default() -> CrossEntropy {
        let none = CrossEntropy { reduction: Reduction::Mean, ignore_index: None, label_smoothing: 0.0 };
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

    /// The loss of `logits [N, C, d…]` against `target [N, d…]` of class indices, `u32`: a scalar, or
    /// `[N, d…]` without reduction.
    ///
    /// A row whose target is not below C, and is not the ignored index, has loss and gradient NaN.
    #[track_caller]
    pub fn apply(&self, logits: &Tensor, target: &Tensor) -> Tensor {
        let op = Losses { ignored: self.ignore_index, smoothing: self.label_smoothing };
        let outputs = logits.graph().apply(op, &[logits, target]);
        let (loss, counts) = (&outputs[0], &outputs[2]);
        let loss = match self.reduction {
            Reduction::None => loss.clone(),
            Reduction::Sum => loss.sum_all(),
            Reduction::Mean => loss.sum_all().div(&counts.sum_all()),
        };
        loss.cast(logits.dtype())
    }
}

/// The loss of each row, m and l of its log-sum-exp m + l, and 1 where it counts; all `f32`.
#[derive(Clone, Copy, Debug)]
struct Losses {
    ignored: Option<u32>,
    smoothing: f32,
}

impl Losses {
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
        if !(0.0..=1.0).contains(&self.smoothing) {
            return Err(Misfit::shape(format!("label smoothing {} is not between 0 and 1", self.smoothing)));
        }
        let pairs: Shape = expected.iter().copied().chain([2]).collect();
        let row = TensorDesc::new(expected, DType::F32);
        Ok(vec![row.clone(), TensorDesc::new(pairs, DType::F32), row])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = Rows::along(io.x_shape(0), 1);
        let dispatch = rows.dispatch(shader!("cross_entropy"), ["rows", "shared_rows"], io.real(), target);
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
#[derive(Debug)]
struct CrossEntropyGrad(Losses);

impl Op for CrossEntropyGrad {
    fn name(&self) -> &'static str {
        "cross_entropy_grad"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![inputs[0].clone()])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let rows = Rows::along(io.x_shape(0), 1);
        // Threads for each row: enough in all to occupy the device, each with two vectors or more.
        let (wanted, least) = if target.class.is_software() { (4096, 1) } else { (65_536, lanes(rows.n)) };
        let lanes = if rows.is_contiguous() {
            (wanted / rows.count().max(1)).max(least).min(rows.n.div_ceil(8))
        } else {
            1
        };
        let dispatch = Dispatch::new(rows.kernel(shader!("cross_entropy"), "backward", io.real()));
        let dispatch = (0..4).fold(dispatch, |dispatch, i| dispatch.read(io.x(i))).write(io.y(0));
        let dispatch = dispatch.groups((rows.count() * lanes).div_ceil(64) as u64);
        out.push(dispatch.params(self.0.params(&rows, lanes)).cost(5 * io.x_shape(0).numel() as u64, io.bytes()));
        Ok(())
    }
}

impl Tensor {
    /// The mean softmax cross-entropy of logits `[N, C, d…]` against class indices `target [N, d…]`, `u32`:
    /// `torch.nn.functional.cross_entropy`. [`CrossEntropy`] has the options.
    ///
    /// Rows with target −100 (as `u32`) do not count. A target that is not below C gives NaN.
    #[track_caller]
    pub fn cross_entropy(&self, target: &Tensor) -> Tensor {
        CrossEntropy::new().apply(self, target)
    }

    /// [`cross_entropy`](Tensor::cross_entropy) with options.
    #[track_caller]
    pub fn cross_entropy_with(&self, target: &Tensor, options: CrossEntropy) -> Tensor {
        options.apply(self, target)
    }
}
