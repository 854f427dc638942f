//! Matrix products.

use super::{Entry, Example};

pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("matmul", "torch.matmul", "y[…, i, j] = Σₖ a[…, i, k]·b[…, k, j]", |e| {
        let n = side(e);
        e.x([n, n]).matmul(&e.x([n, n]))
    }),
    Entry::new("linear", "torch.nn.functional.linear", "x·Wᵀ + b", |e| {
        let n = side(e);
        e.x([e.pick(3, 1, 1, 1), n]).linear(&e.x([2 * n, n]), Some(&e.x([2 * n])))
    }),
];

fn side(e: &Example) -> usize {
    e.pick(13, 256, 512, 1024)
}
