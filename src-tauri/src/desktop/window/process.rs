//! The process of the window: wires the page to the app's other process, and ends when the window is closed or the app ends.

use ormesh_core::agent::log;
use ormesh_core::model::problem::{Code, Problem};
use ormesh_core::store::paths::Paths;
use tauri::{AppHandle, CloseRequestApi, Emitter as _, Manager as _, RunEvent, Window, WindowEvent};
use tokio::sync::{mpsc, watch};

use super::{Asking, LABEL};
use crate::commands;
use crate::display;
use crate::host::{self, Host};
use crate::link::Wish;
use crate::link::window::{App, Order};
use crate::preferences::Closing;

/// The event that tells the page the whole state.
const STATE: &str = "state";
/// The event that tells it that it is to be closed, and nothing would be left to see.
const CLOSING: &str = "closing";

/// Shows the window until it is closed. `context` is Tauri's.
///
/// # Errors
///
/// When the app did not start this process, or there is no display.
pub(crate) fn run(paths: Paths, context: tauri::Context, flush: log::Flush) -> Result<(), Problem> {
    let (app, orders) = tauri::async_runtime::block_on(App::join())?;
    display::look()?;
    let host = tauri::async_runtime::block_on(async { host_of(paths, &app) });
    let window = tauri::Builder::default()
        .manage(host)
        .manage(app.clone())
        .manage(Asking::default())
        .invoke_handler(commands::handler())
        .on_window_event(|window, event| match event {
            WindowEvent::CloseRequested { api, .. } => close(window, api),
            WindowEvent::Focused(has_focus) => window.state::<App>().has_focus(*has_focus),
            _ => {}
        })
        .setup(move |window| {
            let known = app.known();
            super::make(window.handle(), &known.scratch, known.chosen.zoom)?;
            tauri::async_runtime::spawn(tell_the_page(window.handle().clone()));
            tauri::async_runtime::spawn(obey(window.handle().clone(), orders));
            Ok(())
        })
        .build(context)
        .map_err(|error| Problem::new(Code::SystemFailed, format!("failed to show the window: {error}")))?;
    let mut flush = Some(flush);
    window.run(move |_, event| {
        if let RunEvent::Exit = event {
            // The process ends without coming back from here.
            drop(flush.take());
        }
    });
    Ok(())
}

/// The host as this process knows it: told by the app, which keeps the agent.
fn host_of(paths: Paths, app: &App) -> Host {
    let mut known = app.follow();
    let (tell, view) = watch::channel(known.borrow_and_update().view.clone());
    tokio::spawn(async move {
        while known.changed().await.is_ok() {
            let now = known.borrow_and_update().view.clone();
            tell.send_if_modified(|before| {
                let changed = *before != now;
                *before = now;
                changed
            });
        }
    });
    let (orders, mut taken) = mpsc::unbounded_channel();
    let app = app.clone();
    tokio::spawn(async move {
        while let Some(order) = taken.recv().await {
            let app = app.clone();
            tokio::spawn(async move {
                // Whoever asked may be gone.
                match order {
                    host::Order::Start(reply) => drop(reply.send(app.wish(Wish::StartAgent).await)),
                    host::Order::Restart(reply) => drop(reply.send(app.wish(Wish::RestartAgent).await)),
                    host::Order::End(_) => {}
                }
            });
        }
    });
    Host::kept_elsewhere(paths, view, orders)
}

/// Where there is no tray, a closed window leaves nothing to see: the window asks what that is to mean, or does what was chosen before. One
/// that is closed again while it asks is closed.
fn close(window: &Window, api: &CloseRequestApi) {
    let app = window.state::<App>();
    let known = app.known();
    if known.tray {
        return;
    }
    match known.chosen.closing {
        Closing::Stay => {}
        Closing::Quit => {
            api.prevent_close();
            let app = app.inner().clone();
            tauri::async_runtime::spawn(async move { app.wish(Wish::Quit).await });
        }
        Closing::Ask => {
            if window.state::<Asking>().begin() && window.emit_to(LABEL, CLOSING, ()).is_ok() {
                api.prevent_close();
            }
        }
    }
}

/// Tells the page each change; it asks for the state itself when it opens.
async fn tell_the_page(window: AppHandle) {
    let mut views = window.state::<Host>().views();
    while views.changed().await.is_ok() {
        let view = views.borrow_and_update().clone();
        if let Err(error) = window.emit_to(LABEL, STATE, view) {
            tracing::warn!(%error, "failed to tell the window");
        }
    }
}

/// Does what the app has it do.
async fn obey(window: AppHandle, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(Order::Show) = orders.recv().await {
        if let Some(shown) = window.get_webview_window(LABEL) {
            super::show(&shown);
            window.state::<App>().is_shown();
        }
    }
    window.exit(0);
}
