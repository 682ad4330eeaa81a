//! What a person has chosen for the app itself, kept in a file of the state directory: how large the window is shown, what closing it
//! does where there is no tray, and what notifications tell. What can't be read is as if nothing had been chosen.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ormesh_core::model::problem::{Code, Problem};
use ormesh_core::store::paths::Paths;
use ormesh_core::store::{atomic, private};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The sizes that the window goes through, as browsers have them; 1 is as the system wants it.
const ZOOMS: [f64; 12] = [0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0];

/// What closing the window does where there is no tray.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) enum Closing {
    /// It asks.
    #[default]
    Ask,
    /// The app goes on without a window.
    Stay,
    /// The app ends.
    Quit,
}

/// What the system's notifications tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) struct Told {
    /// A client that connects for the first time.
    pub(crate) clients: bool,
    /// Imports that are lost for a minute, and that are back.
    pub(crate) imports: bool,
    /// A problem that needs a person.
    pub(crate) problems: bool,
}

impl Default for Told {
    fn default() -> Self {
        Self { clients: true, imports: true, problems: true }
    }
}

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Chosen {
    pub(crate) closing: Closing,
    /// 1 is the size that the system wants.
    pub(crate) zoom: f64,
    pub(crate) told: Told,
}

impl Default for Chosen {
    fn default() -> Self {
        Self { closing: Closing::Ask, zoom: 1.0, told: Told::default() }
    }
}

/// The file and what is in it.
pub(crate) struct Preferences {
    file: PathBuf,
    chosen: watch::Sender<Chosen>,
    /// Held while the file is written, so that what was chosen last is what stays.
    writing: Mutex<()>,
}

impl Preferences {
    /// Reads what was chosen before.
    pub(crate) fn read(paths: &Paths) -> Self {
        let file = paths.state.join("desktop.json");
        let chosen = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Chosen>(&text).ok());
        let mut chosen = chosen.unwrap_or_default();
        chosen.zoom = fitting(chosen.zoom);
        Self { file, chosen: watch::Sender::new(chosen), writing: Mutex::default() }
    }

    /// What is chosen now.
    pub(crate) fn chosen(&self) -> Chosen {
        *self.chosen.borrow()
    }

    /// What is chosen, and each change of it.
    pub(crate) fn follow(&self) -> watch::Receiver<Chosen> {
        self.chosen.subscribe()
    }

    /// Changes it; it holds for this run even where it can't be kept.
    pub(crate) fn choose(&self, change: impl FnOnce(&mut Chosen)) -> Result<(), Problem> {
        self.chosen.send_modify(|chosen| {
            change(chosen);
            chosen.zoom = fitting(chosen.zoom);
        });
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        private::ensure_parent(&self.file)?;
        let text = serde_json::to_vec(&self.chosen()).expect("what is chosen is plain data");
        atomic::replace(&self.file, &text).map_err(|error| {
            Problem::new(Code::FileFailed, format!("failed to write {}: {error}", self.file.display()))
        })
    }
}

fn fitting(zoom: f64) -> f64 {
    if zoom.is_finite() { zoom.clamp(ZOOMS[0], ZOOMS[ZOOMS.len() - 1]) } else { 1.0 }
}

/// The next larger or smaller size, by the sign of `step`; as the system wants it where that is 0.
pub(crate) fn next(zoom: f64, step: i8) -> f64 {
    /// Sizes are told apart by more than this.
    const SAME: f64 = 0.01;
    let next = match step {
        0 => Some(1.0),
        1.. => ZOOMS.into_iter().find(|other| *other > zoom + SAME),
        _ => ZOOMS.into_iter().rev().find(|other| *other < zoom - SAME),
    };
    next.unwrap_or(zoom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_go_up_and_down_to_their_ends_and_back_to_the_middle() {
        assert_eq!([next(1.0, 1), next(1.0, -1), next(1.3, 1), next(2.5, 0)], [1.1, 0.9, 1.5, 1.0]);
        assert_eq!([next(3.0, 1), next(0.5, -1)], [3.0, 0.5]);
        assert_eq!([fitting(99.0), fitting(f64::NAN), fitting(0.0)], [3.0, 1.0, 0.5]);
    }

    #[test]
    fn what_was_chosen_is_there_the_next_time_and_a_file_that_is_spoilt_is_as_none() {
        let state = std::env::temp_dir().join(format!("ormesh-chosen-{}", std::process::id()));
        let paths = Paths { config: state.join("config.toml"), run: state.join("run"), state: state.clone() };
        Preferences::read(&paths)
            .choose(|chosen| {
                (chosen.closing, chosen.zoom) = (Closing::Stay, 1.5);
                chosen.told.imports = false;
            })
            .unwrap();

        let told = Told { imports: false, ..Told::default() };
        assert_eq!(Preferences::read(&paths).chosen(), Chosen { closing: Closing::Stay, zoom: 1.5, told });
        std::fs::write(state.join("desktop.json"), "{\"zoom\":7,\"closing\":\"quit\"}").unwrap();
        let told = Told::default();
        assert_eq!(Preferences::read(&paths).chosen(), Chosen { closing: Closing::Quit, zoom: 3.0, told });
        std::fs::write(state.join("desktop.json"), "{").unwrap();
        assert_eq!(Preferences::read(&paths).chosen(), Chosen::default());
        std::fs::remove_dir_all(&state).unwrap();
    }
}
