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
        let named = ["WAYLAND_DISPLAY", "DISPLAY"].into_iter().filter_map(|name| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
            Some(format!("{name}={}", value.display()))
        });
        let named: Vec<String> = named.collect();
        let why = match named.as_slice() {
            [] => "there is no display: neither DISPLAY nor WAYLAND_DISPLAY is set".to_owned(),
            named => format!("the display can't be opened ({})", named.join(", ")),
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
