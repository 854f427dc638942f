//! What the benchmarks share: the rooflines of the device, measured in the same run, and the table.

use criterion::Criterion;
use std::time::{Duration, Instant};
use wgrad::{
    error::Misfit,
    graph::{Emit, Io, Op},
    kernel::{Dispatch, Kernel, Shader, Target},
    prelude::*,
};

/// The least time of several runs, in seconds, after two that do not count.
fn least_time(session: &Session) -> Result<f64, Error> {
    let mut least = f64::INFINITY;
    for run in 0..9 {
        let begin = Instant::now();
        session.run()?;
        session.context().wait()?;
        if run >= 2 {
            least = least.min(begin.elapsed().as_secs_f64());
        }
    }
    Ok(least)
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
        let copy = least_time(&session(context, &graph, &[("y", &y)])?)?;
        let graph = Graph::new(Mode::Infer);
        let y = graph.apply1(FmaChain, &[&graph.input("x", [THREADS])]);
        let compute = least_time(&session(context, &graph, &[("y", &y)])?)?;
        Ok(Roofline { bytes: f64::from(128 << 20) / copy, flops: (FLOPS_PER_THREAD * THREADS as u64) as f64 / compute })
    }

    /// The least time this device could need for so much work.
    pub fn seconds(&self, flops: u64, bytes: u64) -> f64 {
        (flops as f64 / self.flops).max(bytes as f64 / self.bytes)
    }
}

/// Benchmarks by name, and a table of them against the roofline at the end.
pub struct Bench {
    pub context: Context,
    criterion: Criterion,
    roofline: Roofline,
    rows: Vec<String>,
}

impl Bench {
    /// Opens the device and measures its roofline.
    pub fn new() -> Result<Bench, Error> {
        let context = pollster::block_on(Context::new())?;
        let roofline = Roofline::measure(&context)?;
        let criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .configure_from_args();
        Ok(Bench { context, criterion, roofline, rows: Vec::new() })
    }

    /// Times runs of a session, each waited for.
    pub fn row(&mut self, name: &str, session: &Session) -> Result<(), Error> {
        let mut seconds: Vec<f64> = Vec::new();
        let mut failure = None;
        self.criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|runs| {
                let begin = Instant::now();
                for _ in 0..runs {
                    if let Err(error) = session.run().and_then(|()| session.context().wait()) {
                        failure = Some(error);
                    }
                }
                let elapsed = begin.elapsed();
                seconds.push(elapsed.as_secs_f64() / runs as f64);
                elapsed
            });
        });
        if let Some(error) = failure {
            return Err(error);
        }
        seconds.sort_by(f64::total_cmp);
        // Nothing was timed where the command line asks for other names.
        let Some(&median) = seconds.get(seconds.len() / 2) else { return Ok(()) };
        let report = session.plan().report();
        let (flops, bytes) = (report.flops(), report.bytes());
        self.rows.push(format!(
            "{name:<38} {:>10} {:>10.3} {:>10.4} {:>10.2} {:>9.2} {:>8.1}%",
            report.steps.len(),
            median * 1e3,
            flops as f64 / 1e9,
            bytes as f64 / 1e6,
            flops as f64 / 1e9 / median,
            100.0 * self.roofline.seconds(flops, bytes) / median,
        ));
        Ok(())
    }

    /// Prints the table.
    pub fn finish(self) {
        let Roofline { flops, bytes } = self.roofline;
        println!("device    {} ({:?})", self.context.name(), self.context.target().class);
        println!("roofline  {:.1} GFLOP/s, {:.1} GB/s copied, measured in this run\n", flops / 1e9, bytes / 1e9);
        println!(
            "{:<38} {:>10} {:>10} {:>10} {:>10} {:>9} {:>9}",
            "what", "dispatches", "ms", "GFLOP", "MB", "GFLOP/s", "roofline"
        );
        for row in self.rows {
            println!("{row}");
        }
    }
}
