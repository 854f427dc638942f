//! `wgrad embed`.

use super::{Embed, say};
use crate::{error::Error, gpu::Context, pretrained::SentenceEncoder};
use serde_json::json;

pub(super) fn run(options: &Embed) -> Result<(), Error> {
    // Before a device is opened: a wrong directory is the likelier mistake.
    crate::pretrained::Directory::open(&options.model)?;
    let context = pollster::block_on(Context::new())?;
    let encoder = SentenceEncoder::open_as(&context, &options.model, options.dtype.into())?;
    let vectors = encoder.embed(&options.texts)?;
    if options.json {
        return say(json!({ "embeddings": vectors }));
    }
    if let [vector] = &vectors[..] {
        let numbers: Vec<String> = vector.iter().map(|x| format!("{x:.6}")).collect();
        return say(numbers.join(" "));
    }
    for (i, text) in options.texts.iter().enumerate() {
        say(format_args!("{:>3}  {text}", i + 1))?;
    }
    say(format_args!("\ncosine similarity, of vectors of {} numbers", encoder.width()))?;
    let numbers: Vec<String> = (1..=vectors.len()).map(|i| format!("{i:>7}")).collect();
    say(format_args!("   {}", numbers.concat()))?;
    for (i, a) in vectors.iter().enumerate() {
        let row: Vec<String> = vectors.iter().map(|b| format!("{:>7.3}", cosine(a, b))).collect();
        say(format_args!("{:>3}{}", i + 1, row.concat()))?;
    }
    Ok(())
}

/// The cosine of the angle between two vectors: 0 if one of them is zero.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
}
