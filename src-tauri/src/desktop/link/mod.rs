//! The app and its window are two processes of the same program: the app keeps the tray and the agent and stays small, the window has the
//! web view and ends when it is closed. What they say to each other is here: frames of JSON over a channel that nobody else has.

pub(crate) mod app;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod channel;
pub(crate) mod window;

use std::path::PathBuf;

use ormesh_core::ipc::Confidential;
use ormesh_core::model::problem::Problem;
use serde::{Deserialize, Serialize};

use crate::host::View;
use crate::preferences::{Chosen, Closing, Told};

/// The argument by which the app starts its window.
pub(crate) const WINDOW: &str = "--window";

/// The longest frame, in bytes: a status with a thousand exports and imports is under 1 MiB.
const MAX: u32 = 8 * 1024 * 1024;

/// What the window is to know, whole at each change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// The host.
    pub(crate) view: View,
    /// Whether a tray is shown.
    pub(crate) tray: bool,
    /// What a person chose for the app.
    pub(crate) chosen: Chosen,
    /// Where the web view may write.
    pub(crate) scratch: PathBuf,
}

/// What the app says.
#[derive(Serialize, Deserialize)]
enum ToWindow {
    /// The first that it says, and each change of it.
    Known(Box<Known>),
    /// The window is wanted in front.
    Show,
    /// What came of a wish.
    Answer { id: u64, result: Result<(), Problem> },
}

/// What the window says.
#[derive(Serialize, Deserialize)]
enum ToApp {
    /// It is in front, as it was told.
    Shown,
    /// Whether a person is at it.
    Focus(bool),
    /// It is answered by this number.
    Wish { id: u64, wish: Wish },
}

/// What the window has the app do.
#[derive(Serialize, Deserialize)]
pub(crate) enum Wish {
    /// Start the agent.
    StartAgent,
    /// End the agent and start another.
    RestartAgent,
    /// Copy what is no secret.
    Copy(String),
    /// Copy a secret, which leaves the clipboard again.
    CopySecret(Confidential),
    /// Keep what closing the window is to do.
    Closing(Closing),
    /// Keep of what notifications tell.
    Told(Told),
    /// Keep how large the window is shown.
    Zoom(f64),
    /// Show whether the app starts at login: that was changed.
    LoginChanged,
    /// End the app.
    Quit,
}
