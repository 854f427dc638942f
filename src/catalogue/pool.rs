//! Pooling and resampling.

use super::Entry;
use crate::ops::MaxPool2d;

pub(super) const ENTRIES: &[Entry] = &[Entry::new(
    "max_pool2d",
    "torch.nn.functional.max_pool2d",
    "the largest element of each window; the first one gets the gradient",
    |e| {
        let side = e.pick(7, 28, 112, 224);
        e.x([1, e.pick(2, 64, 64, 128), side, side]).max_pool2d(MaxPool2d::new(3).stride([2, 2]).padding([1, 1]))
    },
)];
