//! Start at login, by the system's own means for this user: an autostart entry, a login item, a registry value.

use std::path::Path;

use auto_launch::{AutoLaunch, AutoLaunchBuilder, WindowsEnableMode};
use ormesh_core::model::problem::{Code, Problem, Subject};

/// The argument of an app that shows no window at first.
pub(crate) const HIDDEN: &str = "--hidden";

/// Whether the app starts at login.
pub(crate) fn is_on() -> Result<bool, Problem> {
    entry()?.is_enabled().map_err(|error| failed("find out whether ormesh starts at login", &error))
}

/// Changes it.
pub(crate) fn set(on: bool) -> Result<(), Problem> {
    let entry = entry()?;
    let changed = if on { entry.enable() } else { entry.disable() };
    changed.map_err(|error| failed("change whether ormesh starts at login", &error))
}

fn entry() -> Result<AutoLaunch, Problem> {
    let path = std::env::current_exe().map_err(|error| failed("find the path of this program", &error))?;
    AutoLaunchBuilder::new()
        .set_app_name("ormesh")
        .set_app_path(&written(&path))
        .set_args(&[HIDDEN])
        .set_windows_enable_mode(WindowsEnableMode::CurrentUser)
        .build()
        .map_err(|error| failed("prepare the start at login", &error))
}

/// The path as the entry wants it. The crate writes a desktop entry's `Exec=`, and a value of Windows' registry, as it is given, so it is
/// quoted here.
fn written(path: &Path) -> String {
    let path = path.to_string_lossy();
    match (cfg!(target_os = "linux"), cfg!(windows)) {
        (true, _) => quoted(&path),
        // Without quotes a space would end the program's name; a path holds none itself.
        (_, true) => format!("\"{path}\""),
        _ => path.into_owned(),
    }
}

/// An argument of `Exec=` (Desktop Entry Specification 1.5): quoted, then escaped as every string value is, and `%` doubled.
fn quoted(path: &str) -> String {
    let mut quoted = String::from("\"");
    for c in path.chars() {
        match c {
            '\\' => quoted.push_str("\\\\\\\\"),
            '"' | '`' | '$' => quoted.extend(['\\', '\\', c]),
            '%' => quoted.push_str("%%"),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::new(Code::SystemFailed, format!("failed to {what}: {error}")).about(Subject::App)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(windows)]
    #[test]
    fn start_at_login_is_a_value_of_the_user_s_registry_and_goes_away_again() {
        let run = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run";
        let value =
            || std::process::Command::new("reg").args(["query", run, "/v", "ormesh"]).output().unwrap();
        set(true).unwrap();
        assert!(is_on().unwrap());
        let written = String::from_utf8_lossy(&value().stdout).into_owned();
        let program = std::env::current_exe().unwrap();
        assert!(written.contains(&format!("\"{}\" {HIDDEN}", program.display())), "{written}");

        set(false).unwrap();

        assert!(!is_on().unwrap());
        assert!(!value().status.success());
    }

    #[test]
    fn a_path_is_quoted_as_desktop_entries_want_it() {
        assert_eq!(quoted("/usr/bin/ormesh-desktop"), r#""/usr/bin/ormesh-desktop""#);
        assert_eq!(quoted(r#"/o p/100%/"a\b$"#), r#""/o p/100%%/\\"a\\\\b\\$""#);
    }
}
