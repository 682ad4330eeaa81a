//! The app itself: settings, clipboard, browser, and its end. What its own process keeps is asked of it.

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
use crate::host::Host;
use crate::link::window::App;
use crate::link::{Known, Wish};
use crate::preferences::{self, Closing, Told};
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
pub(super) fn settings(host: State<'_, Host>, app: State<'_, App>) -> Result<Settings, Problem> {
    let config = host.config()?;
    let Known { tray, chosen, .. } = app.known();
    Ok(Settings {
        tray,
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
pub(super) async fn set_start_at_login(app: State<'_, App>, on: bool) -> Result<(), Problem> {
    login::set(on)?;
    app.wish(Wish::LoginChanged).await
}

#[tauri::command]
pub(super) async fn copy(app: State<'_, App>, text: String) -> Result<(), Problem> {
    app.wish(Wish::Copy(text)).await
}

#[tauri::command]
pub(super) async fn copy_secret(app: State<'_, App>, text: Confidential) -> Result<(), Problem> {
    app.wish(Wish::CopySecret(text)).await
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
pub(super) async fn close_window(
    window: AppHandle,
    app: State<'_, App>,
    how: Closing,
    always: bool,
) -> Result<(), Problem> {
    window.state::<Asking>().end();
    if always {
        app.wish(Wish::Closing(how)).await?;
    }
    match how {
        Closing::Ask => {}
        Closing::Stay => {
            let destroyed =
                window.get_webview_window(window::LABEL).map_or(Ok(()), |window| window.destroy());
            destroyed.map_err(|error| {
                Problem::new(Code::SystemFailed, format!("failed to close the window: {error}"))
            })?;
        }
        Closing::Quit => app.wish(Wish::Quit).await?,
    }
    Ok(())
}

/// Chooses what closing the window does where there is no tray.
#[tauri::command]
pub(super) async fn set_closing(app: State<'_, App>, how: Closing) -> Result<(), Problem> {
    app.wish(Wish::Closing(how)).await
}

/// Chooses what the system's notifications tell.
#[tauri::command]
pub(super) async fn set_told(app: State<'_, App>, told: Told) -> Result<(), Problem> {
    app.wish(Wish::Told(told)).await
}

/// Shows the window in the next larger or smaller size, by the sign, or in the system's own by 0; gives how large it is now.
#[tauri::command]
pub(super) async fn set_zoom(window: AppHandle, app: State<'_, App>, step: i8) -> Result<f64, Problem> {
    let zoom = preferences::next(app.known().chosen.zoom, step);
    app.wish(Wish::Zoom(zoom)).await?;
    window::zoom(&window, zoom).map_err(|error| {
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
pub(super) async fn quit(app: State<'_, App>) -> Result<(), Problem> {
    app.wish(Wish::Quit).await
}
