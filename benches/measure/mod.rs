//! What the benchmarks share: medians, and the rooflines of the device, measured in the same run.

use std::time::Instant;
use wgrad::{
    error::Misfit,
    graph::{Emit, Io, Op},
    kernel::{Dispatch, Kernel, Shader, Target},
    prelude::*,
};

/// The median and the least of several runs, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The median.
    pub median: f64,
    /// The least.
    pub min: f64,
}

/// Runs a session until a second is over, at least seven times after two that do not count.
pub fn time(session: &Session) -> Result<Times, Error> {
    let once = || -> Result<f64, Error> {
        let begin = Instant::now();
        session.run()?;
        session.context().wait()?;
        Ok(begin.elapsed().as_secs_f64())
    };
    once()?;
    once()?;
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < 7 || (begin.elapsed().as_secs_f64() < 1.0 && times.len() < 500) {
        times.push(once()?);
    }
    times.sort_by(f64::total_cmp);
    Ok(Times { median: times[times.len() / 2], min: times[0] })
}

/// Plans outputs and every update of a graph, and makes a session with seed 1. Inputs stay zero.
pub fn session(context: &Context, graph: &Graph, outputs: &[(&str, &Tensor)]) -> Result<Session, Error> {
    let plan = graph.plan(outputs, context.target())?;
    let weights = Weights::init(context, &plan, 1)?;
    Session::new(context, plan, &weights)
}

/// The fastest this device copies and computes.
#[derive(Clone, Copy, Debug)]
pub struct Roofline {
    /// Bytes read and written a second.
    pub bytes: f64,
    /// Floating point operations a second, a multiply-add counting as two.
    pub flops: f64,
}

static FMA: Shader = Shader { name: "fma", source: include_str!("../shaders/fma.wgsl") };
const THREADS: usize = 64 * 1024;
const FLOPS_PER_THREAD: u64 = 512 * 2 * 4 * 2;

#[derive(Debug)]
struct FmaChain;

impl Op for FmaChain {
    fn name(&self) -> &'static str {
        "fma_chain"
    }

    fn infer(&self, inputs: &[TensorDesc]) -> Result<Vec<TensorDesc>, Misfit> {
        Ok(inputs.to_vec())
    }

    fn emit(&self, io: &Io, _target: &Target, out: &mut Emit) -> Result<(), Misfit> {
        let kernel = Kernel::new(&FMA, "fma_chain", DType::F32);
        let dispatch = Dispatch::new(kernel).read(io.x(0)).write(io.y(0)).groups((THREADS / 64) as u64);
        out.push(dispatch.cost(FLOPS_PER_THREAD * THREADS as u64, io.bytes()));
        Ok(())
    }
}

impl Roofline {
    /// Measures a copy of 64 MiB and a long chain of multiply-adds.
    pub fn measure(context: &Context) -> Result<Roofline, Error> {
        let graph = Graph::new(Mode::Infer);
        let y = graph.input("x", [16 << 20]) * 1.0;
        let copy = time(&session(context, &graph, &[("y", &y)])?)?;
        let graph = Graph::new(Mode::Infer);
        let y = graph.apply1(FmaChain, &[&graph.input("x", [THREADS])]);
        let compute = time(&session(context, &graph, &[("y", &y)])?)?;
        Ok(Roofline {
            bytes: f64::from(128 << 20) / copy.min,
            flops: (FLOPS_PER_THREAD * THREADS as u64) as f64 / compute.min,
        })
    }

    /// The least time this device could need for so much work.
    pub fn seconds(&self, flops: u64, bytes: u64) -> f64 {
        (flops as f64 / self.flops).max(bytes as f64 / self.bytes)
    }
}

/// Prints the device and its roofline.
pub fn head(context: &Context) -> Result<Roofline, Error> {
    let roofline = Roofline::measure(context)?;
    println!("device    {} ({:?})", context.name(), context.target().class);
    println!(
        "roofline  {:.1} GFLOP/s, {:.1} GB/s copied, measured in this run\n",
        roofline.flops / 1e9,
        roofline.bytes / 1e9
    );
    println!(
        "{:<28} {:>10} {:>10} {:>10} {:>10} {:>9} {:>9}",
        "what", "dispatches", "ms", "GFLOP", "MB", "GFLOP/s", "roofline"
    );
    Ok(roofline)
}

/// Times a session and prints a line of the table.
pub fn row(name: &str, session: &Session, roofline: &Roofline) -> Result<(), Error> {
    let report = session.plan().report();
    let (flops, bytes) = (report.flops(), report.bytes());
    let times = time(session)?;
    println!(
        "{name:<28} {:>10} {:>10.3} {:>10.4} {:>10.2} {:>9.2} {:>8.1}%",
        report.steps.len(),
        times.median * 1e3,
        flops as f64 / 1e9,
        bytes as f64 / 1e6,
        flops as f64 / 1e9 / times.median,
        100.0 * roofline.seconds(flops, bytes) / times.median,
    );
    Ok(())
}
