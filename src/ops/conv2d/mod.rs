//! conv2d: y[n, k, i, j] = b[k] + Σ x[n, c, i·stride − padding + r·dilation, …] · w[k, c, r, s], and its gradients.

mod correlation;

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Tensor},
    kernel::Target,
};
use correlation::{Axis, Correlation};

/// The options of [`Tensor::conv2d`], each for rows and columns.
///
/// ```
/// use wgrad::ops::Conv2d;
/// let options = Conv2d::default().stride([2, 2]).padding([1, 1]);
/// assert_eq!(options, Conv2d { stride: [2, 2], padding: [1, 1], dilation: [1, 1], groups: 1 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// The distance between windows; 1 if not said.
    pub stride: [usize; 2],
    /// Zeros added on each side; none if not said.
    pub padding: [usize; 2],
    /// The distance between the elements of a window; 1 if not said.
    pub dilation: [usize; 2],
    /// Groups of channels that see only each other; 1 if not said.
    pub groups: usize,
}

impl Default for Conv2d {
    fn default() -> Conv2d {
        Conv2d { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 }
    }
}

impl Conv2d {
    /// The same with another distance between windows.
    pub fn stride(self, stride: [usize; 2]) -> Conv2d {
        Conv2d { stride, ..self }
    }

    /// The same with zeros added on each side.
    pub fn padding(self, padding: [usize; 2]) -> Conv2d {
        Conv2d { padding, ..self }
    }

    /// The same with another distance between the elements of a window.
    pub fn dilation(self, dilation: [usize; 2]) -> Conv2d {
        Conv2d { dilation, ..self }
    }

    /// The same with groups of channels.
    pub fn groups(self, groups: usize) -> Conv2d {
        Conv2d { groups, ..self }
    }

    /// How many windows fit along an axis of `size` elements.
    fn windows(&self, axis: usize, size: usize, kernel: usize) -> Option<usize> {
        let reach = self.dilation[axis].checked_mul(kernel.checked_sub(1)?)?.checked_add(1)?;
        Some((size + 2 * self.padding[axis]).checked_sub(reach)? / self.stride[axis] + 1)
    }
}

impl Tensor {
    /// Cross-correlation of images with windows, `torch.nn.functional.conv2d`.
    ///
    /// `[N, C, H, W]` or `[C, H, W]`, with `weight [K, C/groups, h, w]` and `bias [K]`, gives
    /// `[N, K, H′, W′]` or `[K, H′, W′]` with H′ = ⌊(H + 2·padding − dilation·(h−1) − 1)/stride⌋ + 1.
    ///
    /// ```
    /// use wgrad::{ops::Conv2d, prelude::*};
    /// let graph = Graph::new(Mode::Infer);
    /// let x = graph.input("x", [8, 3, 32, 32]);
    /// let weight = graph.input("weight", [16, 3, 5, 5]);
    /// let y = x.conv2d(&weight, None, Conv2d::default().stride([2, 2]).padding([2, 2]));
    /// assert_eq!(y.shape(), [8, 16, 16, 16].into());
    /// ```
    ///
    /// # Errors
    /// Recorded in the graph: shapes or groups that do not fit, a window larger than the padded image,
    /// a stride, dilation or group count of 0, mixed element types.
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv2d) -> Tensor {
        let inputs: Vec<&Tensor> = [self, weight].into_iter().chain(bias).collect();
        self.graph().apply1(options, &inputs)
    }
}

/// The sizes of a convolution: images `[N, groups·inputs, H, W]`, weights `[groups·outputs, inputs, h, w]`.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    groups: usize,
    inputs: usize,
    outputs: usize,
    image: [usize; 2],
    kernel: [usize; 2],
    windows: [usize; 2],
}

