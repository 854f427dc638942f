//! `cargo bench --bench host`: what a step costs the processor beside the device: recording it, and handing it
//! numbers. Nothing here waits for the device within a measured time.

mod workloads;

use std::time::Instant;
use wgrad::{kernel::Target, prelude::*};
use workloads::workloads;

const RUNS: usize = 200;

/// The least and the median seconds of several calls.
fn times(runs: usize, mut body: impl FnMut() -> Result<(), Error>) -> Result<[f64; 2], Error> {
    let mut seconds = Vec::with_capacity(runs);
    for _ in 0..runs {
        let begin = Instant::now();
        body()?;
        seconds.push(begin.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok([seconds[0], seconds[runs / 2]])
}

fn session(context: &Context, graph: &Graph, output: &Tensor, target: &Target) -> Result<Session, Error> {
    let plan = graph.plan(&[("output", output)], target)?;
    let weights = Weights::init(context, &plan, 1)?;
    Session::new(context, plan, &weights)
}

fn main() -> Result<(), Error> {
    let context = pollster::block_on(Context::new())?;
    println!("recording a step, from a new encoder to the finished commands (least, median of {RUNS})");
    println!("{:<28} {:>10} {:>10} {:>10} {:>12}", "", "dispatches", "us least", "us median", "us/dispatch");
    // With buffers alone, and with what a software driver gets: textures that lie over them.
    let mut ways = vec![("", Target { textures: 0, ..context.target().clone() })];
    if context.target().textures > 0 {
        ways.push((", textures", context.target().clone()));
    }
    let small = workloads().into_iter().filter(|workload| !workload.name.starts_with("alexnet"));
    let rows: Vec<_> = small.collect();
    for (workload, (way, target)) in rows.iter().flat_map(|row| ways.iter().map(move |way| (row, way))) {
        let (graph, output) = (workload.build)();
        let session = session(&context, &graph, &output, target)?;
        let dispatches = session.plan().report().steps.len();
        let [least, median] = times(RUNS, || {
            let mut encoder = context.device().create_command_encoder(&Default::default());
            session.encode(&mut encoder)?;
            drop(encoder.finish());
            Ok(())
        })?;
        let each = least * 1e6 / dispatches as f64;
        let name = format!("{}{way}", workload.name);
        println!("{name:<28} {dispatches:>10} {:>10.1} {:>10.1} {each:>12.3}", least * 1e6, median * 1e6);
    }

    println!("\nhanding an input over: `Session::write`, and a belt of mapped buffers that are used again");
    println!("{:<20} {:>12} {:>12} {:>12}", "", "copy GB/s", "write GB/s", "belt GB/s");
    for megabytes in [0.0625, 1.0, 16.0] {
        let count = (megabytes * f64::from(1 << 18)) as usize;
        let graph = Graph::new(Mode::Infer);
        let y = graph.input("x", [count]).slice(0, 0..1) + 1.0;
        let session = session(&context, &graph, &y, context.target())?;
        let array = Array::from_f32([count], &vec![1.0; count])?;
        let settle = || session.run().and_then(|()| context.wait());
        let rate = |seconds: f64| array.bytes().len() as f64 / seconds / 1e9;

        let mut room = vec![0_u8; array.bytes().len()];
        let [copy, _] = times(20, || {
            room.copy_from_slice(array.bytes());
            std::hint::black_box(&room);
            Ok(())
        })?;
        let mut writes = Vec::new();
        for _ in 0..20 {
            writes.push(times(1, || session.write("x", &array))?[0]);
            settle()?;
        }
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::STORAGE;
        let size = array.bytes().len() as u64;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let target = context.device().create_buffer(&descriptor);
        let mut belt = wgpu::util::StagingBelt::new(context.device().clone(), size);
        let mut belts = Vec::new();
        for _ in 0..20 {
            belts.push(
                times(1, || {
                    let mut encoder = context.device().create_command_encoder(&Default::default());
                    if let Some(size) = wgpu::BufferSize::new(size) {
                        belt.write_buffer(&mut encoder, &target, 0, size).copy_from_slice(array.bytes());
                    }
                    belt.finish();
                    context.queue().submit([encoder.finish()]);
                    belt.recall();
                    Ok(())
                })?[0],
            );
            context.wait()?;
        }
        let median = |seconds: &mut Vec<f64>| {
            seconds.sort_by(f64::total_cmp);
            seconds[seconds.len() / 2]
        };
        let (write, belt) = (median(&mut writes), median(&mut belts));
        let name = format!("{megabytes} MiB");
        println!("{name:<20} {:>12.2} {:>12.2} {:>12.2}", rate(copy), rate(write), rate(belt));
    }
    Ok(())
}
