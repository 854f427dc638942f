//! The device of a command, with a bar while its kernels are compiled.

use crate::{
    error::Error,
    gpu::{Context, Progress},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long compilation goes on without a word.
const SILENT: Duration = Duration::from_secs(1);

/// Opens the device. Where it compiles kernels for longer than a second, a bar on the terminal says how many.
pub(super) fn open() -> Result<Context, Error> {
    let context = pollster::block_on(Context::new())?;
    let state: Mutex<Option<(Instant, ProgressBar)>> = Mutex::new(None);
    context.on_progress(move |Progress { done, total }| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let (begin, bar) = state.get_or_insert_with(|| (Instant::now(), ProgressBar::hidden()));
        if bar.is_hidden() && begin.elapsed() > SILENT && done < total {
            *bar = ProgressBar::new(total as u64).with_message("kernels compiled, kept for the next time");
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} {msg}  {eta} left") {
                bar.set_style(style);
            }
        }
        bar.set_position(done as u64);
        if done >= total {
            bar.finish_and_clear();
            *state = None;
        }
    });
    Ok(context)
}
