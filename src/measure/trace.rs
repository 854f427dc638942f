//! A profile as a trace file that Perfetto (ui.perfetto.dev) and chrome://tracing show.

use super::Profile;
use serde_json::{Value, json};

impl Profile {
    /// The Trace Event Format: one slice for each dispatch, and above it one for each stretch of dispatches
    /// of the same layer.
    pub fn trace(&self, device: &str) -> Value {
        let micros = |seconds: f64| seconds * 1e6;
        let name = |what: &str, thread: u32, name: &str| json!({ "ph": "M", "pid": 1, "tid": thread, "name": what, "args": { "name": name } });
        let mut events = vec![
            name("process_name", 0, device),
            name("thread_name", 1, "layers"),
            name("thread_name", 2, "dispatches"),
        ];
        for stretch in self.steps.chunk_by(|a, b| a.layer == b.layer) {
            let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else { continue };
            let end = last.timing.begin + last.timing.seconds;
            events.push(json!({
                "ph": "X", "pid": 1, "tid": 1, "cat": "layer",
                "name": if first.layer.is_empty() { "(no layer)" } else { &first.layer },
                "ts": micros(first.timing.begin), "dur": micros(end - first.timing.begin),
            }));
        }
        for step in &self.steps {
            events.push(json!({
                "ph": "X", "pid": 1, "tid": 2, "cat": "dispatch", "name": step.operations,
                "ts": micros(step.timing.begin), "dur": micros(step.timing.seconds),
                "args": {
                    "kernel": step.kernel, "layer": step.layer, "flops": step.flops, "bytes": step.bytes,
                    "GFLOP/s": step.flops as f64 / step.timing.seconds / 1e9,
                    "GB/s": step.bytes as f64 / step.timing.seconds / 1e9,
                },
            }));
        }
        json!({ "displayTimeUnit": "ms", "traceEvents": events })
    }
}
