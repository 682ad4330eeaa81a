//! The clipboard: text for whoever pastes, and secrets that leave it again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arboard::Clipboard as System;
use ormesh_core::ipc::Confidential;
use ormesh_core::model::problem::{Code, Problem};
use zeroize::Zeroizing;

/// How long a secret stays.
const STAY: Duration = Duration::from_secs(60);

/// The system's clipboard. On Linux what was copied is served by this process, so the connection is kept.
#[derive(Clone, Default)]
pub(crate) struct Clipboard(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    system: Option<System>,
    secret: Option<Confidential>,
    /// Counts the copies: the end of one's time must not clear the next.
    copies: u64,
}

impl Clipboard {
    /// Copies what is no secret.
    pub(crate) fn copy(&self, text: &str) -> Result<(), Problem> {
        let mut inner = self.lock();
        inner.copies += 1;
        inner.secret = None;
        inner.system()?.set_text(text).map_err(failed)
    }

    /// Copies a secret: kept out of clipboard histories that honour it, and cleared after [`STAY`] if it is still there.
    pub(crate) fn copy_secret(&self, text: Confidential) -> Result<(), Problem> {
        let mut inner = self.lock();
        hidden(inner.system()?.set()).text(text.expose()).map_err(failed)?;
        inner.secret = Some(text);
        inner.copies += 1;
        let (copy, clipboard) = (inner.copies, self.clone());
        tauri::async_runtime::spawn(async move {
            tokio::time::sleep(STAY).await;
            let mut inner = clipboard.lock();
            if inner.copies == copy {
                inner.clear();
            }
        });
        Ok(())
    }

    /// Clears a secret that is still there.
    pub(crate) fn clear_secret(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn system(&mut self) -> Result<&mut System, Problem> {
        if self.system.is_none() {
            self.system = Some(System::new().map_err(failed)?);
        }
        Ok(self.system.as_mut().expect("it was just put there"))
    }

    /// Only what we put there is taken away again.
    fn clear(&mut self) {
        let Some(secret) = self.secret.take() else { return };
        let Some(system) = &mut self.system else { return };
        let there = system.get_text().map(Zeroizing::new);
        if there.is_ok_and(|there| there.as_str() == secret.expose())
            && let Err(error) = system.clear()
        {
            tracing::warn!(%error, "failed to clear the clipboard");
        }
    }
}

#[cfg(target_os = "linux")]
fn hidden(set: arboard::Set<'_>) -> arboard::Set<'_> {
    arboard::SetExtLinux::exclude_from_history(set)
}
#[cfg(windows)]
fn hidden(set: arboard::Set<'_>) -> arboard::Set<'_> {
    use arboard::SetExtWindows as _;
    set.exclude_from_history().exclude_from_cloud()
}
#[cfg(target_os = "macos")]
fn hidden(set: arboard::Set<'_>) -> arboard::Set<'_> {
    arboard::SetExtApple::exclude_from_history(set)
}

fn failed(error: arboard::Error) -> Problem {
    Problem::new(Code::SystemFailed, format!("failed to use the clipboard: {error}"))
        .hint("select the text and copy it by hand")
}
