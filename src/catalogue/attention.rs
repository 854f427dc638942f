//! Attention, and the caches of keys and values it reads.

use super::{Entry, Example};
use crate::{
    data::TensorDesc,
    graph::{Init, Tensor},
    ops::Attention,
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry::several(
        "attention",
        "torch.nn.functional.scaled_dot_product_attention",
        "softmax(scale·q·kᵀ + bias)·v, never in memory as a whole",
        |e| e.forms(attention(e)),
    ),
    Entry::new("append_rows", "", "the rows of a cache from a position on, in place", |e| {
        let [batches, heads, rows, width] = [e.pick(2, 4, 8, 8), e.pick(2, 6, 12, 12), e.pick(3, 64, 64, 512), 64];
        let desc = TensorDesc::new([batches, heads, 2 * rows, width], e.dtype());
        let cache = e.graph().state("cache", desc, Init::zeros());
        e.graph().append_rows(&cache, &e.x([batches, heads, rows, width]), &e.ids([batches], rows))
    }),
    Entry::new("exchange_rows", "", "the rows of a cache from a neighbouring sequence, in place", |e| {
        let [prompts, heads, rows, width] = [e.pick(2, 2, 2, 2), e.pick(2, 6, 12, 12), e.pick(3, 64, 128, 1024), 64];
        let cache = e.graph().state("cache", TensorDesc::new([4 * prompts, heads, rows, width], e.dtype()), Init::zeros());
        e.graph().exchange_rows(&cache, &e.ids([4 * prompts], 4), &e.ids([4 * prompts], rows), 4)
    }),
];

fn attention(e: &Example) -> Vec<Tensor> {
    let [batches, heads, tokens, width] =
        [e.pick(2, 1, 4, 4), e.pick(2, 4, 6, 6), e.pick(9, 64, 128, 512), e.pick(8, 64, 64, 64)];
    let [q, k, v] = [0; 3].map(|_| e.x([batches, heads, tokens, width]));
    let mut all = vec![q.attention(&k, &v, Attention::default())];
    if e.pick(true, false, false, false) {
        let bias = e.x([1, heads, tokens, tokens]);
        let options = Attention::causal().bias(&bias).mask(&e.mask([batches, 1, 1, tokens])).dropout(0.1);
        all.push(q.attention(&k, &v, options.clone()));
        all.push(q.attention(&k, &v, options.from_end().lengths(&e.ids([batches], tokens))));
        let x = e.x([batches, tokens, heads, width]);
        all.push(x.attention(&x, &x, Attention::default().heads_last()));
        all.push(q.slice(2, 0..3).attention(&k, &v, Attention::default()));
    }
    all
}
