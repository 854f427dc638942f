//! A plan as a table: steps, operations, FLOPs and bytes.

use super::{Memory, Plan};
use std::{collections::BTreeSet, fmt};

/// What a plan will do, before it does it: see [`Plan::report`].
#[derive(Clone, Debug)]
pub struct Report {
    /// One entry for each dispatch, in order.
    pub steps: Vec<StepReport>,
    /// How many different pipelines they need.
    pub pipelines: usize,
    /// Bytes by role.
    pub memory: Memory,
}

/// One dispatch of a [`Report`].
#[derive(Clone, Debug)]
pub struct StepReport {
    /// File and entry point of the kernel.
    pub kernel: String,
    /// The operations it computes, `matmul+add+relu`.
    pub ops: String,
    /// The layer they were written in.
    pub layer: String,
    /// Workgroups along x, y and z.
    pub workgroups: [u32; 3],
    /// Floating point operations.
    pub flops: u64,
    /// Bytes read and written, caches ignored.
    pub bytes: u64,
}

impl Report {
    /// Floating point operations of all steps.
    pub fn flops(&self) -> u64 {
        self.steps.iter().map(|step| step.flops).sum()
    }

    /// Bytes read and written by all steps, caches ignored.
    pub fn bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.bytes).sum()
    }
}

impl Plan {
    /// Steps, FLOPs and bytes, known before anything is allocated.
    pub fn report(&self) -> Report {
        let steps = self.steps.iter().map(|step| StepReport {
            kernel: step.kernel.label(),
            ops: step.ops.clone(),
            layer: step.layer.clone(),
            workgroups: step.workgroups,
            flops: step.cost.flops,
            bytes: step.cost.bytes,
        });
        let pipelines: BTreeSet<String> =
            self.steps.iter().map(|step| format!("{:?}{:?}", step.kernel, step.kernel.chain)).collect();
        Report { steps: steps.collect(), pipelines: pipelines.len(), memory: self.memory() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>4}  {:<28} {:<24} {:>12} {:>12}  operations", "step", "kernel", "layer", "MFLOP", "kB")?;
        for (i, step) in self.steps.iter().enumerate() {
            let (flops, bytes) = (step.flops as f64 / 1e6, step.bytes as f64 / 1e3);
            writeln!(f, "{i:>4}  {:<28} {:<24} {flops:>12.3} {bytes:>12.1}  {}", step.kernel, step.layer, step.ops)?;
        }
        let (flops, bytes) = (self.flops() as f64 / 1e6, self.bytes() as f64 / 1e3);
        writeln!(f, "{} dispatches, {} pipelines, {flops:.3} MFLOP, {bytes:.1} kB", self.steps.len(), self.pipelines)?;
        write!(f, "{}", self.memory)
    }
}
