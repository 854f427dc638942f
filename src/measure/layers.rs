//! The time of a model by layer.

use super::Roofline;
use crate::{
    error::Error,
    session::{Session, Timing},
};
use std::collections::HashMap;

/// Where a run of a session spends its time.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The dispatches of one run, in order.
    pub steps: Vec<StepTime>,
}

/// One dispatch of a [`Profile`].
#[derive(Clone, Debug)]
pub struct StepTime {
    /// File and entry point of the kernel.
    pub kernel: String,
    /// The operations it computes.
    pub operations: String,
    /// The layer they were written in; empty for what is outside all layers.
    pub layer: String,
    /// When it ran, in the run of median length.
    pub timing: Timing,
    /// Its median time over all runs, in seconds.
    pub seconds: f64,
    /// Floating point operations.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

/// All dispatches of one layer, forward and backward.
#[derive(Clone, Debug, Default)]
pub struct LayerTime {
    /// The layer's path.
    pub layer: String,
    /// How many dispatches.
    pub dispatches: usize,
    /// Seconds on the device.
    pub seconds: f64,
    /// Floating point operations.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
    /// The least time the device could need, dispatch by dispatch, in seconds.
    pub least: f64,
}

impl Profile {
    /// Profiles `runs` runs, at least one, after one that does not count.
    ///
    /// # Errors
    /// A device without timestamps, or any error of the device.
    pub fn of(session: &Session, runs: usize) -> Result<Profile, Error> {
        session.profile()?;
        let mut all: Vec<Vec<Timing>> = Vec::new();
        for _ in 0..runs.max(1) {
            all.push(session.profile()?);
        }
        let length = |run: &Vec<Timing>| run.last().map_or(0.0, |last| last.begin + last.seconds);
        all.sort_by(|a, b| length(a).total_cmp(&length(b)));
        let median = &all[all.len() / 2];
        let report = session.plan().report();
        let steps = report.steps.into_iter().enumerate().map(|(i, step)| {
            let mut seconds: Vec<f64> = all.iter().map(|run| run[i].seconds).collect();
            seconds.sort_by(f64::total_cmp);
            StepTime {
                kernel: step.kernel,
                operations: step.ops,
                layer: step.layer,
                timing: median[i],
                seconds: seconds[seconds.len() / 2],
                flops: step.flops,
                bytes: step.bytes,
            }
        });
        Ok(Profile { steps: steps.collect() })
    }

    /// Seconds the device is at work.
    pub fn seconds(&self) -> f64 {
        self.steps.iter().map(|step| step.seconds).sum()
    }

    /// Its layers in the order they first run.
    pub fn layers(&self, roofline: &Roofline) -> Vec<LayerTime> {
        let mut at: HashMap<&str, usize> = HashMap::new();
        let mut layers: Vec<LayerTime> = Vec::new();
        for step in &self.steps {
            let i = *at.entry(&step.layer).or_insert_with(|| {
                layers.push(LayerTime { layer: step.layer.clone(), ..LayerTime::default() });
                layers.len() - 1
            });
            let layer = &mut layers[i];
            layer.dispatches += 1;
            layer.seconds += step.seconds;
            layer.flops += step.flops;
            layer.bytes += step.bytes;
            layer.least += roofline.seconds(step.flops, step.bytes);
        }
        layers
    }
}
