//! Convolution layers.

use super::Layer;
use crate::{
    error::{Misfit, Place},
    graph::{Init, Tensor},
    ops::{self, Padding, Sides},
};

/// A number for each of `D` axes; one number stands for all.
///
/// ```
/// use wgrad::nn::Axes;
/// assert_eq!(Axes::<2>::from(3), Axes([3, 3]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axes<const D: usize>(pub [usize; D]);

impl<const D: usize> From<usize> for Axes<D> {
    fn from(all: usize) -> Axes<D> {
        Axes([all; D])
    }
}

impl<const D: usize> From<[usize; D]> for Axes<D> {
    fn from(each: [usize; D]) -> Axes<D> {
        Axes(each)
    }
}

/// Cross-correlation with learned windows over `D` axes, `torch.nn.Conv1d` to `Conv3d`: see [`conv`].
#[derive(Clone, Debug)]
pub struct Conv<const D: usize = 2> {
    channels: usize,
    kernel: [usize; D],
    options: ops::Conv<D>,
    bias: bool,
    place: Place,
}

/// `torch.nn.Conv2d`: `[N, C, H, W]` → `[N, channels, H′, W′]` with
/// H′ = ⌊(H + 2·pad − dilation·(kernel−1) − 1)/stride⌋ + 1, or the same without a batch.
///
/// Parameters `weight [channels, C/groups, kernel, kernel]` and `bias [channels]`, both U(±1/√fan_in)
/// with fan_in = C/groups·kernel². Stride 1, no padding, dilation 1 and one group if not said.
#[track_caller]
pub fn conv(channels: usize, kernel: impl Into<Axes<2>>) -> Conv {
    Conv::new(channels, kernel.into())
}

/// `torch.nn.Conv1d`: `[N, C, L]` → `[N, channels, L′]`, or the same without a batch; as [`conv`] for one axis.
#[track_caller]
pub fn conv1d(channels: usize, kernel: impl Into<Axes<1>>) -> Conv<1> {
    Conv::new(channels, kernel.into())
}

/// `torch.nn.Conv3d`: `[N, C, D, H, W]` → `[N, channels, D′, H′, W′]`, or the same without a batch; as [`conv`] for
/// three axes.
#[track_caller]
pub fn conv3d(channels: usize, kernel: impl Into<Axes<3>>) -> Conv<3> {
    Conv::new(channels, kernel.into())
}

impl<const D: usize> Conv<D> {
    #[track_caller]
    fn new(channels: usize, kernel: Axes<D>) -> Conv<D> {
        Conv { channels, kernel: kernel.0, options: ops::Conv::default(), bias: true, place: Place::here() }
    }

    /// The distance between windows.
    pub fn stride(mut self, stride: impl Into<Axes<D>>) -> Conv<D> {
        self.options.stride = stride.into().0;
        self
    }

    /// Zeros added on every side; or for each axis, as `[before, after]`, or [`Padding::Same`].
    pub fn pad(mut self, padding: impl Into<Padding<D>>) -> Conv<D> {
        self.options.padding = padding.into();
        self
    }

    /// The distance between the elements of a window.
    pub fn dilation(mut self, dilation: impl Into<Axes<D>>) -> Conv<D> {
        self.options.dilation = dilation.into().0;
        self
    }

    /// Groups of channels that see only each other.
    pub fn groups(mut self, groups: usize) -> Conv<D> {
        self.options.groups = groups;
        self
    }

    /// Whether there is a bias; there is one if not said.
    pub fn bias(mut self, bias: bool) -> Conv<D> {
        self.bias = bias;
        self
    }
}

