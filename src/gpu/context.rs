//! A device to run on: the crate's own, or an app's.

use super::{
    Buffer, Pipeline, Progress, block,
    buffer::{Account, STORAGE},
    cache::{self, PipelineCache},
    compile::{Use, compile},
    software::Software,
};
use crate::{
    data::DType,
    error::{Error, ErrorKind},
    kernel::{CooperativeMatrix, DeviceClass, Kernel, Target, Tuning},
};
use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The environment variable that picks an adapter by a part of its name.
const ADAPTER_VARIABLE: &str = "WGRAD_ADAPTER";

/// A device with its queue, its compiled pipelines and its byte budget. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    target: Target,
    /// By what becomes of kernels.
    pipelines: Mutex<HashMap<Software, HashMap<Kernel, Arc<Pipeline>>>>,
    cache: OnceLock<PipelineCache>,
    /// The adapter of a device of the library whose driver compiles at the first dispatch.
    #[cfg_attr(target_arch = "wasm32", expect(dead_code))]
    lazy_adapter: Option<wgpu::Adapter>,
    progress: Mutex<Option<Listener>>,
    allocated: Arc<AtomicU64>,
    /// The bytes of blocks of memory that wgpu does not know of.
    block_bytes: Arc<AtomicU64>,
    allocations: AtomicU64,
    budget: AtomicU64,
    failure: Arc<Mutex<Option<Error>>>,
}

#[cfg(not(target_arch = "wasm32"))]
impl super::exit::AtWork for Inner {
    fn finish(&self) {
        // A lost device is done as well.
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
    }
}
/// Who is told of progress.
type Listener = Arc<dyn Fn(Progress) + Send + Sync>;

/// The optional features the library uses where an adapter has them: subgroups, 16-bit floats,
/// timestamps and pipeline caches, and on software drivers 64-bit integers. Pass them to
/// `request_device` for [`Context::from_wgpu`].
///
/// Cooperative matrices are an experimental feature of wgpu, which an app has to turn on itself:
/// `EXPERIMENTAL_COOPERATIVE_MATRIX` with `ExperimentalFeatures::enabled()`, then
/// [`Context::from_wgpu_with`] the adapter.
pub fn required_features(adapter: &wgpu::Adapter) -> wgpu::Features {
    let mut wanted = wgpu::Features::SUBGROUP
        | wgpu::Features::SHADER_F16
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::PIPELINE_CACHE;
    if adapter.get_info().device_type == wgpu::DeviceType::Cpu {
        wanted |= wgpu::Features::SHADER_INT64;
    }
    adapter.features() & wanted
}

/// The limits to ask an adapter for: its own, so that nothing is smaller than it has to be.
pub fn required_limits(adapter: &wgpu::Adapter) -> wgpu::Limits {
    adapter.limits()
}

/// What an adapter is and can do, as `wgrad devices` prints it.
#[derive(Clone, Debug)]
pub struct AdapterReport {
    /// The adapter's name, a part of which `WGRAD_ADAPTER` takes.
    pub name: String,
    /// `Vulkan`, `Metal`, `Dx12` or `BrowserWebGpu`.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// Class, features and limits.
    pub target: Target,
}

/// What a driver holds for a device: see [`Context::driver_memory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverMemory {
    /// The bytes of all buffers, an app's and wgpu's own included.
    pub buffers: u64,
    /// The bytes of the blocks the buffers lie in, whether used or not: what was asked of the driver.
    pub blocks: u64,
}

fn instance() -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    wgpu::Instance::new(descriptor)
}

/// Cooperative matrices where the adapter has them.
fn experimental_features(adapter: &wgpu::Adapter) -> wgpu::Features {
    adapter.features() & wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX
}

/// Of the cooperative matrices an adapter lists those that can be asked for in WGSL.
fn cooperative(listed: &[wgpu::CooperativeMatrixProperties], backend: wgpu::Backend) -> Vec<CooperativeMatrix> {
    let dtype = |scalar| match scalar {
        wgpu::CooperativeScalarType::F16 => Some(DType::F16),
        wgpu::CooperativeScalarType::F32 => Some(DType::F32),
        _ => None,
    };
    // Metal has squares of 8 only; translation to its language writes larger ones, which do not exist, without a word.
    let largest = if backend == wgpu::Backend::Metal { 8 } else { 16 };
    let matrices = listed.iter().filter_map(|listed| {
        let (m, n, k) = (listed.m_size, listed.n_size, listed.k_size);
        Some(CooperativeMatrix { m, n, k, factors: dtype(listed.ab_type)?, sums: dtype(listed.cr_type)? })
    });
    matrices.filter(|matrix| matrix.m.max(matrix.n).max(matrix.k) <= largest).collect()
}

