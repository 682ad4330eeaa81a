//! The window closed and opened again, and what it leaves behind.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use support::{Signal, children, is_running, send, until};

use crate::again::Hidden;
use crate::app::Host;
use crate::panel::Panel;
use crate::screen::Bus;

#[test]
fn a_window_opened_again_shows_what_it_showed() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    host.ormesh(&["export", "add", "8123"]);
    let app = host.app(&["--hidden"]);
    let icon = panel.icon();
    // With no tor to be found, nothing changes any more once this is known.
    until("the agent is offline", || (host.status()["agent"]["state"]["is"] == "offline").then_some(()));

    let start_again = || assert!(host.app(&[]).ended().success());
    let (app, screen) = (app.id(), host.screen());
    Hidden { app, screen, panel: &panel, icon: &icon, start_again: &start_again }.opens_again("opened");
}

/// Names and an invite that are nowhere else in this test, nor in a web view's own files.
const CLIENT: &str = "quetzal-laptop";
const REMOTE: &str = "axolotl-server";
/// What a page could store, which ours never does.
const STORED: &str = "pangolin-canary";

#[test]
fn what_a_window_showed_is_on_no_disk_and_what_it_stored_ends_with_the_app() {
    let (exporter, host) = (Host::new(), Host::new());
    exporter.ormesh(&["export", "add", "8123"]);
    let invite = exporter.ormesh(&["client", "add", "somebody"]);
    host.ormesh(&["export", "add", "8123"]);
    let window = host.window();
    window.press("Add remote");
    window.choose("I have an invite");
    window.fill("Name", REMOTE);
    window.fill("Invite", invite.trim());
    window.press("Add remote");
    window.sees(&format!("Import from {REMOTE}"));
    window.press("Cancel");
    window.press("Add client");
    window.choose("Make an invite");
    window.fill("Name", CLIENT);
    window.press("Make invite");
    let shown = window.find("//*[starts-with(normalize-space(text()), 'ormesh1')]").text();
    window.press("Copy");
    window.press("Done");

    // The search would find it: what a page does store is in the directory of the web view, and only there.
    window.run("localStorage.setItem('word', arguments[0]); arguments[1]();", json!([STORED]));
    let stored = until("the page's store is written", || {
        Some(holders(host.home(), STORED)).filter(|files| !files.is_empty())
    });
    let scratch = host.scratch();
    assert!(stored.iter().all(|file| file.starts_with(&scratch)), "{stored:?} is not all in {scratch:?}");
    let private = [CLIENT, REMOTE, &invite.trim()[20..60], &shown.trim()[20..60]];
    for word in private {
        assert_eq!(holders(host.home(), word), Vec::<PathBuf>::new(), "{word} is on the disk");
    }

    window.press("Settings");
    window.press("Quit ormesh");
    window.press("Quit");

    until("the app has taken its directory away", || (!scratch.exists()).then_some(()));
    for word in private.into_iter().chain([STORED]) {
        assert_eq!(holders(host.home(), word), Vec::<PathBuf>::new(), "{word} is still on the disk");
    }
}

/// The files below a directory that hold a word in either way a web view writes text, but for those of ormesh itself.
fn holders(home: &Path, word: &str) -> Vec<PathBuf> {
    let wide: Vec<u8> = word.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut found = Vec::new();
    let mut left = vec![home.to_owned()];
    while let Some(dir) = left.pop() {
        // What is removed meanwhile holds nothing.
        for entry in fs::read_dir(&dir).into_iter().flatten().filter_map(Result::ok) {
            let path = entry.path();
            if path == home.join("config.toml") || path == home.join("state") {
                continue;
            }
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                left.push(path);
            } else if kind.is_file() {
                let bytes = fs::read(&path).unwrap_or_default();
                let holds = |word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
                if holds(word.as_bytes()) || holds(&wide) {
                    found.push(path);
                }
            }
        }
    }
    found
}

#[test]
fn a_window_that_is_killed_takes_nothing_with_it_and_one_whose_app_is_killed_ends() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    let mut app = host.app(&[]);
    let icon = panel.icon();
    host.screen().wait_for_a_painted_window();
    let (agent, first) = (host.agent_pid(), window_of(app.id()).expect("a window"));

    send(first, Signal::KILL);
    until("the window is gone", || window_of(app.id()).is_none().then_some(()));
    assert_eq!(host.agent_pid(), agent);
    panel.click(&icon);
    let second = until("another window", || window_of(app.id()));
    assert_ne!(first, second);
    host.screen().wait_for_a_painted_window();

    send(app.id(), Signal::KILL);
    app.ended();
    until("the window has ended", || (!is_running(second)).then_some(()));
}

/// The process of an app's window.
fn window_of(app: u32) -> Option<u32> {
    let is_window = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| command.ends_with(b"\0--window\0"))
    };
    children(app).into_iter().find(is_window)
}
