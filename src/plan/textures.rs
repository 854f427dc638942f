//! Which buffers a plan for a software driver reads by way of textures.

use super::{Bound, Home, Reads, Step, padded};
use crate::kernel::{Cost, Kernel, LARGEST_TEXTURE, Target, texture_rows};
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

/// A step that reads and writes less, and computes less, is over before a copy pays.
const FEWEST_BYTES: u64 = 256 << 10;
const FEWEST_FLOPS: u64 = 4 << 20;

/// A step that computes more than this reads numbers several times.
const FLOPS_PER_BYTE: u64 = 16;

/// Gives what steps only read a texture where that pays, and says what each step copies before it runs; returns the
/// rows of each texture. `small`: also where so little is read that it does not pay.
///
/// A texture serves one step after another, and keeps what it holds for the next one that reads the same.
pub(super) fn assign(steps: &mut [Step], target: &Target, small: bool) -> Vec<u32> {
    if !target.class.is_software() || target.textures == 0 {
        return Vec::new();
    }
    // Equal kernels read in the same way, so that there are no more of them.
    let pays = |step: &&Step| {
        let Cost { flops, bytes } = step.cost;
        let is_long = bytes >= FEWEST_BYTES || flops >= FEWEST_FLOPS;
        small || is_long && (target.textures_for_all || flops >= FLOPS_PER_BYTE * bytes)
    };
    let kernels: HashSet<Kernel> = steps.iter().filter(pays).map(|step| step.kernel.clone()).collect();
    let mut textures: Vec<Held> = Vec::new();
    for step in steps.iter_mut() {
        if kernels.contains(&step.kernel) {
            fill(step, target.textures as usize, &mut textures);
        }
        for bound in &step.bindings {
            if let Bound::Buffer { home, reads: None, .. } = bound {
                textures.iter_mut().filter(|held| held.holds(*home)).for_each(|held| held.range = None);
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

/// Gives what a step only reads a texture each, the largest first, in at most so many of its bindings.
fn fill(step: &mut Step, most: usize, textures: &mut Vec<Held>) {
    // Ranges with how many bindings read them.
    let mut wanted: Vec<(Range, usize)> = Vec::new();
    for range in step.bindings.iter().filter_map(Bound::copied) {
        // Of what is larger than all that the step moves it reads a few rows.
        if range.bytes > LARGEST_TEXTURE || range.bytes > padded(step.cost.bytes) {
            continue;
        }
        match wanted.iter_mut().find(|(known, _)| *known == range) {
            Some((_, bindings)) => *bindings += 1,
            None => wanted.push((range, 1)),
        }
    }
    wanted.sort_by_key(|(range, _)| Reverse(range.bytes));
    let mut bindings = 0;
    wanted.retain(|(_, each)| {
        let room = bindings + each <= most;
        bindings += if room { *each } else { 0 };
        room
    });
    let held = |&(range, _): &(Range, usize)| {
        textures.iter().position(|held| held.range == Some(range)).map(|texture| (range, texture))
    };
    let mut given: Vec<(Range, usize)> = wanted.iter().filter_map(held).collect();
    for (range, _) in wanted {
        if given.iter().any(|(known, _)| *known == range) {
            continue;
        }
        // The smallest that is large enough, or else the largest, which grows.
        let free = || (0..textures.len()).filter(|texture| given.iter().all(|(_, taken)| taken != texture));
        let fits = free().filter(|&texture| textures[texture].bytes >= range.bytes);
        let texture = fits.min_by_key(|&texture| textures[texture].bytes);
        let texture = texture.or_else(|| free().max_by_key(|&texture| textures[texture].bytes)).unwrap_or_else(|| {
            textures.push(Held { bytes: 0, range: None });
            textures.len() - 1
        });
        let held = &mut textures[texture];
        (held.bytes, held.range) = (held.bytes.max(range.bytes), Some(range));
        step.fills.push(Fill { range, texture });
        given.push((range, texture));
    }
    for bound in &mut step.bindings {
        let Some(range) = bound.copied() else { continue };
        if let Bound::Buffer { reads: Some(reads), .. } = bound {
            reads.texture = given.iter().find(|(known, _)| *known == range).map(|&(_, texture)| texture);
        }
    }
}

impl Bound {
    /// What is copied where it is read by way of a texture, in whole vectors; none where it cannot be.
    fn copied(&self) -> Option<Range> {
        let Bound::Buffer { home, offset, bytes, reads: Some(Reads { numbers: true, .. }) } = *self else {
            return None;
        };
        Some(Range { home, offset, bytes: padded(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::DType, kernel::DeviceClass, plan::Plan, plan::PlanOptions, prelude::*};

    fn target(textures: u32) -> Target {
        Target { textures, textures_for_all: true, ..Target::baseline().with_class(DeviceClass::Software) }
    }

    /// How many copies each step of a plan makes.
    fn fills(plan: &Plan) -> Vec<usize> {
        plan.steps.iter().map(|step| step.fills.len()).collect()
    }

    /// A product of products, all by one matrix.
    fn products(side: usize, count: usize) -> (Graph, Tensor) {
        let graph = Graph::new(Mode::Infer);
        let w = graph.parameter("w", [side, side], Init::zeros());
        let y = (0..count).fold(graph.input("x", [side, side]), |x, _| x.matmul(&w));
        (graph, y)
    }

    #[test]
    fn what_several_steps_read_is_copied_once_and_what_is_written_is_copied_anew() {
        let (graph, y) = products(512, 5);
        let plan = graph.plan(&[("y", &y)], &target(16)).unwrap();
        // The factors, and then what the step before wrote, although it lies where others did.
        assert_eq!(fills(&plan), [2, 1, 1, 1, 1]);
        assert!(plan.slots.len() < 5);
        // Two matrices of a megabyte: 16 rows each, and one more.
        assert_eq!(plan.textures, [17, 17]);
        assert_eq!(plan.memory().textures, 2 * 17 * 65_536);
        // What has no room is read as it is, and a kernel for GPUs reads as it is written.
        assert_eq!(fills(&graph.plan(&[("y", &y)], &target(1)).unwrap()), [1; 5]);
        let gpu = Target { textures: 16, ..Target::baseline() };
        assert_eq!(graph.plan(&[("y", &y)], &gpu).unwrap().memory().textures, 0);
        assert_eq!(graph.plan(&[("y", &y)], &target(0)).unwrap().memory().textures, 0);
    }

    #[test]
    fn what_is_read_once_is_copied_for_drivers_that_load_lane_by_lane() {
        let graph = Graph::new(Mode::Infer);
        let (x, w) = (graph.input("x", [512, 512]), graph.parameter("w", [512, 512], Init::zeros()));
        let y = x.matmul(&w).softmax(1);
        let gathers = Target { textures_for_all: false, ..target(16) };
        assert_eq!(fills(&graph.plan(&[("y", &y)], &target(16)).unwrap()), [2, 1]);
        assert_eq!(fills(&graph.plan(&[("y", &y)], &gathers).unwrap()), [2, 0]);
    }

    #[test]
    fn what_is_small_or_hardly_read_or_half_as_wide_is_not_copied() {
        let (graph, y) = products(16, 2);
        assert_eq!(fills(&graph.plan(&[("y", &y)], &target(16)).unwrap()), [0, 0]);
        let options = PlanOptions { small_textures: true, ..PlanOptions::default() };
        let plan = graph.plan_with(&[("y", &y)], &target(16), options).unwrap();
        assert_eq!((fills(&plan), &plan.textures[..]), (vec![2, 1], &[3, 3][..]));

        let graph = Graph::new(Mode::Infer);
        let ids = graph.input_of("ids", [4096], DType::U32);
        let table = graph.parameter("table", [10_000, 64], Init::zeros());
        let rows = table.embedding(&ids);
        let halves = graph.input_of("h", [512, 512], DType::F16);
        let squares = halves.matmul(&halves);
        let large = graph.input("large", [4200, 4096]).sum(&[1], false);
        let outputs = [("rows", &rows), ("squares", &squares), ("large", &large)];
        let plan = graph.plan(&outputs, &Target { f16: true, ..target(16) }).unwrap();
        let copied = plan.steps.iter().flat_map(|step| &step.fills).map(|fill| fill.range.bytes);
        assert_eq!(copied.collect::<Vec<_>>(), [4096 * 4], "the indices alone\n{}", plan.report());
    }
}
