//! The sizes of a convolution, and its three passes as one sum.

use super::{
    Conv, ConvTranspose, Kind, Padding, Sides,
    correlation::{Axis, Correlation},
};
use crate::{data::Shape, error::Misfit};

/// The sizes of a convolution over three axes: images `[N, groups·inputs, …]`, weights `[groups·outputs, inputs, …]`.
///
/// Images have one plane, and signals one row of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// The axes the user knows of, the last ones.
    dims: usize,
    /// Whether the user's tensors have a batch.
    batched: bool,
    batch: usize,
    pub groups: usize,
    pub inputs: usize,
    pub outputs: usize,
    image: [usize; 3],
    kernel: [usize; 3],
    windows: [usize; 3],
    stride: [usize; 3],
    /// Zeros in front; those behind only decide how many windows there are.
    padding: [usize; 3],
    dilation: [usize; 3],
}

/// The names of axes in messages, of images and of windows.
const IMAGE: [&str; 3] = ["L", "H, W", "D, H, W"];
const WINDOW: [&str; 3] = ["l", "h, w", "d, h, w"];

/// The last axes of a shape as three.
fn last(shape: &Shape, dims: usize) -> [usize; 3] {
    std::array::from_fn(|axis| if axis + dims < 3 { 1 } else { shape[shape.rank() + axis - 3] })
}

/// The elements from the first to the last of a window.
fn reach(kernel: usize, dilation: usize) -> Option<usize> {
    dilation.checked_mul(kernel.checked_sub(1)?)?.checked_add(1)
}

fn check_options(
    dims: usize,
    [stride, dilation]: [&[usize; 3]; 2],
    groups: usize,
    [x, weight]: [&Shape; 2],
    channels: &str,
) -> Result<(), Misfit> {
    let (image, window) = (IMAGE[dims - 1], WINDOW[dims - 1]);
    if !(dims + 1..=dims + 2).contains(&x.rank()) || weight.rank() != dims + 2 {
        return Err(Misfit::shape(format!(
            "needs x [N, C, {image}] or [C, {image}] and weight [{channels}, {window}], not {x} and {weight}"
        )));
    }
    if stride.contains(&0) || dilation.contains(&0) || groups == 0 {
        let (stride, dilation) = (&stride[3 - dims..], &dilation[3 - dims..]);
        return Err(Misfit::shape(format!(
            "stride {stride:?}, dilation {dilation:?} and groups {groups} must be at least 1"
        )));
    }
    Ok(())
}

/// "3", or "3 with dilation 2".
fn named_window(kernel: usize, dilation: usize) -> String {
    if dilation == 1 { format!("window {kernel}") } else { format!("window {kernel} with dilation {dilation}") }
}

/// "1", or "1 and 2" for different sides.
fn named_sides(sides: &Sides<3>, axis: usize) -> String {
    let (before, after) = (sides.before[axis], sides.after[axis]);
    if before == after { before.to_string() } else { format!("{before} and {after}") }
}

impl Sizes {
    /// The same for as many images and filters as there are in a part of the inputs of a pass.
    pub fn of_part(self, kind: Kind, [a, b]: [&Shape; 2]) -> Sizes {
        let filters = if kind == Kind::Weight { b[usize::from(self.batched)] } else { b[0] };
        let batch = if self.batched { a[0] } else { self.batch };
        Sizes { batch, outputs: filters / self.groups.max(1), ..self }
    }

    /// Along how many dimensions of its two inputs a pass can be cut: images, or the filters of the only one.
    pub fn batched(&self, kind: Kind) -> Option<[usize; 2]> {
        match kind {
            Kind::Forward | Kind::Data if self.batch > 1 => Some([1, 0]),
            Kind::Forward if self.groups == 1 => Some([0, 1]),
            Kind::Weight if self.batch == 1 && self.groups == 1 => Some([0, 1 + usize::from(self.batched)]),
            _ => None,
        }
    }

    /// The same where the result is a sum over the parts.
    pub fn summed(&self, kind: Kind) -> Option<[usize; 2]> {
        match kind {
            Kind::Weight if self.batch > 1 => Some([1, 1]),
            Kind::Data if self.batch == 1 && self.groups == 1 => Some([1 + usize::from(self.batched), 1]),
            _ => None,
        }
    }

