//! `wgrad tune`.

use super::{Tune, device, say};
use crate::{
    error::{Error, ErrorKind},
    gpu::cache_folder,
    kernel::Tuning,
    measure::{Tuned, tune},
};

pub(super) fn run(options: &Tune) -> Result<(), Error> {
    let context = device::open()?;
    let folder = cache_folder().ok_or_else(|| {
        Error::new(ErrorKind::Data, "tune: there is no folder for the table").hint("set WGRAD_CACHE to one")
    })?;
    if options.reset {
        let file = context.keep_tuning(&folder, &Tuning::default())?;
        return say(format_args!("{}: empty, planning goes by its rules", file.display()));
    }
    let largest = options.largest.unwrap_or(if context.target().class.is_software() { 1024 } else { 4096 });
    say(format_args!("device    {} ({:?})\n", context.name(), context.target().class))?;
    say(format_args!("{:<22} {:>6} {:>6} {:>6} {:>10}  ms by value", "choice", "m", "n", "k", "rules, ms"))?;
    let tuning = tune(&context, largest, row)?;
    let file = context.keep_tuning(&folder, &tuning)?;
    let sizes = if tuning.len() == 1 { "size is" } else { "sizes are" };
    say(format_args!("\n{} {sizes} faster than by the rules: {}", tuning.len(), file.display()))
}

fn row(tuned: &Tuned) -> Result<(), Error> {
    let [m, n, k] = tuned.size;
    let best = tuned.best();
    let value = |&(value, seconds): &(u32, f64)| {
        let mark = if best == Some(value) { " *" } else { "" };
        format!("{value}: {:.3}{mark}", seconds * 1e3)
    };
    let values: Vec<String> = tuned.seconds.iter().map(value).collect();
    let (name, rule) = (tuned.choice.name, tuned.rule * 1e3);
    say(format_args!("{name:<22} {m:>6} {n:>6} {k:>6} {rule:>10.3}  {}", values.join("  ")))
}
