//! Whether there is a display for the app to be on. Tauri would end the process in a panic.

use ormesh_core::model::problem::Problem;

/// Looks for it.
///
/// # Errors
///
/// There is none, or it does not answer.
#[cfg(target_os = "linux")]
pub(crate) fn look() -> Result<(), Problem> {
    use ormesh_core::model::problem::Code;

    gtk::init().map_err(|_| {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let why = match is_set("DISPLAY") || is_set("WAYLAND_DISPLAY") {
            true => "the display does not answer that DISPLAY or WAYLAND_DISPLAY names",
            false => "there is no display: neither DISPLAY nor WAYLAND_DISPLAY is set",
        };
        Problem::new(Code::SystemFailed, format!("failed to start the app: {why}"))
            .hint("start it in a desktop session; without one, `ormesh agent run` serves this host")
    })
}

/// Looks for it: there always is one.
#[cfg(not(target_os = "linux"))]
pub(crate) fn look() -> Result<(), Problem> {
    Ok(())
}
