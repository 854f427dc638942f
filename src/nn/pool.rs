//! Pooling layers, and the layer that makes images larger.

use super::Layer;
use crate::{
    error::{Misfit, Place},
    graph::Tensor,
    ops::{self, Interpolation},
};

/// The largest element of each window, `torch.nn.MaxPool2d` and its kin: see [`max_pool`].
#[derive(Clone, Debug)]
pub struct MaxPool<const D: usize = 2> {
    options: ops::MaxPool<D>,
    op: fn(&Tensor, ops::MaxPool<D>) -> Tensor,
    place: Place,
}

/// `[N, C, H, W]` → `[N, C, H′, W′]` with windows of `kernel`×`kernel` every `stride` elements.
#[track_caller]
pub fn max_pool(kernel: usize, stride: usize) -> MaxPool {
    MaxPool::new(kernel, stride, Tensor::max_pool2d)
}

/// `[N, C, L]` → `[N, C, L′]` with windows of `kernel` elements every `stride` elements.
#[track_caller]
pub fn max_pool1d(kernel: usize, stride: usize) -> MaxPool<1> {
    MaxPool::new(kernel, stride, Tensor::max_pool1d)
}

/// `[N, C, D, H, W]` → `[N, C, D′, H′, W′]` with cubes of `kernel` elements every `stride` elements.
#[track_caller]
pub fn max_pool3d(kernel: usize, stride: usize) -> MaxPool<3> {
    MaxPool::new(kernel, stride, Tensor::max_pool3d)
}

impl<const D: usize> MaxPool<D> {
    #[track_caller]
    fn new(kernel: usize, stride: usize, op: fn(&Tensor, ops::MaxPool<D>) -> Tensor) -> MaxPool<D> {
        MaxPool { options: ops::MaxPool::new(kernel).stride([stride; D]), op, place: Place::here() }
    }

    /// −∞ added on every side, at most half a window.
    pub fn pad(mut self, padding: usize) -> MaxPool<D> {
        self.options.padding = [padding; D];
        self
    }

    /// The distance between the elements of a window.
    pub fn dilation(mut self, dilation: usize) -> MaxPool<D> {
        self.options.dilation = [dilation; D];
        self
    }

    /// A last window that may reach past the padding's end.
    pub fn ceil_mode(mut self) -> MaxPool<D> {
        self.options.ceil_mode = true;
        self
    }
}

impl<const D: usize> Layer for MaxPool<D> {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || (self.op)(x, self.options))
    }
}

/// The mean of each window, `torch.nn.AvgPool2d` and its kin: see [`avg_pool`].
#[derive(Clone, Debug)]
pub struct AvgPool<const D: usize = 2> {
    options: ops::AvgPool<D>,
    op: fn(&Tensor, ops::AvgPool<D>) -> Tensor,
    place: Place,
}

/// `[N, C, H, W]` → `[N, C, H′, W′]` with windows of `kernel`×`kernel` every `stride` elements.
#[track_caller]
pub fn avg_pool(kernel: usize, stride: usize) -> AvgPool {
    AvgPool::new(kernel, stride, Tensor::avg_pool2d)
}

/// `[N, C, L]` → `[N, C, L′]` with windows of `kernel` elements every `stride` elements.
#[track_caller]
pub fn avg_pool1d(kernel: usize, stride: usize) -> AvgPool<1> {
    AvgPool::new(kernel, stride, Tensor::avg_pool1d)
}

/// `[N, C, D, H, W]` → `[N, C, D′, H′, W′]` with cubes of `kernel` elements every `stride` elements.
#[track_caller]
pub fn avg_pool3d(kernel: usize, stride: usize) -> AvgPool<3> {
    AvgPool::new(kernel, stride, Tensor::avg_pool3d)
}

impl<const D: usize> AvgPool<D> {
    #[track_caller]
    fn new(kernel: usize, stride: usize, op: fn(&Tensor, ops::AvgPool<D>) -> Tensor) -> AvgPool<D> {
        AvgPool { options: ops::AvgPool::new(kernel).stride([stride; D]), op, place: Place::here() }
    }

    /// Zeros added on every side, at most half a window.
    pub fn pad(mut self, padding: usize) -> AvgPool<D> {
        self.options.padding = [padding; D];
        self
    }

    /// A last window that may reach past the padding's end.
    pub fn ceil_mode(mut self) -> AvgPool<D> {
        self.options.ceil_mode = true;
        self
    }

    /// Means of the elements only, without the zeros of the padding.
    pub fn without_padding(mut self) -> AvgPool<D> {
        self.options.count_include_pad = false;
        self
    }
}

impl<const D: usize> Layer for AvgPool<D> {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || (self.op)(x, self.options))
    }
}

/// The mean of each of a number of windows, `torch.nn.AdaptiveAvgPool2d` and its kin: see [`adaptive_avg_pool`].
#[derive(Clone, Debug)]
pub struct AdaptiveAvgPool<const D: usize> {
    size: [usize; D],
    place: Place,
}

