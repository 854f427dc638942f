//! max_pool2d: y[n, c, i, j] = max x[n, c, i·stride − padding + r·dilation, …] over the window (r, s).

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::{Dispatch, Kernel, Params, Target},
    shader,
};

/// Iterations of all its loops that one thread may make on Mesa's software driver, which stops them without a word.
const MOST_ITERATIONS: usize = 65_000;

/// The options of [`Tensor::max_pool2d`], each for rows and columns.
///
/// ```
/// use wgrad::ops::MaxPool2d;
/// let options = MaxPool2d::new(3).stride([2, 2]);
/// assert_eq!(options, MaxPool2d { kernel: [3, 3], stride: Some([2, 2]), padding: [0, 0], dilation: [1, 1] });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2d {
    /// The elements of a window.
    pub kernel: [usize; 2],
    /// The distance between windows; `None` is the kernel, so that they touch.
    pub stride: Option<[usize; 2]>,
    /// −∞ added on each side, at most half a window.
    pub padding: [usize; 2],
    /// The distance between the elements of a window.
    pub dilation: [usize; 2],
}

impl MaxPool2d {
    /// Square windows that touch.
    pub fn new(kernel: usize) -> MaxPool2d {
        MaxPool2d { kernel: [kernel; 2], stride: None, padding: [0; 2], dilation: [1; 2] }
    }

    /// The same with another distance between windows.
    pub fn stride(self, stride: [usize; 2]) -> MaxPool2d {
        MaxPool2d { stride: Some(stride), ..self }
    }

    /// The same with −∞ added on each side.
    pub fn padding(self, padding: [usize; 2]) -> MaxPool2d {
        MaxPool2d { padding, ..self }
    }

    /// The same with another distance between the elements of a window.
    pub fn dilation(self, dilation: [usize; 2]) -> MaxPool2d {
        MaxPool2d { dilation, ..self }
    }

    fn strides(&self) -> [usize; 2] {
        self.stride.unwrap_or(self.kernel)
    }

    /// The elements from the first to the last of a window along an axis.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    fn output(&self, x: &Shape) -> Result<Shape, Misfit> {
        if !matches!(x.rank(), 3 | 4) {
            return Err(Misfit::shape(format!("needs x [N, C, H, W] or [C, H, W], not {x}")));
        }
        let (kernel, stride, dilation) = (self.kernel, self.strides(), self.dilation);
        if kernel.contains(&0) || stride.contains(&0) || dilation.contains(&0) {
            let reason = format!("window {kernel:?}, stride {stride:?} and dilation {dilation:?} must be at least 1");
            return Err(Misfit::shape(reason));
        }
        let mut y = x.clone();
        for axis in 0..2 {
            let at = x.rank() - 2 + axis;
            let (padding, reach) = (self.padding[axis], self.reach(axis));
            let window = match dilation[axis] {
                1 => format!("window {}", kernel[axis]),
                dilation => format!("window {} with dilation {dilation}", kernel[axis]),
            };
            if padding > reach / 2 {
                return Err(Misfit::shape(format!("padding {padding} is more than half of {window}")));
            }
            let Some(room) = (x[at] + 2 * padding).checked_sub(reach) else {
                return Err(Misfit::shape(format!("{window} does not fit {} with padding {padding}", x[at])));
            };
            y = y.with(at, room / stride[axis] + 1);
        }
        Ok(y)
    }

    /// The most windows that one element lies in, along each axis.
    fn covering(&self) -> [usize; 2] {
        let stride = self.strides();
        [0, 1].map(|axis| self.reach(axis).div_ceil(stride[axis]))
    }

    /// The fields of `Sizes` in the shader, for images and maxima of these shapes.
    fn params(&self, x: &Shape, y: &Shape) -> Params {
        let rank = x.rank();
        Params::new()
            .u32(x[..rank - 2].iter().product())
            .all(x[rank - 2..].iter().copied())
            .all(y[rank - 2..].iter().copied())
            .all(self.kernel)
            .all(self.strides())
            .all(self.padding)
            .all(self.dilation)
            .all(self.covering())
    }

    /// Refuses what a thread of a software driver could not finish.
    fn check(&self, io: &Io, target: &Target, [rows, columns]: [usize; 2]) -> Result<(), Misfit> {
        io.fits(target)?;
        if target.class.is_software() && rows * (columns + 1) > MOST_ITERATIONS {
            let [height, width] = self.kernel;
            let reason = format!("window [{height}, {width}] makes a thread loop {} times", rows * (columns + 1));
            return Err(Misfit::limit(format!("{reason}, this driver stops it after {MOST_ITERATIONS}")));
        }
        Ok(())
    }
}

