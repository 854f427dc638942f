//! Convolutions.

use super::Entry;
use crate::ops::{Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d, Padding};

pub(super) const ENTRIES: &[Entry] = &[
    Entry::several(
        "conv1d",
        "torch.nn.functional.conv1d",
        "y[n, k, i] = b[k] + Σ x[n, c, i·stride − padding + t·dilation]·w[k, c, t]",
        |e| {
            let (channels, length) = (e.pick(8, 64, 64, 128), e.pick(9, 512, 4096, 8192));
            let (x, w) = (e.x([1, channels, length]), e.x([channels, channels, 3]));
            let options = Conv1d::default();
            e.forms(vec![
                x.conv1d(&w, Some(&e.x([channels])), options.padding(1)),
                x.conv1d(&w.slice(1, 0..channels / 4), None, options.padding(Padding::Same).groups(4)),
            ])
        },
    ),
    Entry::several(
        "conv2d",
        "torch.nn.functional.conv2d",
        "y[n, k, i, j] = b[k] + Σ x[n, c, i·stride − padding + r·dilation, …]·w[k, c, r, s]",
        |e| {
            let (channels, side) = (e.pick(6, 32, 64, 64), e.pick(6, 28, 56, 112));
            let (x, w) = (e.x([1, channels, side, side]), e.x([channels, channels, 3, 3]));
            let options = Conv2d::default();
            e.forms(vec![
                x.conv2d(&w, Some(&e.x([channels])), options.padding([1, 1])),
                x.conv2d(&w, None, options.stride([2, 3]).dilation([2, 1]).padding([[1, 0], [0, 2]])),
                x.conv2d(&w.slice(1, 0..1), None, options.padding(Padding::Same).groups(channels)),
            ])
        },
    ),
    Entry::new(
        "conv3d",
        "torch.nn.functional.conv3d",
        "y[n, k, h, i, j] = b[k] + Σ x[n, c, h·stride − padding + r·dilation, …]·w[k, c, r, s, t]",
        |e| {
            let (channels, side) = (e.pick(5, 16, 32, 32), e.pick(3, 12, 16, 32));
            let (x, w) = (e.x([1, channels, side, side, side]), e.x([channels, channels, 3, 3, 3]));
            x.conv3d(&w, Some(&e.x([channels])), Conv3d::default().padding(1))
        },
    ),
    Entry::new(
        "conv_transpose1d",
        "torch.nn.functional.conv_transpose1d",
        "y[n, k, j] = b[k] + Σ x[n, c, i]·w[c, k, t] over j = i·stride − padding + t·dilation",
        |e| {
            let (channels, length) = (e.pick(5, 64, 64, 128), e.pick(5, 512, 4096, 8192));
            let (x, w) = (e.x([1, channels, length]), e.x([channels, channels, 4]));
            x.conv_transpose1d(&w, Some(&e.x([channels])), ConvTranspose1d::default().stride([2]).padding(1))
        },
    ),
    Entry::new(
        "conv_transpose2d",
        "torch.nn.functional.conv_transpose2d",
        "y[n, k, p, q] = b[k] + Σ x[n, c, i, j]·w[c, k, r, s] over p = i·stride − padding + r·dilation, …",
        |e| {
            let (channels, side) = (e.pick(5, 32, 64, 64), e.pick(3, 14, 28, 56));
            let (x, w) = (e.x([1, channels, side, side]), e.x([channels, channels, 4, 4]));
            x.conv_transpose2d(&w, Some(&e.x([channels])), ConvTranspose2d::default().stride([2, 2]).padding(1))
        },
    ),
    Entry::new(
        "conv_transpose3d",
        "torch.nn.functional.conv_transpose3d",
        "y[n, k, o, p, q] = b[k] + Σ x[n, c, h, i, j]·w[c, k, r, s, t] over o = h·stride − padding + r·dilation, …",
        |e| {
            let (channels, side) = (e.pick(5, 16, 32, 32), e.pick(2, 6, 8, 16));
            let (x, w) = (e.x([1, channels, side, side, side]), e.x([channels, channels, 4, 4, 4]));
            x.conv_transpose3d(&w, Some(&e.x([channels])), ConvTranspose3d::default().stride([2, 2, 2]).padding(1))
        },
    ),
];
