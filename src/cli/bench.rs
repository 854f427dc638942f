//! `wgrad bench`.

use super::{Bench, SizeOption, device, say};
use crate::{
    catalogue::{Entry, Size, entries},
    data::DType,
    error::{Error, ErrorKind},
    measure::{Measurement, Pass, Roofline, measure},
};
use serde_json::json;
use std::time::Duration;

pub(super) fn run(options: &Bench) -> Result<(), Error> {
    let chosen: Vec<&Entry> = match options.names.as_slice() {
        [] => entries().collect(),
        names => entries().filter(|entry| names.iter().any(|name| is_meant(entry, name))).collect(),
    };
    if chosen.is_empty() {
        let message = format!("bench: no operation's name contains {:?}", options.names.join(" or "));
        return Err(Error::new(ErrorKind::Name, message).hint("docs/operations.md lists them"));
    }
    let context = device::open()?;
    let dtype = DType::from(options.dtype);
    if dtype == DType::F16 && !context.target().f16 {
        return Err(Error::new(ErrorKind::Device, "bench: this device has no 16-bit floats (SHADER_F16)"));
    }
    let all = [(SizeOption::Small, Size::Small), (SizeOption::Medium, Size::Medium), (SizeOption::Large, Size::Large)];
    let sizes = all.into_iter().filter(|(name, _)| options.size.is_empty() || options.size.contains(name));
    let sizes: Vec<Size> = sizes.map(|(_, size)| size).collect();

    let roofline = Roofline::measure(&context)?;
    let (gflops, gigabytes) = (roofline.flops / 1e9, roofline.bytes / 1e9);
    let class = format!("{:?}", context.target().class);
    if options.json {
        say(
            json!({ "device": context.name(), "class": class, "roofline": { "gflops": gflops, "gigabytes": gigabytes } }),
        )?;
    } else {
        say(format_args!("device    {} ({class})", context.name()))?;
        say(format_args!("roofline  {gflops:.1} GFLOP/s in f32, {gigabytes:.1} GB/s copied; values are {dtype}\n"))?;
        say(format_args!(
            "{:<28} {:<7} {:<9} {:>10} {:>10} {:>9} {:>8} {:>9}",
            "operation", "size", "pass", "dispatches", "ms", "GFLOP/s", "GB/s", "roofline"
        ))?;
    }
    let budget = Duration::from_millis(options.budget);
    for entry in chosen {
        for &size in &sizes {
            for pass in [Pass::Forward, Pass::Backward] {
                match measure(&context, &roofline, entry, size, dtype, pass, budget) {
                    Ok(Some(found)) => row(options.json, entry, size, pass, &found)?,
                    Ok(None) => {}
                    Err(error) if error.kind() == ErrorKind::Limit => refused(options.json, entry, size, pass, &error)?,
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(())
}

/// Whether a word of the command line means an operation: its name, or, where none has just this name, a part of it.
fn is_meant(entry: &Entry, word: &str) -> bool {
    entry.name == word || (entry.name.contains(word) && entries().all(|other| other.name != word))
}

fn words(size: Size, pass: Pass) -> (String, &'static str) {
    let pass = match pass {
        Pass::Forward => "forward",
        Pass::Backward => "backward",
    };
    (format!("{size:?}").to_lowercase(), pass)
}

fn row(as_json: bool, entry: &Entry, size: Size, pass: Pass, found: &Measurement) -> Result<(), Error> {
    let (size, pass) = words(size, pass);
    if as_json {
        return say(json!({
            "operation": entry.name, "size": size, "pass": pass, "dispatches": found.dispatches, "seconds": found.seconds,
            "flops": found.flops, "bytes": found.bytes, "gflops": found.gflops(), "gigabytes": found.gigabytes(),
            "roofline": found.share,
        }));
    }
    say(format_args!(
        "{:<28} {size:<7} {pass:<9} {:>10} {:>10.3} {:>9.2} {:>8.2} {:>8.1}%",
        entry.name,
        found.dispatches,
        found.seconds * 1e3,
        found.gflops(),
        found.gigabytes(),
        100.0 * found.share
    ))
}

/// A size that the device cannot hold is a line of the table, not the end of it.
fn refused(as_json: bool, entry: &Entry, size: Size, pass: Pass, error: &Error) -> Result<(), Error> {
    let (size, pass) = words(size, pass);
    let text = error.to_string();
    let reason = text.lines().next().unwrap_or_default();
    if as_json {
        return say(json!({ "operation": entry.name, "size": size, "pass": pass, "refused": reason }));
    }
    say(format_args!("{:<28} {size:<7} {pass:<9} {reason}", entry.name))
}
