//! The installer: silent, over an agent that runs, and gone without the configuration and the keys. And the zip beside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use support::{free_port, until};

use crate::host::wine;
use crate::named;

/// Where the installer puts it, for Windows' programs; `%LOCALAPPDATA%\Programs\ormesh`.
fn place() -> PathBuf {
    let users = Path::new(&named("WINEPREFIX")).join("drive_c/users");
    let all = users.read_dir().unwrap().map(|user| user.unwrap().path().join("AppData/Local/Programs"));
    all.into_iter().find(|programs| programs.parent().is_some_and(Path::exists)).unwrap().join("ormesh")
}

/// The package whose name ends so.
fn package(end: &str) -> PathBuf {
    let made = Path::new(&named("ORMESH_WINDOWS")).read_dir().unwrap().map(|entry| entry.unwrap().path());
    made.into_iter().find(|file| file.to_string_lossy().ends_with(end)).expect("the package was made")
}

fn install(words: &[&str]) {
    let status = wine(package("-setup.exe")).arg("/S").args(words).status().unwrap();
    assert!(status.success(), "{status:?}");
}

/// It goes on in a copy of itself, since a program can't remove itself.
fn remove() {
    assert!(wine(place().join("uninstall.exe")).arg("/S").status().unwrap().success());
    until("its files are gone", || !place().exists());
}

/// The kind and the text of a value in the registry of the user; none where there is no such value.
fn registry(key: &str, value: &str) -> Option<(String, String)> {
    let output = wine("reg").args(["query", &format!(r"HKCU\{key}"), "/v", value]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = said.lines().find_map(|line| line.trim().strip_prefix(value)?.strip_prefix("    "))?;
    let (kind, text) = line.split_once("    ")?;
    Some((kind.to_owned(), text.to_owned()))
}

fn path() -> Option<(String, String)> {
    registry("Environment", "Path")
}

fn login() -> Option<String> {
    registry(RUN, "ormesh").map(|(_, text)| text)
}

fn reg(words: &[&str]) {
    assert!(wine("reg").args(words).arg("/f").stdout(Stdio::null()).status().unwrap().success());
}

/// What starts at login.
const RUN: &str = r"Software\Microsoft\Windows\CurrentVersion\Run";
/// The same, and the user's variables, as `reg` is told.
const HERE: [&str; 2] = [r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run", r"HKCU\Environment"];

/// The installed command, with the files that it finds by itself.
fn ormesh(args: &[&str]) -> Command {
    let mut command = wine(place().join("ormesh.exe"));
    let torrc = Path::new(&named("ORMESH_TORNET")).join("client.torrc");
    command.args(args).env("ORMESH_TOR_NETWORK", format!("Z:{}", torrc.display()).replace('/', r"\"));
    for name in ["ORMESH_CONFIG", "ORMESH_STATE", "ORMESH_TOR", "ORMESH_LOG"] {
        command.env_remove(name);
    }
    command.env("ORMESH_SECRETS", "file").stderr(Stdio::null());
    command
}

fn said(args: &[&str]) -> String {
    let output = ormesh(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// One test at a time: there is one place for it, and one registry.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn it_is_installed_upgraded_over_an_agent_and_removed_without_the_keys() {
    let _alone = alone();
    install(&[]);
    for file in ["ormesh.exe", "ormesh-desktop.exe", "ormesh-tor.exe", "WebView2Loader.dll", "uninstall.exe"]
    {
        assert!(place().join(file).is_file(), "{file} is missing");
    }
    assert!(said(&["config", "path"]).contains(r"AppData\Roaming\ormesh"));
    said(&["config", "set", "agent.socks-addr", &format!("127.0.0.1:{}", free_port())]);
    said(&["export", "add", "22"]);
    said(&["client", "add", "laptop"]);
    let address = said(&["status"]);
    let mut agent = ormesh(&["agent", "run"]).stdout(Stdio::null()).spawn().unwrap();
    until("the agent answers", || said(&["status"]).contains("agent:"));

    install(&[]);

    let ended = until("the agent has ended in order", || agent.try_wait().unwrap());
    assert!(ended.success(), "{ended:?}");
    assert_eq!(said(&["status"]), address, "configuration and addresses are as before");

    remove();

    let left = place().parent().unwrap().parent().unwrap().join("ormesh/data/secrets");
    assert_eq!(left.read_dir().unwrap().count(), 2, "the keys of a client stay");
}

#[test]
fn the_command_is_in_the_path_and_the_app_starts_at_login_unless_the_user_has_it_otherwise() {
    let _alone = alone();
    let [run, environment] = HERE;
    // Longer than the installer's own strings, with a variable that must not be replaced by its value.
    let before = format!(r"%USERPROFILE%\bin;C:\{};D:\z", "x".repeat(1500));
    reg(&["add", environment, "/v", "Path", "/t", "REG_EXPAND_SZ", "/d", &before]);
    let before = (String::from("REG_EXPAND_SZ"), before);
    assert_eq!(path(), Some(before.clone()));

    install(&[]);

    let command = r"AppData\Local\Programs\ormesh";
    let (kind, with) = path().unwrap();
    assert_eq!(kind, before.0);
    assert!(with.starts_with(&format!("{};C:", before.1)) && with.ends_with(command), "{with}");
    let entry = login().unwrap();
    assert!(entry.ends_with(r#"\ormesh-desktop.exe" --hidden"#) && entry.starts_with("\"C:"), "{entry}");

    // An upgrade puts nothing in twice, and turns nothing on again.
    reg(&["delete", run, "/v", "ormesh"]);
    install(&[]);
    assert_eq!(path(), Some((kind, with)));
    assert_eq!(login(), None);

    remove();
    assert_eq!(path(), Some(before));

    // Left out when it is installed, and where there was no such variable.
    reg(&["delete", environment, "/v", "Path"]);
    install(&["/NOPATH", "/NOLOGIN"]);
    assert_eq!((path(), login()), (None, None));
    remove();
    install(&[]);
    assert!(path().unwrap().1.ends_with(command));
    assert!(login().is_some());
    // Wine's shell finds nothing by a PATH with a directory as long as the one above.
    let found = wine("cmd").args(["/c", "ormesh", "--version"]).output().unwrap();
    assert!(String::from_utf8_lossy(&found.stdout).starts_with("ormesh "), "{found:?}");
    remove();
    assert_eq!((path(), login()), (None, None));
}

#[test]
fn the_zip_runs_from_wherever_it_is_unpacked() {
    let host = crate::host::Windows::new("host");
    let mut unzip = Command::new(named("ORMESH_UNZIP"));
    unzip.arg("-q").arg(package(".zip")).arg("-d").arg(host.path("unpacked"));
    assert!(unzip.status().unwrap().success());
    let directory = host.path("unpacked").read_dir().unwrap().next().unwrap().unwrap().path();

    let version = wine(directory.join("ormesh.exe")).arg("--version").output().unwrap();
    let tor = wine(directory.join("ormesh-tor.exe")).arg("--version").output().unwrap();

    assert!(String::from_utf8_lossy(&version.stdout).starts_with("ormesh "), "{version:?}");
    assert!(String::from_utf8_lossy(&tor.stdout).starts_with("Tor version "), "{tor:?}");
    for file in ["ormesh-desktop.exe", "WebView2Loader.dll", "LICENCES-tor.txt"] {
        assert!(directory.join(file).is_file(), "{file} is missing");
    }
}
