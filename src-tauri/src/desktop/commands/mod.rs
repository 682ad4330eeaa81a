//! What the window may ask, as `ui/src/lib/backend.ts` has it: each command checks what it was given by the core's parsers and hands it on.
//!
//! Every one is allowed by name in `capabilities/main.json`, and is named once more in `build.rs` and in [`handler`].

mod agent;
mod app;
#[cfg(test)]
mod bindings;
mod check;
mod mesh;
mod typed;
mod undo;

use tauri::Wry;
use tauri::ipc::Invoke;

/// Hands each call of the window to its command.
pub(crate) fn handler() -> impl Fn(Invoke<Wry>) -> bool + Send + Sync + 'static {
    tauri::generate_handler![
        agent::agent_restart,
        agent::agent_start,
        agent::config_accept,
        agent::config_restore,
        agent::diagnose,
        agent::pause,
        agent::ping,
        agent::resume,
        agent::secrets_forget,
        agent::secrets_migrate,
        agent::secrets_status,
        agent::secrets_unlock,
        agent::state,
        app::close_window,
        app::copy,
        app::copy_secret,
        app::open_config,
        app::open_import,
        app::open_log,
        app::quit,
        app::read_qr,
        app::set_closing,
        app::set_setting,
        app::set_told,
        app::set_zoom,
        app::set_start_at_login,
        app::settings,
        check::check,
        check::suggest_listen,
        mesh::client_add,
        mesh::client_delete,
        mesh::client_rotate,
        mesh::client_token,
        mesh::edit,
        mesh::remote_add,
        mesh::remote_delete,
        mesh::remote_request,
        mesh::served,
    ]
}