    /// Those of a convolution of x with a weight.
    pub fn conv(dims: usize, options: &Conv<3>, x: &Shape, weight: &Shape) -> Result<Sizes, Misfit> {
        let Conv { stride, padding, dilation, groups } = *options;
        check_options(dims, [&stride, &dilation], groups, [x, weight], "K, C/groups")?;
        let (channels, filters, inputs) = (x[x.rank() - dims - 1], weight[0], weight[1]);
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
        let (image, kernel) = (last(x, dims), last(weight, dims));
        let sides = match padding {
            Padding::Sides(sides) => sides,
            Padding::Same if stride != [1; 3] => {
                let stride = &stride[3 - dims..];
                return Err(Misfit::shape(format!("padding \"same\" needs stride 1, not {stride:?}")));
            }
            Padding::Same => {
                let all: [usize; 3] =
                    std::array::from_fn(|axis| dilation[axis].saturating_mul(kernel[axis].saturating_sub(1)));
                Sides { before: all.map(|all| all / 2), after: all.map(|all| all.div_ceil(2)) }
            }
        };
        let mut windows = [0; 3];
        for axis in 0..3 {
            let (before, after) = (sides.before[axis], sides.after[axis]);
            let padded = image[axis].saturating_add(before).saturating_add(after);
            let room = reach(kernel[axis], dilation[axis]).and_then(|reach| padded.checked_sub(reach));
            let Some(room) = room else {
                let (window, size) = (named_window(kernel[axis], dilation[axis]), image[axis]);
                let padding = named_sides(&sides, axis);
                return Err(Misfit::shape(format!("{window} does not fit {size} with padding {padding}")));
            };
            windows[axis] = room / stride[axis] + 1;
        }
        let batched = x.rank() == dims + 2;
        let batch = if batched { x[0] } else { 1 };
        let (outputs, padding) = (filters / groups, sides.before);
        Ok(Sizes { dims, batched, batch, groups, inputs, outputs, image, kernel, windows, stride, padding, dilation })
    }

    /// Those of the convolution whose gradient to its x a transposed convolution computes. The user's x is its y.
    pub fn transpose(dims: usize, options: &ConvTranspose<3>, x: &Shape, weight: &Shape) -> Result<Sizes, Misfit> {
        let ConvTranspose { stride, padding: sides, output_padding, dilation, groups } = *options;
        check_options(dims, [&stride, &dilation], groups, [x, weight], "C, K/groups")?;
        let (channels, filters, inputs) = (x[x.rank() - dims - 1], weight[0], weight[1]);
        if channels != filters {
            return Err(Misfit::shape(format!("weight {weight} needs {filters} input channels, x {x} has {channels}")));
        }
        if !filters.is_multiple_of(groups) {
            return Err(Misfit::shape(format!(
                "the {filters} input channels of weight {weight} do not divide into {groups} groups"
            )));
        }
        let (windows, kernel) = (last(x, dims), last(weight, dims));
        let mut image = [0; 3];
        for axis in 0..3 {
            let (stride, dilation, extra) = (stride[axis], dilation[axis], output_padding[axis]);
            if extra > 0 && extra >= stride.max(dilation) {
                return Err(Misfit::shape(format!(
                    "output padding {extra} must be less than stride {stride} or dilation {dilation}"
                )));
            }
            let spread = windows[axis].checked_sub(1).and_then(|gaps| gaps.checked_mul(stride));
            let whole = spread.zip(reach(kernel[axis], dilation)).and_then(|(a, b)| a.checked_add(b)?.checked_add(extra));
            let taken = sides.before[axis].saturating_add(sides.after[axis]);
            let Some(size) = whole.and_then(|whole| whole.checked_sub(taken)).filter(|&size| size > 0) else {
                let (size, window) = (windows[axis], named_window(kernel[axis], dilation));
                let padding = named_sides(&sides, axis);
                return Err(Misfit::shape(format!("{size} elements, {window} and padding {padding} leave no output")));
            };
            image[axis] = size;
        }
        let batched = x.rank() == dims + 2;
        let batch = if batched { x[0] } else { 1 };
        let (outputs, padding) = (filters / groups, sides.before);
        Ok(Sizes { dims, batched, batch, groups, inputs, outputs, image, kernel, windows, stride, padding, dilation })
    }

