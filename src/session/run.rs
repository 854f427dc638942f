//! A plan with its buffers and pipelines, ready to run any number of times.

use super::Weights;
use crate::{
    data::{Array, TensorDesc},
    error::{Error, ErrorKind},
    gpu::{Buffer, Context, Kind, Loads, Pipeline, Readback, Staging, Texture, Use},
    graph::Role,
    plan::{Bound, Fill, Home, Plan, padded},
};
use std::{ops::Range, sync::Arc};

/// A plan on a device: everything allocated and compiled, so that a run only encodes.
///
/// One run is one submit; nothing is allocated and nothing read back in it. On GPUs it is also one compute pass. On
/// a software driver copies into textures come between, from which that driver reads several times as fast.
#[derive(Debug)]
pub struct Session {
    context: Context,
    plan: Plan,
    variables: Vec<Memory>,
    slots: Vec<Buffer>,
    textures: Vec<Texture>,
    uniforms: Buffer,
    pipelines: Vec<Arc<Pipeline>>,
    groups: Vec<wgpu::BindGroup>,
    staging: Staging,
}

/// The memory of a variable: the session's, the weights', or the app's.
#[derive(Clone, Debug)]
enum Memory {
    Library(Arc<Buffer>),
    App(wgpu::Buffer),
}

impl Memory {
    fn raw(&self) -> &wgpu::Buffer {
        match self {
            Memory::Library(buffer) => buffer.raw(),
            Memory::App(buffer) => buffer,
        }
    }
}

const STORAGE: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

impl Session {
    /// Allocates what a plan needs besides the weights, and compiles its kernels.
    ///
    /// # Errors
    /// A plan made for a device with more features or larger limits; weights that lack a variable of
    /// the plan or have it in another shape; too little memory; a kernel the device refuses.
    pub fn new(context: &Context, plan: Plan, weights: &Weights) -> Result<Session, Error> {
        check_target(context, &plan)?;
        let mut variables = Vec::with_capacity(plan.variables.len());
        for variable in &plan.variables {
            variables.push(Memory::Library(match variable.role {
                Role::Input => Arc::new(context.allocate(&variable.name, padded(variable.desc.bytes()), STORAGE)?),
                _ => weights.buffer(variable)?,
            }));
        }
        let slots = plan.slots.iter().map(|&bytes| context.allocate("activations", bytes, STORAGE));
        let slots = slots.collect::<Result<Vec<_>, _>>()?;
        let numbers: &[u8] = bytemuck::cast_slice(&plan.uniforms);
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let uniforms = context.allocate("uniforms", padded(numbers.len() as u64), usage)?;
        context.guarded("uniforms", || upload(context, uniforms.raw(), 0, numbers))?;
        let textures = plan.textures.iter().map(|&rows| context.allocate_texture(rows));
        let textures = textures.collect::<Result<Vec<_>, _>>()?;
        let mut session = Session {
            context: context.clone(),
            plan,
            variables,
            slots,
            textures,
            uniforms,
            pipelines: Vec::new(),
            groups: Vec::new(),
            staging: Staging::default(),
        };
        session.pipelines = session.pipelines_of(0..session.plan.steps.len())?;
        for step in 0..session.plan.steps.len() {
            let group = session.bind_group(&session.pipelines[step], step)?;
            session.groups.push(group);
        }
        Ok(session)
    }

    /// The plan it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The device it runs on.
    pub fn context(&self) -> &Context {
        &self.context
    }

    fn raw(&self, home: Home) -> &wgpu::Buffer {
        match home {
            Home::Variable(i) => self.variables[i].raw(),
            Home::Slot(i) => self.slots[i].raw(),
        }
    }

