//! Inside an app: its own device, buffers and encoder; two sessions on one set of weights.

use wgrad::{autodiff::gradients, prelude::*, testing::context};

/// A device as an app makes it: without any feature, with WebGPU's default limits.
fn app_device() -> (wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap()
}

fn app_buffer(device: &wgpu::Device, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    let usage = usage | wgpu::BufferUsages::COPY_DST;
    device.create_buffer(&wgpu::BufferDescriptor { label: Some("app"), size, usage, mapped_at_creation: false })
}

fn download(device: &wgpu::Device, queue: &wgpu::Queue, source: &wgpu::Buffer, count: usize) -> Vec<f32> {
    let bytes = (count * 4) as u64;
    let staging = app_buffer(device, bytes, wgpu::BufferUsages::MAP_READ);
    let mut encoder = device.create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(source, 0, &staging, 0, bytes);
    queue.submit([encoder.finish()]);
    staging.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let view = staging.get_mapped_range(..).unwrap();
    bytemuck::cast_slice(&view).to_vec()
}

#[test]
fn an_app_lends_its_device_buffer_and_encoder() {
    let (device, queue) = app_device();
    let context = Context::from_wgpu(device.clone(), queue.clone()).unwrap();

    let graph = Graph::new(Mode::Infer);
    let frame = graph.input("frame", [6]);
    let mask = (&frame * 2.0).relu();
    let plan = graph.plan(&[("mask", &mask)], context.target()).unwrap();
    let weights = Weights::init(&context, &plan, 0).unwrap();
    let mut session = Session::new(&context, plan, &weights).unwrap();

    let camera = app_buffer(&device, 32, wgpu::BufferUsages::STORAGE);
    session.bind("frame", &camera).unwrap();
    for sign in [1.0_f32, -1.0] {
        // The app's own work comes first in the same encoder, and reads the result behind the session.
        let upload = app_buffer(&device, 32, wgpu::BufferUsages::COPY_SRC);
        queue.write_buffer(&upload, 0, bytemuck::cast_slice(&[-1.0, 2.0, -3.0, 4.0, -5.0, 6.0].map(|x: f32| x * sign)));
        let result = app_buffer(&device, 24, wgpu::BufferUsages::COPY_SRC);
        let mut encoder = device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&upload, 0, &camera, 0, 24);
        session.encode(&mut encoder).unwrap();
        encoder.copy_buffer_to_buffer(session.output("mask").unwrap(), 0, &result, 0, 24);
        queue.submit([encoder.finish()]);
        let expected: Vec<f32> = [-1.0, 2.0, -3.0, 4.0, -5.0, 6.0].iter().map(|x| (2.0 * x * sign).max(0.0)).collect();
        assert_eq!(download(&device, &queue, &result, 6), expected);
    }
}

#[test]
fn unfit_buffers_are_refused() {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let open = || pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    let ((device, queue), (other, _)) = (open(), open());
    let context = Context::from_wgpu(device.clone(), queue).unwrap();
    let graph = Graph::new(Mode::Infer);
    let y = graph.input("x", [6]).relu();
    let plan = graph.plan(&[("y", &y)], context.target()).unwrap();
    let weights = Weights::init(&context, &plan, 0).unwrap();
    let mut session = Session::new(&context, plan, &weights).unwrap();

    let small = app_buffer(&device, 16, wgpu::BufferUsages::STORAGE);
    let error = session.bind("x", &small).unwrap_err();
    assert_eq!(error.to_string(), "input \"x\" is f32[6] and needs 32 bytes, the buffer has 16");
    let unusable = app_buffer(&device, 64, wgpu::BufferUsages::COPY_SRC);
    let error = session.bind("x", &unusable).unwrap_err();
    assert_eq!(
        error.to_string(),
        "input \"x\": the buffer's usage is BufferUsages(COPY_SRC | COPY_DST), it needs STORAGE"
    );
    let foreign = app_buffer(&other, 64, wgpu::BufferUsages::STORAGE);
    assert!(session.bind("x", &foreign).unwrap_err().is_device());
    // A refused buffer leaves the session as it was.
    session.write("x", &Array::from_f32([6], &[1.0; 6]).unwrap()).unwrap();
    session.run().unwrap();
    assert_eq!(session.read_blocking("y").unwrap().to_f32(), [1.0; 6]);
}