impl Sizes {
    fn new(options: &Conv2d, x: &Shape, weight: &Shape) -> Result<Sizes, Misfit> {
        if !matches!(x.rank(), 3 | 4) || weight.rank() != 4 {
            let reason =
                format!("needs x [N, C, H, W] or [C, H, W] and weight [K, C/groups, h, w], not {x} and {weight}");
            return Err(Misfit::shape(reason));
        }
        let Conv2d { stride, dilation, groups, .. } = *options;
        if stride.contains(&0) || dilation.contains(&0) || groups == 0 {
            return Err(Misfit::shape(format!(
                "stride {stride:?}, dilation {dilation:?} and groups {groups} must be at least 1"
            )));
        }
        let (channels, image) = (x[x.rank() - 3], [x[x.rank() - 2], x[x.rank() - 1]]);
        let (filters, inputs, kernel) = (weight[0], weight[1], [weight[2], weight[3]]);
        if channels != inputs * groups {
            let among = if groups == 1 { String::new() } else { format!(" in {groups} groups") };
            let reason =
                format!("weight {weight} needs {} input channels{among}, x {x} has {channels}", inputs * groups);
            return Err(Misfit::shape(reason));
        }
        if !filters.is_multiple_of(groups) {
            return Err(Misfit::shape(format!(
                "the {filters} output channels of weight {weight} do not divide into {groups} groups"
            )));
        }
        let mut windows = [0; 2];
        for axis in 0..2 {
            windows[axis] = options.windows(axis, image[axis], kernel[axis]).ok_or_else(|| {
                let (window, size, padding, dilation) =
                    (kernel[axis], image[axis], options.padding[axis], dilation[axis]);
                let dilated = if dilation == 1 { String::new() } else { format!(" with dilation {dilation}") };
                Misfit::shape(format!("window {window}{dilated} does not fit {size} with padding {padding}"))
            })?;
        }
        let batch = if x.rank() == 4 { x[0] } else { 1 };
        Ok(Sizes { batch, groups, inputs, outputs: filters / groups, image, kernel, windows })
    }

    /// The shape of y for images of this rank.
    fn output(&self, rank: usize) -> Shape {
        let [rows, columns] = self.windows;
        let filters = self.groups * self.outputs;
        if rank == 4 { [self.batch, filters, rows, columns].into() } else { [filters, rows, columns].into() }
    }

    /// Elements between neighbouring images, groups and channels of x.
    fn x_strides(&self) -> [usize; 3] {
        let plane = self.image[0] * self.image[1];
        [self.groups * self.inputs * plane, self.inputs * plane, plane]
    }

    /// Elements between neighbouring images, groups and channels of y.
    fn y_strides(&self) -> [usize; 3] {
        let plane = self.windows[0] * self.windows[1];
        [self.groups * self.outputs * plane, self.outputs * plane, plane]
    }

    /// Elements between neighbouring groups, outputs and inputs of the weights.
    fn w_strides(&self) -> [usize; 3] {
        let window = self.kernel[0] * self.kernel[1];
        [self.outputs * self.inputs * window, self.inputs * window, window]
    }
}

fn same_floats(inputs: &[TensorDesc]) -> Result<DType, Misfit> {
    let first = &inputs[0];
    match inputs.iter().find(|desc| !desc.dtype.is_float() || desc.dtype != first.dtype) {
        None => Ok(first.dtype),
        Some(other) => Err(Misfit::dtype(format!("needs floating point numbers of one type, not {first} and {other}"))),
    }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = same_floats(inputs)?;
        let sizes = Sizes::new(self, &inputs[0].shape, &inputs[1].shape)?;
        let filters = Shape::from([sizes.groups * sizes.outputs]);
        if let Some(bias) = inputs.get(2).filter(|bias| bias.shape != filters) {
            return Err(Misfit::shape(format!(
                "bias {} must be {filters}, one number for each output channel",
                bias.shape
            )));
        }
        Ok(vec![TensorDesc::new(sizes.output(inputs[0].shape.rank()), dtype)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let sizes = Sizes::new(self, io.x_shape(0), io.x_shape(1))?;
        let axis = |a: usize| {
            let (stride, padding, dilation) = (self.stride[a], self.padding[a], self.dilation[a]);
            vec![Axis::windows(sizes.windows[a], sizes.kernel[a], stride, padding, dilation)]
        };
        let correlation = Correlation {
            batch: sizes.batch,
            groups: sizes.groups,
            outputs: sizes.outputs,
            inputs: sizes.inputs,
            axes: [axis(0), axis(1)],
            x_plane: sizes.image,
            window: sizes.kernel,
            y_plane: sizes.windows,
            x_strides: sizes.x_strides(),
            w_strides: sizes.w_strides(),
            y_strides: sizes.y_strides(),
        };
        correlation.emit(io, target, out)
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, w, dy) = (at.x(0), at.x(1), at.dy(0));
        let dx = at.needs(0).then(|| self.dx(&dy, w, x.shape()));
        let dw = at.needs(1).then(|| self.dw(x, &dy, w.shape()));
        if at.inputs.len() == 2 {
            return Gradients::of([dx, dw]);
        }
        let all_but_channels: &[isize] = if dy.rank() == 4 { &[0, 2, 3] } else { &[1, 2] };
        Gradients::of([dx, dw, at.needs(2).then(|| dy.sum(all_but_channels, false))])
    }
}