    /// The pipelines of steps, compiled together.
    fn pipelines_of(&self, steps: impl Iterator<Item = usize>) -> Result<Vec<Arc<Pipeline>>, Error> {
        let numbers: &[u8] = bytemuck::cast_slice(&self.plan.uniforms);
        let uniform = |bound: &Bound| match *bound {
            Bound::Uniform { offset, bytes } => numbers.get(offset as usize..(offset + bytes) as usize),
            Bound::Buffer { .. } => None,
        };
        // A plan for GPUs runs as GPUs get it, also where a software driver stands in for one.
        let words = self.plan.target().class.is_software() && self.context.target().int64;
        let uses = steps.map(|step| {
            let step = &self.plan.steps[step];
            let through = |place: &usize| self.texture_of(&step.bindings[*place]).is_some();
            let textures = (0..step.bindings.len().min(32)).filter(through).fold(0, |bits, place| bits | 1 << place);
            Use {
                kernel: &step.kernel,
                loads: Loads { words, textures },
                uniform: step.bindings.iter().find_map(uniform).unwrap_or_default(),
            }
        });
        self.context.pipelines(&uses.collect::<Vec<_>>())
    }

    /// The texture by way of which a step reads; none where it is of an app's buffer that cannot be copied.
    fn texture_of(&self, bound: &Bound) -> Option<&Texture> {
        let Bound::Buffer { home, reads: Some(reads), .. } = *bound else { return None };
        let texture = self.textures.get(reads.texture?)?;
        self.raw(home).usage().contains(wgpu::BufferUsages::COPY_SRC).then_some(texture)
    }