#[test]
fn training_and_inference_share_weights() {
    let context = context();
    let train = Graph::new(Mode::Train);
    let w = train.parameter("w", [2], Init::ones());
    let loss = w.mul(&train.input("x", [2])).sum_all();
    let step = gradients(&loss, std::slice::from_ref(&w))[0].clone().unwrap();
    train.assign(&w, &(&w - &step));
    let train_plan = train.plan(&[("loss", &loss)], context.target()).unwrap();

    let infer = Graph::new(Mode::Infer);
    let y = infer.parameter("w", [2], Init::ones()) * 10.0;
    let infer_plan = infer.plan(&[("y", &y)], context.target()).unwrap();

    let weights = Weights::init(context, &train_plan, 0).unwrap();
    let training = Session::new(context, train_plan, &weights).unwrap();
    let using = Session::new(context, infer_plan, &weights).unwrap();
    training.write("x", &Array::from_f32([2], &[0.5, 2.0]).unwrap()).unwrap();
    training.run().unwrap();
    using.run().unwrap();
    assert_eq!(using.read_blocking("y").unwrap().to_f32(), [5.0, -10.0]);
}

#[test]
fn losses_come_back_late_and_nothing_is_allocated_in_steady_state() {
    let context = Context::from_wgpu(context().device().clone(), context().queue().clone()).unwrap();
    let graph = Graph::new(Mode::Train);
    let (x, label) = (graph.input("x", [8, 1, 8, 8]), graph.input_of("label", [8], DType::U32));
    let loss = wgrad::models::lenet(10).apply(&x).cross_entropy(&label);
    wgrad::optim::AdamW::new(1e-3).minimise(&loss);
    let plan = graph.plan(&[("loss", &loss)], context.target()).unwrap();
    let weights = Weights::init(&context, &plan, 3).unwrap();
    let session = Session::new(&context, plan, &weights).unwrap();
    let pixels: Vec<f32> = (0..512).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    session.write("x", &Array::from_f32([8, 1, 8, 8], &pixels).unwrap()).unwrap();
    session.write("label", &Array::from_u32([8], &[0, 1, 2, 3, 4, 5, 6, 7]).unwrap()).unwrap();

    let mut losses = Vec::new();
    let mut pending = std::collections::VecDeque::new();
    let mut allocations = 0;
    for step in 0..20 {
        session.run().unwrap();
        pending.push_back(session.fetch("loss").unwrap());
        if pending.len() > 3 {
            losses.push(pending.pop_front().unwrap().wait().unwrap().to_f32()[0]);
        }
        if step == 5 {
            allocations = context.allocations();
        }
    }
    assert_eq!(context.allocations(), allocations, "buffers were made after the first steps");
    assert_eq!(losses.len(), 17);
    assert!(losses[16] < losses[0], "{losses:?}");
    // An async read sees the last step.
    let last = pollster::block_on(session.read("loss")).unwrap().to_f32()[0];
    assert_eq!(last, session.read_blocking("loss").unwrap().to_f32()[0]);
    assert!(!losses.contains(&last), "{last} was read before");
}

