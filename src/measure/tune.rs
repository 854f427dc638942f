//! Measuring which of several kernels is fastest, for `wgrad tune`.

use crate::{
    data::DType,
    error::{Error, ErrorKind},
    gpu::Context,
    graph::{Graph, Mode},
    kernel::{Choice, Target, Tuning},
    ops::matmul_choices,
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
    /// Each value with its seconds.
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
    let types = [DType::F32, DType::F16];
    for dtype in types.into_iter().filter(|&dtype| dtype == DType::F32 || by_rules.f16) {
        for choice in matmul_choices(dtype, &by_rules) {
            for size in sizes() {
                let seconds = |value: Option<u32>| {
                    let tuning = value.map(|value| Tuning::always(choice, value)).unwrap_or_default();
                    product(context, &Target { tuning: Arc::new(tuning), ..by_rules.clone() }, size, dtype)
                };
                let values = choice.values.iter().map(|&value| Ok((value, seconds(Some(value))?)));
                let tuned = match values.collect::<Result<Vec<_>, Error>>() {
                    // What does not fit the device is not asked of it later either.
                    Err(error) if matches!(error.kind(), ErrorKind::Limit | ErrorKind::Memory) => continue,
                    values => Tuned { choice: *choice, size, rule: seconds(None)?, seconds: values? },
                };
                if let Some(value) = tuned.best() {
                    tuning.set(choice, size, value);
                }
                report(&tuned)?;
            }
        }
        // Software drivers have the same kernels for both types.
        if by_rules.class.is_software() {
            break;
        }
    }
    Ok(tuning)
}

/// The seconds of a product by what a target chooses.
fn product(context: &Context, target: &Target, [m, n, k]: [usize; 3], dtype: DType) -> Result<f64, Error> {
    let graph = Graph::new(Mode::Infer);
    let factor = |name, shape: [usize; 2]| graph.input_of(name, shape, dtype);
    let y = factor("a", [m, k]).matmul(&factor("b", [k, n]));
    let plan = graph.plan(&[("y", &y)], target)?;
    let session = Session::new(context, plan.clone(), &Weights::init(context, &plan, 0)?)?;
    let mut least = f64::INFINITY;
    for _ in 0..RUNS {
        least = least.min(session.seconds()?);
    }
    Ok(least)
}
