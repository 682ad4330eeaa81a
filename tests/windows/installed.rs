//! The installer: silent, over an agent that runs, and gone without the configuration and the keys.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{free_port, until};

use crate::host::wine;
use crate::named;

/// Where the installer puts it, for Windows' programs; `%LOCALAPPDATA%\Programs\ormesh`.
fn place() -> PathBuf {
    let users = Path::new(&named("WINEPREFIX")).join("drive_c/users");
    let all = users.read_dir().unwrap().map(|user| user.unwrap().path().join("AppData/Local/Programs"));
    all.into_iter().find(|programs| programs.parent().is_some_and(Path::exists)).unwrap().join("ormesh")
}

fn installer() -> PathBuf {
    let made = Path::new(&named("ORMESH_WINDOWS")).read_dir().unwrap().map(|entry| entry.unwrap().path());
    made.into_iter()
        .find(|file| file.to_string_lossy().ends_with("-setup.exe"))
        .expect("there is an installer")
}

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

#[test]
fn it_is_installed_upgraded_over_an_agent_and_removed_without_the_keys() {
    assert!(wine(installer()).arg("/S").status().unwrap().success());
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

    assert!(wine(installer()).arg("/S").status().unwrap().success());

    let ended = until("the agent has ended in order", || agent.try_wait().unwrap());
    assert!(ended.success(), "{ended:?}");
    assert_eq!(said(&["status"]), address, "configuration and addresses are as before");

    assert!(wine(place().join("uninstall.exe")).arg("/S").status().unwrap().success());

    // It goes on in a copy of itself, since a program can't remove itself.
    until("its files are gone", || !place().exists());
    let left = place().parent().unwrap().parent().unwrap().join("ormesh/data/secrets");
    assert_eq!(left.read_dir().unwrap().count(), 2, "the keys of a client stay");
}
