//! The packages as a user meets them: installed into a bare Debian that has no tor, used on a private Tor network, removed.
//!
//! Run by `cargo xtask test --packages`, which makes the packages, the bare Debian and the network, and runs this as root in
//! namespaces of its own. Nothing here goes further than Debian's archive and loopback.
#![cfg(target_os = "linux")]

#[path = "../desktop/again.rs"]
mod again;
mod app;
mod archives;
mod command;
#[path = "../desktop/driver.rs"]
#[expect(dead_code, reason = "the desktop's own tests use the rest of it")]
mod driver;
mod installed;
#[path = "../desktop/panel.rs"]
#[expect(dead_code, reason = "the desktop's own tests use the rest of it")]
mod panel;
mod root;
#[path = "../desktop/screen.rs"]
#[expect(dead_code, reason = "the desktop's own tests use the rest of it")]
mod screen;

use std::path::{Path, PathBuf};

/// What `cargo xtask dist` made whose name begins and ends so.
fn package(begin: &str, end: &str) -> PathBuf {
    let dist = PathBuf::from(named("ORMESH_DIST"));
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with(begin) && name.ends_with(end)
    };
    let files = dist.read_dir().unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(fits).unwrap_or_else(|| panic!("no package {begin}…{end} in {}", dist.display()))
}

/// A variable that `cargo xtask test --packages` sets.
fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: cargo xtask test --packages"))
}

/// What every package with the command has, below `/usr`; `zsh` is where its system looks for zsh's completions.
fn command_files(package: &str, zsh: &str) -> Vec<String> {
    [
        "bin/ormesh",
        "bin/ormesh-tor",
        "lib/systemd/system/ormesh.service",
        "lib/systemd/user/ormesh.service",
        "share/bash-completion/completions/ormesh",
        &format!("share/zsh/{zsh}/_ormesh"),
        "share/fish/vendor_completions.d/ormesh.fish",
        "share/man/man1/ormesh.1.gz",
        "share/man/man1/ormesh-agent-systemd-unit.1.gz",
        "share/man/man1/ormesh-tor.1.gz",
        &format!("share/doc/{package}/copyright"),
        &format!("share/doc/{package}/licences-libraries.gz"),
        &format!("share/doc/{package}/licences-tor.gz"),
    ]
    .map(|file| format!("/usr/{file}"))
    .to_vec()
}

/// What a package with the app has besides.
fn app_files() -> Vec<String> {
    let files = [
        "bin/ormesh-desktop",
        "share/applications/ormesh.desktop",
        "share/icons/hicolor/128x128/apps/ormesh.png",
        "share/icons/hicolor/scalable/apps/ormesh.svg",
        "share/man/man1/ormesh-desktop.1.gz",
    ];
    files.map(|file| format!("/usr/{file}")).to_vec()
}

/// Fails with the first of `wanted` that `files` lacks.
fn assert_has(files: &[String], wanted: &[String], of: &Path) {
    for file in wanted {
        assert!(files.contains(file), "{} lacks {file}: {files:#?}", of.display());
    }
}
