//! Normalisation, and what it is made of.

use super::{Entry, Example};
use crate::graph::Tensor;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::several(
        "layer_norm",
        "torch.nn.functional.layer_norm",
        "(x − mean x)/√(var x + ε)·weight + bias over the last dimensions",
        |e| {
            let [x, weight, bias] = rows(e);
            e.forms(vec![x.layer_norm(&weight, &bias, 1e-5), x.layer_norm(None, None, 1e-5)])
        },
    ),
    Entry::several(
        "rms_norm",
        "torch.nn.functional.rms_norm",
        "x/√(mean x² + ε)·weight over the last dimensions",
        |e| {
            let [x, weight, _] = rows(e);
            e.forms(vec![x.rms_norm(&weight, 1e-6), x.rms_norm(None, 1e-6)])
        },
    ),
    Entry::several(
        "batch_norm",
        "torch.nn.functional.batch_norm",
        "(x − mean x)/√(var x + ε)·weight + bias for each channel",
        |e| {
            let [x, weight, bias] = images(e);
            let normalise = |x: &Tensor| x.batch_norm(None, Some(&weight), Some(&bias));
            e.forms(vec![normalise(&x), normalise(&x.flatten(2, -1).max(&[-1], false))])
        },
    ),
    Entry::new(
        "group_norm",
        "torch.nn.functional.group_norm",
        "(x − mean x)/√(var x + ε)·weight + bias for each group of channels of each example",
        |e| {
            let [x, weight, bias] = images(e);
            x.group_norm(e.pick(2, 8, 8, 8), Some(&weight), Some(&bias), 1e-5)
        },
    ),
    Entry::new(
        "instance_norm",
        "torch.nn.functional.instance_norm",
        "(x − mean x)/√(var x + ε)·weight + bias for each channel of each example",
        |e| {
            let [x, weight, bias] = images(e);
            x.instance_norm(Some(&weight), Some(&bias), 1e-5)
        },
    ),
    Entry::new("normalize", "torch.nn.functional.normalize", "x/max(‖x‖, ε)", |e| {
        rows(e)[0].normalize(2.0, -1, 1e-12)
    }),
    Entry::several("norm", "torch.linalg.vector_norm", "Σ |x|, √Σ x² or max |x| along dimensions", |e| {
        let x = e.positive(sizes(e));
        e.forms([2.0, 1.0, f32::INFINITY].iter().map(|&p| x.norm(p, &[-1], false)).collect())
    }),
    Entry::several("var", "torch.var", "Σ (x − mean x)²/(n − 1) along dimensions", |e| {
        along(e, |x, dims| x.var(dims, true, false))
    }),
    Entry::several("std", "torch.std", "√var x along dimensions", |e| along(e, |x, dims| x.std(dims, true, false))),
    Entry::several("prod", "torch.prod", "∏ x along dimensions", |e| {
        let x = e.within(sizes(e), 0.9..1.1);
        e.forms(vec![x.prod(&[-1], false), x.prod(&[0], false)])
    }),
    Entry::several("logsumexp", "torch.logsumexp", "ln Σ exp x along dimensions", |e| {
        along(e, |x, dims| x.logsumexp(dims, false))
    }),
];

/// Rows of 1024 elements; in tests, of more than a subgroup's.
fn sizes(e: &Example) -> [usize; 2] {
    [e.pick(3, 128, 512, 8192), e.pick(517, 1024, 1024, 1024)]
}

/// x, weight and bias.
fn rows(e: &Example) -> [Tensor; 3] {
    let [rows, width] = sizes(e);
    [e.x([rows, width]), e.x([width]), e.x([width])]
}

/// Images of 64 channels, their weight and bias.
fn images(e: &Example) -> [Tensor; 3] {
    let (n, channels, side) = (e.pick(2, 2, 8, 32), e.pick(4, 64, 64, 64), e.pick(12, 28, 56, 56));
    [e.x([n, channels, side, side]), e.x([channels]), e.x([channels])]
}

fn along(e: &Example, reduce: fn(&Tensor, &[isize]) -> Tensor) -> Vec<Tensor> {
    let x = e.x(sizes(e));
    e.forms(vec![reduce(&x, &[-1]), reduce(&x, &[0]), reduce(&x, &[])])
}
