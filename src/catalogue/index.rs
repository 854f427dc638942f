//! Operations that find elements by index, and that order them.

use super::Entry;

pub(super) const ENTRIES: &[Entry] =
    &[Entry::new("embedding", "torch.nn.functional.embedding", "the rows of a matrix that indices name", |e| {
        let (rows, width) = (e.pick(11, 1000, 10_000, 30_000), e.pick(5, 128, 384, 384));
        e.x([rows, width]).embedding(&e.ids([e.pick(17, 512, 1024, 4096)], rows))
    })];
