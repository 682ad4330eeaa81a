//! Keeps OpenGL out of the app's own process, on Linux.
//!
//! GTK 3 looks at OpenGL when it opens the display. That loads the graphics driver, with Mesa also LLVM: 30 MiB for nothing, since the
//! window is another process, and draws without it, too. GTK can be told by the environment only, so the app starts its own program again, once.

#[cfg(target_os = "linux")]
use std::os::unix::process::CommandExt as _;

/// What tells GTK 3 (gdk.c, `GDK_GL`). Whoever sets it, to whatever, has decided.
#[cfg(target_os = "linux")]
const GTK: &str = "GDK_GL";

/// Becomes the same app without OpenGL; where that can't be done, the app goes on with it.
#[cfg(target_os = "linux")]
pub(crate) fn without_opengl() {
    if std::env::var_os(GTK).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let error =
        std::process::Command::new(program).args(std::env::args_os().skip(1)).env(GTK, "disable").exec();
    tracing::debug!(%error, "the app goes on with OpenGL");
}

/// Nothing is loaded elsewhere.
#[cfg(not(target_os = "linux"))]
pub(crate) fn without_opengl() {}
