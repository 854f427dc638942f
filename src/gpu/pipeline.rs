//! Compiled kernels. Layouts come from naga's view of the entry point, so a binding is declared once.

use super::{compile::Use, context::guarded, texture};
use crate::{
    error::{Error, ErrorKind},
    kernel::{Kernel, Target, assemble},
};
use naga::{
    AddressSpace, Module, StorageAccess,
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// A compiled kernel with its bind group layout.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub raw: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
    /// The binding numbers it uses, ascending, and what they are.
    pub bindings: Vec<(u32, Kind)>,
}

/// What an entry point binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    ReadWrite,
    Uniform,
    /// What the kernel's text reads from a buffer.
    Texture,
    /// A buffer that is written, and the texture it is read by: a binding each.
    ReadWriteTexture,
}

/// The text of a module, read and checked.
type Text = (String, Result<(Module, ModuleInfo), String>);

/// Module texts by the kernel without entry point and constants: many kernels share one.
#[derive(Default)]
pub(super) struct Texts(Mutex<HashMap<Kernel, Arc<OnceLock<Text>>>>);

impl Texts {
    /// The text of a kernel, read once however many threads ask.
    fn read(&self, kernel: &Kernel) -> Result<Arc<OnceLock<Text>>, String> {
        let key = Kernel { entry: "", constants: Vec::new(), ..kernel.clone() };
        let place = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let source = assemble(kernel).map_err(|import| format!("there is no shared file {import:?} to import"))?;
        place.get_or_init(|| {
            let read = naga::front::wgsl::parse_str(&source).map_err(|error| error.emit_to_string(&source));
            let checked = read.and_then(|module| {
                let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module);
                info.map(|info| (module, info)).map_err(|error| error.emit_to_string(&source))
            });
            (source, checked)
        });
        Ok(place)
    }
}

/// A kernel ready for a driver: its entry point alone, with the constants set, and what it binds.
pub(super) struct Entry<'a> {
    kernel: &'a Kernel,
    #[cfg_attr(target_arch = "wasm32", allow(dead_code))] // browsers read the text themselves
    module: Module,
    bindings: Vec<(u32, Kind)>,
    #[cfg(target_arch = "wasm32")]
    source: String,
}

impl<'a> Entry<'a> {
    pub fn new(of: Use<'a>, target: &Target, texts: &Texts) -> Result<Entry<'a>, Error> {
        let kernel = of.kernel;
        let refuse = |what: String| Error::new(ErrorKind::Device, format!("shader {}: {what}", kernel.label()));
        let text = texts.read(kernel).map_err(refuse)?;
        let Some((_source, read)) = text.get() else { return Err(refuse("was not read".to_owned())) };
        let (module, info) = read.as_ref().map_err(|error| refuse(error.clone()))?;
        let (mut module, mut bindings) = reflect(kernel, module, info, target).map_err(|what| what.locate(&refuse))?;
        of.software.apply(&mut module, &mut bindings);
        Ok(Entry {
            kernel,
            module,
            bindings,
            #[cfg(target_arch = "wasm32")]
            source: _source.clone(),
        })
    }

    /// What profiles and labels call the kernel.
    pub fn label(&self) -> String {
        self.kernel.label()
    }

    /// About how much there is to compile.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn size(&self) -> usize {
        let functions = self.module.functions.iter().map(|(_, function)| function.expressions.len());
        functions.chain(self.module.entry_points.iter().map(|point| point.function.expressions.len())).sum()
    }

    /// Compiles it for a device.
    pub fn compile(&self, device: &wgpu::Device, cache: Option<&wgpu::PipelineCache>) -> Result<Pipeline, Error> {
        let parts = self.bindings.iter().flat_map(|&(binding, kind)| parts(binding, kind));
        let entries: Vec<wgpu::BindGroupLayoutEntry> =
            parts.map(|(binding, kind)| layout_entry(binding, kind)).collect();
        let name = self.kernel.label();
        let label = Some(name.as_str());
        // Outside browsers the module goes on as it is: it has been read, and its constants are set.
        #[cfg(not(target_arch = "wasm32"))]
        let (source, constants) = (wgpu::ShaderSource::Naga(std::borrow::Cow::Owned(self.module.clone())), []);
        #[cfg(target_arch = "wasm32")]
        let source = wgpu::ShaderSource::Wgsl(self.source.as_str().into());
        #[cfg(target_arch = "wasm32")]
        let constants: Vec<(&str, f64)> =
            self.kernel.constants.iter().map(|&(name, value)| (name, f64::from(value))).collect();
        guarded(device, &format!("shader {name}"), || {
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
            let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(self.kernel.entry),
                compilation_options: wgpu::PipelineCompilationOptions { constants: &constants, ..Default::default() },
                cache,
            });
            Pipeline { raw, layout, bindings: self.bindings.clone() }
        })
    }
}