    fn images(&self, channels: usize, plane: [usize; 3]) -> Shape {
        let front = self.batched.then_some(self.batch).into_iter().chain([self.groups * channels]);
        front.chain(plane[3 - self.dims..].iter().copied()).collect()
    }

    pub fn x_shape(&self) -> Shape {
        self.images(self.inputs, self.image)
    }

    pub fn y_shape(&self) -> Shape {
        self.images(self.outputs, self.windows)
    }

    pub fn w_shape(&self) -> Shape {
        let front = [self.groups * self.outputs, self.inputs].into_iter();
        front.chain(self.kernel[3 - self.dims..].iter().copied()).collect()
    }

    /// The dimensions of x and y that are not the channels.
    pub fn dims_but_channels(&self) -> impl Iterator<Item = isize> {
        let channels = isize::from(self.batched);
        (0..channels + 1 + self.dims as isize).filter(move |&dim| dim != channels)
    }

    /// Elements between neighbouring images, groups and channels of x.
    fn x_strides(&self) -> [usize; 3] {
        let plane: usize = self.image.iter().product();
        [self.groups * self.inputs * plane, self.inputs * plane, plane]
    }

    /// Elements between neighbouring images, groups and channels of y.
    fn y_strides(&self) -> [usize; 3] {
        let plane: usize = self.windows.iter().product();
        [self.groups * self.outputs * plane, self.outputs * plane, plane]
    }

    /// Elements between neighbouring groups, outputs and inputs of the weights.
    fn w_strides(&self) -> [usize; 3] {
        let window: usize = self.kernel.iter().product();
        [self.outputs * self.inputs * window, self.inputs * window, window]
    }

    /// y from x and w.
    pub fn forward(&self) -> Correlation {
        let axis = |a: usize| {
            let sizes = [self.windows[a], self.image[a], self.kernel[a]];
            Axis::windows(sizes, self.stride[a], self.padding[a], self.dilation[a])
        };
        Correlation {
            batch: self.batch,
            groups: self.groups,
            outputs: self.outputs,
            inputs: self.inputs,
            axes: [axis(0), axis(1), axis(2)],
            x_strides: self.x_strides(),
            w_strides: self.w_strides(),
            y_strides: self.y_strides(),
        }
    }

    /// dx from dy and w.
    pub fn backward_data(&self) -> Correlation {
        let axis = |a: usize| {
            let sizes = [self.image[a], self.windows[a], self.kernel[a]];
            Axis::covered(sizes, self.stride[a], self.padding[a], self.dilation[a])
        };
        let [w_group, w_output, w_input] = self.w_strides();
        Correlation {
            batch: self.batch,
            groups: self.groups,
            outputs: self.inputs,
            inputs: self.outputs,
            axes: [axis(0), axis(1), axis(2)],
            x_strides: self.y_strides(),
            w_strides: [w_group, w_input, w_output],
            y_strides: self.x_strides(),
        }
    }

    /// dw from x and dy.
    pub fn backward_weight(&self) -> Correlation {
        // The windows of dw are as many as the kernel has elements, `dilation` apart, and each is a whole plane of dy.
        let axis = |a: usize| {
            let sizes = [self.kernel[a], self.image[a], self.windows[a]];
            Axis::windows(sizes, self.dilation[a], self.padding[a], self.stride[a])
        };
        let [x_image, x_group, x_channel] = self.x_strides();
        let [y_image, y_group, y_channel] = self.y_strides();
        let [w_group, w_output, w_input] = self.w_strides();
        Correlation {
            batch: self.inputs,
            groups: self.groups,
            outputs: self.outputs,
            inputs: self.batch,
            axes: [axis(0), axis(1), axis(2)],
            x_strides: [x_channel, x_group, x_image],
            w_strides: [y_group, y_channel, y_image],
            y_strides: [w_input, w_group, w_output],
        }
    }
}
