//! Which buffers a plan for a software driver reads by way of textures.

use super::{Bound, Home, Reads, Step};
use crate::kernel::{Kernel, TEXTURE_ROW_BYTES, texture_rows};
use std::{cmp::Reverse, collections::HashSet};

/// A copy of a range of a buffer into a texture, before a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub range: Range,
    /// The index of the texture in the plan.
    pub texture: usize,
}

/// A range of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub home: Home,
    pub offset: u64,
    pub bytes: u64,
}

/// What is larger is read as it is, so that textures take no more memory than this each.
const LARGEST: u64 = 64 << 20;

/// A step that reads and writes less, and computes less, is over before a copy pays.
const FEWEST_BYTES: u64 = 64 << 10;
const FEWEST_FLOPS: u64 = 1 << 20;

/// Gives what steps only read a texture where that pays, at most so many to a step, and says what each step copies before it runs; returns the
/// rows of each texture.
///
/// A texture serves one step after another, and keeps what it holds for the next one that reads the same.
pub(super) fn assign(steps: &mut [Step], most: usize) -> Vec<u32> {
    // Equal kernels read in the same way, so that there are no more of them.
    let long = |step: &&Step| step.cost.bytes >= FEWEST_BYTES || step.cost.flops >= FEWEST_FLOPS;
    let kernels: HashSet<Kernel> = steps.iter().filter(long).map(|step| step.kernel.clone()).collect();
    let mut textures: Vec<Held> = Vec::new();
    for step in steps.iter_mut() {
        if kernels.contains(&step.kernel) {
            fill(step, most, &mut textures);
        }
        for bound in &step.bindings {
            if let Bound::Buffer { home: written, reads: None, .. } = bound {
                textures.iter_mut().filter(|held| held.holds(*written)).for_each(|held| held.range = None);
            }
        }
    }
    textures.into_iter().map(|held| texture_rows(held.bytes)).collect()
}

/// A texture while a plan is made: its size, and what it holds.
struct Held {
    bytes: u64,
    range: Option<Range>,
}

impl Held {
    fn holds(&self, home: Home) -> bool {
        self.range.is_some_and(|range| range.home == home)
    }
}

/// Gives what a step only reads a texture each, the largest first.
fn fill(step: &mut Step, most: usize, textures: &mut Vec<Held>) {
    let mut wanted: Vec<Range> = Vec::new();
    for bound in &step.bindings {
        let Bound::Buffer { home, offset, bytes, reads: Some(Reads { numbers: true, .. }) } = *bound else { continue };
        let range = Range { home, offset, bytes: bytes.next_multiple_of(16) };
        // Of what is larger than all that the step moves it reads a few rows.
        let pays = bytes <= LARGEST && bytes <= step.cost.bytes;
        if pays && !wanted.contains(&range) {
            wanted.push(range);
        }
    }
    wanted.sort_by_key(|range| Reverse(range.bytes));
    wanted.truncate(most);
    let mut given: Vec<(Range, usize)> = Vec::new();
    for &range in &wanted {
        if let Some(texture) = textures.iter().position(|held| held.range == Some(range)) {
            given.push((range, texture));
        }
    }
    for range in wanted {
        if given.iter().any(|(known, _)| *known == range) {
            continue;
        }
        // The smallest that is large enough, or else the largest, which grows.
        let free = |texture: &usize| given.iter().all(|(_, taken)| taken != texture);
        let fits = (0..textures.len()).filter(free).filter(|&texture| textures[texture].bytes >= range.bytes);
        let texture = fits.min_by_key(|&texture| textures[texture].bytes);
        let texture = texture.or_else(|| (0..textures.len()).filter(free).max_by_key(|&texture| textures[texture].bytes));
        let texture = texture.unwrap_or_else(|| {
            textures.push(Held { bytes: TEXTURE_ROW_BYTES, range: None });
            textures.len() - 1
        });
        textures[texture].bytes = textures[texture].bytes.max(range.bytes);
        textures[texture].range = Some(range);
        step.fills.push(Fill { range, texture });
        given.push((range, texture));
    }
    for bound in &mut step.bindings {
        let Bound::Buffer { home, offset, bytes, reads: Some(reads) } = bound else { continue };
        let range = Range { home: *home, offset: *offset, bytes: bytes.next_multiple_of(16) };
        reads.texture = given.iter().find(|(known, _)| *known == range).map(|&(_, texture)| texture);
    }
}