impl Tensor {
    /// The largest element of each window, `torch.nn.functional.max_pool2d`.
    ///
    /// `[N, C, H, W]` or `[C, H, W]` gives `[N, C, H′, W′]` or `[C, H′, W′]` with
    /// H′ = ⌊(H + 2·padding − dilation·(kernel−1) − 1)/stride⌋ + 1. NaN is larger than every number. The gradient
    /// goes to the first of equal elements in row-major order, as in PyTorch (and to the last of several NaNs).
    ///
    /// ```
    /// use wgrad::{ops::MaxPool2d, prelude::*};
    /// let graph = Graph::new(Mode::Infer);
    /// let x = graph.input("x", [8, 64, 55, 55]);
    /// let y = x.max_pool2d(MaxPool2d::new(3).stride([2, 2]));
    /// assert_eq!(y.shape(), [8, 64, 27, 27].into());
    /// ```
    ///
    /// # Errors
    /// Recorded in the graph: a window larger than the padded image, padding of more than half a window, a window,
    /// stride or dilation of 0.
    #[track_caller]
    pub fn max_pool2d(&self, options: MaxPool2d) -> Tensor {
        self.max_pool2d_with_index(options).0
    }

    /// [`max_pool2d`](Tensor::max_pool2d) and where each maximum is: a `u32` tensor with h·W + w for each element of
    /// y, `return_indices` in PyTorch. A window that holds nothing but padding has `u32::MAX`.
    ///
    /// # Errors
    /// As [`max_pool2d`](Tensor::max_pool2d).
    #[track_caller]
    pub fn max_pool2d_with_index(&self, options: MaxPool2d) -> (Tensor, Tensor) {
        let mut outputs = self.graph().apply(options, &[self]);
        let index = outputs.swap_remove(1);
        (outputs.swap_remove(0), index)
    }
}

fn one_float(inputs: &[TensorDesc]) -> Result<DType, Misfit> {
    let dtype = inputs[0].dtype;
    if dtype.is_float() { Ok(dtype) } else { Err(Misfit::dtype(format!("needs floating point numbers, not {}", inputs[0]))) }
}

/// Workgroups of 64 threads with `each` elements per thread.
fn groups(elements: usize, each: usize) -> u64 {
    elements.div_ceil(64 * each) as u64
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = one_float(inputs)?;
        let y = self.output(&inputs[0].shape)?;
        Ok(vec![TensorDesc::new(&y, dtype), TensorDesc::new(y, DType::U32)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        self.check(io, target, self.kernel)?;
        let elements = io.y_shape(0).numel();
        let window = self.kernel[0] * self.kernel[1];
        let dispatch = Dispatch::new(Kernel::new(shader!("max_pool2d"), "max_pool2d", io.real()))
            .read(io.x(0))
            .write(io.y(0))
            .write(io.y(1))
            .params(self.params(io.x_shape(0), io.y_shape(0)))
            .groups(groups(elements, 4))
            .cost((elements * window) as u64, io.bytes())
            .finishing();
        out.push(dispatch);
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = BackwardMaxPool2d { options: *self, x: at.x(0).shape() };
        Gradients::of([Some(at.dy(0).graph().apply1(op, &[&at.dy(0), at.y(1)]))])
    }
}

/// dx[n, c, h, w] = Σ dy[n, c, i, j] over the windows whose maximum is at (h, w).
#[derive(Debug)]
struct BackwardMaxPool2d {
    options: MaxPool2d,
    x: Shape,
}

impl Op for BackwardMaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d_backward"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(&self.x, one_float(inputs)?)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let [rows, columns] = self.options.covering();
        self.options.check(io, target, [rows, columns])?;
        let elements = self.x.numel();
        let dispatch = Dispatch::new(Kernel::new(shader!("max_pool2d"), "max_pool2d_grad", io.real()))
            .read(io.x(0))
            .read(io.x(1))
            .write(io.y(0))
            .params(self.options.params(&self.x, io.x_shape(0)))
            .groups(groups(elements, 4))
            .cost((elements * rows * columns) as u64, io.bytes())
            .finishing();
        out.push(dispatch);
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = TakeMaxima { options: self.options };
        Gradients::of([Some(at.dy(0).graph().apply1(op, &[&at.dy(0), at.x(1)])), None])
    }
}

/// y[n, c, i, j] = x[n, c, index[n, c, i, j]]: the gradient of [`BackwardMaxPool2d`].
#[derive(Debug)]
struct TakeMaxima {
    options: MaxPool2d,
}

impl Op for TakeMaxima {
    fn name(&self) -> &'static str {
        "max_pool2d_take"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(vec![TensorDesc::new(&inputs[1].shape, one_float(inputs)?)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        io.fits(target)?;
        let elements = io.y_shape(0).numel();
        let dispatch = Dispatch::new(Kernel::new(shader!("max_pool2d"), "max_pool2d_take", io.real()))
            .read(io.x(0))
            .read(io.x(1))
            .write(io.y(0))
            .params(self.options.params(io.x_shape(0), io.y_shape(0)))
            .groups(groups(elements, 1))
            .cost(0, io.bytes())
            .finishing();
        out.push(dispatch);
        Ok(())
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let op = BackwardMaxPool2d { options: self.options, x: at.x(0).shape() };
        Gradients::of([Some(at.dy(0).graph().apply1(op, &[&at.dy(0), at.x(1)])), None])
    }
}
