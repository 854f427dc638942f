//! `wgrad inspect`.

use super::say;
use crate::{checkpoint, error::Error};
use serde_json::json;
use std::path::Path;

pub(super) fn run(file: &Path, as_json: bool) -> Result<(), Error> {
    let contents = checkpoint::inspect(file)?;
    let numbers: usize = contents.tensors.iter().map(|tensor| tensor.shape.numel()).sum();
    let bytes: u64 = contents.tensors.iter().map(|tensor| tensor.bytes).sum();
    if as_json {
        let tensors = contents
            .tensors
            .iter()
            .map(|t| json!({ "name": t.name, "dtype": t.dtype, "shape": t.shape.to_vec(), "bytes": t.bytes }));
        return say(json!({
            "tensors": tensors.collect::<Vec<_>>(), "numbers": numbers, "bytes": bytes, "notes": contents.notes,
        }));
    }
    let width = contents.tensors.iter().map(|tensor| tensor.name.len()).max().unwrap_or(0).max(4);
    say(format_args!("{:<width$}  {:<5} {:>14}  shape", "name", "type", "bytes"))?;
    for tensor in &contents.tensors {
        say(format_args!("{:<width$}  {:<5} {:>14}  {}", tensor.name, tensor.dtype, tensor.bytes, tensor.shape))?;
    }
    for (key, value) in &contents.notes {
        say(format_args!("{key} = {value}"))?;
    }
    say(format_args!("{} tensors, {numbers} numbers, {:.1} MB", contents.tensors.len(), bytes as f64 / 1e6))
}