impl Conv2d {
    fn dx(self, dy: &Tensor, weight: &Tensor, x: Shape) -> Tensor {
        dy.graph().apply1(BackwardData { options: self, x }, &[dy, weight])
    }

    fn dw(self, x: &Tensor, dy: &Tensor, weight: Shape) -> Tensor {
        dy.graph().apply1(BackwardWeight { options: self, weight }, &[x, dy])
    }
}

/// dx[n, c, p, q] = Σ dy[n, k, i, j] · w[k, c, r, s] over the windows (i, j) whose element (r, s) is (p, q).
#[derive(Debug)]
struct BackwardData {
    options: Conv2d,
    x: Shape,
}

impl Op for BackwardData {
    fn name(&self) -> &'static str {
        "conv2d_backward_data"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = same_floats(inputs)?;
        let sizes = Sizes::new(&self.options, &self.x, &inputs[1].shape)?;
        let y = sizes.output(self.x.rank());
        if inputs[0].shape != y {
            return Err(Misfit::shape(format!("dy is {}, y has {y}", inputs[0].shape)));
        }
        Ok(vec![TensorDesc::new(&self.x, dtype)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let sizes = Sizes::new(&self.options, &self.x, io.x_shape(1))?;
        let Conv2d { stride, padding, dilation, .. } = self.options;
        let axis = |a: usize| Axis::phases(sizes.image[a], sizes.kernel[a], stride[a], padding[a], dilation[a]);
        let [w_group, w_output, w_input] = sizes.w_strides();
        let correlation = Correlation {
            batch: sizes.batch,
            groups: sizes.groups,
            outputs: sizes.inputs,
            inputs: sizes.outputs,
            axes: [axis(0), axis(1)],
            x_plane: sizes.windows,
            window: sizes.kernel,
            y_plane: sizes.image,
            x_strides: sizes.y_strides(),
            w_strides: [w_group, w_input, w_output],
            y_strides: sizes.x_strides(),
        };
        correlation.emit(io, target, out)
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (dy, w, d) = (at.x(0), at.x(1), at.dy(0));
        let options = self.options;
        Gradients::of([
            at.needs(0).then(|| d.conv2d(w, None, options)),
            at.needs(1).then(|| options.dw(&d, dy, w.shape())),
        ])
    }
}

/// dw[k, c, r, s] = Σ dy[n, k, i, j] · x[n, c, i·stride − padding + r·dilation, …] over images and windows.
#[derive(Debug)]
struct BackwardWeight {
    options: Conv2d,
    weight: Shape,
}

impl Op for BackwardWeight {
    fn name(&self) -> &'static str {
        "conv2d_backward_weight"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = same_floats(inputs)?;
        let sizes = Sizes::new(&self.options, &inputs[0].shape, &self.weight)?;
        let y = sizes.output(inputs[0].shape.rank());
        if inputs[1].shape != y {
            return Err(Misfit::shape(format!("dy is {}, y has {y}", inputs[1].shape)));
        }
        Ok(vec![TensorDesc::new(&self.weight, dtype)])
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let sizes = Sizes::new(&self.options, io.x_shape(0), &self.weight)?;
        let Conv2d { stride, padding, dilation, .. } = self.options;
        // The windows of dw are as many as the kernel has elements, `dilation` apart, and each is a whole plane of dy.
        let axis =
            |a: usize| vec![Axis::windows(sizes.kernel[a], sizes.windows[a], dilation[a], padding[a], stride[a])];
        let [x_image, x_group, x_channel] = sizes.x_strides();
        let [y_image, y_group, y_channel] = sizes.y_strides();
        let [w_group, w_output, w_input] = sizes.w_strides();
        let correlation = Correlation {
            batch: sizes.inputs,
            groups: sizes.groups,
            outputs: sizes.outputs,
            inputs: sizes.batch,
            axes: [axis(0), axis(1)],
            x_plane: sizes.image,
            window: sizes.windows,
            y_plane: sizes.kernel,
            x_strides: [x_channel, x_group, x_image],
            w_strides: [y_group, y_channel, y_image],
            y_strides: [w_input, w_group, w_output],
        };
        correlation.emit(io, target, out)
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, dy, d) = (at.x(0), at.x(1), at.dy(0));
        let options = self.options;
        Gradients::of([
            at.needs(0).then(|| options.dx(dy, &d, x.shape())),
            at.needs(1).then(|| x.conv2d(&d, None, options)),
        ])
    }
}

#[cfg(test)]
mod tests;
