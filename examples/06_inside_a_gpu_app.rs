//! Inside an app that owns the device: its buffer as input, its encoder, its passes around the network.
//!
//! A compute pass of the app draws a picture, the network blurs it, a second pass of the app reads the
//! result. One encoder, one submit, no copy between them.

#![allow(clippy::expect_used)] // the app's own part

use wgrad::prelude::*;

const SIDE: usize = 16;

const APP: &str = "
@group(0) @binding(0) var<storage, read_write> frame: array<f32>;
@group(0) @binding(1) var<storage, read> mask: array<f32>;
@group(0) @binding(2) var<storage, read_write> shown: array<f32>;

@compute @workgroup_size(16, 16)
fn draw(@builtin(global_invocation_id) at: vec3<u32>) {
    frame[at.y * 16u + at.x] = select(0.0, 1.0, distance(vec2<f32>(at.xy), vec2(7.5)) < 4.0);
}

@compute @workgroup_size(16, 16)
fn show(@builtin(global_invocation_id) at: vec3<u32>) {
    shown[at.y * 16u + at.x] = round(mask[at.y * 16u + at.x] * 9.0);
}
";

/// What the app has before it ever hears of wgrad: a device without any optional feature.
fn app_device() -> (wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
    pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).expect("a device")
}

fn main() -> Result<(), Error> {
    let (device, queue) = app_device();
    let buffer = |usage| {
        let size = (SIDE * SIDE * 4) as u64;
        device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let frame = buffer(wgpu::BufferUsages::STORAGE);
    let shown = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let staging = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);

    // The network: two blurs with a fixed 3×3 window.
    let context = Context::from_wgpu(device.clone(), queue.clone())?;
    let graph = Graph::new(Mode::Infer);
    let image = graph.input("frame", [1, 1, SIDE, SIDE]);
    let window = graph.full([1, 1, 3, 3], 1.0 / 9.0, DType::F32);
    let options = wgrad::ops::Conv2d { padding: [1, 1].into(), ..Default::default() };
    let mask = image.conv2d(&window, None, options).conv2d(&window, None, options);
    let plan = graph.plan(&[("mask", &mask)], context.target())?;
    let weights = Weights::init(&context, &plan, 0)?;
    let mut session = Session::new(&context, plan, &weights)?;
    session.bind("frame", &frame)?;

    // The app's own passes.
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("app"),
        source: wgpu::ShaderSource::Wgsl(APP.into()),
    });
    let pipeline = |entry| {
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module: &module,
            entry_point: Some(entry),
            compilation_options: Default::default(),
            cache: None,
        })
    };
    let (draw, show) = (pipeline("draw"), pipeline("show"));
    let group = |pipeline: &wgpu::ComputePipeline, entries: &[(u32, &wgpu::Buffer)]| {
        let entries: Vec<_> = entries
            .iter()
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding: *binding, resource: buffer.as_entire_binding() })
            .collect();
        let layout = pipeline.get_bind_group_layout(0);
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries })
    };
    let draw_group = group(&draw, &[(0, &frame)]);
    let show_group = group(&show, &[(1, session.output("mask")?), (2, &shown)]);

    let mut encoder = device.create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&draw);
        pass.set_bind_group(0, &draw_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
    session.encode(&mut encoder)?; // the network, between the app's passes
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&show);
        pass.set_bind_group(0, &show_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&shown, 0, &staging, 0, staging.size());
    queue.submit([encoder.finish()]);

    staging.map_async(wgpu::MapMode::Read, .., |result| result.expect("mapped"));
    device.poll(wgpu::PollType::wait_indefinitely()).expect("the device is alive");
    let view = staging.get_mapped_range(..).expect("mapped");
    let shown: &[f32] = bytemuck::cast_slice(&view);
    for row in shown.chunks(SIDE) {
        println!(
            "{}",
            row.iter().map(|x| [" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"][*x as usize]).collect::<String>()
        );
    }
    assert_eq!((shown[8 * SIDE + 8], shown[0]), (9.0, 0.0));
    assert!(shown.iter().any(|&x| x > 0.0 && x < 9.0), "nothing was blurred");
    Ok(())
}
