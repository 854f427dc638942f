//! How a pass is timed, and the JSON line that says so.

use crate::workload::{Pass, Ready, Workload};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    env, fs,
    str::FromStr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use wgrad::{measure::Profile, prelude::*};

/// Runs that are timed at most.
const MOST_RUNS: usize = 200;

/// A number from the environment.
fn setting<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

/// When the process was started: `BENCH_T0`, nanoseconds since 1970, or now.
pub fn launched() -> SystemTime {
    setting("BENCH_T0").map_or_else(SystemTime::now, |nanoseconds| UNIX_EPOCH + Duration::from_nanos(nanoseconds))
}

/// Milliseconds since a time of the system's clock.
fn since(begin: SystemTime) -> f64 {
    begin.elapsed().unwrap_or_default().as_secs_f64() * 1e3
}

/// A figure of the process in MB, where the system tells.
fn memory(field: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// Milliseconds that all threads of the process have run so far, where the system tells: what a run costs whatever
/// else the machine does.
fn processor_time() -> Option<f64> {
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let of = |thread: fs::DirEntry| -> Option<f64> {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Some(threads.filter_map(|thread| of(thread.ok()?)).sum::<f64>() / 1e6)
}

/// The scheduler's weight of this process's group, where `BENCH_GROUP_NICE` asks for one.
fn weigh(nice: &str) {
    if env::var_os("BENCH_GROUP_NICE").is_some() && fs::write("/proc/self/autogroup", nice).is_err() {
        eprintln!("BENCH_GROUP_NICE: the system does not let this process have it");
    }
}

/// Two decimals of a microsecond are plenty.
fn rounded(x: f64) -> f64 {
    (x * 1e4).round() / 1e4
}

/// The mean absolute value of each checked output.
fn check(ready: &Ready) -> Result<Vec<f64>, Error> {
    let mean = |name: &String| {
        let numbers = ready.session.read_blocking(name)?.to_f32();
        let sum: f64 = numbers.iter().map(|&x| f64::from(x.abs())).sum();
        Ok((sum / numbers.len() as f64 * 1e6).round() / 1e6)
    };
    ready.checked.iter().map(mean).collect()
}

/// One run, the device idle at its end.
fn run(ready: &Ready) -> Result<(), Error> {
    ready.session.run()?;
    ready.session.context().wait()
}

/// Times one pass of a workload.
fn measure(workload: &Workload, pass: Pass, launched: SystemTime) -> Result<Map<String, Value>, Error> {
    let context = pollster::block_on(Context::new())?;
    let ready = (workload.make)(&context, pass)?;
    context.wait()?;
    let (init, begin) = (since(launched), Instant::now());
    run(&ready)?;
    let (first, cold) = (begin.elapsed().as_secs_f64() * 1e3, since(launched));

    let mut checked = check(&ready)?;
    run(&ready)?;
    run(&ready)?;
    if pass.trains() {
        checked.extend(check(&ready)?);
    }

    let lock = env::var_os("BENCH_LOCK").map(|path| fs::File::options().create(true).append(true).open(path));
    if let Some(Ok(file)) = &lock {
        file.lock().unwrap_or_else(|error| eprintln!("BENCH_LOCK: {error}"));
    }
    weigh(&env::var("BENCH_GROUP_NICE").unwrap_or_default());
    let least = setting("BENCH_RUNS").unwrap_or(5_usize).max(1);
    let seconds = setting("BENCH_SECONDS").unwrap_or(1.0_f64);
    let (mut times, all, worked) = (Vec::new(), Instant::now(), processor_time());
    while times.len() < least || (all.elapsed().as_secs_f64() < seconds && times.len() < MOST_RUNS) {
        let begin = Instant::now();
        run(&ready)?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let worked = processor_time().zip(worked).map(|(end, begin)| (end - begin) / times.len() as f64);
    weigh("0");
    drop(lock);
    times.sort_by(f64::total_cmp);

    let report = ready.session.plan().report();
    let line = json!({
        "median_ms": rounded(times[times.len() / 2]),
        "min_ms": rounded(times[0]),
        "max_ms": rounded(times[times.len() - 1]),
        "cpu_ms": worked.map(rounded),
        "runs": times.len(),
        "init_ms": rounded(init),
        "first_ms": rounded(first),
        "cold_ms": rounded(cold),
        "rss_mb": memory("VmRSS").map(rounded),
        "peak_rss_mb": memory("VmHWM").map(rounded),
        "check": checked,
        "dispatches": report.steps.len(),
        "plan_mb": rounded(report.memory.total() as f64 / f64::from(1 << 20)),
        "device": context.name(),
    });
    Ok(match line {
        Value::Object(fields) => fields,
        _ => Map::new(),
    })
}

/// The JSON line of one pass: its figures, or the error that keeps them from being taken.
pub fn line(workload: &Workload, pass: Pass, launched: SystemTime) -> Value {
    let mut fields = measure(workload, pass, launched)
        .unwrap_or_else(|error| Map::from_iter([("error".to_owned(), Value::String(error.to_string()))]));
    let own = [("peer", "wgrad"), ("workload", workload.name), ("pass", pass.name()), ("version", "0.1.0")];
    fields.extend(own.map(|(key, value)| (key.to_owned(), Value::String(value.to_owned()))));
    Value::Object(fields)
}

/// Prints the time of a pass by kernel and operations, the longest first.
pub fn profile(workload: &Workload, pass: Pass) -> Result<(), Error> {
    let context = pollster::block_on(Context::new())?;
    let ready = (workload.make)(&context, pass)?;
    let mut kernels: BTreeMap<(String, String), (usize, f64, u64, u64)> = BTreeMap::new();
    for step in Profile::of(&ready.session, 5)?.steps {
        let sum = kernels.entry((step.kernel, step.operations)).or_default();
        *sum = (sum.0 + 1, sum.1 + step.seconds, sum.2 + step.flops, sum.3 + step.bytes);
    }
    let mut kernels: Vec<_> = kernels.into_iter().collect();
    kernels.sort_by(|(_, a), (_, b)| b.1.total_cmp(&a.1));
    println!(
        "{}:{}\n{:>6} {:>10} {:>9} {:>9}  kernel: operations",
        workload.name,
        pass.name(),
        "count",
        "ms",
        "GFLOP/s",
        "GB/s"
    );
    for ((kernel, operations), (count, seconds, flops, bytes)) in kernels {
        let (flops, bytes) = (flops as f64 / seconds / 1e9, bytes as f64 / seconds / 1e9);
        println!("{count:>6} {:>10.3} {flops:>9.2} {bytes:>9.2}  {kernel}: {operations}", seconds * 1e3);
    }
    Ok(())
}
