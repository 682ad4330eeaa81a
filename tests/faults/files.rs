//! Files and directories that are not ours alone: refused with the command that mends them, and that command does mend them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ormesh_core::model::problem::Code;

use crate::alone::{alone, refused, run_agent, secrets, start, wait_for_no_problem, wait_for_problem};
use crate::support::{Host, ORMESH, Ran, finished, until};

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

/// Does what the hint for a directory says that is a link: move what it leads to here.
#[track_caller]
fn move_here(host: &Host, hint: &str) {
    assert!(hint.contains("ORMESH_STATE"), "{hint}");
    let (_, command) = hint.split_once("move it here: ").unwrap_or_else(|| panic!("{hint}"));
    mend(host, command);
}

#[test]
fn a_symlink_in_the_place_of_a_private_directory_is_refused_and_what_it_leads_to_named() {
    let mut host = host();
    start(&mut host);
    // It answers before it has started tor.
    until("tor's directory is made", || host.state().join("tor").exists());
    host.stop();
    let agent = |host: &Host| refused(&run_agent(host, &[]), 1);
    let token = |host: &Host| refused(&host.ormesh(&["client", "token", "laptop"]), 5);
    let export = |host: &Host| refused(&host.ormesh(&["export", "add", "80"]), 1);
    type Ask<'a> = &'a dyn Fn(&Host) -> (String, String);
    for (real, ask) in [
        (host.secrets(), &token as Ask<'_>),
        (host.state(), &export),
        (host.state(), &agent),
        (host.state().join("run"), &agent),
    ] {
        let elsewhere = host.home().join("else where");
        fs::rename(&real, &elsewhere).unwrap();
        symlink(&elsewhere, &real).unwrap();
        let (sentence, hint) = ask(&host);
        assert_eq!(
            sentence.split(':').next_back().unwrap().trim(),
            format!("{} is a symbolic link", real.display())
        );
        move_here(&host, &hint);
        assert!(!elsewhere.exists() && !real.is_symlink() && real.is_dir());
        host.good(&["client", "token", "laptop"]);
    }

    // One that leads nowhere is of no use to anybody.
    symlink(host.home().join("nowhere"), host.home().join("link")).unwrap();
    fs::rename(host.secrets(), host.home().join("kept")).unwrap();
    fs::rename(host.home().join("link"), host.secrets()).unwrap();
    let (_, hint) = token(&host);
    assert_eq!(hint, format!("rm {}", host.secrets().display()));
    mend(&host, &hint);
    fs::rename(host.home().join("kept"), host.secrets()).unwrap();
    host.good(&["client", "token", "laptop"]);

    // tor follows no link, either.
    let tor = host.state().join("tor");
    let elsewhere = host.home().join("elsewhere");
    fs::rename(&tor, &elsewhere).unwrap();
    symlink(&elsewhere, &tor).unwrap();
    start(&mut host);
    let problem = wait_for_problem(&host, Code::TorFailed);
    move_here(&host, problem["hint"].as_str().unwrap());
    wait_for_no_problem(&host, Code::TorFailed);
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
        assert!(
            sentence == format!("{} belongs to nobody, and this runs as root", path.display()),
            "{sentence}"
        );
        assert_eq!(hint, "run it as nobody: `sudo -Hu nobody ormesh …`");
        std::os::unix::fs::lchown(&path, Some(0), None).unwrap();
    }
    host.good(&["export", "add", "80"]);
    // A link of another user, in the place of a file of ours.
    let target = host.home().join("target.toml");
    fs::rename(host.config(), &target).unwrap();
    symlink(&target, host.config()).unwrap();
    host.good(&["status"]);
    std::os::unix::fs::lchown(host.config(), Some(65534), None).unwrap();
    let (sentence, _) = refused(&host.ormesh(&["status"]), 1);
    assert!(sentence.contains("belongs to nobody"), "{sentence}");
}

