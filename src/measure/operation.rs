//! One operation of the catalogue, forward or with its gradients, timed on the device.

use super::Roofline;
use crate::{
    catalogue::{Entry, Size},
    data::DType,
    error::{Error, ErrorKind},
    gpu::Context,
    graph::Tensor,
    session::{Session, Weights},
};
use std::time::{Duration, Instant};

/// What of an operation is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Its results.
    Forward,
    /// The gradients of all its inputs, and of the results what they need.
    Backward,
}

/// The time of an operation beside what it computes and moves.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// How many kernels run.
    pub dispatches: usize,
    /// Seconds on the device, the median of several runs.
    pub seconds: f64,
    /// Floating point operations.
    pub flops: u64,
    /// Bytes read and written, each value once.
    pub bytes: u64,
    /// The least time the device could need, over the time it took.
    pub share: f64,
}

impl Measurement {
    /// 10⁹ floating point operations a second.
    pub fn gflops(&self) -> f64 {
        self.flops as f64 / self.seconds / 1e9
    }

    /// 10⁹ bytes a second.
    pub fn gigabytes(&self) -> f64 {
        self.bytes as f64 / self.seconds / 1e9
    }
}

/// Times an operation, its inputs filled with random numbers: for about `budget`, at least three runs after one
/// that does not count. `None` where the pass does nothing: a view, or an operation without a gradient.
///
/// # Errors
/// Whatever planning or running it returns; a size that the device refuses is such an error.
pub fn measure(
    context: &Context,
    roofline: &Roofline,
    entry: &Entry,
    size: Size,
    dtype: DType,
    pass: Pass,
    budget: Duration,
) -> Result<Option<Measurement>, Error> {
    let example = entry.example(size, dtype);
    let outputs = match pass {
        Pass::Forward => example.outputs().to_vec(),
        Pass::Backward => {
            let gradients = example.gradients();
            if example.graph().check().is_err_and(|error| error.kind() == ErrorKind::Gradient) {
                return Ok(None);
            }
            gradients
        }
    };
    if outputs.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> = (0..outputs.len()).map(|i| i.to_string()).collect();
    let named: Vec<(&str, &Tensor)> = names.iter().map(String::as_str).zip(&outputs).collect();
    let plan = example.graph().plan(&named, context.target())?;
    let report = plan.report();
    if report.steps.is_empty() {
        return Ok(None);
    }
    let session = Session::new(context, plan.clone(), &Weights::init(context, &plan, 1)?)?;
    example.fill(&session, 1)?;
    session.seconds()?;
    let begin = Instant::now();
    let mut runs = Vec::new();
    while runs.len() < 3 || (begin.elapsed() < budget && runs.len() < 100) {
        runs.push(session.seconds()?);
    }
    runs.sort_by(f64::total_cmp);
    let seconds = runs[runs.len() / 2];
    let (flops, bytes) = (report.flops(), report.bytes());
    let share = roofline.share(flops, bytes, seconds);
    Ok(Some(Measurement { dispatches: report.steps.len(), seconds, flops, bytes, share }))
}
