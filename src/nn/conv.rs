//! Convolution layers.

use super::Layer;
use crate::{
    error::Place,
    graph::{Init, Tensor},
    ops::Conv2d,
};

/// Cross-correlation of images with learned windows, `torch.nn.Conv2d`: see [`conv`].
#[derive(Clone, Debug)]
pub struct Conv {
    channels: usize,
    kernel: [usize; 2],
    options: Conv2d,
    bias: bool,
    place: Place,
}

/// `[N, C, H, W]` → `[N, channels, H′, W′]` with H′ = ⌊(H + 2·pad − dilation·(kernel−1) − 1)/stride⌋ + 1.
///
/// Parameters `weight [channels, C/groups, kernel, kernel]` and `bias [channels]`, both U(±1/√fan_in)
/// with fan_in = C/groups·kernel². Stride 1, no padding, dilation 1 and one group if not said.
#[track_caller]
pub fn conv(channels: usize, kernel: usize) -> Conv {
    Conv { channels, kernel: [kernel; 2], options: Conv2d::default(), bias: true, place: Place::here() }
}

impl Conv {
    /// The distance between windows.
    pub fn stride(mut self, stride: usize) -> Conv {
        self.options.stride = [stride; 2];
        self
    }

    /// Zeros added on every side.
    pub fn pad(mut self, padding: usize) -> Conv {
        self.options.padding = [padding; 2].into();
        self
    }

    /// The distance between the elements of a window.
    pub fn dilation(mut self, dilation: usize) -> Conv {
        self.options.dilation = [dilation; 2];
        self
    }

    /// Groups of channels that see only each other.
    pub fn groups(mut self, groups: usize) -> Conv {
        self.options.groups = groups;
        self
    }

    /// Whether there is a bias; there is one if not said.
    pub fn bias(mut self, bias: bool) -> Conv {
        self.bias = bias;
        self
    }
}

impl Layer for Conv {
    fn apply(&self, x: &Tensor) -> Tensor {
        let graph = x.graph();
        graph.placed(self.place, || {
            let Some([_, channels, _, _]) = x.dims("conv", ["N", "C", "H", "W"]) else { return graph.failed() };
            let [height, width] = self.kernel;
            let inner = channels / self.options.groups.max(1);
            let init = Init::fan_in(inner * height * width);
            let weight = graph.parameter("weight", [self.channels, inner, height, width], init);
            let bias = self.bias.then(|| graph.parameter("bias", [self.channels], init));
            x.conv2d(&weight, bias.as_ref(), self.options)
        })
    }
}