/// A user's home, and the command as they run it, or as root does with their environment.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("om-").tempdir_in("/tmp").unwrap();
        fs::copy(ORMESH, dir.path().join("ormesh")).unwrap();
        chmod(&dir.path().join("ormesh"), 0o755);
        std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
        Self(dir)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.0.path());
        command.env("ORMESH_SECRETS", "file").env("ORMESH_TOR", "/nonexistent/tor").stdin(Stdio::null());
        command
    }

    fn as_its_user(&self, args: &[&str]) -> Command {
        let mut command = self.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(self.0.path().join("ormesh"));
        command.args(args);
        command
    }

    fn as_root(&self, args: &[&str]) -> Command {
        let mut command = self.command(ORMESH);
        command.args(args);
        command
    }

    fn entries(&self) -> Vec<PathBuf> {
        let names = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| !path.ends_with("ormesh")).collect()
    }
}

#[track_caller]
fn ran(mut command: Command) -> Ran {
    finished(&mut command).into()
}

#[test]
fn root_makes_nothing_in_the_home_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: nothing can be given to another user");
        return;
    }
    let home = Home::new();
    for args in [&["export", "add", "80"][..], &["client", "add", "a"], &["status"], &["agent", "run"]] {
        let (sentence, hint) = refused(&ran(home.as_root(args)), 1);
        assert_eq!(sentence, format!("{} belongs to nobody, and this runs as root", home.0.path().display()));
        assert_eq!(hint, "run it as nobody: `sudo -Hu nobody ormesh …`");
        // As sudo -E has it, with the places named or not.
        let mut command = home.as_root(args);
        command.env("SUDO_UID", "65534").env("ORMESH_CONFIG", home.0.path().join("c/config.toml"));
        command.env("ORMESH_STATE", home.0.path().join("s/state"));
        let (_, hint) = refused(&ran(command), 1);
        assert_eq!(hint, "run it as nobody, without sudo; `sudo -H ormesh …` is for a host of root's own");
        assert_eq!(home.entries(), [] as [PathBuf; 0]);
    }

    assert_eq!(ran(home.as_its_user(&["export", "add", "80"])).code, 0);
    assert_eq!(ran(home.as_its_user(&["status"])).code, 0);
    let (sentence, _) = refused(&ran(home.as_root(&["export", "add", "81"])), 1);
    assert!(sentence.ends_with("config.toml belongs to nobody, and this runs as root"), "{sentence}");
    // The same of an agent that runs.
    let mut agent = home.as_its_user(&["agent", "run"]).stderr(Stdio::null()).spawn().unwrap();
    until("the agent answers", || ran(home.as_its_user(&["agent", "pause"])).code == 0);
    let mut named = home.as_root(&["agent", "stop"]);
    named.env("ORMESH_STATE", home.0.path().join(".local/state/ormesh"));
    named.env("ORMESH_CONFIG", "/nonexistent/config.toml");
    let (sentence, _) = refused(&ran(named), 1);
    assert!(sentence.ends_with("agent.sock belongs to nobody, and this runs as root"), "{sentence}");
    assert_eq!(ran(home.as_its_user(&["agent", "stop"])).code, 0);
    assert!(agent.wait().unwrap().success());
}

#[test]
fn roots_files_in_the_home_of_a_user_are_named() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: nothing can be given to another user");
        return;
    }
    let home = Home::new();
    // As an earlier ormesh made it when root ran it here.
    for dir in [".config", ".config/ormesh", ".local", ".local/state", ".local/state/ormesh"] {
        fs::create_dir(home.0.path().join(dir)).unwrap();
        chmod(&home.0.path().join(dir), 0o700);
    }
    for (args, place) in [
        (&["status"][..], ".local"),
        (&["export", "add", "22"], ".local"),
        (&["agent", "run"], ".local"),
        (&["config", "check"], ".config"),
    ] {
        let (sentence, hint) = refused(&ran(home.as_its_user(args)), 1);
        let whose =
            format!("{} belongs to root, and this runs as nobody", home.0.path().join(place).display());
        assert!(sentence.ends_with(&whose), "{args:?}: {sentence}");
        assert_eq!(
            hint, "run it as root, or name places of your own by ORMESH_CONFIG and ORMESH_STATE",
            "{args:?}"
        );
    }
    // And root goes on with what is its own.
    assert_eq!(ran(home.as_root(&["export", "add", "22"])).code, 0);
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
