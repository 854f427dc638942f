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
    Entry::new("add_matmul", "torch.addmm", "β·c + α·a·b", |e| {
        let n = side(e);
        e.x([n, n]).add_matmul(&e.x([n, n]), &e.x([n, n]), 0.5, 2.0)
    }),
    Entry::new("bmm", "torch.bmm", "y[b] = a[b]·c[b] for each b", |e| {
        let n = e.pick(5, 64, 128, 256);
        e.x([8, n, n]).bmm(&e.x([8, n, n]))
    }),
    Entry::new("outer", "torch.outer", "y[i, j] = aᵢ·bⱼ", |e| {
        let n = e.pick(7, 300, 1000, 3000);
        e.x([n]).outer(&e.x([n]))
    }),
    Entry::new("dot", "torch.dot", "Σ a·b", |e| e.vector().dot(&e.vector())),
    Entry::several("einsum", "torch.einsum", "Σ a·b over the letters that are not in the output", |e| {
        let n = e.pick(5, 64, 128, 512);
        let (a, b) = (e.x([1, 4, n, 64]), e.x([1, 4, n, 64]));
        let of = |equation| e.graph().einsum(equation, &[&a, &b]);
        if e.is_tiny() {
            let diagonal = e.graph().einsum("ii->i", &[&e.x([n, n])]);
            vec![of("bhqd,bhkd->bhqk"), of("bqhd,bkhd->dhb"), of("...,..."), diagonal]
        } else {
            vec![of("bhqd,bhkd->bhqk")]
        }
    }),
];

fn side(e: &Example) -> usize {
    e.pick(13, 256, 512, 1024)
}
