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

pub(super) fn generate(options: &Generate) -> Result<(), Error> {
    let model = open(&options.model, "gpt2", "wgrad translate is for a marian, wgrad embed for a bert")?;
    let wanted = asked(&model, options);
    if options.json {
        let found = model.run(&options.prompts, wanted)?;
        return say(json!({ "prompts": options.prompts, "texts": found }));
    }
    for prompt in &options.prompts {
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
    let sampled = options.temperature.is_some() || options.top_k.is_some() || options.top_p.is_some();
    let choice = match (options.beams, sampled || options.seed.is_some()) {
        (Some(beams), _) => Options::beam(beams.into()).choice,
        (None, true) => {
            let mut wanted = Options::sample(options.seed.unwrap_or(0)).temperature(options.temperature.unwrap_or(1.0));
            if let Some(count) = options.top_k {
                wanted = wanted.top_k(count);
            }
            if let Some(sum) = options.top_p {
                wanted = wanted.top_p(sum);
            }
            wanted.choice
        }
        (None, false) => own.choice,
    };
    let most = options.max_new_tokens.unwrap_or(own.max_new_tokens);
    Options { choice, max_new_tokens: most, ..own }
}

pub(super) fn translate(options: &Translate) -> Result<(), Error> {
    let model = open(&options.model, "marian", "wgrad generate is for a gpt2, wgrad embed for a bert")?;
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
