//! How long each dispatch of a run takes on the device, by timestamps.

use super::Session;
use crate::{
    data::{DType, TensorDesc},
    error::{Error, ErrorKind},
    gpu::{Readback, Staging},
};

impl Session {
    /// Runs once with a compute pass and two timestamps around each dispatch, and returns the seconds
    /// of each, in the order of [`Plan::report`](crate::plan::Plan::report).
    ///
    /// Slower than [`run`](Session::run) as a whole; each figure includes the cost of a pass.
    ///
    /// # Errors
    /// A device without timestamp queries, or any error of the device.
    pub fn profile(&self) -> Result<Vec<f64>, Error> {
        let (context, device) = (self.context(), self.context().device());
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Err(Error::new(ErrorKind::Device, "profile: this device has no timestamp queries"));
        }
        let steps = self.plan().report().steps.len();
        let mut seconds = Vec::with_capacity(steps);
        // A query set has at most 4096 entries on every backend.
        for first in (0..steps).step_by(1024) {
            let last = steps.min(first + 1024);
            let count = 2 * (last - first) as u32;
            let bytes = u64::from(count) * 8;
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
            let resolved = context.allocate("timestamps", bytes, usage)?;
            context.guarded("profile", || {
                let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("profile"),
                    ty: wgpu::QueryType::Timestamp,
                    count,
                });
                let mut encoder = device.create_command_encoder(&Default::default());
                for step in first..last {
                    let at = 2 * (step - first) as u32;
                    let timestamps = wgpu::ComputePassTimestampWrites {
                        query_set: &queries,
                        beginning_of_pass_write_index: Some(at),
                        end_of_pass_write_index: Some(at + 1),
                    };
                    let descriptor =
                        wgpu::ComputePassDescriptor { label: Some("profile"), timestamp_writes: Some(timestamps) };
                    self.encode_steps(&mut encoder.begin_compute_pass(&descriptor), step..step + 1);
                }
                encoder.resolve_query_set(&queries, 0..count, resolved.raw(), 0);
                context.queue().submit([encoder.finish()]);
            })?;
            let desc = TensorDesc::new([2 * count as usize], DType::U32);
            let words = Readback::start(context, &Staging::default(), resolved.raw(), &desc)?.wait()?.to_u32();
            let period = f64::from(context.queue().get_timestamp_period()) * 1e-9;
            let ticks: Vec<u64> = words.chunks_exact(2).map(|w| u64::from(w[0]) | u64::from(w[1]) << 32).collect();
            seconds.extend(ticks.chunks_exact(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 * period));
        }
        Ok(seconds)
    }
}
