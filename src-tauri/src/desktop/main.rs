//! The desktop app `ormesh-desktop`: a tray icon and a window for the agent that runs on this host, or that it starts.
//!
//! It wires its rooms together and owns the order of start and end; what each does is theirs.

#![cfg_attr(all(windows, not(debug_assertions)), windows_subsystem = "windows")]

mod actions;
mod clipboard;
mod commands;
mod host;
mod lean;
mod login;
mod notices;
mod notify;
mod preferences;
mod qr;
mod scratch;
mod signals;
mod single;
mod tray;
mod web;
mod window;

use std::io::Write as _;
use std::process::ExitCode;

use ormesh_core::agent::log;
use ormesh_core::model::problem::{Code, Problem};
use ormesh_core::store::paths::Paths;
use tauri::{App, AppHandle, CloseRequestApi, Emitter as _, Manager as _, RunEvent, WindowEvent};
use tracing_subscriber::EnvFilter;

use clipboard::Clipboard;
use host::Host;
use preferences::{Closing, Preferences};
use scratch::Scratch;
use single::Single;

/// The event that tells the window the whole state.
const STATE: &str = "state";
/// The event that tells it that it is to be closed, and nothing would be left to see.
const CLOSING: &str = "closing";

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Nobody may listen there; the exit code still says it.
            let mut err = std::io::stderr();
            let _ = writeln!(err, "ormesh-desktop: {problem}");
            if !problem.hint.is_empty() {
                let _ = writeln!(err, "hint: {}", problem.hint);
            }
            ExitCode::from(problem.kind.exit_code())
        }
    }
}

fn start() -> Result<(), Problem> {
    let hidden = hidden()?;
    if hidden {
        lean::without_opengl();
    }
    let mut flush = Some(log_to_stderr()?);
    let paths = Paths::from_env()?;
    let Some(single) = tauri::async_runtime::block_on(Single::claim(&paths, !hidden))? else {
        return Ok(());
    };
    let scratch = Scratch::fresh(&paths)?;
    let preferences = Preferences::read(&paths);
    // Before there is an agent to end.
    let (ending, host) = tauri::async_runtime::block_on(async { (signals::listen(), Host::follow(paths)) });
    let app = tauri::Builder::default()
        .manage(host)
        .manage(scratch)
        .manage(preferences)
        .manage(Clipboard::default())
        .manage(window::Asking::default())
        .manage(tray::keeper::Shown::default())
        .invoke_handler(commands::handler())
        .on_window_event(|window, event| {
            if let WindowEvent::CloseRequested { api, .. } = event {
                close(window.app_handle(), api);
            }
        })
        .on_menu_event(|app, event| tray::keeper::chosen(app, event.id().as_ref()))
        .setup(move |app| {
            set_up(app, single, hidden);
            end_at(app.handle().clone(), ending);
            Ok(())
        })
        .build(tauri::generate_context!())
        .map_err(|error| Problem::new(Code::SystemFailed, format!("failed to start the app: {error}")))?;
    app.run(move |app, event| match event {
        // The last window was closed: the tray and the agent stay.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        RunEvent::Exit => {
            tray::keeper::end(app);
            app.state::<Scratch>().remove();
            // The process ends without coming back from here.
            drop(flush.take());
        }
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => window::show(app),
        _ => {}
    });
    Ok(())
}

fn set_up(app: &App, mut single: Single, hidden: bool) {
    let app = app.handle();
    if !hidden {
        window::show(app);
    }
    tray::keeper::start(app, hidden);
    tell_the_window(app.clone());
    notify::start(app);
    on_click(app.clone());
    let again = app.clone();
    tauri::async_runtime::spawn(async move {
        loop {
            single.started_again().await;
            window::show(&again);
        }
    });
}

/// Where there is no tray, a closed window leaves nothing to see: the window asks what that is to mean, or does what was chosen before. One
/// that is closed again while it asks is closed.
fn close(app: &AppHandle, api: &CloseRequestApi) {
    if tray::keeper::is_shown(app) {
        return;
    }
    match app.state::<Preferences>().chosen().closing {
        Closing::Stay => {}
        Closing::Quit => {
            api.prevent_close();
            tauri::async_runtime::spawn(actions::end(app.clone()));
        }
        Closing::Ask => {
            if app.state::<window::Asking>().begin() && app.emit_to(window::LABEL, CLOSING, ()).is_ok() {
                api.prevent_close();
            }
        }
    }
}

/// Ends the app when the system wishes it.
fn end_at(app: AppHandle, wished: impl Future<Output = ()> + Send + 'static) {
    tauri::async_runtime::spawn(async move {
        wished.await;
        actions::end(app).await;
    });
}

/// Tells the window each change; it asks for the state itself when it opens.
fn tell_the_window(app: AppHandle) {
    tauri::async_runtime::spawn(async move {
        let mut views = app.state::<Host>().views();
        while views.changed().await.is_ok() {
            let view = views.borrow_and_update().clone();
            if let Err(error) = app.emit_to(window::LABEL, STATE, view) {
                tracing::warn!(%error, "failed to tell the window");
            }
        }
    });
}

fn on_click(app: AppHandle) {
    use tray_icon::{MouseButton, MouseButtonState, TrayIconEvent};
    TrayIconEvent::set_event_handler(Some(move |event| {
        if let TrayIconEvent::Click {
            button: MouseButton::Left, button_state: MouseButtonState::Up, ..
        } = event
        {
            tray::keeper::clicked(&app);
        }
    }));
}

/// The one argument there is.
fn hidden() -> Result<bool, Problem> {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    match arguments.as_slice() {
        [] => Ok(false),
        [argument] if argument == login::HIDDEN => Ok(true),
        _ => Err(Problem::new(Code::BadArgument, "the app takes no argument but --hidden")
            .hint("the command with all the verbs is ormesh")),
    }
}

fn log_to_stderr() -> Result<log::Flush, Problem> {
    let (lines, flush) = log::start(std::io::stderr())
        .map_err(|error| Problem::new(Code::SystemFailed, format!("failed to start the log: {error}")))?;
    let filter = EnvFilter::try_from_env("ORMESH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(move || lines.clone())
        .with_ansi(false)
        .with_target(false)
        .with_env_filter(filter)
        .init();
    Ok(flush)
}