/// What differs between the dimensions: the operation.
macro_rules! layers {
    ($($dims:literal $conv:ident $conv_transpose:ident $axes:literal)*) => {$(
        impl Layer for Conv<$dims> {
            fn apply(&self, x: &Tensor) -> Tensor {
                let graph = x.graph();
                graph.placed(self.place, || {
                    let Some(channels) = channels(x, stringify!($conv), $dims, $axes) else { return graph.failed() };
                    let inner = channels / self.options.groups.max(1);
                    let shape = [[self.channels, inner].as_slice(), &self.kernel].concat();
                    let (weight, bias) = parameters(x, &shape, self.bias.then_some(self.channels));
                    x.$conv(&weight, bias.as_ref(), self.options)
                })
            }
        }

        impl Layer for ConvTranspose<$dims> {
            fn apply(&self, x: &Tensor) -> Tensor {
                let (graph, name) = (x.graph(), stringify!($conv_transpose));
                graph.placed(self.place, || {
                    let Some(channels) = channels(x, name, $dims, $axes) else { return graph.failed() };
                    let groups = self.options.groups.max(1);
                    if !self.channels.is_multiple_of(groups) {
                        let reason = format!("{} output channels do not divide into {groups} groups", self.channels);
                        graph.fail(Misfit::shape(reason).of(name));
                        return graph.failed();
                    }
                    let shape = [[channels, self.channels / groups].as_slice(), &self.kernel].concat();
                    let (weight, bias) = parameters(x, &shape, self.bias.then_some(self.channels));
                    x.$conv_transpose(&weight, bias.as_ref(), self.options)
                })
            }
        }
    )*};
}

layers! {
    1 conv1d conv_transpose1d "L"
    2 conv2d conv_transpose2d "H, W"
    3 conv3d conv_transpose3d "D, H, W"
}

/// The channels of x, or a recorded mistake.
fn channels(x: &Tensor, name: &str, dims: usize, axes: &str) -> Option<usize> {
    if x.is_failed() {
        return None;
    }
    let shape = x.shape();
    if !(dims + 1..=dims + 2).contains(&shape.rank()) {
        let reason = format!("needs x [N, C, {axes}] or [C, {axes}], not {shape}");
        x.graph().fail(Misfit::shape(reason).of(name));
        return None;
    }
    Some(shape[shape.rank() - dims - 1])
}

/// The weight, and the bias of so many channels: both U(±1/√fan_in), where PyTorch counts all but the first dimension
/// of the weight for fan_in, also where that is not what an output sums over.
fn parameters(x: &Tensor, shape: &[usize], bias: Option<usize>) -> (Tensor, Option<Tensor>) {
    let init = Init::fan_in(shape[1..].iter().product());
    let graph = x.graph();
    (graph.parameter("weight", shape, init), bias.map(|channels| graph.parameter("bias", [channels], init)))
}

/// The transpose of a convolution with learned windows over `D` axes, `torch.nn.ConvTranspose1d` to `ConvTranspose3d`:
/// see [`conv_transpose2d`].
#[derive(Clone, Debug)]
pub struct ConvTranspose<const D: usize> {
    channels: usize,
    kernel: [usize; D],
    options: ops::ConvTranspose<D>,
    bias: bool,
    place: Place,
}

/// `torch.nn.ConvTranspose1d`: `[N, C, L]` → `[N, channels, L′]`, or the same without a batch; as
/// [`conv_transpose2d`] for one axis.
#[track_caller]
pub fn conv_transpose1d(channels: usize, kernel: impl Into<Axes<1>>) -> ConvTranspose<1> {
    ConvTranspose::new(channels, kernel.into())
}

/// `torch.nn.ConvTranspose2d`: `[N, C, H, W]` → `[N, channels, H′, W′]` with
/// H′ = (H − 1)·stride − 2·pad + dilation·(kernel−1) + 1 + output_padding, or the same without a batch.
///
/// Parameters `weight [C, channels/groups, kernel, kernel]` and `bias [channels]`, both U(±1/√fan_in) with
/// fan_in = channels/groups·kernel². Stride 1, no padding, dilation 1 and one group if not said.
#[track_caller]
pub fn conv_transpose2d(channels: usize, kernel: impl Into<Axes<2>>) -> ConvTranspose<2> {
    ConvTranspose::new(channels, kernel.into())
}

/// `torch.nn.ConvTranspose3d`: `[N, C, D, H, W]` → `[N, channels, D′, H′, W′]`, or the same without a batch; as
/// [`conv_transpose2d`] for three axes.
#[track_caller]
pub fn conv_transpose3d(channels: usize, kernel: impl Into<Axes<3>>) -> ConvTranspose<3> {
    ConvTranspose::new(channels, kernel.into())
}

