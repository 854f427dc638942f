//! What the benchmarks share: criterion's runs, and the table against the roofline of the same run.

use criterion::Criterion;
use std::time::{Duration, Instant};
use wgrad::{kernel::Target, measure::Roofline, prelude::*};

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

    /// Times runs of a graph's outputs and updates, each waited for, once its session is prepared. The session is made
    /// only where the command line asks for the name.
    pub fn row(
        &mut self,
        name: &str,
        graph: &Graph,
        outputs: &[(&str, &Tensor)],
        prepare: impl FnOnce(&Session) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let target = self.context.target().clone();
        self.row_for(&target, name, graph, outputs, prepare)
    }

    /// The same of a plan for a target.
    pub fn row_for(
        &mut self,
        target: &Target,
        name: &str,
        graph: &Graph,
        outputs: &[(&str, &Tensor)],
        prepare: impl FnOnce(&Session) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let plan = graph.plan(outputs, target)?;
        let report = plan.report();
        if report.steps.is_empty() {
            return Ok(());
        }
        let context = self.context.clone();
        let make = || {
            let weights = Weights::init(&context, &plan, 1)?;
            let session = Session::new(&context, plan, &weights)?;
            prepare(&session)?;
            Ok(session)
        };
        let (mut make, mut made) = (Some(make), None);
        let mut seconds: Vec<f64> = Vec::new();
        let mut failure = None;
        self.criterion.bench_function(name, |bencher| {
            if let Some(make) = make.take() {
                made = make().map_err(|error| failure = Some(error)).ok();
            }
            bencher.iter_custom(|runs| {
                let begin = Instant::now();
                for _ in 0..runs {
                    let run = |session: &Session| session.run().and_then(|()| session.context().wait());
                    if let Some(Err(error)) = made.as_ref().map(run) {
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
        let (flops, bytes) = (report.flops(), report.bytes());
        self.rows.push(format!(
            "{name:<38} {:>10} {:>10.3} {:>10.4} {:>10.2} {:>9.2} {:>8.1}%",
            report.steps.len(),
            median * 1e3,
            flops as f64 / 1e9,
            bytes as f64 / 1e6,
            flops as f64 / 1e9 / median,
            100.0 * self.roofline.share(flops, bytes, median),
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
