//! Operations along a dimension: reductions, softmax, norms, embedding.

use super::{Entry, Example};
use crate::graph::Tensor;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::several("sum", "torch.sum", "Σ x along dimensions", |e| reductions(e, |x, dims| x.sum(dims, false))),
    Entry::several("mean", "torch.mean", "Σ x/n along dimensions", |e| reductions(e, |x, dims| x.mean(dims, false))),
    Entry::several("max", "torch.amax", "max x along dimensions; equal maxima share the gradient", |e| {
        reductions(e, |x, dims| x.max(dims, false))
    }),
    Entry::several("min", "torch.amin", "min x along dimensions; equal minima share the gradient", |e| {
        reductions(e, |x, dims| x.min(dims, false))
    }),
    Entry::new("sum_all", "torch.sum", "Σ x", |e| e.vector().sum_all()),
    Entry::new("mean_all", "torch.mean", "Σ x/n", |e| e.vector().mean_all()),
    Entry::new("sum_squares", "", "Σ x² over all elements", |e| e.vector().sum_squares()),
    Entry::new("sum_to", "torch.Tensor.sum_to_size", "Σ x over what broadcasting repeats", |e| {
        let [rows, width] = sizes(e);
        rows_of(e).sum_to(&[1, width].into()).mul_scalar(1.0 / rows as f32)
    }),
    Entry::several("softmax", "torch.softmax", "exp(x − max x)/Σ exp(x − max x)", |e| {
        let x = rows_of(e);
        e.forms(vec![x.softmax(-1), x.softmax(0), long_rows(e).softmax(-1)])
    }),
    Entry::several("log_softmax", "torch.log_softmax", "x − max x − ln Σ exp(x − max x)", |e| {
        let x = rows_of(e);
        e.forms(vec![x.log_softmax(-1), x.log_softmax(0), long_rows(e).log_softmax(-1)])
    }),
    Entry::several("argmax", "torch.argmax", "the first index of max x; NaN wins", |e| {
        let x = rows_of(e);
        e.forms(vec![x.argmax(-1), x.argmax(0), long_rows(e).argmax(-1)])
    }),
];

fn sizes(e: &Example) -> [usize; 2] {
    [e.pick(5, 128, 512, 8192), e.pick(37, 1024, 1024, 1024)]
}

/// Rows of 1024 elements.
fn rows_of(e: &Example) -> Tensor {
    e.x(sizes(e))
}

/// Rows that a whole workgroup shares, for tests.
fn long_rows(e: &Example) -> Tensor {
    e.x([2, 700])
}

fn reductions(e: &Example, reduce: fn(&Tensor, &[isize]) -> Tensor) -> Vec<Tensor> {
    let x = rows_of(e);
    e.forms(vec![reduce(&x, &[-1]), reduce(&x, &[0]), reduce(&x, &[]), reduce(&long_rows(e), &[-1])])
}