/// Why a kernel was refused.
enum Refusal {
    Text(String),
    Limit(String),
}

impl Refusal {
    fn locate(self, refuse: &impl Fn(String) -> Error) -> Error {
        match self {
            Refusal::Text(text) => refuse(text),
            Refusal::Limit(text) => Error::new(ErrorKind::Limit, refuse(text).message()),
        }
    }
}

/// The entry point with its constants set, and the bindings it uses; refuses kernels whose workgroups exceed the
/// device.
fn reflect(
    kernel: &Kernel,
    module: &Module,
    info: &ModuleInfo,
    target: &Target,
) -> Result<(Module, Vec<(u32, Kind)>), Refusal> {
    let text = |error: String| Refusal::Text(error);
    // Workgroup sizes and arrays may depend on constants: look at them with the constants set.
    let constants = kernel.constants.iter().map(|&(name, value)| (name.to_owned(), f64::from(value))).collect();
    let entry = Some((naga::ShaderStage::Compute, kernel.entry));
    let (module, info) = naga::back::pipeline_constants::process_overrides(module, info, entry, &constants)
        .map_err(|error| text(error.to_string()))?;
    let at = module.entry_points.iter().position(|point| point.name == kernel.entry);
    let at = at.ok_or_else(|| text(format!("has no entry point {:?}", kernel.entry)))?;

    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).map_err(|error| text(error.to_string()))?;
    let (mut bindings, mut workgroup_bytes) = (Vec::new(), 0);
    for (handle, variable) in module.global_variables.iter() {
        if info.get_entry_point(at)[handle].is_empty() {
            continue;
        }
        let kind = match variable.space {
            AddressSpace::Uniform => Kind::Uniform,
            AddressSpace::Storage { access } if access.contains(StorageAccess::STORE) => Kind::ReadWrite,
            AddressSpace::Storage { .. } => Kind::Read,
            AddressSpace::WorkGroup => {
                workgroup_bytes += layouter[variable.ty].size;
                continue;
            }
            _ => continue,
        };
        if let Some(binding) = &variable.binding {
            bindings.push((binding.binding, kind));
        }
    }
    bindings.sort_unstable_by_key(|(number, _)| *number);

    let threads: u32 = module.entry_points[at].workgroup_size.iter().product();
    if threads > target.max_workgroup_threads {
        let limit = target.max_workgroup_threads;
        return Err(Refusal::Limit(format!("has {threads} threads in a workgroup, this device allows {limit}")));
    }
    // Drivers take what is too large without a word and then compute nonsense.
    if workgroup_bytes > target.max_workgroup_bytes {
        let limit = target.max_workgroup_bytes;
        return Err(Refusal::Limit(format!(
            "has {workgroup_bytes} bytes of workgroup memory, this device allows {limit}"
        )));
    }
    Ok((module.into_owned(), bindings))
}

/// The numbers of textures beside buffers are those of the buffers and this.
pub(super) const BESIDE: u32 = 100;

/// The bindings that one of a kernel becomes.
pub(crate) fn parts(binding: u32, kind: Kind) -> impl Iterator<Item = (u32, Kind)> {
    let (first, second) = match kind {
        Kind::ReadWriteTexture => (Kind::ReadWrite, Some((binding + BESIDE, Kind::Texture))),
        kind => (kind, None),
    };
    std::iter::once((binding, first)).chain(second)
}

fn layout_entry(binding: u32, kind: Kind) -> wgpu::BindGroupLayoutEntry {
    let buffer = |ty| wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None };
    let ty = match kind {
        Kind::Uniform => buffer(wgpu::BufferBindingType::Uniform),
        Kind::Read => buffer(wgpu::BufferBindingType::Storage { read_only: true }),
        Kind::ReadWrite | Kind::ReadWriteTexture => buffer(wgpu::BufferBindingType::Storage { read_only: false }),
        Kind::Texture => wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::ReadOnly,
            format: texture::FORMAT,
            view_dimension: wgpu::TextureViewDimension::D2,
        },
    };
    wgpu::BindGroupLayoutEntry { binding, visibility: wgpu::ShaderStages::COMPUTE, ty, count: None }
}