fn target(
    info: &wgpu::AdapterInfo,
    features: wgpu::Features,
    limits: &wgpu::Limits,
    adapter: Option<&wgpu::Adapter>,
) -> Target {
    // Cooperative matrices are of a subgroup, and are told apart by its number in the workgroup.
    let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SUBGROUP;
    let class = match info.device_type {
        wgpu::DeviceType::Cpu => DeviceClass::Software,
        wgpu::DeviceType::DiscreteGpu => DeviceClass::Discrete,
        _ => DeviceClass::Portable,
    };
    // Kernels for software drivers let the eight threads of a workgroup be one subgroup.
    let wide = !class.is_software() || info.subgroup_min_size >= 8;
    Target {
        class,
        subgroups: features.contains(wgpu::Features::SUBGROUP) && wide,
        f16: features.contains(wgpu::Features::SHADER_F16),
        int64: features.contains(wgpu::Features::SHADER_INT64),
        // Mesa's: what others would make of it is not known.
        textures: match class.is_software() && info.driver == "llvmpipe" {
            true => limits.max_storage_textures_per_shader_stage,
            false => 0,
        },
        cooperative: adapter
            .filter(|_| features.contains(needed))
            .map(|adapter| cooperative(&adapter.cooperative_matrix_properties(), info.backend))
            .unwrap_or_default(),
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        max_workgroup_threads: limits.max_compute_invocations_per_workgroup,
        max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        offset_alignment: u64::from(limits.min_storage_buffer_offset_alignment).max(256),
        tuning: Arc::default(),
    }
}

