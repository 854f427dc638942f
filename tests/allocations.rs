//! What a step allocates on the host: nothing of the library's own. A program of its own, for its allocator counts.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};
use wgrad::{prelude::*, testing::context};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what the current thread asks for.
struct Counting;

// SAFETY: every call goes on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The allocations of this thread in a call, in the steady state.
fn count(mut body: impl FnMut()) -> u64 {
    // wgpu keeps command buffers and lists of work for the next time.
    for _ in 0..20 {
        body();
    }
    let mut counts: Vec<u64> = (0..11)
        .map(|_| {
            let before = COUNT.with(Cell::get);
            body();
            COUNT.with(Cell::get) - before
        })
        .collect();
    counts.sort_unstable();
    counts[counts.len() / 2]
}

/// Products one after another: as many dispatches, of one pipeline, with three buffers and a uniform each.
fn session(dispatches: usize) -> Session {
    let graph = Graph::new(Mode::Infer);
    let w = graph.parameter("w", [32, 32], Init::xavier(32, 32));
    let y = (0..dispatches).fold(graph.input("x", [32, 32]), |x, _| x.matmul(&w));
    let plan = graph.plan(&[("y", &y)], context().target()).unwrap();
    assert_eq!(plan.report().steps.len(), dispatches);
    let weights = Weights::init(context(), &plan, 1).unwrap();
    Session::new(context(), plan, &weights).unwrap()
}

/// The same commands from wgpu alone.
struct Raw {
    pipeline: wgpu::ComputePipeline,
    groups: Vec<wgpu::BindGroup>,
}

impl Raw {
    fn new(dispatches: usize) -> Raw {
        let device = context().device();
        let source = "@group(0) @binding(0) var<storage, read> a: array<f32>;
            @group(0) @binding(1) var<storage, read> b: array<f32>;
            @group(0) @binding(2) var<storage, read_write> c: array<f32>;
            @group(0) @binding(3) var<uniform> sizes: vec4<u32>;
            @compute @workgroup_size(8) fn main(@builtin(global_invocation_id) i: vec3<u32>) {
                c[i.x] = a[i.x] + b[i.x] + f32(sizes.x);
            }";
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        // Sizes of bindings are checked at each dispatch, as for kernels that are told sizes by uniforms.
        let entry = |binding: u32| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match binding {
                    0..3 => wgpu::BufferBindingType::Storage { read_only: binding != 2 },
                    _ => wgpu::BufferBindingType::Uniform,
                },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let entries = [0, 1, 2, 3].map(entry);
        let layout =
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: None,
            compilation_options: Default::default(),
            cache: None,
        });
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 4096, usage, mapped_at_creation: false })
        };
        let storage: Vec<wgpu::Buffer> = (0..5).map(|_| buffer(wgpu::BufferUsages::STORAGE)).collect();
        let uniform = buffer(wgpu::BufferUsages::UNIFORM);
        let group = |i: usize| {
            // The input, what is between in two buffers, the output, and the weight.
            let value = |i: usize| {
                &storage[if i == 0 {
                    2
                } else if i == dispatches {
                    3
                } else {
                    i % 2
                }]
            };
            let buffers = [value(i), &storage[4], value(i + 1), &uniform];
            let entries: Vec<wgpu::BindGroupEntry<'_>> = buffers
                .iter()
                .zip(0..)
                .map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
                .collect();
            device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries })
        };
        Raw { groups: (0..dispatches).map(group).collect(), pipeline }
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        let descriptor = wgpu::ComputePassDescriptor { label: Some("wgrad"), timestamp_writes: None };
        let mut pass = encoder.begin_compute_pass(&descriptor);
        pass.set_pipeline(&self.pipeline);
        for group in &self.groups {
            pass.set_bind_group(0, group, &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
    }
}

fn submitted(encode: impl Fn(&mut wgpu::CommandEncoder)) {
    let mut encoder = context().device().create_command_encoder(&Default::default());
    encode(&mut encoder);
    context().queue().submit([encoder.finish()]);
    context().wait().unwrap();
}

#[test]
fn a_step_allocates_nothing_of_its_own() {
    let mut found = Vec::new();
    for dispatches in [4, 64] {
        let (session, raw) = (session(dispatches), Raw::new(dispatches));
        let ours = count(|| submitted(|encoder| session.encode(encoder).unwrap()));
        let theirs = count(|| submitted(|encoder| raw.encode(encoder)));
        let run = count(|| {
            session.run().unwrap();
            context().wait().unwrap();
        });
        println!("{dispatches} dispatches: encode {ours} allocations, wgpu alone {theirs}, run {run}");
        found.push((run - ours, ours, theirs));
    }
    for (_, ours, theirs) in &found {
        assert!(ours <= theirs, "{ours} allocations, wgpu alone makes {theirs}");
    }
    // A run adds its three error scopes, whatever it runs.
    assert_eq!(found[0].0, found[1].0, "{found:?}");
    let device = context().allocations();
    let session = session(4);
    let made = context().allocations() - device;
    (0..10).for_each(|_| session.run().unwrap());
    assert_eq!(context().allocations() - device, made, "a run makes no buffer");
}
