//! The window: made at the start of its process, which ends with it, and closed to everything that is not ours.

pub(crate) mod process;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tauri::webview::NewWindowResponse;
use tauri::{AppHandle, Manager as _, Url, WebviewUrl, WebviewWindow, WebviewWindowBuilder};

/// The one window's name, as `capabilities/main.json` has it.
pub(crate) const LABEL: &str = "main";

/// Whether the web view's own private mode keeps what was shown off the disk. On Linux the app's scratch directory alone does:
/// WebKit was seen to write files in private mode, too.
const PRIVATE_MODE: bool = cfg!(any(windows, target_os = "macos"));

/// Whether the window asks whether it is to be closed.
#[derive(Default)]
pub(crate) struct Asking(AtomicBool);

impl Asking {
    /// It asks from now on; false where it asked already.
    pub(crate) fn begin(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    /// It has been answered.
    pub(crate) fn end(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// Shows the window at this size; 1 is as the system wants it.
pub(crate) fn zoom(app: &AppHandle, zoom: f64) -> tauri::Result<()> {
    app.get_webview_window(LABEL).map_or(Ok(()), |window| window.set_zoom(zoom))
}

/// Brings the window to the front. An error is logged: there is nobody to tell it to.
pub(crate) fn show(window: &WebviewWindow) {
    let shown = window.unminimize().and_then(|()| window.show()).and_then(|()| window.set_focus());
    if let Err(error) = shown {
        tracing::error!(%error, "failed to show the window");
    }
}

/// Makes the window. What its web view writes goes to `scratch`.
pub(crate) fn make(app: &AppHandle, scratch: &Path, size: f64) -> tauri::Result<()> {
    WebviewWindowBuilder::new(app, LABEL, WebviewUrl::default())
        .title("ormesh")
        .inner_size(960.0, 720.0)
        .min_inner_size(380.0, 480.0)
        .data_directory(scratch.to_owned())
        .incognito(PRIVATE_MODE)
        .general_autofill_enabled(false)
        // Files that are dropped go to the page, which looks for an invite in them.
        .disable_drag_drop_handler()
        .on_navigation(is_ours)
        .on_new_window(|_, _| NewWindowResponse::Deny)
        .build()?;
    zoom(app, size)
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
