//! Operations that move elements.

use super::{Entry, Example};
use crate::graph::Tensor;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("reshape", "torch.reshape", "the same elements in order under another shape", |e| {
        let x = e.vector();
        x.reshape([x.shape().numel(), 1])
    }),
    Entry::new("flatten", "torch.flatten", "several dimensions as one", |e| image(e).flatten(1, -1)),
    Entry::new("squeeze", "torch.squeeze", "without a dimension of size 1", |e| e.vector().unsqueeze(0).squeeze(0)),
    Entry::new("unsqueeze", "torch.unsqueeze", "with a new dimension of size 1", |e| e.vector().unsqueeze(0)),
    Entry::new("permute", "torch.permute", "dimensions in another order", |e| image(e).permute(&[0, 2, 3, 1])),
    Entry::new("transpose", "torch.transpose", "two dimensions exchanged", |e| image(e).transpose(1, 2)),
    Entry::new("slice", "torch.narrow", "a range along a dimension", |e| {
        let x = image(e);
        x.slice(1, 1..x.size(1))
    }),
    Entry::new("concat", "torch.cat", "tensors one after the other along a dimension", |e| {
        Tensor::concat(&[&image(e), &image(e)], 1)
    }),
];

/// `[N, C, H, W]`.
fn image(e: &Example) -> Tensor {
    e.x([2, e.pick(3, 16, 32, 64), e.pick(5, 56, 112, 224), e.pick(7, 56, 112, 224)])
}
