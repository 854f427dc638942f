//! Random numbers.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("uniform", "torch.Tensor.uniform_", "evenly spread from low up to high", |e| {
        e.graph().uniform([e.elements()], -1.0, 1.0)
    }),
    Entry::new("normal", "torch.normal", "normal with a mean and a deviation", |e| {
        e.graph().normal([e.elements()], 0.0, 1.0)
    }),
    Entry::several("bernoulli", "torch.bernoulli", "1 with probability p, else 0", |e| {
        e.forms(vec![e.within([e.elements()], 0.0..1.0).bernoulli(), e.graph().bernoulli([e.elements()], 0.3)])
    }),
    Entry::new("randint", "torch.randint", "integers from low to high − 1", |e| {
        e.graph().randint([e.elements()], 3, 1000)
    }),
    Entry::new("dropout_along", "torch.nn.functional.dropout2d", "dropout with one choice along dimensions", |e| {
        let images = e.pick(2, 4, 16, 64);
        e.x([images, 4, e.elements() / images / 4]).dropout_along(0.25, &[-1])
    }),
];
