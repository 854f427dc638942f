//! Convolutions.

use super::Entry;
use crate::ops::Conv2d;

pub(super) const ENTRIES: &[Entry] = &[Entry::new(
    "conv2d",
    "torch.nn.functional.conv2d",
    "y[n, k, i, j] = b[k] + Σ x[n, c, i·stride − padding + r·dilation, …]·w[k, c, r, s]",
    |e| {
        let (channels, side) = (e.pick(2, 32, 64, 64), e.pick(7, 28, 56, 112));
        let (x, w) = (e.x([1, channels, side, side]), e.x([channels, channels, 3, 3]));
        x.conv2d(&w, Some(&e.x([channels])), Conv2d::default().padding([1, 1]))
    },
)];
