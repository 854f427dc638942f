//! Pooling, padding and resampling.

use super::{Entry, Example};
use crate::{
    graph::Tensor,
    ops::{AvgPool1d, AvgPool2d, AvgPool3d, Interpolation, MaxPool1d, MaxPool2d, MaxPool3d, PadMode, Unfold},
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry::new(
        "max_pool1d",
        "torch.nn.functional.max_pool1d",
        "the largest element of each window; the first one gets the gradient",
        |e| row(e).max_pool1d(MaxPool1d::new(3).stride([2]).padding([1])),
    ),
    Entry::several(
        "max_pool2d",
        "torch.nn.functional.max_pool2d",
        "the largest element of each window; the first one gets the gradient",
        |e| {
            let (x, options) = (image(e), MaxPool2d::new(3).stride([2, 2]).padding([1, 1]));
            e.forms(vec![x.max_pool2d(options), x.max_pool2d(options.dilation([2, 1]).ceil_mode(true))])
        },
    ),
    Entry::new(
        "max_pool3d",
        "torch.nn.functional.max_pool3d",
        "the largest element of each window; the first one gets the gradient",
        |e| volume(e).max_pool3d(MaxPool3d::new(3).stride([2, 2, 2]).padding([1, 1, 1])),
    ),
    Entry::new(
        "avg_pool1d",
        "torch.nn.functional.avg_pool1d",
        "the mean of each window, with or without the padding",
        |e| row(e).avg_pool1d(AvgPool1d::new(3).stride([2]).padding([1])),
    ),
    Entry::several(
        "avg_pool2d",
        "torch.nn.functional.avg_pool2d",
        "the mean of each window, with or without the padding",
        |e| {
            let (x, options) = (image(e), AvgPool2d::new(3).stride([2, 2]).padding([1, 1]));
            let others = [
                options.count_include_pad(false).ceil_mode(true),
                options.divisor_override(4),
                AvgPool2d::new(2).stride([3, 3]),
            ];
            e.forms([options].into_iter().chain(others).map(|options| x.avg_pool2d(options)).collect())
        },
    ),
    Entry::new(
        "avg_pool3d",
        "torch.nn.functional.avg_pool3d",
        "the mean of each window, with or without the padding",
        |e| volume(e).avg_pool3d(AvgPool3d::new(3).stride([2, 2, 2]).padding([1, 1, 1])),
    ),
    Entry::new(
        "adaptive_avg_pool1d",
        "torch.nn.functional.adaptive_avg_pool1d",
        "the mean of each of o windows, from ⌊i·n/o⌋ up to ⌈(i+1)·n/o⌉",
        |e| row(e).adaptive_avg_pool1d([e.pick(3, 1000, 1000, 1000)]),
    ),
    Entry::several(
        "adaptive_avg_pool2d",
        "torch.nn.functional.adaptive_avg_pool2d",
        "the mean of each of o windows, from ⌊i·n/o⌋ up to ⌈(i+1)·n/o⌉",
        |e| {
            let x = image(e);
            e.forms(vec![x.adaptive_avg_pool2d([6, 6]), x.adaptive_avg_pool2d([1, 1])])
        },
    ),
    Entry::new(
        "adaptive_avg_pool3d",
        "torch.nn.functional.adaptive_avg_pool3d",
        "the mean of each of o windows, from ⌊i·n/o⌋ up to ⌈(i+1)·n/o⌉",
        |e| volume(e).adaptive_avg_pool3d([2, 3, 3]),
    ),
    Entry::new(
        "adaptive_max_pool1d",
        "torch.nn.functional.adaptive_max_pool1d",
        "the largest element of each of o windows, from ⌊i·n/o⌋ up to ⌈(i+1)·n/o⌉",
        |e| row(e).adaptive_max_pool1d([e.pick(3, 1000, 1000, 1000)]),
    ),
    Entry::new(
        "adaptive_max_pool2d",
        "torch.nn.functional.adaptive_max_pool2d",
        "the largest element of each of o windows, from ⌊i·n/o⌋ up to ⌈(i+1)·n/o⌉",
        |e| image(e).adaptive_max_pool2d([6, 6]),
    ),
    Entry::new(
        "adaptive_max_pool3d",
        "torch.nn.functional.adaptive_max_pool3d",
        "the largest element of each of o windows, from ⌊i·n/o⌋ up to ⌈(i+1)·n/o⌉",
        |e| volume(e).adaptive_max_pool3d([2, 3, 3]),
    ),
    Entry::several("pad", "torch.nn.functional.pad", "elements added before and after the last dimensions", |e| {
        let (x, pads) = (image(e), [(1, 2), (2, 1)]);
        let others = [PadMode::Constant(0.5), PadMode::Replicate, PadMode::Circular];
        let modes = [PadMode::Reflect].into_iter().chain(others);
        e.forms(modes.map(|mode| x.pad(&pads, mode)).collect())
    }),
    Entry::several("unfold", "torch.nn.functional.unfold", "the elements of every window as a column", |e| {
        let side = e.pick(5, 28, 56, 112);
        let (x, options) = (e.x([1, e.pick(2, 16, 32, 64), side, side]), Unfold::new(3).padding([1, 1]));
        e.forms(vec![x.unfold(options), x.unfold(options.dilation([2, 2]))])
    }),
    Entry::new("fold", "torch.nn.functional.fold", "every column added to the elements of its window", |e| {
        let side = e.pick(4, 28, 56, 112);
        let columns = e.x([1, 9 * e.pick(2, 16, 32, 64), side * side]);
        columns.fold([side, side], Unfold::new(3).padding([1, 1]))
    }),
    Entry::several(
        "interpolate",
        "torch.nn.functional.interpolate",
        "nearest element, or the weighted mean of the neighbours",
        |e| {
            let x = image(e);
            let [height, width] = [2 * x.size(-2), 2 * x.size(-1)];
            let linear = |align_corners| Interpolation::Linear { align_corners };
            let modes = [linear(false), linear(true), Interpolation::Nearest, Interpolation::NearestExact];
            e.forms(modes.map(|mode| x.interpolate(&[height, width], mode)).to_vec())
        },
    ),
    Entry::several(
        "interpolate_by",
        "torch.nn.functional.interpolate",
        "the same by a factor, in one to three dimensions",
        |e| {
            let linear = Interpolation::Linear { align_corners: false };
            let outputs = [
                volume(e).interpolate_by(&[1.5, 1.5, 1.5], linear),
                row(e).interpolate_by(&[0.7], Interpolation::Nearest),
            ];
            e.forms(outputs.to_vec())
        },
    ),
];

/// `[N, C, L]`.
fn row(e: &Example) -> Tensor {
    e.x([1, e.pick(2, 8, 64, 128), e.pick(9, 1 << 14, 1 << 14, 1 << 16)])
}

/// `[N, C, H, W]`.
fn image(e: &Example) -> Tensor {
    let side = e.pick(7, 28, 112, 224);
    e.x([1, e.pick(2, 64, 64, 128), side, side])
}

/// `[N, C, D, H, W]`.
fn volume(e: &Example) -> Tensor {
    let side = e.pick(5, 16, 32, 56);
    e.x([1, e.pick(1, 16, 32, 32), side, side, side])
}
