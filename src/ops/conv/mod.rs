//! conv: y[n, k, i] = b[k] + Σ x[n, c, i·stride − padding + t·dilation] · w[k, c, t] over one, two or three axes, its
//! transpose, and their gradients.

mod correlation;
mod options;
mod sizes;

use crate::{
    data::{DType, Shape, TensorDesc},
    error::Misfit,
    graph::{Backward, Emit, Gradients, Io, Op, Precision, Tensor},
    kernel::Target,
};
pub use options::{
    Conv, Conv1d, Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Padding, Sides,
};
use sizes::Sizes;

impl Tensor {
    /// Cross-correlation of signals with windows, `torch.nn.functional.conv1d`.
    ///
    /// `[N, C, L]` or `[C, L]`, with `weight [K, C/groups, l]` and `bias [K]`, gives `[N, K, L′]` or `[K, L′]`:
    /// `y[n, k, i] = b[k] + Σ x[n, c, i·stride − padding + t·dilation] · w[k, c, t]`, with
    /// L′ = ⌊(L + padding before and after − dilation·(l−1) − 1)/stride⌋ + 1.
    ///
    /// # Gradient
    /// To x, weight and bias, each by a kernel of its own; gradients have gradients.
    ///
    /// # Errors
    /// Recorded in the graph, as those of [`conv2d`](Tensor::conv2d).
    #[track_caller]
    pub fn conv1d(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv1d) -> Tensor {
        self.conv(weight, bias, options)
    }

    /// Cross-correlation of images with windows, `torch.nn.functional.conv2d`.
    ///
    /// `[N, C, H, W]` or `[C, H, W]`, with `weight [K, C/groups, h, w]` and `bias [K]`, gives
    /// `[N, K, H′, W′]` or `[K, H′, W′]` with H′ = ⌊(H + padding before and after − dilation·(h−1) − 1)/stride⌋ + 1.
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
    /// # Gradient
    /// To x, weight and bias, each by a kernel of its own; gradients have gradients.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or groups that do not fit, a window larger than the padded image,
    /// a stride, dilation or group count of 0, padding "same" with a stride, mixed element types. In planning: one image
    /// larger than one binding of the device, or its result in several groups; for the weight's gradient also what one
    /// image needs on the way.
    #[track_caller]
    pub fn conv2d(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv2d) -> Tensor {
        self.conv(weight, bias, options)
    }

    /// Cross-correlation of volumes with windows, `torch.nn.functional.conv3d`.
    ///
    /// `[N, C, D, H, W]` or `[C, D, H, W]`, with `weight [K, C/groups, d, h, w]` and `bias [K]`, gives
    /// `[N, K, D′, H′, W′]` or `[K, D′, H′, W′]`, sizes as those of [`conv2d`](Tensor::conv2d).
    ///
    /// # Gradient
    /// To x, weight and bias, each by a kernel of its own; gradients have gradients.
    ///
    /// # Errors
    /// Recorded in the graph, as those of [`conv2d`](Tensor::conv2d).
    #[track_caller]
    pub fn conv3d(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv3d) -> Tensor {
        self.conv(weight, bias, options)
    }

