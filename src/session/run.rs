//! A plan with its buffers and pipelines, ready to run any number of times.

use super::Weights;
use crate::{
    data::{Array, TensorDesc},
    error::{Error, ErrorKind},
    gpu::{Buffer, Context, Kind, Pipeline, Readback, Software, Staging, Use, parts},
    graph::{Role, Variable},
    plan::{Bound, Home, Plan, Step, padded},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
    sync::Arc,
};

/// A plan on a device: everything allocated and compiled, so that a run only encodes.
///
/// One run is one compute pass and one submit; nothing is allocated and nothing read back in it.
#[derive(Debug)]
pub struct Session {
    context: Context,
    plan: Plan,
    variables: Vec<Memory>,
    slots: Vec<Buffer>,
    uniforms: Buffer,
    pipelines: Vec<Arc<Pipeline>>,
    groups: Vec<wgpu::BindGroup>,
    staging: Staging,
}

/// Textures by the memory they lie over, while bind groups are made.
type Views = HashMap<(Home, u64, u64), wgpu::TextureView>;

fn view_key(bound: &Bound) -> Option<(Home, u64, u64)> {
    match *bound {
        Bound::Buffer { home, offset, bytes, texture: true } => Some((home, offset, bytes)),
        Bound::Buffer { .. } | Bound::Uniform { .. } => None,
    }
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

impl Session {
    /// Allocates what a plan needs besides the weights, and compiles its kernels.
    ///
    /// # Errors
    /// A plan made for a device with more features or larger limits; weights that lack a variable of
    /// the plan or have it in another shape; too little memory; a kernel the device refuses.
    pub fn new(context: &Context, plan: Plan, weights: &Weights) -> Result<Session, Error> {
        check_target(context, &plan)?;
        let is_input = |variable: &&Variable| variable.role == Role::Input;
        let inputs = plan.variables.iter().filter(is_input);
        let inputs = inputs.map(|variable| (&*variable.name, padded(variable.desc.bytes())));
        let wanted: Vec<_> = inputs.chain(plan.slots.iter().map(|&bytes| ("activations", bytes))).collect();
        let mut made = context.allocate_all(&wanted)?.into_iter();
        let mut variables = Vec::with_capacity(plan.variables.len());
        for variable in &plan.variables {
            let made = if is_input(&variable) { made.next().map(Arc::new) } else { None };
            variables.push(Memory::Library(made.map_or_else(|| weights.buffer(variable), Ok)?));
        }
        let slots: Vec<Buffer> = made.collect();
        let numbers: &[u8] = bytemuck::cast_slice(&plan.uniforms);
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let uniforms = context.allocate("uniforms", padded(numbers.len() as u64), usage)?;
        context.guarded("uniforms", || upload(context, uniforms.raw(), 0, numbers))?;
        let mut session = Session {
            context: context.clone(),
            plan,
            variables,
            slots,
            uniforms,
            pipelines: Vec::new(),
            groups: Vec::new(),
            staging: Staging::default(),
        };
        session.pipelines = session.pipelines_of(0..session.plan.steps.len())?;
        let mut views = Views::new();
        for step in 0..session.plan.steps.len() {
            let group = session.bind_group(&session.pipelines[step], step, &mut views)?;
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
        let software = self.plan.target().class.is_software();
        let words = software && self.context.target().int64;
        let uses = steps.map(|step| {
            let step = &self.plan.steps[step];
            let through = |place: &usize| self.with_textures(&step.bindings[*place]).is_some();
            let textures = (0..step.bindings.len().min(32)).filter(through).fold(0, |bits, place| bits | 1 << place);
            Use {
                kernel: &step.kernel,
                software: Software { words, quotients: software, textures },
                uniform: step.bindings.iter().find_map(uniform).unwrap_or_default(),
            }
        });
        self.context.pipelines(&uses.collect::<Vec<_>>())
    }

    /// The memory that a step reads by a texture; none of an app, which is a buffer only.
    fn with_textures(&self, bound: &Bound) -> Option<&Buffer> {
        let Bound::Buffer { home, texture: true, .. } = *bound else { return None };
        let buffer = match home {
            Home::Variable(i) => match &self.variables[i] {
                Memory::Library(buffer) => buffer,
                Memory::App(_) => return None,
            },
            Home::Slot(i) => &self.slots[i],
        };
        Some(buffer).filter(|buffer| buffer.has_textures())
    }

    /// Makes the textures of a step that are not there yet.
    fn lay_textures(&self, pipeline: &Pipeline, step: &Step, views: &mut Views) -> Result<(), Error> {
        for (&(_, kind), bound) in pipeline.bindings.iter().zip(&step.bindings) {
            if let (Kind::Texture | Kind::ReadWriteTexture, Some(key), Some(buffer)) =
                (kind, view_key(bound), self.with_textures(bound))
                && let Entry::Vacant(entry) = views.entry(key)
                && let Some(view) = buffer.texture(key.1, key.2)?
            {
                entry.insert(view);
            }
        }
        Ok(())
    }

    fn bind_group(&self, pipeline: &Pipeline, step: usize, views: &mut Views) -> Result<wgpu::BindGroup, Error> {
        let step = &self.plan.steps[step];
        if pipeline.bindings.len() != step.bindings.len() {
            let (takes, gets) = (pipeline.bindings.len(), step.bindings.len());
            let message = format!("shader {}: takes {takes} bindings, {} gives {gets}", step.kernel.label(), step.ops);
            return Err(Error::new(ErrorKind::Device, message).in_layer(&step.layer));
        }
        self.lay_textures(pipeline, step, views).map_err(|error| error.in_layer(&step.layer))?;
        let bound = pipeline.bindings.iter().zip(&step.bindings);
        let bound = bound.flat_map(|(&(binding, kind), bound)| parts(binding, kind).map(move |part| (part, bound)));
        let entries: Vec<wgpu::BindGroupEntry<'_>> = bound
            .map(|((binding, kind), bound)| {
                let view = view_key(bound).filter(|_| kind == Kind::Texture).and_then(|key| views.get(&key));
                if let Some(view) = view {
                    return wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::TextureView(view) };
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
            let mut views = Views::new();
            let group = |(&step, pipeline): (&usize, Arc<Pipeline>)| {
                Ok((self.bind_group(&pipeline, step, &mut views)?, pipeline))
            };
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

    /// Records one run in an app's encoder, as one compute pass.
    ///
    /// Nothing is submitted and nothing waits: the app does both.
    ///
    /// # Errors
    /// A lost device.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<(), Error> {
        self.context.check()?;
        let descriptor = wgpu::ComputePassDescriptor { label: Some("wgrad"), timestamp_writes: None };
        self.encode_steps(&mut encoder.begin_compute_pass(&descriptor), 0..self.plan.steps.len());
        Ok(())
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
        || (wants.class.is_software() && wants.textures > has.textures)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernel::Target, prelude::*, testing::context};

    /// How many textures each step of a session reads.
    fn textures(session: &Session) -> Vec<usize> {
        let count =
            |pipeline: &Arc<Pipeline>| pipeline.bindings.iter().filter(|(_, kind)| *kind == Kind::Texture).count();
        session.pipelines.iter().map(count).collect()
    }

    #[test]
    fn on_mesas_software_driver_what_is_only_read_is_read_by_textures() {
        let graph = Graph::new(Mode::Infer);
        let (x, w) = (graph.input("x", [17, 9]), graph.parameter("w", [9, 5], Init::normal(1.0)));
        let y = x.matmul(&w).softmax(1);
        let target = context().target();
        let session = |target: &Target| {
            let plan = graph.plan(&[("y", &y)], target).unwrap();
            let weights = Weights::init(context(), &plan, 1).unwrap();
            Session::new(context(), plan, &weights).unwrap()
        };
        let mut all = session(target);
        let expected = if context().name().starts_with("llvmpipe") { [2, 1] } else { [0, 0] };
        assert_eq!(textures(&all), expected);
        // A GPU has none, a device with few has few, and an app's buffer stays one.
        assert_eq!(textures(&session(&Target { textures: 0, ..target.clone() })), [0, 0]);
        let few = Target { textures: target.textures.min(1), ..target.clone() };
        assert_eq!(textures(&session(&few)), expected.map(|count| count.min(1)));
        let usage = wgpu::BufferUsages::STORAGE;
        let descriptor =
            wgpu::BufferDescriptor { label: None, size: 17 * 9 * 4 + 12, usage, mapped_at_creation: false };
        all.bind("x", &context().device().create_buffer(&descriptor)).unwrap();
        assert_eq!(textures(&all), expected.map(|count: usize| count.min(1)));
    }
}
