//! Losses.

use super::Entry;

pub(super) const ENTRIES: &[Entry] =
    &[Entry::new("cross_entropy", "torch.nn.functional.cross_entropy", "−mean log softmax(x) at the target", |e| {
        let (rows, classes) = (e.pick(5, 128, 512, 2048), e.pick(13, 1000, 1000, 30_000));
        e.x([rows, classes]).cross_entropy(&e.ids([rows], classes))
    })];
