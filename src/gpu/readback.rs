//! Numbers on their way back from the device.

use super::{Buffer, Context};
use crate::{
    data::{Array, TensorDesc},
    error::{Error, ErrorKind},
    plan::staged,
};
use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task,
};

/// Staging buffers that wait for their next use, by size.
#[derive(Clone, Debug, Default)]
pub(crate) struct Staging(Arc<Mutex<HashMap<u64, Vec<Buffer>>>>);

impl Staging {
    fn take(&self, context: &Context, bytes: u64) -> Result<Buffer, Error> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&bytes).and_then(Vec::pop);
        if let Some(buffer) = known {
            Ok(buffer)
        } else {
            let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
            context.allocate("staging", bytes, usage)
        }
    }

    fn give_back(&self, bytes: u64, buffer: Buffer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(bytes).or_default().push(buffer);
    }
}

/// What the driver said of a mapping, and who waits for it.
#[derive(Debug, Default)]
struct Arrival {
    result: Option<Result<(), wgpu::BufferAsyncError>>,
    waker: Option<task::Waker>,
}

/// A copy of a buffer that is on its way to the host.
///
/// Ask with [`try_get`](Readback::try_get) some steps later, wait with [`wait`](Readback::wait), or
/// `.await` it.
#[derive(Debug)]
pub struct Readback {
    context: Context,
    desc: TensorDesc,
    bytes: u64,
    buffer: Option<Buffer>,
    staging: Staging,
    arrival: Arc<Mutex<Arrival>>,
    #[cfg_attr(target_arch = "wasm32", allow(dead_code))] // browsers cannot wait
    submission: wgpu::SubmissionIndex,
}

impl Readback {
    /// Copies `desc.bytes()` bytes of `source` and submits the copy.
    pub(crate) fn start(
        context: &Context,
        staging: &Staging,
        source: &wgpu::Buffer,
        desc: &TensorDesc,
    ) -> Result<Readback, Error> {
        let bytes = staged(desc.bytes());
        let buffer = staging.take(context, bytes)?;
        let arrival: Arc<Mutex<Arrival>> = Arc::default();
        let arrived = arrival.clone();
        let submission = context.guarded("readback", || {
            let mut encoder = context.device().create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(source, 0, buffer.raw(), 0, bytes);
            let submission = context.queue().submit([encoder.finish()]);
            buffer.raw().map_async(wgpu::MapMode::Read, .., move |result| {
                let mut arrival = arrived.lock().unwrap_or_else(PoisonError::into_inner);
                arrival.result = Some(result);
                if let Some(waker) = arrival.waker.take() {
                    waker.wake();
                }
            });
            submission
        })?;
        Ok(Readback {
            context: context.clone(),
            desc: desc.clone(),
            bytes,
            buffer: Some(buffer),
            staging: staging.clone(),
            arrival,
            submission,
        })
    }

    /// The numbers if they have arrived; never waits.
    ///
    /// # Errors
    /// A lost device. Asking again after the numbers were handed out is an error too.
    pub fn try_get(&mut self) -> Result<Option<Array>, Error> {
        let polled = self.context.device().poll(wgpu::PollType::Poll);
        self.context.check()?;
        polled.map_err(|error| Error::new(ErrorKind::Device, "polling the device failed").caused_by(error))?;
        self.arrived()
    }

    /// Waits for the numbers, and for nothing that was submitted later.
    ///
    /// # Errors
    /// A lost device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(mut self) -> Result<Array, Error> {
        loop {
            if let Some(array) = self.arrived()? {
                return Ok(array);
            }
            self.context.wait_for(self.submission.clone())?;
        }
    }

    fn arrived(&mut self) -> Result<Option<Array>, Error> {
        let result = self.arrival.lock().unwrap_or_else(PoisonError::into_inner).result.take();
        let Some(result) = result else {
            return match self.buffer {
                Some(_) => Ok(None),
                None => Err(Error::new(ErrorKind::Device, "this readback has already been handed out")),
            };
        };
        let failed = |text: String| Error::new(ErrorKind::Device, format!("mapping a readback failed: {text}"));
        result.map_err(|error| failed(error.to_string()))?;
        let buffer = self.buffer.take().ok_or_else(|| failed("it has no buffer".to_owned()))?;
        let bytes = {
            let view = buffer.raw().get_mapped_range(..).map_err(|error| failed(error.to_string()))?;
            view[..self.desc.bytes() as usize].to_vec()
        };
        buffer.raw().unmap();
        self.staging.give_back(self.bytes, buffer);
        Array::new(self.desc.clone(), bytes).map(Some)
    }
}

impl Future for Readback {
    type Output = Result<Array, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<Self::Output> {
        self.arrival.lock().unwrap_or_else(PoisonError::into_inner).waker = Some(cx.waker().clone());
        match self.try_get() {
            Ok(Some(array)) => task::Poll::Ready(Ok(array)),
            Err(error) => task::Poll::Ready(Err(error)),
            Ok(None) => {
                // Native devices make progress only when polled; the browser calls back by itself.
                #[cfg(not(target_arch = "wasm32"))]
                {
                    std::thread::yield_now();
                    cx.waker().wake_by_ref();
                }
                task::Poll::Pending
            }
        }
    }
}
