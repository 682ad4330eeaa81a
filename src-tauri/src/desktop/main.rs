//! The desktop app `ormesh-desktop`: a tray icon and a window for the agent that runs on this host, or that it starts.
//!
//! One program, two processes: see `link`. What each does is theirs; here is which of them this one is.

#![cfg_attr(all(windows, not(debug_assertions)), windows_subsystem = "windows")]

mod actions;
mod app;
mod clipboard;
mod commands;
mod display;
mod host;
mod lean;
mod link;
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
use tracing_subscriber::EnvFilter;

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

/// What this process is for.
enum Part {
    /// The app: the tray and the agent.
    App { hidden: bool },
    /// Its window.
    Window,
}

fn start() -> Result<(), Problem> {
    let part = part()?;
    if let Part::App { .. } = part {
        lean::without_opengl();
    }
    let flush = log_to_stderr()?;
    let paths = Paths::from_env()?;
    let context = tauri::generate_context!();
    match part {
        Part::App { hidden } => app::run(paths, hidden, context, flush),
        Part::Window => window::process::run(paths, context, flush),
    }
}

/// By the one argument there is.
fn part() -> Result<Part, Problem> {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    match arguments.as_slice() {
        [] => Ok(Part::App { hidden: false }),
        [argument] if argument == login::HIDDEN => Ok(Part::App { hidden: true }),
        [argument] if argument == link::WINDOW => Ok(Part::Window),
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