impl<const D: usize> ConvTranspose<D> {
    #[track_caller]
    fn new(channels: usize, kernel: Axes<D>) -> ConvTranspose<D> {
        let options = ops::ConvTranspose::default();
        ConvTranspose { channels, kernel: kernel.0, options, bias: true, place: Place::here() }
    }

    /// The distance between the windows that each element spreads over.
    pub fn stride(mut self, stride: impl Into<Axes<D>>) -> ConvTranspose<D> {
        self.options.stride = stride.into().0;
        self
    }

    /// Elements left out on every side; or for each axis, or as `[before, after]`.
    pub fn pad(mut self, padding: impl Into<Sides<D>>) -> ConvTranspose<D> {
        self.options.padding = padding.into();
        self
    }

    /// Elements added behind the last.
    pub fn output_padding(mut self, output_padding: impl Into<Axes<D>>) -> ConvTranspose<D> {
        self.options.output_padding = output_padding.into().0;
        self
    }

    /// The distance between the elements of a window.
    pub fn dilation(mut self, dilation: impl Into<Axes<D>>) -> ConvTranspose<D> {
        self.options.dilation = dilation.into().0;
        self
    }

    /// Groups of channels that see only each other.
    pub fn groups(mut self, groups: usize) -> ConvTranspose<D> {
        self.options.groups = groups;
        self
    }

    /// Whether there is a bias; there is one if not said.
    pub fn bias(mut self, bias: bool) -> ConvTranspose<D> {
        self.bias = bias;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Mode};

    #[test]
    fn parameters_are_pytorchs() {
        let check = |layer: &dyn Layer, x: &[usize], y: &[usize], weight: &[usize], bias: Option<usize>| {
            let graph = Graph::new(Mode::Train);
            assert_eq!(layer.apply(&graph.input("x", x)).shape()[..], *y);
            let init = Init::fan_in(weight[1..].iter().product());
            let mut expected = vec![("weight".to_owned(), weight.to_vec(), init)];
            expected.extend(bias.map(|bias| ("bias".to_owned(), vec![bias], init)));
            let variables = graph.variables();
            let parameters: Vec<_> =
                variables.iter().filter_map(|v| Some((v.name.to_string(), v.desc.shape.to_vec(), v.init?))).collect();
            assert_eq!(parameters, expected);
        };
        check(&conv(8, 3).pad(1), &[2, 4, 9, 7], &[2, 8, 9, 7], &[8, 4, 3, 3], Some(8));
        check(&conv(8, [3, 1]).groups(4), &[4, 9, 7], &[8, 7, 7], &[8, 1, 3, 1], Some(8));
        check(&conv1d(6, 5).stride(2).bias(false), &[2, 4, 9], &[2, 6, 3], &[6, 4, 5], None);
        check(&conv1d(6, 4).pad(Padding::Same), &[2, 4, 9], &[2, 6, 9], &[6, 4, 4], Some(6));
        check(&conv3d(6, [1, 3, 3]).pad([0, 1, 1]), &[2, 4, 5, 6, 7], &[2, 6, 5, 6, 7], &[6, 4, 1, 3, 3], Some(6));
        check(&conv_transpose1d(6, 4).stride(2).pad(1), &[2, 4, 5], &[2, 6, 10], &[4, 6, 4], Some(6));
        let layer = conv_transpose2d(6, 3).stride(2).pad(1).output_padding([1, 0]).groups(2);
        check(&layer, &[2, 4, 5, 5], &[2, 6, 10, 9], &[4, 3, 3, 3], Some(6));
        let layer = conv_transpose3d(3, 2).dilation(2).bias(false);
        check(&layer, &[4, 2, 3, 4], &[3, 4, 5, 6], &[4, 3, 2, 2, 2], None);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |layer: &dyn Layer, x: &[usize]| {
            let graph = Graph::new(Mode::Train);
            assert!(layer.apply(&graph.input("x", x)).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(error(&conv(8, 3), &[3, 9]), "conv2d: needs x [N, C, H, W] or [C, H, W], not [3, 9]");
        let layer = conv_transpose1d(5, 3).groups(2);
        assert_eq!(error(&layer, &[1, 4, 9]), "conv_transpose1d: 5 output channels do not divide into 2 groups");
    }
}
