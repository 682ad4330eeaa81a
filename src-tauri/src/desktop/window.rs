//! The window: made when it is wanted, destroyed when it is closed, and closed to everything that is not ours.

use std::sync::atomic::{AtomicBool, Ordering};

use tauri::webview::NewWindowResponse;
use tauri::{AppHandle, Manager as _, Url, WebviewUrl, WebviewWindowBuilder};

use crate::preferences::Preferences;
use crate::scratch::Scratch;

/// The one window's name, as `capabilities/main.json` has it.
pub(crate) const LABEL: &str = "main";

/// Whether the web view's own private mode keeps what was shown off the disk. On Linux [`Scratch`] alone does: there, Tauri gives
/// the window's files to the first private window only, and each later one would be empty.
const PRIVATE_MODE: bool = cfg!(any(windows, target_os = "macos"));

/// Whether the window asks whether it is to be closed.
#[derive(Default)]
pub(crate) struct Asking(AtomicBool);

impl Asking {
    /// It asks from now on; false where it asked already.
    pub(crate) fn begin(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    /// It has been answered, or is another window.
    pub(crate) fn end(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Shows the window at this size; 1 is as the system wants it.
pub(crate) fn zoom(app: &AppHandle, zoom: f64) -> tauri::Result<()> {
    app.get_webview_window(LABEL).map_or(Ok(()), |window| window.set_zoom(zoom))
}

/// Whether a person is at the window.
pub(crate) fn has_focus(app: &AppHandle) -> bool {
    app.get_webview_window(LABEL).is_some_and(|window| window.is_focused().unwrap_or_default())
}

/// Shows the window, in front. An error is logged: the tray and the agent go on without it.
pub(crate) fn show(app: &AppHandle) {
    let shown = match app.get_webview_window(LABEL) {
        Some(window) => window.unminimize().and_then(|()| window.show()).and_then(|()| window.set_focus()),
        None => make(app),
    };
    if let Err(error) = shown {
        tracing::error!(%error, "failed to show the window");
    }
}

fn make(app: &AppHandle) -> tauri::Result<()> {
    app.state::<Asking>().end();
    WebviewWindowBuilder::new(app, LABEL, WebviewUrl::default())
        .title("ormesh")
        .inner_size(960.0, 720.0)
        .min_inner_size(380.0, 480.0)
        .data_directory(app.state::<Scratch>().dir().to_owned())
        .incognito(PRIVATE_MODE)
        .general_autofill_enabled(false)
        // Files that are dropped go to the page, which looks for an invite in them.
        .disable_drag_drop_handler()
        .on_navigation(is_ours)
        .on_new_window(|_, _| NewWindowResponse::Deny)
        .build()?;
    zoom(app, app.state::<Preferences>().chosen().zoom)
}

/// The address that Tauri serves the window's own files from: `tauri://localhost`, on Windows `http://tauri.localhost`.
fn is_ours(url: &Url) -> bool {
    match url.scheme() {
        "tauri" => url.host_str() == Some("localhost"),
        "http" | "https" => cfg!(windows) && url.host_str() == Some("tauri.localhost"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_goes_nowhere_else() {
        let ours = |url: &str| is_ours(&url.parse().unwrap());

        assert!(ours("tauri://localhost/index.html"));
        for other in [
            "https://example.com/",
            "http://localhost/",
            "file:///etc/passwd",
            "data:text/html,x",
            "tauri://other/",
        ] {
            assert!(!ours(other), "{other}");
        }
    }
}
