//! The agent itself: its state, pausing it, asking through it, the store of its secrets, and a configuration that was lost.

use ormesh_core::ipc::{Pong, Request, Response, SecretsStatus};
use ormesh_core::model::layer::Layer;
use ormesh_core::model::name::RemoteName;
use ormesh_core::model::problem::{Problem, catalogue};
use ormesh_core::model::store_kind::StoreKind;
use tauri::State;

use super::typed::{self, parse};
use crate::host::{Host, View};

#[tauri::command]
pub(super) fn state(host: State<'_, Host>) -> View {
    host.view()
}

#[tauri::command]
pub(super) async fn ping(host: State<'_, Host>, remote: String, port: Option<u16>) -> Result<Pong, Problem> {
    let remote: RemoteName = parse(&remote, "as in website")?;
    let port = port.map(typed::port).transpose()?;
    match host.ask(Request::Ping { remote, port }).await? {
        Response::Pong(pong) => Ok(pong),
        _ => Err(catalogue::unexpected_answer()),
    }
}

#[tauri::command]
pub(super) async fn pause(host: State<'_, Host>) -> Result<(), Problem> {
    host.done(Request::Pause).await.map(drop)
}

#[tauri::command]
pub(super) async fn resume(host: State<'_, Host>) -> Result<(), Problem> {
    host.done(Request::Resume).await.map(drop)
}

#[tauri::command]
pub(super) async fn config_restore(host: State<'_, Host>) -> Result<Vec<String>, Problem> {
    host.done(Request::RestoreConfig).await
}

#[tauri::command]
pub(super) async fn config_accept(host: State<'_, Host>) -> Result<Vec<String>, Problem> {
    host.done(Request::AcceptConfig).await
}

#[tauri::command]
pub(super) async fn agent_start(host: State<'_, Host>) -> Result<(), Problem> {
    host.start_agent().await
}

#[tauri::command]
pub(super) async fn agent_restart(host: State<'_, Host>) -> Result<(), Problem> {
    host.restart_agent().await
}

#[tauri::command]
pub(super) async fn secrets_status(host: State<'_, Host>) -> Result<SecretsStatus, Problem> {
    match host.ask(Request::SecretsStatus).await? {
        Response::Secrets(status) => Ok(status),
        _ => Err(catalogue::unexpected_answer()),
    }
}

#[tauri::command]
pub(super) async fn secrets_unlock(host: State<'_, Host>) -> Result<(), Problem> {
    host.done(Request::UnlockSecrets).await.map(drop)
}

#[tauri::command]
pub(super) async fn secrets_migrate(host: State<'_, Host>, to: String) -> Result<Vec<String>, Problem> {
    let to: StoreKind = parse(&to, "os-keyring or file")?;
    host.done(Request::MigrateSecrets { to }).await
}

#[tauri::command]
pub(super) async fn secrets_forget(host: State<'_, Host>, store: String) -> Result<Vec<String>, Problem> {
    let store: StoreKind = parse(&store, "os-keyring or file")?;
    host.done(Request::ForgetStore { store }).await
}

#[tauri::command]
pub(super) async fn diagnose(host: State<'_, Host>) -> Result<Vec<Layer>, Problem> {
    host.doctor().await
}
