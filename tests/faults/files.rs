//! Files and directories that are not ours alone: refused with the command that mends them, and that command does mend them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::alone::{alone, refused, run_agent, secrets, start};
use crate::support::Host;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A host with a client, and so with every file there is.
fn host() -> Host {
    let host = alone();
    host.good(&["export", "add", "22"]);
    host.good(&["client", "add", "laptop"]);
    host
}

/// Does what a hint says, which is one command.
#[track_caller]
fn mend(host: &Host, hint: &str) {
    let command = hint.strip_prefix("run `").and_then(|hint| hint.strip_suffix('`')).unwrap_or(hint);
    let ran = host.command("sh").args(["-c", command]).output().unwrap();
    assert!(ran.status.success(), "{command}: {ran:?}");
}

#[test]
fn what_others_may_open_is_refused_with_the_command_that_closes_it() {
    let host = host();
    let secret = host.secrets().join(&secrets(&host)[0]);
    for (path, mode, good, args, code) in [
        (host.config(), 0o666, 0o644, &["status"][..], 1),
        (host.config(), 0o664, 0o644, &["export", "add", "80"], 1),
        (host.state(), 0o750, 0o700, &["export", "add", "80"], 1),
        (host.secrets(), 0o755, 0o700, &["client", "token", "laptop"], 5),
        (secret, 0o640, 0o600, &["client", "token", "laptop"], 5),
        (host.state().join("journal.json"), 0o644, 0o600, &["client", "delete", "laptop"], 5),
    ] {
        chmod(&path, mode);
        let before = fs::read(host.config()).unwrap();

        let (sentence, hint) = refused(&host.ormesh(args), code);

        assert!(sentence.contains(&path.display().to_string()), "{sentence}");
        assert!(hint.contains("chmod") && hint.contains(&path.display().to_string()), "{hint}");
        assert_eq!(fs::read(host.config()).unwrap(), before);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "mended in silence");
        mend(&host, &hint);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, good, "{hint}");
    }
    host.good(&["client", "delete", "laptop"]);
}

#[test]
fn the_agent_does_not_start_in_open_directories() {
    let mut host = host();
    start(&mut host);
    host.stop();
    for path in [host.state(), host.state().join("run")] {
        chmod(&path, 0o755);
        let (sentence, hint) = refused(&run_agent(&host, &[]), 1);
        assert!(sentence.contains(&path.display().to_string()), "{sentence}");
        mend(&host, &hint);
    }
    start(&mut host);
}

#[test]
fn a_symlink_in_the_place_of_what_holds_keys_is_refused() {
    let host = host();
    let (real, elsewhere) = (host.secrets(), host.home().join("elsewhere"));
    fs::rename(&real, &elsewhere).unwrap();
    symlink(&elsewhere, &real).unwrap();
    let (sentence, hint) = refused(&host.ormesh(&["client", "token", "laptop"]), 5);
    assert!(sentence.contains("symbolic link") && hint.contains("rm "), "{sentence}\n{hint}");
    mend(&host, &hint);
    fs::rename(&elsewhere, &real).unwrap();
    host.good(&["client", "token", "laptop"]);

    let (state, moved) = (host.state(), host.home().join("moved"));
    fs::rename(&state, &moved).unwrap();
    symlink(&moved, &state).unwrap();
    let (sentence, _) = refused(&host.ormesh(&["export", "add", "80"]), 1);
    assert!(sentence.contains(&state.display().to_string()), "{sentence}");
}

#[test]
fn what_belongs_to_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: nothing can be given to another user");
        return;
    }
    let host = host();
    let secret = host.secrets().join(&secrets(&host)[0]);
    for (path, args, code) in [
        (host.state(), &["export", "add", "80"][..], 1),
        (host.config(), &["export", "add", "80"], 1),
        (host.secrets(), &["client", "token", "laptop"], 5),
        (secret, &["client", "token", "laptop"], 5),
    ] {
        std::os::unix::fs::lchown(&path, Some(65534), None).unwrap();
        let (sentence, hint) = refused(&host.ormesh(args), code);
        assert!(sentence.contains("65534") && hint.contains("chown 0 "), "{sentence}\n{hint}");
        mend(&host, &hint);
    }
    host.good(&["export", "add", "80"]);
    // A link of another user, in the place of a file of ours.
    let target = host.home().join("target.toml");
    fs::rename(host.config(), &target).unwrap();
    symlink(&target, host.config()).unwrap();
    host.good(&["status"]);
    std::os::unix::fs::lchown(host.config(), Some(65534), None).unwrap();
    let (sentence, _) = refused(&host.ormesh(&["status"]), 1);
    assert!(sentence.contains("65534"), "{sentence}");
}

#[test]
fn what_is_new_is_private_under_any_umask() {
    for umask in ["000", "027", "077"] {
        let host = alone();
        fs::remove_file(host.config()).unwrap();
        fs::remove_dir_all(host.state()).unwrap();
        let line = format!("umask {umask} && ormesh export add 22 && ormesh client add laptop");
        let ran = host.command("sh").args(["-c", &line]).output().unwrap();
        assert!(ran.status.success(), "umask {umask}: {ran:?}");
        for entry in [host.config(), host.state(), host.secrets(), host.state().join("journal.json")] {
            let mode = fs::metadata(&entry).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode & 0o077, 0, "umask {umask}: {}: {mode:o}", entry.display());
            assert_eq!(mode & 0o600, 0o600, "umask {umask}: {}: {mode:o}", entry.display());
        }
        host.good(&["client", "token", "laptop"]);
    }
}
