//! Lets a software driver finish its work before the process ends.
//!
//! Such a driver runs kernels on threads of its own. A context in a `static` is never dropped, and nothing waits for it:
//! where `main` returns with kernels still at work, the driver takes down its compiler, whose code they run, and the
//! process crashes.

use std::{
    sync::{Mutex, Once, PoisonError, Weak},
    thread::Builder,
};

/// Something that may be at work when the process ends.
pub(super) trait AtWork: Send + Sync {
    /// Waits until it is done.
    fn finish(&self);
}

static ALL: Mutex<Vec<Weak<dyn AtWork>>> = Mutex::new(Vec::new());

unsafe extern "C" {
    /// Of the C library, on every system this is compiled for.
    fn atexit(function: extern "C" fn()) -> std::ffi::c_int;
}

extern "C" fn finish_all() {
    let all = std::mem::take(&mut *ALL.lock().unwrap_or_else(PoisonError::into_inner));
    let wait = move || all.iter().filter_map(Weak::upgrade).for_each(|work| work.finish());
    // This thread has lost its thread-local values, which waiting may need; another has its own. Nobody is left to hear of
    // its panic, or that there is no thread.
    let _ = Builder::new().spawn(wait).map(|thread| thread.join());
}

/// Waits for `work`, if it still exists, when the process ends and before what was loaded until now is taken down.
pub(super) fn wait_for(work: Weak<dyn AtWork>) {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: `finish_all` takes no arguments and does not unwind, as `atexit` asks. Where there is no room for it (a
        // result other than 0) a process ends as it would have without.
        let _ = unsafe { atexit(finish_all) };
    });
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|work| work.strong_count() > 0);
    all.push(work);
}
