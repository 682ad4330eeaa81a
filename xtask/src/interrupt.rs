//! Whether someone asked xtask to stop (Ctrl-C, SIGTERM or a closed terminal).
//!
//! Whoever waits asks here, and then ends what it started; nothing is ended from here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

static ASKED: AtomicBool = AtomicBool::new(false);
static LISTENING: OnceLock<()> = OnceLock::new();

/// From now on a signal that asks xtask to stop is noted rather than fatal.
pub(crate) fn listen() -> Result<()> {
    if LISTENING.set(()).is_ok() {
        ctrlc::set_handler(|| ASKED.store(true, Ordering::SeqCst)).context("failed to listen for Ctrl-C")?;
    }
    Ok(())
}

/// Whether a signal has come.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Fails once a signal has come, so that a wait ends and its owner cleans up.
pub(crate) fn check() -> Result<()> {
    if asked() {
        bail!("interrupted")
    }
    Ok(())
}
