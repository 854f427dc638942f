//! `wgrad generate` and `wgrad translate`.

use super::{Generate, Translate, say};
use crate::{
    error::{Error, ErrorKind},
    generate::Options,
    gpu::Context,
    pretrained::{Directory, TextModel},
};
use serde_json::json;
use std::{
    io::{self, Write},
    ops::ControlFlow,
    path::Path,
};

/// Opens a model of the wanted kind.
fn open(path: &Path, wanted: &str, remedy: &str) -> Result<TextModel, Error> {
    // Before a device is opened: a wrong directory is the likelier mistake.
    let directory = Directory::open(path)?;
    if directory.kind() != wanted {
        let message = format!("{}: holds a {}, not a {wanted}", path.display(), directory.kind());
        return Err(Error::new(ErrorKind::Checkpoint, message).hint(remedy));
    }
    TextModel::open(&pollster::block_on(Context::new())?, path)
}

pub(super) fn generate(model: &Path, options: &Generate) -> Result<(), Error> {
    let prompts: Vec<&String> = options.prompts.iter().chain(&options.prompt).collect();
    if prompts.is_empty() {
        return Err(Error::new(ErrorKind::Data, "a published model needs a text to go on from"));
    }
    let model = open(model, "gpt2", "wgrad translate is for a marian, wgrad embed for a bert")?;
    let wanted = asked(&model, options);
    if options.json {
        let found = model.run(&prompts, wanted)?;
        return say(json!({ "prompts": prompts, "texts": found }));
    }
    for prompt in prompts {
        let mut shown = String::new();
        print(prompt)?;
        let mut failed = Ok(());
        let whole = model.run_with(prompt, wanted.clone(), |text| {
            // Half a character is shown when it is whole.
            let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER);
            let Some(new) = text.strip_prefix(&shown) else { return ControlFlow::Continue(()) };
            failed = print(new);
            text.clone_into(&mut shown);
            if failed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        failed?;
        say(whole.strip_prefix(&shown).unwrap_or_default())?;
    }
    Ok(())
}

/// What is asked for, and what the directory says where nothing is.
fn asked(model: &TextModel, options: &Generate) -> Options {
    let own = model.options();
    let choice = drawn(options, 1.0).map_or(own.choice, |wanted| wanted.choice);
    let most = options.max_new_tokens.unwrap_or(own.max_new_tokens);
    Options { choice, max_new_tokens: most, ..own }
}

/// How tokens are chosen, if anything is said of it; `temperature` is that of drawing where none is given.
pub(super) fn drawn(options: &Generate, temperature: f32) -> Option<Options> {
    if let Some(beams) = options.beams {
        return Some(Options::beam(beams.into()));
    }
    let sampled = options.temperature.is_some() || options.top_k.is_some() || options.top_p.is_some();
    if !sampled && options.seed.is_none() {
        return None;
    }
    let temperature = options.temperature.unwrap_or(temperature);
    let mut wanted = Options::sample(options.seed.unwrap_or(0)).temperature(temperature);
    if let Some(count) = options.top_k {
        wanted = wanted.top_k(count);
    }
    if let Some(sum) = options.top_p {
        wanted = wanted.top_p(sum);
    }
    Some(wanted)
}

pub(super) fn translate(model: &Path, options: &Translate) -> Result<(), Error> {
    let model = open(model, "marian", "wgrad generate is for a gpt2, wgrad embed for a bert")?;
    let own = model.options();
    let choice = match options.beams {
        Some(1) => Options::greedy().choice,
        Some(beams) => Options::beam(beams.into()).choice,
        None => own.choice,
    };
    let most = options.max_new_tokens.unwrap_or(own.max_new_tokens);
    let found = model.run(&options.texts, Options { choice, max_new_tokens: most, ..own })?;
    if options.json {
        return say(json!({ "texts": options.texts, "translations": found }));
    }
    found.iter().try_for_each(say)
}

/// Prints a part of a line at once; a reader that has gone away is no mistake.
fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Data, format!("cannot write to the terminal: {error}")))
        }
        _ => Ok(()),
    }
}