#[test]
fn a_process_may_end_while_kernels_run() {
    const CHILD: &str = "WGRAD_TEST_ENDS";
    if std::env::var_os(CHILD).is_some() {
        let graph = Graph::new(Mode::Infer);
        let x = graph.parameter("x", [512, 512], Init::normal(0.01));
        let y = (0..20).fold(x.clone(), |y, _| y.matmul(&x));
        let plan = graph.plan(&[("y", &y)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 1).unwrap();
        Session::new(context(), plan, &weights).unwrap().run().unwrap();
        std::process::exit(0); // the context is in a static, and nothing has waited for it
    }
    let this = std::env::current_exe().unwrap();
    let name = "interop::a_process_may_end_while_kernels_run";
    let output = std::process::Command::new(this).args(["--exact", name, "--nocapture"]).env(CHILD, "1").output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

/// An app's device with what the library could use.
fn full_device() -> (wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let descriptor = wgpu::DeviceDescriptor {
        required_features: wgrad::gpu::required_features(&adapter),
        required_limits: wgrad::gpu::required_limits(&adapter),
        ..Default::default()
    };
    pollster::block_on(adapter.request_device(&descriptor)).unwrap()
}

/// What a small network makes of ones, on a context of its own.
fn ones(context: &Context) -> Vec<f32> {
    let graph = Graph::new(Mode::Infer);
    let y = graph.input("x", [4]).exp().softmax(-1);
    let plan = graph.plan(&[("y", &y)], context.target()).unwrap();
    let weights = Weights::init(context, &plan, 0).unwrap();
    let session = Session::new(context, plan, &weights).unwrap();
    session.write("x", &Array::from_f32([4], &[1.0; 4]).unwrap()).unwrap();
    session.run().unwrap();
    session.read_blocking("y").unwrap().to_f32()
}

#[test]
fn compiled_pipelines_are_kept_when_asked_and_a_damaged_file_is_replaced() {
    let (device, queue) = app_device();
    let context = Context::from_wgpu(device, queue).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = context.keep_pipelines(folder.path()).unwrap_err();
    assert!(error.to_string().contains("this device has no pipeline caches"), "{error}");

    let files = || -> Vec<std::path::PathBuf> {
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let run = || {
        let (device, queue) = full_device();
        let context = Context::from_wgpu(device, queue).unwrap();
        if let Err(error) = context.keep_pipelines(folder.path()) {
            // Backends without such caches say so, and compute all the same.
            assert!(error.is_device(), "{error}");
        }
        assert_eq!(ones(&context), [0.25; 4]);
        files()
    };
    assert!(files().is_empty());
    let kept = run();
    if context.device().adapter_info().backend == wgpu::Backend::Vulkan {
        assert_eq!(kept.len(), 1, "{kept:?}");
        let whole = std::fs::read(&kept[0]).unwrap();
        std::fs::write(&kept[0], &whole[..whole.len() - 1]).unwrap();
        assert_eq!(run(), kept);
        assert_eq!(std::fs::read(&kept[0]).unwrap().len(), whole.len(), "the damaged file is replaced");
    }
}

#[test]
fn compilation_reports_its_progress_once_for_each_kernel() {
    use std::sync::{Arc, Mutex};
    let (device, queue) = app_device();
    for context in [Context::from_wgpu(device, queue).unwrap(), pollster::block_on(Context::new()).unwrap()] {
        let told: Arc<Mutex<Vec<(usize, usize)>>> = Arc::default();
        let listener = told.clone();
        context.on_progress(move |progress| listener.lock().unwrap().push((progress.done, progress.total)));
        ones(&context);
        let mut told = std::mem::take(&mut *told.lock().unwrap());
        told.sort_unstable();
        let total = told[0].1;
        assert!(total > 0);
        assert_eq!(told, (0..=total).map(|done| (done, total)).collect::<Vec<_>>());
    }
}

#[test]
fn kernels_that_read_words_or_textures_compute_the_same_bits() {
    use wgrad::{
        catalogue::{Size, entries},
        kernel::Target,
    };
    let with_words = context();
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).unwrap();
    let is_mesas = adapter.get_info().driver == "llvmpipe";
    assert_eq!(with_words.target().textures > 0, is_mesas);
    if !with_words.target().int64 || !is_mesas {
        println!("SKIPPED: only Mesa's software driver reads words and textures");
        return;
    }
    let descriptor = wgpu::DeviceDescriptor {
        required_features: wgrad::gpu::required_features(&adapter) - wgpu::Features::SHADER_INT64,
        required_limits: wgrad::gpu::required_limits(&adapter),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let without = Context::from_wgpu(device, queue).unwrap();
    assert!(!without.target().int64);
    let mut compared = 0;
    for entry in entries() {
        let mut example = entry.example(Size::Small, DType::F32);
        let mut tensors = example.gradients();
        if example.graph().check().is_err() {
            (example, tensors) = (entry.example(Size::Small, DType::F32), Vec::new());
        }
        tensors.extend(example.outputs().iter().cloned());
        let names: Vec<String> = (0..tensors.len()).map(|i| i.to_string()).collect();
        let outputs: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&tensors).collect();
        let by_textures = with_words.target();
        // The rules for tiles depend on it; these have the same bits however they are cut.
        let by_buffers = |context: &Context| Target { textures: 0, ..context.target().clone() };
        let ways =
            [(with_words, by_textures.clone()), (with_words, by_buffers(with_words)), (&without, by_buffers(&without))];
        let results = ways.map(|(context, target)| {
            let plan = example.graph().plan(&outputs, &target).unwrap();
            let weights = Weights::init(context, &plan, 1).unwrap();
            let session = Session::new(context, plan, &weights).unwrap();
            example.fill(&session, 1).unwrap();
            session.run().unwrap();
            names.iter().map(|name| session.read_blocking(name).unwrap().bytes().to_vec()).collect::<Vec<_>>()
        });
        assert!(results[0] == results[1] && results[1] == results[2], "{}", entry.name);
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}

#[test]
fn what_is_updated_in_place_is_the_same_however_it_is_read() {
    use wgrad::{kernel::Target, optim::Adam};
    let graph = Graph::new(Mode::Train);
    let x = graph.input("x", [33, 20]);
    // A bias of a length that is no multiple of four, and a weight that is updated by the product of its gradient.
    let y = x.matmul(&graph.parameter("w", [20, 64], Init::normal(0.5))).gelu();
    let y = y.matmul(&graph.parameter("v", [64, 7], Init::normal(0.5))) + graph.parameter("b", [7], Init::normal(0.5));
    let loss = y.square().mean_all();
    Adam::new(0.01).minimise(&loss);
    let target = context().target();
    let results = [target.clone(), Target { textures: 0, ..target.clone() }].map(|target| {
        let plan = graph.plan(&[("loss", &loss)], &target).unwrap();
        let weights = Weights::init(context(), &plan, 1).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        let numbers: Vec<f32> = (0..33 * 20).map(|i| ((i * 29) % 83) as f32 / 83.0 - 0.5).collect();
        session.write("x", &Array::from_f32([33, 20], &numbers).unwrap()).unwrap();
        session.run_times(3).unwrap();
        let names = weights.variables().into_iter().map(|variable| variable.name);
        names.map(|name| (name.clone(), weights.read(&name).unwrap().bytes().to_vec())).collect::<Vec<_>>()
    });
    assert!(results[0].len() >= 9);
    assert_eq!(results[0], results[1]);
}

#[test]
fn an_apps_buffer_may_stand_beside_what_is_read_as_textures() {
    let (device, queue) = app_device();
    let context = Context::from_wgpu(device.clone(), queue.clone()).unwrap();
    let graph = Graph::new(Mode::Infer);
    let x = graph.input("x", [192, 160]);
    // Read by several kernels, by some together with memory of the library.
    let w = graph.parameter("w", [160, 96], Init::normal(1.0));
    let y = x.matmul(&w).square().sum_all() + x.softmax(1).matmul(&w).exp().mean_all();
    let plan = graph.plan(&[("y", &y)], context.target()).unwrap();
    let weights = Weights::init(&context, &plan, 3).unwrap();
    let mut session = Session::new(&context, plan, &weights).unwrap();
    let numbers: Vec<f32> = (0..192 * 160).map(|i| ((i * 37) % 101) as f32 / 101.0).collect();
    session.write("x", &Array::from_f32([192, 160], &numbers).unwrap()).unwrap();
    session.run().unwrap();
    let expected = session.read_blocking("y").unwrap().to_f32();
    for usage in [wgpu::BufferUsages::empty(), wgpu::BufferUsages::COPY_SRC, wgpu::BufferUsages::empty()] {
        let buffer = app_buffer(&device, 192 * 160 * 4, wgpu::BufferUsages::STORAGE | usage);
        queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&numbers));
        session.bind("x", &buffer).unwrap();
        session.run().unwrap();
        assert_eq!(session.read_blocking("y").unwrap().to_f32(), expected, "{usage:?}");
    }
}
