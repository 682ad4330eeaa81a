//! The app itself: settings, clipboard, browser, and its end.

use ormesh_core::ipc::Confidential;
use ormesh_core::model::config::Users;
use ormesh_core::model::edit::{Edit, Setting};
use ormesh_core::model::exposure;
use ormesh_core::model::problem::{Code, Problem};
use ormesh_core::model::store_kind::StoreKind;
use serde::Serialize;
use tauri::{AppHandle, Manager as _, State};
use zeroize::Zeroizing;

use super::typed::{parse, usage};
use crate::clipboard::Clipboard;
use crate::host::Host;
use crate::preferences::{self, Closing, Preferences, Told};
use crate::tray::keeper;
use crate::window::{self, Asking};
use crate::{actions, login, qr};

/// The settings as they are.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct Settings {
    /// `127.0.0.1:9250`, or `off`.
    socks_addr: String,
    /// Who may use it.
    #[cfg_attr(test, ts(type = "Users"))]
    socks_users: Users,
    /// The store in use; none before the first secret. It is moved, never set.
    #[cfg_attr(test, ts(type = "StoreKind | null"))]
    secrets: Option<StoreKind>,
    /// Empty where tor is looked for.
    tor_path: String,
    /// One line each, as they are set.
    bridges: Vec<String>,
    start_at_login: bool,
    /// Where the agent that the app started writes its log; empty where there is none.
    log: String,
    /// The configuration file.
    config: String,
    /// Whether there is a tray to come back from.
    tray: bool,
    /// What closing the window does where there is none.
    closing: Closing,
    /// Of what the system's notifications tell.
    told: Told,
    /// Of the app.
    version: &'static str,
}

#[tauri::command]
pub(super) fn settings(
    app: AppHandle,
    host: State<'_, Host>,
    preferences: State<'_, Preferences>,
) -> Result<Settings, Problem> {
    let (config, chosen) = (host.config()?, preferences.chosen());
    Ok(Settings {
        tray: keeper::is_shown(&app),
        closing: chosen.closing,
        told: chosen.told,
        socks_addr: Setting::get(&config, "agent.socks-addr")?,
        socks_users: config.agent.socks_users,
        secrets: config.agent.secrets,
        tor_path: Setting::get(&config, "agent.tor-path")?,
        bridges: config.agent.bridges.iter().map(ToString::to_string).collect(),
        start_at_login: login::is_on()?,
        log: Some(host.log())
            .filter(|log| log.is_file())
            .map(|log| log.display().to_string())
            .unwrap_or_default(),
        config: host.config_path().display().to_string(),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Gives what follows from it, one sentence each.
#[tauri::command]
pub(super) async fn set_setting(
    host: State<'_, Host>,
    key: String,
    value: String,
) -> Result<Vec<String>, Problem> {
    let setting = Setting::parse(&key, value.trim())?;
    let is_of_socks = matches!(setting, Setting::SocksAddr(_) | Setting::SocksUsers(_));
    let mut notes = host.edit(Edit::Set(setting)).await?;
    if is_of_socks {
        let agent = host.config()?.agent;
        notes.extend(agent.socks_addr.and_then(|addr| exposure::of_socks(addr, agent.socks_users)));
    }
    Ok(notes)
}

#[tauri::command]
pub(super) async fn set_start_at_login(app: AppHandle, on: bool) -> Result<(), Problem> {
    login::set(on)?;
    if let Err(error) = keeper::refresh(&app).await {
        tracing::debug!(%error, "no tray to show it");
    }
    Ok(())
}

#[tauri::command]
pub(super) fn copy(clipboard: State<'_, Clipboard>, text: String) -> Result<(), Problem> {
    clipboard.copy(&text)
}

#[tauri::command]
pub(super) fn copy_secret(clipboard: State<'_, Clipboard>, text: Confidential) -> Result<(), Problem> {
    clipboard.copy_secret(text)
}

#[tauri::command]
pub(super) fn open_import(host: State<'_, Host>, listen: String) -> Result<(), Problem> {
    actions::open_address(&host, &parse(&listen, "as in 127.0.0.1:10080")?)
}

/// The text of a QR code in a picture that was given to the window; none where there is no code. `luma` is in base64.
#[tauri::command]
pub(super) async fn read_qr(luma: Confidential, width: usize) -> Result<Option<Confidential>, Problem> {
    let points = data_encoding::BASE64.decode(luma.expose().as_bytes());
    let points = Zeroizing::new(points.map_err(|error| usage(error, ""))?);
    let text = tokio::task::spawn_blocking(move || qr::read(&points, width)).await;
    Ok(text.unwrap_or_default())
}

/// Answers what closing the window means, and remembers it where that is wished.
#[tauri::command]
pub(super) async fn close_window(app: AppHandle, how: Closing, always: bool) -> Result<(), Problem> {
    app.state::<Asking>().end();
    if always {
        app.state::<Preferences>().choose(|chosen| chosen.closing = how)?;
    }
    match how {
        Closing::Ask => {}
        Closing::Stay => {
            let destroyed = app.get_webview_window(window::LABEL).map_or(Ok(()), |window| window.destroy());
            destroyed.map_err(|error| {
                Problem::new(Code::SystemFailed, format!("failed to close the window: {error}"))
            })?;
        }
        Closing::Quit => actions::end(app).await,
    }
    Ok(())
}

/// Chooses what closing the window does where there is no tray.
#[tauri::command]
pub(super) fn set_closing(preferences: State<'_, Preferences>, how: Closing) -> Result<(), Problem> {
    preferences.choose(|chosen| chosen.closing = how).map(drop)
}

/// Chooses what the system's notifications tell.
#[tauri::command]
pub(super) fn set_told(preferences: State<'_, Preferences>, told: Told) -> Result<(), Problem> {
    preferences.choose(|chosen| chosen.told = told).map(drop)
}

/// Shows the window in the next larger or smaller size, by the sign, or in the system's own by 0; gives how large it is now.
#[tauri::command]
pub(super) fn set_zoom(
    app: AppHandle,
    preferences: State<'_, Preferences>,
    step: i8,
) -> Result<f64, Problem> {
    let zoom = preferences::next(preferences.chosen().zoom, step);
    preferences.choose(|chosen| chosen.zoom = zoom)?;
    window::zoom(&app, zoom).map_err(|error| {
        Problem::new(Code::SystemFailed, format!("failed to change the window's size: {error}"))
    })?;
    Ok(zoom)
}

/// Opens the agent's log in the program that shows texts.
#[tauri::command]
pub(super) fn open_log(host: State<'_, Host>) -> Result<(), Problem> {
    actions::open_file(&host.log())
}

/// The same of the configuration.
#[tauri::command]
pub(super) fn open_config(host: State<'_, Host>) -> Result<(), Problem> {
    actions::open_file(host.config_path())
}

#[tauri::command]
pub(super) async fn quit(app: AppHandle) -> Result<(), Problem> {
    actions::end(app).await;
    Ok(())
}