/// All adapters of the machine with what they can do; empty where there is none.
pub async fn adapters() -> Vec<AdapterReport> {
    let found = instance().enumerate_adapters(wgpu::Backends::PRIMARY).await;
    let report = |adapter: &wgpu::Adapter| {
        let info = adapter.get_info();
        AdapterReport {
            name: info.name.clone(),
            backend: format!("{:?}", info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            target: target(
                &info,
                required_features(adapter) | experimental_features(adapter),
                &required_limits(adapter),
                Some(adapter),
            ),
        }
    };
    found.iter().map(report).collect()
}

/// The error where no adapter is found, naming the package that brings one.
pub(crate) fn no_adapter(wanted: Option<&str>, found: &[String]) -> Error {
    match wanted {
        Some(wanted) if !found.is_empty() => {
            let message =
                format!("no adapter's name contains {wanted:?} ({ADAPTER_VARIABLE}); found: {}", found.join(", "));
            Error::new(ErrorKind::Device, message)
        }
        _ => Error::new(ErrorKind::Device, "no GPU adapter found, not even a software one").hint(concat!(
            "install a driver:\n",
            "    Debian, Ubuntu  apt install libvulkan1 mesa-vulkan-drivers\n",
            "    Fedora          dnf install vulkan-loader mesa-vulkan-drivers\n",
            "    Arch            pacman -S vulkan-icd-loader vulkan-swrast (or your GPU's vulkan package)\n",
            "    macOS           Metal is part of macOS 10.14 and later; no package is needed\n",
            "    Windows         DirectX 12 is part of Windows 10 and later; update the GPU's driver"
        )),
    }
}

impl Context {
    /// Opens the most powerful adapter, or the one whose name contains the value of `WGRAD_ADAPTER`,
    /// with every optional feature the library uses and the adapter's own limits.
    ///
    /// # Errors
    /// No adapter (the text names the package to install), or a device that cannot be opened.
    pub async fn new() -> Result<Context, Error> {
        let instance = instance();
        let adapter = if let Some(wanted) = std::env::var(ADAPTER_VARIABLE).ok().filter(|name| !name.is_empty()) {
            let found = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
            let names: Vec<String> = found.iter().map(|adapter| adapter.get_info().name).collect();
            let lower = wanted.to_lowercase();
            let at = names.iter().position(|name| name.to_lowercase().contains(&lower));
            at.and_then(|at| found.into_iter().nth(at)).ok_or_else(|| no_adapter(Some(&wanted), &names))?
        } else {
            let options = wgpu::RequestAdapterOptions {
                power_preference: wgpu::PowerPreference::HighPerformance,
                ..Default::default()
            };
            instance.request_adapter(&options).await.map_err(|error| no_adapter(None, &[]).caused_by(error))?
        };
        let (device, queue) = request_device(&adapter).await?;
        let mut target = Context::target_of(&device, Some(&adapter));
        if let Some(folder) = cache::folder() {
            target.tuning = Arc::new(cache::load_tuning(&folder, &device.adapter_info()));
        }
        let context = Context::build(device, queue, target, Some(&adapter), true);
        let failure = context.0.failure.clone();
        context.0.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::error!("uncaptured device error: {error}");
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| from_wgpu("device", error));
        }));
        if context.device().features().contains(wgpu::Features::PIPELINE_CACHE)
            && let Some(folder) = cache::folder()
        {
            context.keep_pipelines(&folder)?;
        }
        Ok(context)
    }

    /// Keeps what the driver compiles in a file of a folder, from which the next program reads it.
    ///
    /// [`Context::new`] does so in the user's folder for caches, or in that of the environment variable
    /// `WGRAD_CACHE` (empty for none). A context on an app's device does not unless asked: apps often have a
    /// cache of their own. A file that is damaged, too large or for another driver is ignored and replaced.
    /// Asking a second time changes nothing.
    ///
    /// # Errors
    /// A device without `PIPELINE_CACHE`.
    pub fn keep_pipelines(&self, folder: impl AsRef<Path>) -> Result<(), Error> {
        let cache = PipelineCache::open(self.device(), folder.as_ref())?;
        let _ = self.0.cache.set(cache);
        Ok(())
    }

    /// Writes what `wgrad tune` measures on a device into a folder, and returns the file.
    ///
    /// [`Context::new`] reads such a file in the folder that [`keep_pipelines`](Context::keep_pipelines) tells of, if it is
    /// of this adapter and driver. On an app's device the table has its place in the [`Target`] that plans are made for.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn keep_tuning(&self, folder: impl AsRef<Path>, tuning: &Tuning) -> Result<PathBuf, Error> {
        cache::store_tuning(folder.as_ref(), &self.device().adapter_info(), tuning)
    }

    /// Calls `listener`, from any thread, when kernels that a session needs begin to be compiled, and whenever one more
    /// is ready.
    ///
    /// Kernels are compiled together when a session or weights are made, and never in a run.
    ///
    /// ```
    /// # let context = wgrad::testing::context();
    /// context.on_progress(|progress| eprint!("\r{} of {} kernels", progress.done, progress.total));
    /// ```
    pub fn on_progress(&self, listener: impl Fn(Progress) + Send + Sync + 'static) {
        *self.0.progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(listener));
    }

    pub(super) fn report(&self, progress: Progress) {
        let listener = self.0.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(listener) = listener {
            listener(progress);
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn lazy_adapter(&self) -> Option<&wgpu::Adapter> {
        self.0.lazy_adapter.as_ref()
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn pipeline_cache(&self) -> Option<&wgpu::PipelineCache> {
        self.0.cache.get().map(PipelineCache::raw)
    }

    /// Runs on an app's device and queue. Asks for nothing: uses the features and limits that are on.
    ///
    /// Features and limits worth turning on are [`required_features`] and [`required_limits`].
    ///
    /// # Errors
    /// A device with smaller limits than WebGPU's defaults for compute shaders.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Result<Context, Error> {
        Context::open(device, queue, None)
    }

    /// [`from_wgpu`](Context::from_wgpu) that also uses cooperative matrices, if the app has turned them on:
    /// only the adapter knows which there are.
    ///
    /// # Errors
    /// As [`from_wgpu`](Context::from_wgpu).
    pub fn from_wgpu_with(adapter: &wgpu::Adapter, device: wgpu::Device, queue: wgpu::Queue) -> Result<Context, Error> {
        Context::open(device, queue, Some(adapter))
    }

    fn open(device: wgpu::Device, queue: wgpu::Queue, adapter: Option<&wgpu::Adapter>) -> Result<Context, Error> {
        let (limits, baseline) = (device.limits(), Target::baseline());
        let needs = [
            (
                "max_storage_buffers_per_shader_stage",
                limits.max_storage_buffers_per_shader_stage,
                baseline.max_storage_buffers,
            ),
            (
                "max_compute_invocations_per_workgroup",
                limits.max_compute_invocations_per_workgroup,
                baseline.max_workgroup_threads,
            ),
            (
                "max_compute_workgroup_storage_size",
                limits.max_compute_workgroup_storage_size,
                baseline.max_workgroup_bytes,
            ),
            (
                "max_compute_workgroups_per_dimension",
                limits.max_compute_workgroups_per_dimension,
                baseline.max_workgroups,
            ),
        ];
        for (name, has, needed) in needs {
            if has < needed {
                let message = format!("the device's {name} is {has}, wgrad needs {needed}");
                return Err(Error::new(ErrorKind::Limit, message).hint("request wgrad::gpu::required_limits(&adapter)"));
            }
        }
        let target = Context::target_of(&device, adapter);
        Ok(Context::build(device, queue, target, adapter, false))
    }

    fn target_of(device: &wgpu::Device, adapter: Option<&wgpu::Adapter>) -> Target {
        let mut target = target(&device.adapter_info(), device.features(), &device.limits(), adapter);
        if target.textures > 0 && !block::works(device) {
            log::warn!("this driver does not lay textures over buffers, and reads them slowly");
            target.textures = 0;
        }
        target
    }

    /// `own`: whether the device is the library's, so that it may be given work between runs.
    fn build(
        device: wgpu::Device,
        queue: wgpu::Queue,
        target: Target,
        adapter: Option<&wgpu::Adapter>,
        own: bool,
    ) -> Context {
        let info = device.adapter_info();
        let failure: Arc<Mutex<Option<Error>>> = Arc::default();
        let lost = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            // Dropping the last handle also ends a device; nobody is left to read that.
            let error = Error::new(ErrorKind::Device, format!("the device was lost ({reason:?}): {message}"))
                .hint("make a new Context and load the last checkpoint");
            *lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        });
        let lazy_adapter = adapter.filter(|_| own && target.class.is_software()).cloned();
        let budget = if target.class.is_software() { software_budget() } else { u64::MAX };
        let inner = Arc::new(Inner {
            device,
            queue,
            info,
            target,
            pipelines: Mutex::default(),
            cache: OnceLock::new(),
            lazy_adapter,
            progress: Mutex::default(),
            allocated: Arc::default(),
            block_bytes: Arc::default(),
            allocations: AtomicU64::new(0),
            budget: AtomicU64::new(budget),
            failure,
        });
        #[cfg(not(target_arch = "wasm32"))]
        if inner.target.class.is_software() {
            let weak = Arc::downgrade(&inner);
            super::exit::wait_for(weak);
        }
        Context(inner)
    }

    /// Class, features and limits, for [`Graph::plan`](crate::graph::Graph::plan).
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// The adapter's name.
    pub fn name(&self) -> &str {
        &self.0.info.name
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.0.device
    }

    /// The queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.0.queue
    }

    /// Limits the bytes of all buffers the library holds on this device.
    ///
    /// Software drivers hand out more than there is and crash later, so their default is four fifths
    /// of the memory that is free; other devices have none and report their own shortage.
    pub fn set_budget(&self, bytes: u64) {
        self.0.budget.store(bytes, Ordering::Relaxed);
    }

    /// The byte budget.
    pub fn budget(&self) -> u64 {
        self.0.budget.load(Ordering::Relaxed)
    }

    /// The bytes of all buffers the library holds on this device.
    pub fn allocated(&self) -> u64 {
        self.0.allocated.load(Ordering::Relaxed)
    }

    /// How many buffers the library has ever made on this device: constant in steady state.
    pub fn allocations(&self) -> u64 {
        self.0.allocations.load(Ordering::Relaxed)
    }

    /// What the driver holds for the device, where it can be asked: on Vulkan and DX12.
    ///
    /// [`allocated`](Context::allocated) is what the library asked for; buffers of the app, wgpu's own and what alignment
    /// costs come on top.
    pub fn driver_memory(&self) -> Option<DriverMemory> {
        let report = self.0.device.generate_allocator_report()?;
        let blocks = self.0.block_bytes.load(Ordering::Relaxed);
        Some(DriverMemory {
            buffers: report.total_allocated_bytes + blocks,
            blocks: report.total_reserved_bytes + blocks,
        })
    }

    /// Waits until the device has done everything submitted so far.
    ///
    /// # Errors
    /// A lost device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn wait(&self) -> Result<(), Error> {
        self.poll(wgpu::PollType::wait_indefinitely())
    }

    /// Waits until the device has done what was submitted up to here.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn wait_for(&self, submission: wgpu::SubmissionIndex) -> Result<(), Error> {
        self.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None })
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn poll(&self, poll: wgpu::PollType) -> Result<(), Error> {
        let polled = self.0.device.poll(poll);
        self.check()?;
        polled
            .map(|_| ())
            .map_err(|error| Error::new(ErrorKind::Device, "waiting for the device failed").caused_by(error))
    }

    /// The device's loss or first unexpected error, if there was one.
    ///
    /// # Errors
    /// That error.
    pub fn check(&self) -> Result<(), Error> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }

    /// A zeroed buffer for storage, copies in and copies out.
    pub(crate) fn allocate(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<Buffer, Error> {
        self.check_size(label, bytes)?;
        let account = self.charge(label, bytes)?;
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size: bytes, usage, mapped_at_creation: false };
        let raw = self.guarded(label, || self.0.device.create_buffer(&descriptor))?;
        Ok(Buffer::new(raw, None, account))
    }

    /// Zeroed buffers with [`STORAGE`] usage, which on Mesa's software driver can be read as textures.
    pub(crate) fn allocate_all(&self, wanted: &[(&str, u64)]) -> Result<Vec<Buffer>, Error> {
        /// Larger blocks are no sooner there, and one is freed as a whole.
        const BLOCK_BYTES: u64 = 256 << 20;
        if self.0.target.textures == 0 {
            return wanted.iter().map(|&(label, bytes)| self.allocate(label, bytes, STORAGE)).collect();
        }
        let accounts = wanted.iter().map(|&(label, bytes)| {
            self.check_size(label, bytes)?;
            self.charge(label, bytes)
        });
        let accounts = accounts.collect::<Result<Vec<_>, _>>()?;
        let mut made = Vec::with_capacity(wanted.len());
        let mut encoder = self.0.device.create_command_encoder(&Default::default());
        while made.len() < wanted.len() {
            let mut total = 0;
            let fits = |(_, bytes): &&(&str, u64)| {
                total += bytes;
                total <= BLOCK_BYTES
            };
            let rest = &wanted[made.len()..];
            let count = rest.iter().take_while(fits).count().max(1);
            let account = Account::new(self.0.block_bytes.clone(), 0);
            made.extend(block::buffers(&self.0.device, &rest[..count], account)?);
        }
        self.guarded("buffers", || {
            for (buffer, _) in &made {
                encoder.clear_buffer(buffer, 0, None);
            }
            self.0.queue.submit([encoder.finish()]);
        })?;
        let buffers = made.into_iter().zip(accounts);
        Ok(buffers.map(|((raw, part), account)| Buffer::new(raw, Some(part), account)).collect())
    }

    fn check_size(&self, label: &str, bytes: u64) -> Result<(), Error> {
        if bytes <= self.0.target.max_buffer_bytes {
            return Ok(());
        }
        let message =
            format!("{label}: {bytes} bytes, the device's largest buffer has {}", self.0.target.max_buffer_bytes);
        Err(Error::new(ErrorKind::Limit, message))
    }

    /// Counts bytes against the budget.
    fn charge(&self, label: &str, bytes: u64) -> Result<Account, Error> {
        self.check()?;
        let before = self.0.allocated.fetch_add(bytes, Ordering::Relaxed);
        let account = Account::new(self.0.allocated.clone(), bytes);
        if before.saturating_add(bytes) > self.budget() {
            let message =
                format!("{label}: {bytes} bytes on top of {before} exceed the budget of {} bytes", self.budget());
            return Err(
                Error::new(ErrorKind::Memory, message).hint("use a smaller batch, or raise Context::set_budget")
            );
        }
        self.0.allocations.fetch_add(1, Ordering::Relaxed);
        Ok(account)
    }

    /// The pipelines of kernels; those not known yet are compiled together on all processor cores.
    pub(crate) fn pipelines(&self, uses: &[Use<'_>]) -> Result<Vec<Arc<Pipeline>>, Error> {
        let mut missing: Vec<Use<'_>> = Vec::new();
        {
            let known = self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
            for of in uses {
                let is_missing = |other: &Use<'_>| other.kernel == of.kernel && other.software == of.software;
                let is_known = known.get(&of.software).is_some_and(|known| known.contains_key(of.kernel));
                if !is_known && !missing.iter().any(is_missing) {
                    missing.push(*of);
                }
            }
        }
        let compiled = if missing.is_empty() { Vec::new() } else { compile(self, &missing)? };
        let mut known = self.0.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        for (of, pipeline) in missing.iter().zip(compiled) {
            known.entry(of.software).or_default().insert(of.kernel.clone(), Arc::new(pipeline));
        }
        if let Some(cache) = self.0.cache.get().filter(|_| !missing.is_empty()) {
            cache.changed();
        }
        Ok(uses.iter().map(|of| known[&of.software][of.kernel].clone()).collect())
    }

    /// Runs `body` and turns the device errors it causes into an error.
    pub(crate) fn guarded<T>(&self, what: &str, body: impl FnOnce() -> T) -> Result<T, Error> {
        self.check()?;
        guarded(&self.0.device, what, body)
    }
}

