//! Compiling the kernels of a plan together, on all processor cores.
//!
//! Drivers for GPUs compile when a pipeline is made. Mesa's software driver does when a pipeline is first dispatched,
//! one after another on its queue's thread, and that is most of a cold start: so each pipeline is dispatched once with
//! no workgroups, some of them on devices of their own, from which the driver's disk cache carries the machine code
//! over.

use super::{
    Context, Pipeline, Software,
    pipeline::{Entry, Texts},
};
use crate::{error::Error, kernel::Kernel};
#[cfg(not(target_arch = "wasm32"))]
use crate::{
    error::ErrorKind,
    gpu::{
        context::guarded,
        pipeline::{Kind, parts},
        texture,
    },
    kernel::texture_rows,
};
#[cfg(not(target_arch = "wasm32"))]
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How far the compilation of some kernels has come: see [`Context::on_progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many are ready.
    pub done: usize,
    /// How many there are.
    pub total: usize,
}

/// A kernel with the uniform of one of its dispatches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use<'a> {
    pub kernel: &'a Kernel,
    /// What becomes of it.
    pub software: Software,
    /// Mesa's software driver takes a uniform's numbers for constants where that leaves less than half of a kernel: it
    /// has to see those that it will run with, or it compiles another kernel.
    #[cfg_attr(target_arch = "wasm32", expect(dead_code))]
    pub uniform: &'a [u8],
}

/// The pipelines of kernels, in their order.
#[cfg(target_arch = "wasm32")]
pub(super) fn compile(context: &Context, uses: &[Use<'_>]) -> Result<Vec<Pipeline>, Error> {
    let texts = Texts::default();
    let total = uses.len();
    context.report(Progress { done: 0, total });
    let pipeline = |(i, of): (usize, &Use<'_>)| {
        let pipeline = Entry::new(*of, context.target(), &texts)?.compile(context.device(), None)?;
        context.report(Progress { done: i + 1, total });
        Ok(pipeline)
    };
    uses.iter().enumerate().map(pipeline).collect()
}

/// The pipelines of kernels, in their order.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn compile(context: &Context, uses: &[Use<'_>]) -> Result<Vec<Pipeline>, Error> {
    let begin = Instant::now();
    let (texts, total) = (Texts::default(), uses.len());
    let ready = AtomicUsize::new(0);
    context.report(Progress { done: 0, total });
    let report = || context.report(Progress { done: ready.fetch_add(1, Ordering::Relaxed) + 1, total });
    let adapter = context.lazy_adapter();
    let compiled = together(uses, |of| {
        let entry = Entry::new(of, context.target(), &texts)?;
        let pipeline = entry.compile(context.device(), context.pipeline_cache())?;
        if adapter.is_none() {
            report();
        }
        Ok((entry, pipeline, of.uniform))
    })?;
    if let Some(adapter) = adapter {
        dispatch_each(context, adapter, &compiled, &report)?;
    }
    log::debug!("{total} kernels compiled in {:.2} s", begin.elapsed().as_secs_f64());
    Ok(compiled.into_iter().map(|(_, pipeline, _)| pipeline).collect())
}

/// The results of work on each item, in their order.
#[cfg(not(target_arch = "wasm32"))]
fn together<'a, T: Send>(
    items: &[Use<'a>],
    work: impl Fn(Use<'a>) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let workers = thread::available_parallelism().map_or(1, usize::from).min(items.len().max(1));
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, Result<T, Error>)> = thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(i) else { return done };
                done.push((i, work(*item)));
            }
        };
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        handles.into_iter().flat_map(|handle| handle.join().unwrap_or_default()).collect()
    });
    done.sort_by_key(|(i, _)| *i);
    if done.len() != items.len() {
        return Err(Error::new(ErrorKind::Device, "a thread that compiled pipelines panicked"));
    }
    done.into_iter().map(|(_, result)| result).collect()
}

/// Has a driver that compiles at the first dispatch do so now, on several devices where that takes long.
#[cfg(not(target_arch = "wasm32"))]
fn dispatch_each(
    context: &Context,
    adapter: &wgpu::Adapter,
    compiled: &[(Entry<'_>, Pipeline, &[u8])],
    report: &(impl Fn() + Sync),
) -> Result<(), Error> {
    const MOST_HELPERS: usize = 15;

    // Large ones first, so that none is left over when the others are done.
    let mut order: Vec<usize> = (0..compiled.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(compiled[i].0.size()));
    let next = AtomicUsize::new(0);
    let take = || order.get(next.fetch_add(1, Ordering::Relaxed)).copied();
    let watch = Watch::default();
    let own = Dispatcher::new(context.device(), context.queue())?;
    let mut left: Vec<usize> = Vec::new();
    thread::scope(|scope| {
        let help = || {
            let mut done = Vec::new();
            if !watch.is_slow() {
                return done;
            }
            let helper = Dispatcher::beside(context, adapter);
            match helper {
                Err(error) => log::debug!("no second device to compile on: {error}"),
                Ok(helper) => {
                    while let Some(i) = take() {
                        let begin = Instant::now();
                        done.push(i);
                        let pipeline = compiled[i].0.compile(&helper.device, None);
                        // What fails here is done by the device itself later, which says why.
                        if pipeline.and_then(|pipeline| helper.dispatch(&pipeline, compiled[i].2)).is_ok() {
                            report();
                        }
                        log::trace!("{}: {:.3} s", compiled[i].0.label(), begin.elapsed().as_secs_f64());
                    }
                }
            }
            done
        };
        // Opening a device takes about as long as a kernel.
        let free = thread::available_parallelism().map_or(1, usize::from) - 1;
        let helpers: Vec<_> = (0..free.min(order.len() / 2).min(MOST_HELPERS)).map(|_| scope.spawn(help)).collect();
        let dispatched = std::iter::from_fn(take).try_for_each(|i| {
            let begin = Instant::now();
            watch.begin();
            own.dispatch(&compiled[i].1, compiled[i].2)?;
            report();
            log::trace!("{}: {:.3} s", compiled[i].0.label(), begin.elapsed().as_secs_f64());
            Ok::<(), Error>(())
        });
        watch.end();
        for helper in &helpers {
            helper.thread().unpark();
        }
        left.extend(helpers.into_iter().flat_map(|helper| helper.join().unwrap_or_default()));
        dispatched
    })?;
    left.iter().try_for_each(|&i| own.dispatch(&compiled[i].1, compiled[i].2))
}

/// Tells helpers whether a dispatch takes longer than one of a kernel from the driver's disk cache.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Default)]
struct Watch {
    /// When the dispatch began that runs now.
    since: Mutex<Option<Instant>>,
    ended: AtomicBool,
}

#[cfg(not(target_arch = "wasm32"))]
impl Watch {
    const COLD: Duration = Duration::from_millis(30);

    fn begin(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Waits until a dispatch takes long, or until there are no more.
    fn is_slow(&self) -> bool {
        while !self.ended.load(Ordering::Relaxed) {
            let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
            if since.is_some_and(|since| since.elapsed() > Watch::COLD) {
                return true;
            }
            thread::park_timeout(Watch::COLD / 3);
        }
        false
    }
}

/// A device with something to bind.
#[cfg(not(target_arch = "wasm32"))]
struct Dispatcher {
    device: wgpu::Device,
    queue: wgpu::Queue,
    read: wgpu::Buffer,
    read_write: wgpu::Buffer,
    uniform: wgpu::Buffer,
    texture: wgpu::TextureView,
}

#[cfg(not(target_arch = "wasm32"))]
impl Dispatcher {
    fn new(device: &wgpu::Device, queue: &wgpu::Queue) -> Result<Dispatcher, Error> {
        let buffer = |usage| {
            // As large as the largest uniform: no kernel's structures need more.
            let size = 64 << 10;
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        };
        guarded(device, "compiling", || Dispatcher {
            device: device.clone(),
            queue: queue.clone(),
            read: buffer(wgpu::BufferUsages::STORAGE),
            read_write: buffer(wgpu::BufferUsages::STORAGE),
            uniform: buffer(wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST),
            texture: device.create_texture(&texture::descriptor(texture_rows(16))).create_view(&Default::default()),
        })
    }

    /// On another device of the same adapter.
    fn beside(context: &Context, adapter: &wgpu::Adapter) -> Result<Dispatcher, Error> {
        let (device, queue) = super::context::open_device(adapter)?;
        if device.features() != context.device().features() {
            return Err(Error::new(ErrorKind::Device, "the second device is not like the first"));
        }
        Dispatcher::new(&device, &queue)
    }

    /// Dispatches a pipeline with no workgroups and waits.
    fn dispatch(&self, pipeline: &Pipeline, uniform: &[u8]) -> Result<(), Error> {
        let parts = pipeline.bindings.iter().flat_map(|&(binding, kind)| parts(binding, kind));
        let entries: Vec<wgpu::BindGroupEntry<'_>> = parts
            .map(|(binding, kind)| {
                let resource = match kind {
                    Kind::Read => self.read.as_entire_binding(),
                    Kind::ReadWrite | Kind::ReadWriteTexture => self.read_write.as_entire_binding(),
                    Kind::Uniform => self.uniform.as_entire_binding(),
                    Kind::Texture => wgpu::BindingResource::TextureView(&self.texture),
                };
                wgpu::BindGroupEntry { binding, resource }
            })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &pipeline.layout, entries: &entries };
        guarded(&self.device, "compiling", || {
            self.queue.write_buffer(&self.uniform, 0, uniform);
            let group = self.device.create_bind_group(&descriptor);
            let mut encoder = self.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&pipeline.raw);
                pass.set_bind_group(0, &group, &[]);
                pass.dispatch_workgroups(0, 1, 1);
            }
            self.queue.submit([encoder.finish()]);
        })?;
        let waited = self.device.poll(wgpu::PollType::wait_indefinitely());
        waited.map(|_| ()).map_err(|error| Error::new(ErrorKind::Device, "compiling").caused_by(error))
    }
}
