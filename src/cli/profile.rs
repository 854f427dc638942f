//! `wgrad profile`.

use super::{Profile as Options, device, models::Network, say};
use crate::{
    error::{Error, ErrorKind},
    gpu::Context,
    measure::{Profile, Roofline},
    session::{Session, Weights},
};
use serde_json::json;
use std::fs;

pub(super) fn run(options: &Options) -> Result<(), Error> {
    let context = device::open()?;
    let (network, sizes) = (Network::of(&options.model)?, options.sizes.sizes());
    let program = if options.train { network.training(sizes) } else { network.inference(sizes) };
    let plan = program.graph.plan(&[("output", &program.output)], context.target())?;
    let session = Session::new(&context, plan.clone(), &Weights::init(&context, &plan, 1)?)?;
    for (name, numbers) in program.inputs()? {
        session.write(&name, &numbers)?;
    }

    let roofline = Roofline::measure(&context)?;
    let profile = Profile::of(&session, usize::from(options.runs))?;
    table(options, &context, &profile, &roofline)?;
    if let Some(path) = &options.trace {
        let text = profile.trace(context.name()).to_string();
        fs::write(path, text).map_err(|error| {
            Error::new(ErrorKind::Data, format!("profile: cannot write {}: {error}", path.display()))
        })?;
        if !options.json {
            say(format_args!("\n{} shows in ui.perfetto.dev", path.display()))?;
        }
    }
    Ok(())
}

fn table(options: &Options, context: &Context, profile: &Profile, roofline: &Roofline) -> Result<(), Error> {
    let total = profile.seconds();
    let layers = profile.layers(roofline);
    if !options.json {
        let (gflops, gigabytes) = (roofline.flops / 1e9, roofline.bytes / 1e9);
        say(format_args!("device    {} ({:?})", context.name(), context.target().class))?;
        say(format_args!("roofline  {gflops:.1} GFLOP/s, {gigabytes:.1} GB/s copied\n"))?;
        say(format_args!(
            "{:<28} {:>10} {:>10} {:>8} {:>9} {:>8} {:>9}",
            "layer", "dispatches", "ms", "of all", "GFLOP/s", "GB/s", "roofline"
        ))?;
    }
    let mut whole = (0, 0, 0, 0.0);
    for layer in &layers {
        whole = (whole.0 + layer.dispatches, whole.1 + layer.flops, whole.2 + layer.bytes, whole.3 + layer.least);
        let name = if layer.layer.is_empty() { "(no layer)" } else { &layer.layer };
        row(options.json, name, layer.dispatches, layer.seconds, total, (layer.flops, layer.bytes), layer.least)?;
    }
    row(options.json, "(all)", whole.0, total, total, (whole.1, whole.2), whole.3)
}

fn row(
    as_json: bool,
    layer: &str,
    dispatches: usize,
    seconds: f64,
    total: f64,
    (flops, bytes): (u64, u64),
    least: f64,
) -> Result<(), Error> {
    let (gflops, gigabytes) = (flops as f64 / seconds / 1e9, bytes as f64 / seconds / 1e9);
    if as_json {
        return say(json!({
            "layer": layer, "dispatches": dispatches, "seconds": seconds, "flops": flops, "bytes": bytes,
            "gflops": gflops, "gigabytes": gigabytes, "roofline": least / seconds,
        }));
    }
    let (share, roofline) = (100.0 * seconds / total, 100.0 * least / seconds);
    say(format_args!(
        "{layer:<28} {dispatches:>10} {:>10.3} {share:>7.1}% {gflops:>9.2} {gigabytes:>8.2} {roofline:>8.1}%",
        seconds * 1e3
    ))
}