    /// The transpose of [`conv1d`](Tensor::conv1d), `torch.nn.functional.conv_transpose1d`.
    ///
    /// `[N, C, L]` or `[C, L]`, with `weight [C, K/groups, l]` and `bias [K]`, gives `[N, K, L′]` or `[K, L′]`:
    /// `y[n, k, j] = b[k] + Σ x[n, c, i] · w[c, k, t]` over all i, t with j = i·stride − padding + t·dilation, with
    /// L′ = (L − 1)·stride − padding before and after + dilation·(l−1) + 1 + output_padding.
    ///
    /// # Gradient
    /// To x, weight and bias, each by a kernel of its own; gradients have gradients.
    ///
    /// # Errors
    /// Recorded in the graph, as those of [`conv_transpose2d`](Tensor::conv_transpose2d).
    #[track_caller]
    pub fn conv_transpose1d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvTranspose1d) -> Tensor {
        self.conv_transpose(weight, bias, options)
    }

    /// The transpose of [`conv2d`](Tensor::conv2d), `torch.nn.functional.conv_transpose2d`: what that one's gradient
    /// to x computes, as a layer that makes images larger.
    ///
    /// `[N, C, H, W]` or `[C, H, W]`, with `weight [C, K/groups, h, w]` and `bias [K]`, gives `[N, K, H′, W′]` or
    /// `[K, H′, W′]` with H′ = (H − 1)·stride − padding before and after + dilation·(h−1) + 1 + output_padding.
    ///
    /// ```
    /// use wgrad::{ops::ConvTranspose2d, prelude::*};
    /// let graph = Graph::new(Mode::Infer);
    /// let x = graph.input("x", [8, 16, 16, 16]);
    /// let weight = graph.input("weight", [16, 3, 4, 4]);
    /// let y = x.conv_transpose2d(&weight, None, ConvTranspose2d::default().stride([2, 2]).padding([1, 1]));
    /// assert_eq!(y.shape(), [8, 3, 32, 32].into());
    /// ```
    ///
    /// # Gradient
    /// To x, weight and bias, each by a kernel of its own; gradients have gradients.
    ///
    /// # Errors
    /// Recorded in the graph: shapes or groups that do not fit, padding that takes everything away, output padding that
    /// is less than neither stride nor dilation, a stride, dilation or group count of 0, mixed element types. In planning:
    /// the result of one image larger than one binding of the device.
    #[track_caller]
    pub fn conv_transpose2d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvTranspose2d) -> Tensor {
        self.conv_transpose(weight, bias, options)
    }

    /// The transpose of [`conv3d`](Tensor::conv3d), `torch.nn.functional.conv_transpose3d`.
    ///
    /// `[N, C, D, H, W]` or `[C, D, H, W]`, with `weight [C, K/groups, d, h, w]` and `bias [K]`, gives
    /// `[N, K, D′, H′, W′]` or `[K, D′, H′, W′]`, sizes as those of [`conv_transpose2d`](Tensor::conv_transpose2d).
    ///
    /// # Gradient
    /// To x, weight and bias, each by a kernel of its own; gradients have gradients.
    ///
    /// # Errors
    /// Recorded in the graph, as those of [`conv_transpose2d`](Tensor::conv_transpose2d).
    #[track_caller]
    pub fn conv_transpose3d(&self, weight: &Tensor, bias: Option<&Tensor>, options: ConvTranspose3d) -> Tensor {
        self.conv_transpose(weight, bias, options)
    }

    #[track_caller]
    fn conv<const D: usize>(&self, weight: &Tensor, bias: Option<&Tensor>, options: Conv<D>) -> Tensor {
        let inputs: Vec<&Tensor> = [self, weight].into_iter().chain(bias).collect();
        self.graph().apply1(Forward { dims: D, options: options.widened() }, &inputs)
    }

    #[track_caller]
    fn conv_transpose<const D: usize>(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        options: ConvTranspose<D>,
    ) -> Tensor {
        let inputs: Vec<&Tensor> = [self, weight].into_iter().chain(bias).collect();
        self.graph().apply1(Transpose { dims: D, options: options.widened() }, &inputs)
    }
}

/// What messages call the passes of a convolution.
#[derive(Debug)]
struct Names {
    forward: &'static str,
    data: &'static str,
    weight: &'static str,
}

/// The names for one, two and three axes.
static CONV: [Names; 3] = [
    Names { forward: "conv1d", data: "conv1d_backward_data", weight: "conv1d_backward_weight" },
    Names { forward: "conv2d", data: "conv2d_backward_data", weight: "conv2d_backward_weight" },
    Names { forward: "conv3d", data: "conv3d_backward_data", weight: "conv3d_backward_weight" },
];

/// The names where y of the convolution is the user's x.
static TRANSPOSE: [Names; 3] = [
    Names {
        forward: "conv_transpose1d_backward_data",
        data: "conv_transpose1d",
        weight: "conv_transpose1d_backward_weight",
    },
    Names {
        forward: "conv_transpose2d_backward_data",
        data: "conv_transpose2d",
        weight: "conv_transpose2d_backward_weight",
    },
    Names {
        forward: "conv_transpose3d_backward_data",
        data: "conv_transpose3d",
        weight: "conv_transpose3d_backward_weight",
    },
];

