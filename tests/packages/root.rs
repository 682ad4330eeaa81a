//! A bare Debian of a test's own: unpacked, entered by chroot, and gone with the test.
//!
//! Its mounts are in the namespace that the whole run has to itself, so none outlives the run.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::named;

/// The user whom each root has besides root.
const USER: &str = "mesh";

/// The directory of that user's sockets.
const RUNTIME: &str = "/run/user/1000";

/// Where packages that apt has downloaded are kept.
const ARCHIVES: &str = "var/cache/apt/archives";

/// Who runs a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    Root,
    User,
}

/// A bare Debian.
pub(crate) struct Root {
    dir: PathBuf,
    mounts: Vec<PathBuf>,
}

impl Root {
    /// Unpacks one, and makes it fit to run programs in.
    pub(crate) fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("packages-{name}"));
        // What a run that was killed has left; its mounts ended with it.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        run(Command::new("tar")
            .args(["--extract", "--numeric-owner", "--file"])
            .arg(named("ORMESH_BARE_DEBIAN"))
            .arg("--directory")
            .arg(&dir));
        let mut root = Self { dir, mounts: Vec::new() };
        root.mount("proc", "proc", "rw");
        root.mount("tmpfs", "dev/shm", "mode=1777");
        root.mount("tmpfs", "run", "mode=0755");
        // Nothing that apt installs may start a daemon here.
        root.write("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");
        run(Command::new("chmod").arg("755").arg(root.dir.join("usr/sbin/policy-rc.d")));
        for name in ["resolv.conf", "hosts"] {
            if let Ok(text) = fs::read_to_string(Path::new("/etc").join(name)) {
                root.write(&format!("etc/{name}"), &text);
            }
        }
        root.good(As::Root, "useradd", &["--create-home", "--uid", "1000", USER]);
        root.good(As::Root, "install", &["-d", "-m", "0700", "-o", USER, RUNTIME]);
        let network = fs::read_to_string(tornet::shared().client_torrc()).unwrap();
        root.write("etc/private-tor-network", &network);
        root.keep_archives();
        root.good(As::Root, "apt-get", &["--quiet", "update"]);
        root
    }

    /// A file's path outside.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file.trim_start_matches('/'))
    }

    /// A program as it runs in here, with an environment of its own.
    pub(crate) fn command(&self, user: As, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("chroot");
        if user == As::User {
            command.arg(format!("--userspec={USER}:{USER}"));
        }
        command.arg(&self.dir).arg(program);
        let home = if user == As::User { "/home/mesh" } else { "/root" };
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", home)
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("XDG_RUNTIME_DIR", RUNTIME)
            .env("ORMESH_TOR_NETWORK", "/etc/private-tor-network")
            // There is no session bus, and so no keyring.
            .env("ORMESH_SECRETS", "file")
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus");
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    /// Runs a program that must succeed, and gives what it printed.
    pub(crate) fn good(&self, user: As, program: &str, arguments: &[&str]) -> String {
        run(self.command(user, program).args(arguments))
    }

    /// Runs a line of the shell that must succeed, and gives what it printed.
    pub(crate) fn shell(&self, line: &str) -> String {
        self.good(As::Root, "sh", &["-ec", line])
    }

    /// Puts a package file where apt can see it, and gives its path in here.
    pub(crate) fn bring(&self, package: &Path) -> String {
        let name = package.file_name().unwrap().to_string_lossy().into_owned();
        fs::copy(package, self.path(&name)).unwrap();
        format!("/{name}")
    }

    /// Installs packages, by name or by path, and gives what apt said.
    pub(crate) fn install(&self, packages: &[&str]) -> String {
        let words = ["--quiet", "--yes", "--no-install-recommends", "install"];
        let said = self.good(As::Root, "apt-get", &[&words, packages].concat());
        self.return_archives();
        said
    }

    /// What apt would do to install a package: its lines `Inst …` and `Remv …`.
    pub(crate) fn would_install(&self, package: &str) -> Vec<String> {
        let words = ["--simulate", "--no-install-recommends", "install", package];
        let said = self.good(As::Root, "apt-get", &words);
        let is_change = |line: &&str| line.starts_with("Inst ") || line.starts_with("Remv ");
        said.lines().filter(is_change).map(str::to_owned).collect()
    }

    /// The files of an installed package, directories left out.
    pub(crate) fn files_of(&self, package: &str) -> Vec<String> {
        let said = self.good(As::Root, "dpkg", &["--listfiles", package]);
        said.lines().filter(|line| !self.path(line).is_dir()).map(str::to_owned).collect()
    }

    /// Paths that have `ormesh` in their name, but for what is the users', what was logged and what was downloaded.
    pub(crate) fn traces(&self) -> String {
        self.shell(
            "find / -xdev \\( -path /home -o -path /tmp -o -path /var/log -o -path /var/cache/apt \\) -prune \
             -o -name '*ormesh*' ! -name '*.deb' -print",
        )
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        // It may be a link to somewhere outside.
        let _ = fs::remove_file(&path);
        fs::write(path, text).unwrap();
    }

    fn mount(&mut self, kind: &str, place: &str, options: &str) {
        let place = self.dir.join(place);
        fs::create_dir_all(&place).unwrap();
        run(Command::new("mount").args(["-t", kind, "-o", options, kind]).arg(&place));
        self.mounts.push(place);
    }

    /// Lets apt find what it downloaded in earlier runs. Copies: what is removed in here must stay there.
    fn keep_archives(&self) {
        copy_all(&archives(), &self.path(ARCHIVES));
    }

    fn return_archives(&self) {
        copy_all(&self.path(ARCHIVES), &archives());
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        for mount in self.mounts.iter().rev() {
            let unmounted = Command::new("umount").arg("--lazy").arg(mount).status();
            if !unmounted.is_ok_and(|status| status.success()) {
                // Removing what is below a mount would remove it elsewhere. The next run clears it.
                return;
            }
        }
        // The next run clears it, too.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn archives() -> PathBuf {
    PathBuf::from(named("ORMESH_CACHE")).join("bare-archives")
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(from).and_then(|()| fs::create_dir_all(to)).unwrap();
    for entry in from.read_dir().unwrap() {
        let file = entry.unwrap().path();
        let target = to.join(file.file_name().unwrap());
        if file.extension() == Some(OsStr::new("deb")) && !target.exists() {
            // A reader sees all of it or none; a copy by another test is as good as ours.
            let half = target.with_extension(format!("{:?}.half", std::thread::current().id()));
            fs::copy(&file, &half).and_then(|_| fs::rename(&half, &target)).unwrap();
        }
    }
}

/// Runs a command that must succeed, and gives what it printed.
pub(crate) fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}
