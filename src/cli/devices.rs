//! `wgrad devices`.

use super::say;
use crate::{
    error::Error,
    gpu::{AdapterReport, adapters, no_adapter},
};
use serde_json::json;

pub(super) fn list(as_json: bool) -> Result<(), Error> {
    let found = pollster::block_on(adapters());
    if as_json {
        return say(serde_json::Value::Array(found.iter().map(to_json).collect()));
    }
    if found.is_empty() {
        return Err(no_adapter(None, &[]));
    }
    for AdapterReport { name, backend, driver, target } in found {
        let yes = |has| if has { "yes" } else { "no" };
        say(format_args!(
            "{name}\n  backend            {backend} ({driver})\n  class              {:?}",
            target.class
        ))?;
        say(format_args!("  subgroups          {}\n  16-bit floats      {}", yes(target.subgroups), yes(target.f16)))?;
        let matrices: Vec<String> = target.cooperative.iter().map(ToString::to_string).collect();
        let matrices = if matrices.is_empty() { "no".to_owned() } else { matrices.join(", ") };
        say(format_args!("  cooperative        {matrices}"))?;
        say(format_args!("  largest binding    {} MiB", target.max_binding_bytes >> 20))?;
        say(format_args!("  largest buffer     {} MiB", target.max_buffer_bytes >> 20))?;
        say(format_args!("  storage buffers    {} per kernel", target.max_storage_buffers))?;
        say(format_args!(
            "  workgroup          {} threads, {} KiB",
            target.max_workgroup_threads,
            target.max_workgroup_bytes >> 10
        ))?;
    }
    Ok(())
}

fn to_json(report: &AdapterReport) -> serde_json::Value {
    let target = &report.target;
    json!({
        "name": report.name,
        "backend": report.backend,
        "driver": report.driver,
        "class": format!("{:?}", target.class),
        "features": {
            "subgroups": target.subgroups,
            "f16": target.f16,
            "cooperative": target.cooperative.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "limits": {
            "max_binding_bytes": target.max_binding_bytes,
            "max_buffer_bytes": target.max_buffer_bytes,
            "max_storage_buffers": target.max_storage_buffers,
            "max_workgroup_threads": target.max_workgroup_threads,
            "max_workgroup_bytes": target.max_workgroup_bytes,
            "max_workgroups": target.max_workgroups,
        },
    })
}