    fn bind_group(&self, pipeline: &Pipeline, step: usize) -> Result<wgpu::BindGroup, Error> {
        let step = &self.plan.steps[step];
        if pipeline.bindings.len() != step.bindings.len() {
            let (takes, gets) = (pipeline.bindings.len(), step.bindings.len());
            let message = format!("shader {}: takes {takes} bindings, {} gives {gets}", step.kernel.label(), step.ops);
            return Err(Error::new(ErrorKind::Device, message).in_layer(&step.layer));
        }
        let entries: Vec<wgpu::BindGroupEntry<'_>> = (pipeline.bindings.iter().zip(&step.bindings))
            .map(|(&(binding, kind), bound)| {
                if let Some(texture) = self.texture_of(bound).filter(|_| kind == Kind::Texture) {
                    let resource = wgpu::BindingResource::TextureView(texture.view());
                    return wgpu::BindGroupEntry { binding, resource };
                }
                let (buffer, offset, bytes) = match *bound {
                    Bound::Buffer { home, offset, bytes, .. } => (self.raw(home), offset, bytes),
                    Bound::Uniform { offset, bytes } => (self.uniforms.raw(), offset, bytes),
                };
                let size = std::num::NonZeroU64::new(bytes);
                wgpu::BindGroupEntry {
                    binding,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size }),
                }
            })
            .collect();
        let label = step.kernel.label();
        let descriptor = wgpu::BindGroupDescriptor { label: Some(&label), layout: &pipeline.layout, entries: &entries };
        self.context
            .guarded(&format!("{} in {}", step.kernel.label(), step.ops), || {
                self.context.device().create_bind_group(&descriptor)
            })
            .map_err(|error| error.in_layer(&step.layer))
    }

    fn input(&self, name: &str) -> Result<usize, Error> {
        let inputs = || self.plan.variables.iter().enumerate().filter(|(_, variable)| variable.role == Role::Input);
        inputs().find(|(_, variable)| &*variable.name == name).map(|(i, _)| i).ok_or_else(|| {
            let names: Vec<&str> = inputs().map(|(_, variable)| &*variable.name).collect();
            let known =
                if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
            Error::new(ErrorKind::Name, format!("the plan has no input {name:?}; {known}"))
        })
    }

    /// Reads an input from a buffer of the app instead of the session's own, without a copy.
    ///
    /// # Errors
    /// An unknown name; a buffer without `STORAGE` usage or smaller than the input, padded to a
    /// multiple of 16 bytes; a buffer of another device.
    pub fn bind(&mut self, name: &str, buffer: &wgpu::Buffer) -> Result<(), Error> {
        let input = self.input(name)?;
        let desc = &self.plan.variables[input].desc;
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            let message = format!("input {name:?}: the buffer's usage is {:?}, it needs STORAGE", buffer.usage());
            return Err(Error::new(ErrorKind::Device, message));
        }
        if buffer.size() < padded(desc.bytes()) {
            let message = format!(
                "input {name:?} is {desc} and needs {} bytes, the buffer has {}",
                padded(desc.bytes()),
                buffer.size()
            );
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let before = std::mem::replace(&mut self.variables[input], Memory::App(buffer.clone()));
        let uses = |bound: &Bound| matches!(bound, Bound::Buffer { home, .. } if *home == Home::Variable(input));
        let steps: Vec<usize> =
            (0..self.plan.steps.len()).filter(|&step| self.plan.steps[step].bindings.iter().any(uses)).collect();
        let bound = self.pipelines_of(steps.iter().copied()).and_then(|pipelines| {
            let group = |(&step, pipeline): (&usize, Arc<Pipeline>)| Ok((self.bind_group(&pipeline, step)?, pipeline));
            steps.iter().zip(pipelines).map(group).collect::<Result<Vec<_>, Error>>()
        });
        match bound {
            Ok(bound) => {
                for (step, (group, pipeline)) in steps.into_iter().zip(bound) {
                    (self.groups[step], self.pipelines[step]) = (group, pipeline);
                }
                Ok(())
            }
            Err(error) => {
                self.variables[input] = before;
                Err(error)
            }
        }
    }

    /// Writes an input before the next run.
    ///
    /// # Errors
    /// An unknown name, another shape or element type, an input bound to a buffer of the app that
    /// cannot be copied to, or an error of the device.
    pub fn write(&self, name: &str, array: &Array) -> Result<(), Error> {
        let input = self.input(name)?;
        let desc = &self.plan.variables[input].desc;
        if desc.dtype != array.desc().dtype {
            return Err(Error::new(ErrorKind::DType, format!("input {name:?} is {desc}, not {}", array.desc())));
        }
        if desc.shape != *array.shape() {
            return Err(Error::new(ErrorKind::Shape, format!("input {name:?} is {desc}, not {}", array.desc())));
        }
        self.context.guarded(name, || upload(&self.context, self.variables[input].raw(), 0, array.bytes()))
    }

    /// Records one run in an app's encoder: on GPUs as one compute pass.
    ///
    /// Nothing is submitted and nothing waits: the app does both.
    ///
    /// # Errors
    /// A lost device.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<(), Error> {
        self.context.check()?;
        let steps = self.plan.steps.len();
        let mut first = 0;
        // A pass goes on to the next step that copies something.
        while first < steps {
            self.fill_textures(encoder, first);
            let copies = |step: &usize| !self.plan.steps[*step].fills.is_empty();
            let last = (first + 1..steps).find(copies).unwrap_or(steps);
            let descriptor = wgpu::ComputePassDescriptor { label: Some("wgrad"), timestamp_writes: None };
            self.encode_steps(&mut encoder.begin_compute_pass(&descriptor), first..last);
            first = last;
        }
        Ok(())
    }

    /// Copies what a step reads by way of textures.
    pub(super) fn fill_textures(&self, encoder: &mut wgpu::CommandEncoder, step: usize) {
        for &Fill { range, texture } in &self.plan.steps[step].fills {
            let buffer = self.raw(range.home);
            if buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
                self.textures[texture].fill(encoder, buffer, range.offset, range.bytes);
            }
        }
    }

    pub(super) fn encode_steps(&self, pass: &mut wgpu::ComputePass<'_>, steps: Range<usize>) {
        let mut current: Option<&Arc<Pipeline>> = None;
        for i in steps {
            let pipeline = &self.pipelines[i];
            if !current.is_some_and(|current| Arc::ptr_eq(current, pipeline)) {
                pass.set_pipeline(&pipeline.raw);
                current = Some(pipeline);
            }
            pass.set_bind_group(0, &self.groups[i], &[]);
            let [x, y, z] = self.plan.steps[i].workgroups;
            pass.dispatch_workgroups(x, y, z);
        }
    }

    /// Runs once: one submit, no wait.
    ///
    /// # Errors
    /// An error of the device.
    pub fn run(&self) -> Result<(), Error> {
        self.run_times(1)
    }

    /// Runs several times in one submit, without a wait.
    ///
    /// # Errors
    /// An error of the device.
    pub fn run_times(&self, count: usize) -> Result<(), Error> {
        self.context.guarded("run", || {
            let mut encoder = self.context.device().create_command_encoder(&Default::default());
            for _ in 0..count {
                self.encode(&mut encoder)?;
            }
            self.context.queue().submit([encoder.finish()]);
            Ok(())
        })?
    }

    fn find_output(&self, name: &str) -> Result<(Home, &TensorDesc), Error> {
        self.plan.outputs.get(name).map(|(home, desc)| (*home, desc)).ok_or_else(|| {
            let names: Vec<&str> = self.plan.outputs.keys().map(String::as_str).collect();
            let known =
                if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
            Error::new(ErrorKind::Name, format!("the plan has no output {name:?}; {known}"))
        })
    }

    /// The buffer of an output, for an app's own passes; it stays the same for the session's life.
    ///
    /// # Errors
    /// An unknown name.
    pub fn output(&self, name: &str) -> Result<&wgpu::Buffer, Error> {
        self.find_output(name).map(|(home, _)| self.raw(home))
    }

    /// Starts to read an output of the last run and goes on: ask for the numbers some steps later.
    ///
    /// # Errors
    /// An unknown name, or an error of the device.
    pub fn fetch(&self, name: &str) -> Result<Readback, Error> {
        let (home, desc) = self.find_output(name)?;
        Readback::start(&self.context, &self.staging, self.raw(home), desc)
    }

    /// Reads an output of the last run.
    ///
    /// # Errors
    /// An unknown name, or an error of the device.
    pub async fn read(&self, name: &str) -> Result<Array, Error> {
        self.fetch(name)?.await
    }

    /// Reads an output of the last run and waits for it.
    ///
    /// # Errors
    /// An unknown name, or an error of the device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_blocking(&self, name: &str) -> Result<Array, Error> {
        self.fetch(name)?.wait()
    }
}

/// Copies bytes to a place in a buffer; lengths that are no multiple of 4 are padded with zeros.
pub(super) fn upload(context: &Context, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
    let whole = bytes.len() / 4 * 4;
    if whole > 0 {
        context.queue().write_buffer(buffer, offset, &bytes[..whole]);
    }
    if whole < bytes.len() {
        let mut last = [0; 4];
        last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
        context.queue().write_buffer(buffer, offset + whole as u64, &last);
    }
}

/// Refuses plans made for a more capable device.
fn check_target(context: &Context, plan: &Plan) -> Result<(), Error> {
    let (has, wants) = (context.target(), plan.target());
    let too_small = (wants.f16 && !has.f16)
        || (wants.subgroups && !has.subgroups)
        || (!plan.textures.is_empty() && wants.textures > has.textures)
        || wants.max_binding_bytes > has.max_binding_bytes
        || wants.max_storage_buffers > has.max_storage_buffers
        || wants.max_workgroup_threads > has.max_workgroup_threads
        || wants.max_workgroup_bytes > has.max_workgroup_bytes;
    if too_small {
        let message = "the plan was made for a device with more features or larger limits than this one";
        return Err(Error::new(ErrorKind::Limit, message).hint("plan with context.target()"));
    }
    Ok(())
}