/// Runs `body` and turns the errors of a device that it causes into an error.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn guarded<T>(device: &wgpu::Device, what: &str, body: impl FnOnce() -> T) -> Result<T, Error> {
    let filters = [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation];
    let scopes = filters.map(|filter| device.push_error_scope(filter));
    let result = body();
    // Each is popped, the last one first.
    let errors: Vec<wgpu::Error> =
        scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).collect();
    errors.into_iter().next().map_or(Ok(result), |error| Err(from_wgpu(what, error)))
}

/// Runs `body`. The browser reports errors later, through the handler for uncaptured ones.
#[cfg(target_arch = "wasm32")]
pub(super) fn guarded<T>(_device: &wgpu::Device, _what: &str, body: impl FnOnce() -> T) -> Result<T, Error> {
    Ok(body())
}

/// Opens an adapter with every optional feature the library uses and its own limits.
async fn request_device(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue), Error> {
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("wgrad"),
        required_features: required_features(adapter) | experimental_features(adapter),
        required_limits: required_limits(adapter),
        // Buffers are made once: small blocks cost nothing later, and leave less of themselves unused.
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        // SAFETY: of the experimental features only cooperative matrices are asked for. Kernels use those
        // the adapter lists and no others, and load and store them within workgroup memory.
        experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
        ..Default::default()
    };
    adapter.request_device(&descriptor).await.map_err(|error| {
        Error::new(ErrorKind::Device, format!("{}: cannot open the device", adapter.get_info().name)).caused_by(error)
    })
}

