//! Tauri's part of the build: what the window may call. Without the feature `desktop` it does nothing.

fn main() {
    println!("cargo::rerun-if-changed=src-tauri/build.rs");
    #[cfg(feature = "desktop")]
    desktop();
}

/// Every command that the window may be allowed; `capabilities/main.json` allows each by name, and an unnamed one is denied.
#[cfg(feature = "desktop")]
const COMMANDS: [&str; 38] = [
    "agent_restart",
    "agent_start",
    "check",
    "client_add",
    "client_delete",
    "client_rotate",
    "client_token",
    "close_window",
    "config_accept",
    "config_restore",
    "copy",
    "copy_secret",
    "diagnose",
    "edit",
    "open_config",
    "open_import",
    "open_log",
    "pause",
    "ping",
    "quit",
    "read_qr",
    "remote_add",
    "remote_delete",
    "remote_request",
    "resume",
    "secrets_forget",
    "secrets_migrate",
    "secrets_status",
    "secrets_unlock",
    "served",
    "set_closing",
    "set_setting",
    "set_start_at_login",
    "set_told",
    "set_zoom",
    "settings",
    "state",
    "suggest_listen",
];

#[cfg(feature = "desktop")]
fn desktop() {
    use std::path::Path;

    println!("cargo::rerun-if-changed=src-tauri/capabilities");
    println!("cargo::rerun-if-changed=ui/dist");
    assert!(
        Path::new("ui/dist/index.html").exists(),
        "the window is not built: run `cargo xtask app`, or `npm ci && npm run build` in ui/"
    );
    let attributes = tauri_build::Attributes::new()
        .capabilities_path_pattern("./src-tauri/capabilities/**/*.json")
        .app_manifest(tauri_build::AppManifest::new().commands(&COMMANDS));
    tauri_build::try_build(attributes).expect("tauri.conf.json and the capabilities are valid");
}