/// The convolution as a user writes it.
#[derive(Debug)]
struct Forward {
    dims: usize,
    options: Conv<3>,
}

impl Forward {
    fn sizes(&self, x: &Shape, weight: &Shape) -> Result<Sizes, Misfit> {
        Sizes::conv(self.dims, &self.options, x, weight)
    }
}

impl Op for Forward {
    fn name(&self) -> &'static str {
        CONV[self.dims - 1].forward
    }

    fn precision(&self) -> Precision {
        Precision::Half
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = same_floats(inputs)?;
        let sizes = self.sizes(&inputs[0].shape, &inputs[1].shape)?;
        check_bias(inputs.get(2), sizes.groups * sizes.outputs)?;
        Ok(vec![TensorDesc::new(sizes.y_shape(), dtype)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        let sizes = self.sizes(&inputs[0].shape, &inputs[1].shape).ok()?;
        sizes.batched(Kind::Forward).map(|[x, w]| [x, w, w][..inputs.len()].to_vec())
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        self.sizes(io.x_shape(0), io.x_shape(1))?.forward().emit(io, target, out)
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, w, dy) = (at.x(0), at.x(1), at.dy(0));
        let Ok(sizes) = self.sizes(&x.shape(), &w.shape()) else { return Gradients::none() };
        let pass = Pass { names: &CONV[self.dims - 1], kind: Kind::Forward, sizes };
        let dx = at.needs(0).then(|| pass.of(Kind::Data, &dy, w));
        let dw = at.needs(1).then(|| pass.of(Kind::Weight, x, &dy));
        with_bias(at, &sizes, [dx, dw])
    }
}

/// The transposed convolution as a user writes it: its x is y of the convolution whose gradient it is.
#[derive(Debug)]
struct Transpose {
    dims: usize,
    options: ConvTranspose<3>,
}

impl Transpose {
    fn sizes(&self, x: &Shape, weight: &Shape) -> Result<Sizes, Misfit> {
        Sizes::transpose(self.dims, &self.options, x, weight)
    }
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        TRANSPOSE[self.dims - 1].data
    }

    fn precision(&self) -> Precision {
        Precision::Half
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = same_floats(inputs)?;
        let sizes = self.sizes(&inputs[0].shape, &inputs[1].shape)?;
        check_bias(inputs.get(2), sizes.groups * sizes.inputs)?;
        Ok(vec![TensorDesc::new(sizes.x_shape(), dtype)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        let sizes = self.sizes(&inputs[0].shape, &inputs[1].shape).ok()?;
        sizes.batched(Kind::Data).map(|[x, w]| [x, w, 0][..inputs.len()].to_vec())
    }

    fn summed(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        // The bias is added once.
        let sizes = self.sizes(&inputs[0].shape, &inputs[1].shape).ok().filter(|_| inputs.len() == 2)?;
        sizes.summed(Kind::Data).map(Vec::from)
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        self.sizes(io.x_shape(0), io.x_shape(1))?.backward_data().emit(io, target, out)
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (x, w, dy) = (at.x(0), at.x(1), at.dy(0));
        let Ok(sizes) = self.sizes(&x.shape(), &w.shape()) else { return Gradients::none() };
        let pass = Pass { names: &TRANSPOSE[self.dims - 1], kind: Kind::Data, sizes };
        let dx = at.needs(0).then(|| pass.of(Kind::Forward, &dy, w));
        let dw = at.needs(1).then(|| pass.of(Kind::Weight, &dy, x));
        with_bias(at, &sizes, [dx, dw])
    }
}

/// Gradients of x and weight, and of the bias where there is one.
fn with_bias(at: &Backward, sizes: &Sizes, found: [Option<Tensor>; 2]) -> Gradients {
    if at.inputs.len() == 2 {
        return Gradients::of(found);
    }
    let all_but_channels: Vec<isize> = sizes.dims_but_channels().collect();
    let db = at.needs(2).then(|| at.dy(0).sum(&all_but_channels, false));
    Gradients::of(found.into_iter().chain([db]))
}

fn check_bias(bias: Option<&TensorDesc>, channels: usize) -> Result<(), Misfit> {
    let expected = Shape::from([channels]);
    match bias.filter(|bias| bias.shape != expected) {
        None => Ok(()),
        Some(bias) => Err(Misfit::shape(format!(
            "bias {} must be {expected}, one number for each output channel",
            bias.shape
        ))),
    }
}

fn same_floats(inputs: &[TensorDesc]) -> Result<DType, Misfit> {
    let first = &inputs[0];
    match inputs.iter().find(|desc| !desc.dtype.is_float() || desc.dtype != first.dtype) {
        None => Ok(first.dtype),
        Some(other) => Err(Misfit::dtype(format!("needs floating point numbers of one type, not {first} and {other}"))),
    }
}

/// The three passes of a convolution. Each is the gradient of the two others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// y[n, k, i] = Σ x[n, c, i·stride − padding + t·dilation] · w[k, c, t], of x and w.
    Forward,
    /// dx[n, c, j] = Σ dy[n, k, i] · w[k, c, t] over the windows i whose element t is j, of dy and w.
    Data,
    /// dw[k, c, t] = Σ x[n, c, i·stride − padding + t·dilation] · dy[n, k, i] over images and windows, of x and dy.
    Weight,
}