/// Another device of an adapter, like the one of [`Context::new`].
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn open_device(adapter: &wgpu::Adapter) -> Result<(wgpu::Device, wgpu::Queue), Error> {
    pollster::block_on(request_device(adapter))
}

/// An error the device reported while `what` was done.
fn from_wgpu(what: &str, error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => {
            Error::new(ErrorKind::Memory, format!("{what}: the device is out of memory"))
                .hint("use a smaller batch, or a device with more memory")
        }
        error => Error::new(ErrorKind::Device, format!("{what}: {error}")),
    }
}

/// Four fifths of the free memory; without a way to know it, 4 GiB.
fn software_budget() -> u64 {
    let free = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?.trim().to_owned();
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    free.map_or(4 << 30, |kilobytes| kilobytes.saturating_mul(1024) / 5 * 4)
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({}, {:?})", self.0.info.name, self.0.target.class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metal_has_no_cooperative_matrices_of_sixteen_rows() {
        let listed = [8, 16].map(|side| wgpu::CooperativeMatrixProperties {
            m_size: side,
            n_size: side,
            k_size: side,
            ab_type: wgpu::CooperativeScalarType::F16,
            cr_type: wgpu::CooperativeScalarType::F32,
            saturating_accumulation: false,
        });
        let squares = [8, 16].map(|side| CooperativeMatrix::square(side, DType::F16));
        assert_eq!(cooperative(&listed, wgpu::Backend::Vulkan), squares);
        assert_eq!(cooperative(&listed, wgpu::Backend::Metal), squares[..1]);
        let whole = wgpu::CooperativeMatrixProperties { ab_type: wgpu::CooperativeScalarType::I32, ..listed[0] };
        assert_eq!(cooperative(&[whole], wgpu::Backend::Vulkan), []);
    }
}
