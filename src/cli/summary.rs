//! `wgrad summary`.

use super::{Summary, models::Network, say};
use crate::{data::DType, error::Error, kernel::Target, plan::Plan};
use serde_json::{Value, json};
use std::collections::HashMap;

pub(super) fn run(options: &Summary) -> Result<(), Error> {
    let (network, sizes) = (Network::of(&options.model)?, options.sizes.sizes());
    let (inference, training) = (network.inference(sizes), network.training(sizes));
    let graph = &inference.graph;
    // What a device without any optional feature would do: no device is opened.
    let target = Target {
        f16: sizes.dtype == DType::F16,
        max_binding_bytes: u64::from(u32::MAX),
        max_buffer_bytes: u64::MAX,
        ..Target::baseline()
    };
    let infer = graph.plan(&[("output", &inference.output)], &target)?;
    let train = training.graph.plan(&[("loss", &training.output)], &target)?;

    let mut flops: HashMap<String, u64> = HashMap::new();
    for step in infer.report().steps {
        *flops.entry(step.layer).or_default() += step.flops;
    }
    let layers = graph.layers();
    let parameters: usize = layers.iter().map(|layer| layer.parameters).sum();
    let of = |layer: &str| flops.get(layer).copied().unwrap_or(0);
    if options.json {
        let rows = layers.iter().map(|layer| {
            json!({
                "layer": *layer.layer, "output": layer.output.shape.to_vec(), "parameters": layer.parameters,
                "flops": of(&layer.layer),
            })
        });
        let rows: Vec<Value> = rows.collect();
        return say(
            json!({ "layers": rows, "parameters": parameters, "inference": whole(&infer), "training": whole(&train) }),
        );
    }
    say(format_args!("{:<28} {:<24} {:>14} {:>12}", "layer", "output", "parameters", "MFLOP"))?;
    for layer in &layers {
        let mflop = of(&layer.layer) as f64 / 1e6;
        let output = layer.output.to_string();
        say(format_args!("{:<28} {output:<24} {:>14} {mflop:>12.3}", layer.layer, layer.parameters))?;
    }
    say(format_args!("\n{parameters} parameters, batch {}", sizes.batch))?;
    for (what, plan) in [("inference", &infer), ("a training step (AdamW)", &train)] {
        let (report, memory) = (plan.report(), plan.memory());
        say(format_args!(
            "{what}: {:.3} GFLOP in {} dispatches of {} kernels, {:.1} MB: {:.1} parameters, {:.1} state, {:.1} activations",
            report.flops() as f64 / 1e9,
            report.steps.len(),
            report.pipelines,
            memory.total() as f64 / 1e6,
            memory.parameters as f64 / 1e6,
            memory.state as f64 / 1e6,
            memory.activations as f64 / 1e6,
        ))?;
    }
    Ok(())
}

fn whole(plan: &Plan) -> Value {
    let (report, memory) = (plan.report(), plan.memory());
    json!({
        "flops": report.flops(), "bytes_moved": report.bytes(), "dispatches": report.steps.len(),
        "pipelines": report.pipelines,
        "memory": {
            "total": memory.total(), "parameters": memory.parameters, "state": memory.state, "inputs": memory.inputs,
            "outputs": memory.outputs, "activations": memory.activations, "uniforms": memory.uniforms, "readback": memory.readback,
        },
    })
}
