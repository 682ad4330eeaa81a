//! Libraries and build tools that come from apt by installation, after saying so.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Whether the set-up may change anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    /// Get what is missing.
    Yes,
    /// Only say what is missing.
    ListOnly,
}

/// A group of packages for one purpose.
pub(super) struct Group {
    purpose: &'static str,
    packages: &'static [Library],
}

struct Library {
    package: &'static str,
    sign: Sign,
}

/// What shows that something is there, wherever it came from.
enum Sign {
    /// A program in `PATH`.
    Program(&'static str),
    /// A module that pkg-config knows.
    Module(&'static str),
    /// The Debian package itself; where there is no dpkg it is taken to be there.
    Package,
}

/// What building everything but the desktop app takes.
pub(super) const BUILD: Group = Group {
    purpose: "building ormesh",
    packages: &[
        Library { package: "gcc", sign: Sign::Program("cc") },
        Library { package: "libc6-dev", sign: Sign::Program("cc") },
    ],
};

/// What building the desktop app takes.
pub(super) const DESKTOP: Group = Group {
    purpose: "building the desktop app",
    packages: &[
        Library { package: "pkg-config", sign: Sign::Program("pkg-config") },
        Library { package: "libgtk-3-dev", sign: Sign::Module("gtk+-3.0") },
        Library { package: "libwebkit2gtk-4.1-dev", sign: Sign::Module("webkit2gtk-4.1") },
        Library { package: "librsvg2-dev", sign: Sign::Module("librsvg-2.0") },
        Library { package: "libdbus-1-dev", sign: Sign::Module("dbus-1") },
    ],
};

/// What testing its window takes.
pub(super) const WINDOW_TESTS: Group = Group {
    purpose: "testing the desktop app's window",
    packages: &[
        Library { package: "webkit2gtk-driver", sign: Sign::Program("WebKitWebDriver") },
        Library { package: "xvfb", sign: Sign::Program("Xvfb") },
        Library { package: "xauth", sign: Sign::Program("xauth") },
        Library { package: "xclip", sign: Sign::Program("xclip") },
        Library { package: "chromium", sign: Sign::Program("chromium") },
        Library { package: "fonts-dejavu-core", sign: Sign::Package },
    ],
};

/// What making the packages takes, besides what building takes. None of it starts anything.
pub(super) const DIST: Group = Group {
    purpose: "making the packages",
    packages: &[
        Library { package: "make", sign: Sign::Program("make") },
        Library { package: "binutils", sign: Sign::Program("strip") },
        Library { package: "dpkg-dev", sign: Sign::Program("dpkg-shlibdeps") },
        Library { package: "rpm", sign: Sign::Program("rpmbuild") },
        Library { package: "git", sign: Sign::Program("git") },
    ],
};

/// What building tor for Windows takes, besides what is unpacked for it.
pub(super) const WINDOWS: Group = Group {
    purpose: "building tor for Windows",
    packages: &[
        Library { package: "make", sign: Sign::Program("make") },
        Library { package: "dpkg-dev", sign: Sign::Program("dpkg-source") },
        Library { package: "perl", sign: Sign::Program("perl") },
    ],
};

/// What testing the packages takes, besides what making them takes.
pub(super) const PACKAGES: Group = Group {
    purpose: "testing the packages in a bare Debian",
    packages: &[
        Library { package: "mmdebstrap", sign: Sign::Program("mmdebstrap") },
        Library { package: "mount", sign: Sign::Program("mount") },
        Library { package: "util-linux", sign: Sign::Program("unshare") },
    ],
};

/// Installs what is missing of `group`. False: something is missing, and was listed as asked.
///
/// # Errors
///
/// When apt fails, or may not be run: the error names the command to run as root.
pub(super) fn ensure(group: &Group, install: Install) -> Result<bool> {
    let missing: Vec<_> =
        group.packages.iter().filter(|library| !is_there(library)).map(|library| library.package).collect();
    if missing.is_empty() {
        return Ok(true);
    }
    let names = missing.join(" ");
    if install == Install::ListOnly {
        println!("would install by apt-get, for {}:\n  {names}", group.purpose);
        return Ok(false);
    }
    let command = format!("apt-get install --no-install-recommends {names}");
    if process::find("apt-get").is_none() {
        bail!(
            "failed to find what {} takes: {names}\nhint: install what your system calls these",
            group.purpose
        );
    }
    let as_root: &[&str] = match (rustix::process::geteuid().is_root(), process::find("sudo")) {
        (true, _) => &[],
        (false, Some(_)) => &["sudo"],
        (false, None) => {
            bail!("failed to install: not root, and there is no sudo\nhint: run as root: {command}")
        }
    };
    println!("installing for {}: {names}", group.purpose);
    apt_get(as_root, &["--quiet", "update"]).with_context(|| format!("failed to run as root: {command}"))?;
    let mut words = vec!["--quiet", "--yes", "--no-install-recommends", "install"];
    words.extend(&missing);
    apt_get(as_root, &words).with_context(|| format!("failed to run as root: {command}"))?;
    Ok(true)
}

fn is_there(library: &Library) -> bool {
    let asked = |program: &str, words: &[&str]| process::output(Command::new(program).args(words));
    match library.sign {
        Sign::Program(program) => process::find(program).is_some(),
        Sign::Module(module) => asked("pkg-config", &["--exists", module]).is_ok(),
        Sign::Package => {
            let words = ["--show", "--showformat=${db:Status-Status}", library.package];
            process::find("dpkg-query").is_none()
                || asked("dpkg-query", &words).is_ok_and(|status| status == "installed")
        }
    }
}

/// Runs apt-get in the open, so that sudo can ask and the reader can see.
fn apt_get(as_root: &[&str], words: &[&str]) -> Result<()> {
    let mut all = as_root.to_vec();
    all.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    all.extend(words);
    let status = Command::new(all[0])
        .args(&all[1..])
        .status()
        .with_context(|| format!("failed to start: {}", all[0]))?;
    if !status.success() {
        bail!("apt-get ended with {status}");
    }
    Ok(())
}
