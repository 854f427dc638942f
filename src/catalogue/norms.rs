//! Normalisation.

use super::Entry;

pub(super) const ENTRIES: &[Entry] = &[Entry::new(
    "layer_norm",
    "torch.nn.functional.layer_norm",
    "(x − mean x)/√(var x + ε)·weight + bias",
    |e| {
        let (rows, width) = (e.pick(5, 128, 512, 8192), e.pick(37, 1024, 1024, 1024));
        e.x([rows, width]).layer_norm(&e.x([width]), &e.x([width]), 1e-5)
    },
)];
