//! How long each dispatch of a run takes on the device, by timestamps.

use super::Session;
use crate::{
    data::{DType, TensorDesc},
    error::{Error, ErrorKind},
    gpu::{Readback, Staging},
};
use std::time::Instant;

/// When a dispatch of a profiled run began, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Seconds after the first dispatch began.
    pub begin: f64,
    /// Seconds it took, a compute pass of its own included.
    pub seconds: f64,
}

impl Session {
    /// Runs once with a compute pass and two timestamps around each dispatch, and returns the times of
    /// each, in the order of [`Plan::report`](crate::plan::Plan::report).
    ///
    /// Slower than [`run`](Session::run) as a whole; each figure includes the cost of a pass.
    ///
    /// # Errors
    /// A device without timestamp queries, or any error of the device.
    pub fn profile(&self) -> Result<Vec<Timing>, Error> {
        let (context, device) = (self.context(), self.context().device());
        if !self.has_timestamps() {
            return Err(Error::new(ErrorKind::Device, "profile: this device has no timestamp queries"));
        }
        let steps = self.plan().report().steps.len();
        let mut ticks: Vec<[u64; 2]> = Vec::with_capacity(steps);
        // A query set has at most 4096 entries on every backend.
        for first in (0..steps).step_by(1024) {
            let last = steps.min(first + 1024);
            let count = 2 * (last - first) as u32;
            let bytes = u64::from(count) * 8;
            let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
            let resolved = context.allocate("timestamps", bytes, usage)?;
            let aside = context.allocate("profile", 8, wgpu::BufferUsages::COPY_DST)?;
            context.guarded("profile", || {
                let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
                    label: Some("profile"),
                    ty: wgpu::QueryType::Timestamp,
                    count,
                });
                let mut encoder = device.create_command_encoder(&Default::default());
                for step in first..last {
                    let at = 2 * (step - first) as u32;
                    let pass = |encoder: &mut wgpu::CommandEncoder, begin, end, steps| {
                        let timestamps = wgpu::ComputePassTimestampWrites {
                            query_set: &queries,
                            beginning_of_pass_write_index: begin,
                            end_of_pass_write_index: end,
                        };
                        let descriptor =
                            wgpu::ComputePassDescriptor { label: Some("profile"), timestamp_writes: Some(timestamps) };
                        self.encode_steps(&mut encoder.begin_compute_pass(&descriptor), steps);
                    };
                    if context.target().textures == 0 {
                        pass(&mut encoder, Some(at), Some(at + 1), step..step + 1);
                    } else {
                        // Mesa's software driver reads the clock when it next has to wait for what is written.
                        pass(&mut encoder, Some(at), None, 0..0);
                        encoder.clear_buffer(resolved.raw(), 0, Some(8));
                        encoder.copy_buffer_to_buffer(resolved.raw(), 0, aside.raw(), 0, 8);
                        pass(&mut encoder, None, Some(at + 1), step..step + 1);
                    }
                }
                encoder.resolve_query_set(&queries, 0..count, resolved.raw(), 0);
                context.queue().submit([encoder.finish()]);
            })?;
            let desc = TensorDesc::new([2 * count as usize], DType::U32);
            let words = Readback::start(context, &Staging::default(), resolved.raw(), &desc)?.wait()?.to_u32();
            let tick = |w: &[u32]| u64::from(w[0]) | u64::from(w[1]) << 32;
            ticks.extend(words.chunks_exact(4).map(|w| [tick(&w[..2]), tick(&w[2..])]));
        }
        let period = f64::from(context.queue().get_timestamp_period()) * 1e-9;
        let origin = ticks.first().map_or(0, |first| first[0]);
        let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 * period;
        let timings =
            ticks.iter().map(|&[begin, end]| Timing { begin: seconds(origin, begin), seconds: seconds(begin, end) });
        Ok(timings.collect())
    }

    /// Runs once and returns the seconds the device was at work: the sum over [`profile`](Session::profile),
    /// or the time until the host sees the end where the device has no timestamps.
    ///
    /// # Errors
    /// Any error of the device.
    pub fn seconds(&self) -> Result<f64, Error> {
        if self.has_timestamps() {
            return Ok(self.profile()?.iter().map(|timing| timing.seconds).sum());
        }
        let begin = Instant::now();
        self.run()?;
        self.context().wait()?;
        Ok(begin.elapsed().as_secs_f64())
    }

    fn has_timestamps(&self) -> bool {
        self.context().device().features().contains(wgpu::Features::TIMESTAMP_QUERY)
    }
}