/// `[N, C, …]` → `[N, C, size…]` with windows that share the last one to three dimensions out.
///
/// ```
/// use wgrad::{nn::*, prelude::*};
/// let graph = Graph::new(Mode::Infer);
/// let y = adaptive_avg_pool([6, 6]).apply(&graph.input("x", [2, 256, 13, 9]));
/// assert_eq!(y.shape(), [2, 256, 6, 6].into());
/// ```
#[track_caller]
pub fn adaptive_avg_pool<const D: usize>(size: [usize; D]) -> AdaptiveAvgPool<D> {
    AdaptiveAvgPool { size, place: Place::here() }
}

impl<const D: usize> Layer for AdaptiveAvgPool<D> {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || match self.size[..] {
            [length] => x.adaptive_avg_pool1d([length]),
            [height, width] => x.adaptive_avg_pool2d([height, width]),
            [depth, height, width] => x.adaptive_avg_pool3d([depth, height, width]),
            _ => {
                let misfit = Misfit::shape(format!("pools one to three dimensions, not {D}"));
                x.graph().fail(misfit.of("adaptive_avg_pool"));
                x.graph().failed()
            }
        })
    }
}

/// The mean over all elements of each channel: see [`global_avg_pool`].
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool(Place);

/// `[N, C, …]` → `[N, C]`, `torch.nn.AdaptiveAvgPool2d(1)` followed by `torch.nn.Flatten`.
#[track_caller]
pub fn global_avg_pool() -> GlobalAvgPool {
    GlobalAvgPool(Place::here())
}

impl Layer for GlobalAvgPool {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.0, || {
            if x.is_failed() {
                return x.clone();
            }
            let dims: Vec<isize> = (2..x.rank() as isize).collect();
            if dims.is_empty() {
                x.graph().fail(Misfit::shape(format!("needs x [N, C, …], not {}", x.shape())).of("global_avg_pool"));
                return x.graph().failed();
            }
            x.mean(&dims, false)
        })
    }
}

/// Larger images, `torch.nn.Upsample`: see [`upsample`].
#[derive(Clone, Copy, Debug)]
pub struct Upsample {
    factor: f64,
    mode: Interpolation,
    place: Place,
}

/// `[N, C, …]` → `[N, C, …]` with `factor` times as many elements along each dimension but the first two, each the
/// nearest one of x.
#[track_caller]
pub fn upsample(factor: f64) -> Upsample {
    Upsample { factor, mode: Interpolation::Nearest, place: Place::here() }
}

impl Upsample {
    /// Another way to find what lies between the elements.
    pub fn mode(self, mode: Interpolation) -> Upsample {
        Upsample { mode, ..self }
    }
}

impl Layer for Upsample {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || {
            if x.is_failed() {
                return x.clone();
            }
            x.interpolate_by(&vec![self.factor; x.rank().saturating_sub(2)], self.mode)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Mode};

    #[test]
    fn shapes_follow_the_options() {
        let graph = Graph::new(Mode::Infer);
        let row = graph.input("row", [2, 3, 9]);
        let image = graph.input("image", [2, 3, 9, 7]);
        let volume = graph.input("volume", [2, 3, 9, 7, 5]);
        let shape = |layer: &dyn Layer, x: &Tensor| layer.apply(x).shape().to_vec();
        assert_eq!(shape(&max_pool1d(3, 2).pad(1), &row), [2, 3, 5]);
        assert_eq!(shape(&max_pool(2, 2).ceil_mode(), &image), [2, 3, 5, 4]);
        assert_eq!(shape(&max_pool3d(2, 2).dilation(2), &volume), [2, 3, 4, 3, 2]);
        assert_eq!(shape(&avg_pool1d(2, 2), &row), [2, 3, 4]);
        assert_eq!(shape(&avg_pool(3, 2).pad(1).without_padding(), &image), [2, 3, 5, 4]);
        assert_eq!(shape(&avg_pool3d(2, 2).ceil_mode(), &volume), [2, 3, 5, 4, 3]);
        assert_eq!(shape(&adaptive_avg_pool([4]), &row), [2, 3, 4]);
        assert_eq!(shape(&adaptive_avg_pool([1, 2]), &image), [2, 3, 1, 2]);
        assert_eq!(shape(&adaptive_avg_pool([1, 2, 3]), &volume), [2, 3, 1, 2, 3]);
        for x in [&row, &image, &volume] {
            assert_eq!(shape(&global_avg_pool(), x), [2, 3]);
        }
        let linear = Interpolation::Linear { align_corners: true };
        assert_eq!(shape(&upsample(2.0).mode(linear), &image), [2, 3, 18, 14]);
        graph.check().unwrap();
    }

    #[test]
    fn mistakes_are_named() {
        let error = |layer: &dyn Layer| {
            let graph = Graph::new(Mode::Infer);
            assert!(layer.apply(&graph.input("x", [2, 3])).is_failed());
            graph.check().unwrap_err().message().to_owned()
        };
        assert_eq!(error(&global_avg_pool()), "global_avg_pool: needs x [N, C, …], not [2, 3]");
        assert_eq!(error(&adaptive_avg_pool([1; 4])), "adaptive_avg_pool: pools one to three dimensions, not 4");
        assert_eq!(
            error(&upsample(2.0)),
            "interpolate: needs a size for each of the last 1 to 3 dimensions, not 0 of [2, 3]"
        );
    }
}
