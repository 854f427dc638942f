//! Which values share memory: slots by lifetime.

use std::fmt;

/// A value that needs memory from one step to another, both included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub first: usize,
    pub last: usize,
    pub bytes: u64,
}

impl Span {
    fn overlaps(&self, other: &Span) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// A slot for each span, and the size of each slot: largest spans first, each into the first slot
/// none of whose other spans it overlaps.
///
/// Slots are buffers of their own, so one that is read is never written by the same step.
pub(super) fn assign(spans: &[Span]) -> (Vec<usize>, Vec<u64>) {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(spans[i].bytes), spans[i].first, i));
    let mut slots: Vec<(u64, Vec<usize>)> = Vec::new();
    let mut slot_of = vec![0; spans.len()];
    for i in order {
        let free = slots.iter().position(|(_, users)| users.iter().all(|&user| !spans[user].overlaps(&spans[i])));
        let slot = free.unwrap_or_else(|| {
            slots.push((spans[i].bytes, Vec::new()));
            slots.len() - 1
        });
        slots[slot].1.push(i);
        slot_of[i] = slot;
    }
    (slot_of, slots.into_iter().map(|(bytes, _)| bytes).collect())
}

/// The bytes a plan needs, by role, known before anything is allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Trained values, shared between sessions on one `Weights`.
    pub parameters: u64,
    /// Saved but untrained values (moments, step), shared likewise.
    pub state: u64,
    /// What the host writes.
    pub inputs: u64,
    /// What the host or the app reads after a run.
    pub outputs: u64,
    /// Slots for everything between, reused by lifetime.
    pub activations: u64,
    /// What the activations would take without reuse.
    pub activations_without_reuse: u64,
    /// Uniforms: sizes, strides, scalars.
    pub uniforms: u64,
    /// What reading all outputs at once takes besides, from the first read on; not in the [`total`](Memory::total), since an
    /// app may leave its outputs on the device.
    pub readback: u64,
}

impl Memory {
    /// All bytes: those of the weights and of one session.
    ///
    /// A write is on its way in memory of wgpu, as large as what is written, until the next run begins.
    pub fn total(&self) -> u64 {
        self.parameters + self.state + self.session()
    }

    /// The bytes a session allocates; the rest belongs to the weights.
    pub fn session(&self) -> u64 {
        self.inputs + self.outputs + self.activations + self.uniforms
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = [
            ("parameters", self.parameters),
            ("state", self.state),
            ("inputs", self.inputs),
            ("outputs", self.outputs),
            ("activations", self.activations),
            ("uniforms", self.uniforms),
            ("total", self.total()),
            ("readback", self.readback),
        ];
        for (name, bytes) in rows {
            writeln!(f, "{name:<12} {bytes:>14} bytes")?;
        }
        Ok(())
    }
}
