//! A window closed and opened again as a person does it, with nothing that drives it, and judged by its picture.

use std::path::Path;

use support::{family, program, until};
use zbus::names::OwnedBusName;

use crate::panel::Panel;
use crate::screen::{Picture, Screen};

/// How often it is opened again, in each way.
const TIMES: usize = 5;

/// An app that runs without a window, and what is around it.
pub(crate) struct Hidden<'a> {
    /// Its process.
    pub(crate) app: u32,
    pub(crate) screen: &'a Screen,
    pub(crate) panel: &'a Panel,
    pub(crate) icon: &'a OwnedBusName,
    /// Starts the app a second time, and waits for that to end.
    pub(crate) start_again: &'a dyn Fn(),
}

impl Hidden<'_> {
    /// Opens its window by a click, closes it and opens it again, from the tray and by a second start: it must look the same each time,
    /// and leave nothing running. `name` is what its pictures are called.
    pub(crate) fn opens_again(&self, name: &str) {
        self.panel.click(self.icon);
        let first = self.screen.settled_picture();
        keep(&first, name);
        self.close();
        let (left, held) = (names(self.app), memory(self.app));

        for turn in 0..TIMES {
            self.panel.choose(self.icon, "Open ormesh");
            self.looks_like(&first, &format!("{name}-by-tray-{turn}"));
            self.close();
        }
        for turn in 0..TIMES {
            (self.start_again)();
            self.looks_like(&first, &format!("{name}-by-start-{turn}"));
            self.close();
        }

        assert_eq!(names(self.app), left, "each window left something running");
        until("the windows' memory is given back", || (memory(self.app) <= held + held / 4).then_some(()));
    }

    /// Closes the window as Alt+F4 does, and waits until it is gone.
    fn close(&self) {
        self.screen.close_the_window();
        until("the web view is gone", || (!has_web_view(self.app)).then_some(()));
    }

    fn looks_like(&self, first: &Picture, name: &str) {
        let now = self.screen.settled_picture();
        keep(&now, name);
        assert!(now.is_like(first), "{name}: the window shows something else than at first");
    }
}

/// Whether an app has a window: the web view is a process of its own, below the window's.
pub(crate) fn has_web_view(app: u32) -> bool {
    names(app).iter().any(|name| name.starts_with("WebKitWebProces"))
}

/// The names of an app's processes and of all that they have started.
fn names(app: u32) -> Vec<String> {
    family(app).into_iter().filter_map(program).collect()
}

/// The memory of an app's processes and of all that they have started that is no file's, in KiB (proc_pid_smaps_rollup(5)): it depends on no other process.
fn memory(pid: u32) -> u64 {
    let each = family(pid).into_iter().map(|pid| {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
    });
    each.sum()
}

/// Keeps a picture for people, in the directory that `ORMESH_PICTURES` names, if it names one.
pub(crate) fn keep(picture: &Picture, name: &str) {
    if let Some(directory) = std::env::var_os("ORMESH_PICTURES") {
        picture.write(&Path::new(&directory).join(format!("real-{name}.ppm")));
    }
}
