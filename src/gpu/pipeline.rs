//! Compiled kernels. Layouts come from naga's view of the entry point, so a binding is declared once.

use super::Context;
use crate::{
    error::{Error, ErrorKind},
    kernel::{Kernel, assemble},
};
use naga::{
    AddressSpace, StorageAccess,
    valid::{Capabilities, ValidationFlags, Validator},
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
}

impl Pipeline {
    pub fn new(context: &Context, kernel: &Kernel) -> Result<Pipeline, Error> {
        let refuse = |what: String| Error::new(ErrorKind::Device, format!("shader {}: {what}", kernel.label()));
        let source =
            assemble(kernel).map_err(|import| refuse(format!("there is no shared file {import:?} to import")))?;
        let bindings = reflect(kernel, &source, context).map_err(|what| what.locate(&refuse))?;

        let entries: Vec<wgpu::BindGroupLayoutEntry> =
            bindings.iter().map(|&(binding, kind)| layout_entry(binding, kind)).collect();
        let label = kernel.label();
        let label = Some(label.as_str());
        let constants: Vec<(&str, f64)> =
            kernel.constants.iter().map(|&(name, value)| (name, f64::from(value))).collect();
        let device = context.device();
        context.guarded(&format!("shader {}", kernel.label()), || {
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label,
                source: wgpu::ShaderSource::Wgsl(source.into()),
            });
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
                entry_point: Some(kernel.entry),
                compilation_options: wgpu::PipelineCompilationOptions { constants: &constants, ..Default::default() },
                cache: None,
            });
            Pipeline { raw, layout, bindings }
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

/// The bindings an entry point uses; refuses kernels whose workgroups exceed the device.
fn reflect(kernel: &Kernel, source: &str, context: &Context) -> Result<Vec<(u32, Kind)>, Refusal> {
    let text = |error: String| Refusal::Text(error);
    let module = naga::front::wgsl::parse_str(source).map_err(|error| text(error.emit_to_string(source)))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&module)
        .map_err(|error| text(error.emit_to_string(source)))?;

    // Workgroup sizes and arrays may depend on constants: look at them with the constants set.
    let constants = kernel.constants.iter().map(|&(name, value)| (name.to_owned(), f64::from(value))).collect();
    let entry = Some((naga::ShaderStage::Compute, kernel.entry));
    let (module, info) = naga::back::pipeline_constants::process_overrides(&module, &info, entry, &constants)
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

    let target = context.target();
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
    Ok(bindings)
}

fn layout_entry(binding: u32, kind: Kind) -> wgpu::BindGroupLayoutEntry {
    let ty = match kind {
        Kind::Uniform => wgpu::BufferBindingType::Uniform,
        kind => wgpu::BufferBindingType::Storage { read_only: kind == Kind::Read },
    };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}
