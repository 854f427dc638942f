//! Measuring which of several kernels is fastest, for `wgrad tune`.

use crate::{
    data::DType,
    error::{Error, ErrorKind},
    gpu::Context,
    graph::{Graph, Mode},
    kernel::{Choice, Target, Tuning},
    ops::matmul_choices,
    plan::Plan,
    session::{Session, Weights},
};
use std::sync::Arc;

/// What is gained at least where a table says something else than the rules.
const WORTH: f64 = 0.97;

/// Of how many runs the fastest counts.
const RUNS: usize = 7;

/// What was measured for one choice and size.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The choice.
    pub choice: Choice,
    /// Rows, columns and sums of the product.
    pub size: [usize; 3],
    /// Seconds by the rules.
    pub rule: f64,
    /// Each value that is another one than the rules' with its seconds.
    pub seconds: Vec<(u32, f64)>,
}

impl Tuned {
    /// The fastest value, where it is worth an entry.
    pub fn best(&self) -> Option<u32> {
        let best = self.seconds.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
        (best.1 < WORTH * self.rule).then_some(best.0)
    }
}

/// Measures products of all sizes that are powers of four up to `largest` on a device, and returns the table of what
/// is faster than the rules of planning. `report` gets each measurement when it is done.
///
/// # Errors
/// Any error of the device, or of `report`.
pub fn tune(
    context: &Context,
    largest: usize,
    mut report: impl FnMut(&Tuned) -> Result<(), Error>,
) -> Result<Tuning, Error> {
    let by_rules = Target { tuning: Arc::default(), ..context.target().clone() };
    let sides: Vec<usize> = (2..16).map(|power| 4_usize.pow(power)).filter(|&side| side <= largest).collect();
    let sizes = || {
        let pairs = sides.iter().flat_map(|&m| sides.iter().map(move |&n| (m, n)));
        pairs.flat_map(|(m, n)| sides.iter().map(move |&k| [m, n, k]))
    };
    let mut tuning = Tuning::default();
    let mut measured: Vec<&Choice> = Vec::new();
    let types = [DType::F32, DType::F16];
    for dtype in types.into_iter().filter(|&dtype| dtype == DType::F32 || by_rules.f16) {
        for choice in matmul_choices(dtype, &by_rules) {
            if measured.contains(&choice) {
                continue;
            }
            measured.push(choice);
            for size in sizes() {
                match compare(context, &by_rules, choice, size, dtype) {
                    Ok(None) => {}
                    Ok(Some(tuned)) => {
                        if let Some(value) = tuned.best() {
                            tuning.set(choice, size, value);
                        }
                        report(&tuned)?;
                    }
                    // What does not fit the device is not asked of it later either.
                    Err(error) if matches!(error.kind(), ErrorKind::Limit | ErrorKind::Memory) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(tuning)
}

/// Times a product by the rules and by each value that makes another plan of it; none where no value does.
fn compare(
    context: &Context,
    by_rules: &Target,
    choice: &Choice,
    size: [usize; 3],
    dtype: DType,
) -> Result<Option<Tuned>, Error> {
    let rule = product(by_rules, size, dtype)?;
    let mut others = Vec::new();
    for &value in choice.values {
        let mut tuning = Tuning::default();
        tuning.set(choice, size, value);
        let plan = product(&Target { tuning: Arc::new(tuning), ..by_rules.clone() }, size, dtype)?;
        if !plan.kernels().eq(rule.kernels()) {
            others.push((value, plan));
        }
    }
    if others.is_empty() {
        return Ok(None);
    }
    let (rule, mut seconds) = (least(context, rule)?, Vec::new());
    for (value, plan) in others {
        seconds.push((value, least(context, plan)?));
    }
    Ok(Some(Tuned { choice: *choice, size, rule, seconds }))
}

/// A product as a target plans it.
fn product(target: &Target, [m, n, k]: [usize; 3], dtype: DType) -> Result<Plan, Error> {
    let graph = Graph::new(Mode::Infer);
    let y = graph.input_of("a", [m, k], dtype).matmul(&graph.input_of("b", [k, n], dtype));
    graph.plan(&[("y", &y)], target)
}

/// The least seconds of some runs.
fn least(context: &Context, plan: Plan) -> Result<f64, Error> {
    let weights = Weights::init(context, &plan, 0)?;
    let session = Session::new(context, plan, &weights)?;
    let mut least = f64::INFINITY;
    for _ in 0..RUNS {
        least = least.min(session.seconds()?);
    }
    Ok(least)
}