/// One pass of a convolution whose sizes are known: what gradients are made of.
#[derive(Clone, Copy, Debug)]
struct Pass {
    names: &'static Names,
    kind: Kind,
    sizes: Sizes,
}

impl Pass {
    /// Another pass of the same convolution.
    fn of(&self, kind: Kind, a: &Tensor, b: &Tensor) -> Tensor {
        a.graph().apply1(Pass { kind, ..*self }, &[a, b])
    }

    fn part(&self, inputs: [&Shape; 2]) -> Sizes {
        self.sizes.of_part(self.kind, inputs)
    }
}

impl Op for Pass {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Forward => self.names.forward,
            Kind::Data => self.names.data,
            Kind::Weight => self.names.weight,
        }
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        let dtype = same_floats(inputs)?;
        let [x, w, y] = [self.sizes.x_shape(), self.sizes.w_shape(), self.sizes.y_shape()];
        let (expected, result) = match self.kind {
            Kind::Forward => ([x, w], y),
            Kind::Data => ([y, w], x),
            Kind::Weight => ([x, y], w),
        };
        for (input, expected) in inputs.iter().zip(expected) {
            if input.shape != expected {
                return Err(Misfit::shape(format!("needs {expected}, not {}", input.shape)));
            }
        }
        Ok(vec![TensorDesc::new(result, dtype)])
    }

    fn batched(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        self.part([&inputs[0].shape, &inputs[1].shape]).batched(self.kind).map(Vec::from)
    }

    fn summed(&self, inputs: &[TensorDesc]) -> Option<Vec<usize>> {
        self.part([&inputs[0].shape, &inputs[1].shape]).summed(self.kind).map(Vec::from)
    }

    fn emit(&self, io: &Io, target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let sizes = self.part([io.x_shape(0), io.x_shape(1)]);
        let correlation = match self.kind {
            Kind::Forward => sizes.forward(),
            Kind::Data => sizes.backward_data(),
            Kind::Weight => sizes.backward_weight(),
        };
        correlation.emit(io, target, out)
    }

    fn backward(&self, at: &Backward) -> Gradients {
        let (a, b, d) = (at.x(0), at.x(1), at.dy(0));
        let da = || match self.kind {
            Kind::Forward => self.of(Kind::Data, &d, b),
            Kind::Data => self.of(Kind::Forward, &d, b),
            Kind::Weight => self.of(Kind::Data, b, &d),
        };
        let db = || match self.kind {
            Kind::Forward => self.of(Kind::Weight, a, &d),
            Kind::Data => self.of(Kind::Weight, &d, a),
            Kind::Weight => self.of(Kind::Forward, a, &d),
        };
        Gradients::of([at.needs(0).then(da), at.needs(1).then(db)])
    }
}

#[cfg(test)]
mod tests;
