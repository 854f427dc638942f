//! `cargo bench --bench cold`: from the start of a process to its first result, with empty caches and again with
//! what the first start left in them. Each start is a process of its own.

mod workloads;

use std::{env, process::Command, time::Instant};
use wgrad::{error::ErrorKind, prelude::*};
use workloads::{Workload, workloads};

/// Starts this program again for one workload, and prints what it says.
fn start(name: &str, what: &str, folder: &std::path::Path) -> Result<(), Error> {
    let fail = |text: String| Error::new(ErrorKind::Data, format!("{name}: {text}"));
    let program = env::current_exe().map_err(|error| fail(error.to_string()))?;
    let begin = Instant::now();
    let output = Command::new(program)
        .args(["--start", name])
        .env("WGRAD_CACHE", folder.join("wgrad"))
        .env("MESA_SHADER_CACHE_DIR", folder.join("mesa"))
        .output()
        .map_err(|error| fail(error.to_string()))?;
    let seconds = begin.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(fail(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    println!("{name:<20} {what:<8} {seconds:>9.2}  {}", String::from_utf8_lossy(&output.stdout).trim_end());
    Ok(())
}

/// One start: everything from opening the device to the first result.
fn first_result(workload: &Workload) -> Result<(), Error> {
    let mut seconds = Vec::new();
    let mut begin = Instant::now();
    let mut lap = || {
        seconds.push(begin.elapsed().as_secs_f64());
        begin = Instant::now();
    };
    let context = pollster::block_on(Context::new())?;
    lap();
    let (graph, output) = (workload.build)();
    let plan = graph.plan(&[("output", &output)], context.target())?;
    let report = plan.report();
    lap();
    let weights = Weights::init(&context, &plan, 1)?;
    lap();
    let session = Session::new(&context, plan, &weights)?;
    lap();
    session.run()?;
    session.read_blocking("output")?;
    lap();
    let laps: Vec<String> = seconds.iter().map(|seconds| format!("{seconds:>8.3}")).collect();
    let megabytes = report.memory.total() as f64 / 1e6;
    println!("{}  {:>5} {:>5} {megabytes:>8.1}", laps.join(" "), report.steps.len(), report.pipelines);
    Ok(())
}

fn main() -> Result<(), Error> {
    let words: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [flag, name] = &words[..]
        && flag == "--start"
    {
        let workload = workloads().into_iter().find(|workload| workload.name == name);
        return first_result(&workload.ok_or_else(|| Error::new(ErrorKind::Data, format!("no workload {name:?}")))?);
    }
    println!(
        "{:<20} {:<8} {:>9}  {:>8} {:>8} {:>8} {:>8} {:>8}  {:>5} {:>5} {:>8}",
        "seconds", "caches", "process", "device", "plan", "weights", "session", "result", "disp.", "pipes", "MB"
    );
    for workload in workloads() {
        if words.is_empty() || words.iter().any(|word| workload.name.contains(word.as_str())) {
            let folder = tempfile::tempdir().map_err(|error| Error::new(ErrorKind::Data, error.to_string()))?;
            start(workload.name, "empty", folder.path())?;
            start(workload.name, "kept", folder.path())?;
        }
    }
    Ok(())
}
