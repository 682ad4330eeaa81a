//! Kits: Debian packages that are unpacked together into a directory of the cache, never installed.
//!
//! What a kit is used for is its user's matter; what makes it ready (links, wrappers) is written here once for each.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::cache::{self, Cache};
use super::libraries::Install;
use super::unpack;
use crate::process;

/// Some packages, and how they are made ready.
pub(crate) struct Kit {
    /// The directory's name in the cache.
    name: &'static str,
    /// Unpacked in any case.
    packages: &'static [&'static str],
    /// Of these, what they need that the machine lacks is unpacked, too.
    resolved: &'static [&'static str],
    /// What they take on the disk.
    megabytes: u32,
    /// What for, in words.
    purpose: &'static str,
    /// Raise it when `finish` changes.
    format: u32,
    /// Works on the unpacked directory, whose part `root` is laid out as Debian does, before it is moved to its place.
    finish: fn(staging: &Path) -> Result<()>,
}

/// The C compiler and linker for Windows. Its threads are Windows' own, so what it links needs no library beside it.
pub(crate) const MINGW: Kit = Kit {
    name: "mingw",
    packages: &[
        "binutils-mingw-w64-x86-64",
        "gcc-mingw-w64-base",
        "gcc-mingw-w64-x86-64-win32",
        "gcc-mingw-w64-x86-64-win32-runtime",
        "mingw-w64-common",
        "mingw-w64-x86-64-dev",
    ],
    resolved: &[],
    megabytes: 340,
    purpose: "the compiler and linker for Windows",
    format: 1,
    finish: name_compilers,
};

/// Wine, which runs Windows' programs, without a screen.
pub(crate) const WINE: Kit = Kit {
    name: "wine",
    packages: &["libwine", "libz-mingw-w64", "wine64"],
    resolved: &["wine64"],
    megabytes: 760,
    purpose: "Wine",
    format: 1,
    finish: wrap_wine,
};

/// What makes installers and zips for Windows.
pub(crate) const NSIS: Kit = Kit {
    name: "nsis",
    packages: &["nsis", "nsis-common", "unzip", "zip"],
    resolved: &["nsis", "unzip", "zip"],
    megabytes: 9,
    purpose: "what makes installers and zips for Windows",
    format: 1,
    finish: |_| Ok(()),
};

/// A desktop as people have it: Xfce's panel and window manager, sway for Wayland, accessibility, and what asks for passwords.
pub(crate) const DESK: Kit = Kit {
    name: "desk",
    packages: &[
        "at-spi2-core",
        "dbus-daemon",
        "dbus-session-bus-common",
        "gcr",
        "grim",
        // Not what it needs besides libraries: it would bring a daemon and graphics drivers.
        "sway",
        "swaybg",
        "wtype",
        "xfce4-panel",
        "xfconf",
        "xfwm4",
    ],
    resolved: &[
        "at-spi2-core",
        "dbus-daemon",
        "dbus-session-bus-common",
        "gcr",
        "grim",
        "libevdev2",
        "libinput10",
        "libjson-c5",
        "libwlroots10",
        "swaybg",
        "wtype",
        "xfce4-panel",
        "xfconf",
        "xfwm4",
    ],
    megabytes: 30,
    purpose: "a desktop as people have it",
    format: 1,
    finish: place_desk,
};

impl Kit {
    /// Unpacks it if it is missing, and gives its directory. None: it is missing and was listed as asked.
    ///
    /// # Errors
    ///
    /// When apt fails or there is none.
    pub(crate) fn prepare(&self, install: Install) -> Result<Option<PathBuf>> {
        let cache = Cache::open()?;
        let dir = cache.base().join(self.name);
        if self.is_fresh(&dir) {
            return Ok(Some(dir));
        }
        if process::find("apt-get").is_none() {
            bail!(
                "failed to get {}: it is taken from Debian's packages, and this machine has no apt-get\n\
                 hint: run it on Debian 12, or in a container of it",
                self.purpose
            );
        }
        if install == Install::ListOnly {
            println!(
                "would unpack into {} ({} MB, nothing is installed), {}:",
                dir.display(),
                self.megabytes,
                self.purpose
            );
            println!("  {}", self.packages.join(" "));
            return Ok(None);
        }
        let _lock = cache.lock()?;
        if !self.is_fresh(&dir) {
            let packages = unpack::unpack(&cache, self.name, self.packages, self.resolved, self.finish)?;
            unpack::stamp(&dir, &self.key(), &packages)?;
        }
        Ok(Some(dir))
    }

    /// What is unpacked now, as `package=version`; a directory that is not whole has none.
    pub(crate) fn versions(&self, dir: &Path) -> String {
        let stamp = fs::read_to_string(dir.join("stamp")).unwrap_or_default();
        stamp.strip_prefix(&self.key()).unwrap_or_default().to_owned()
    }

    fn is_fresh(&self, dir: &Path) -> bool {
        fs::read_to_string(dir.join("stamp")).is_ok_and(|stamp| stamp.starts_with(&self.key()))
    }

    fn key(&self) -> String {
        cache::key(self.packages, self.resolved) + &format!("kit {}\n", self.format)
    }
}

/// Gives the compiler's programs the names that build systems look for. Debian does so by its alternatives, at installation.
fn name_compilers(staging: &Path) -> Result<()> {
    let (bin, programs) = (staging.join("bin"), staging.join("root/usr/bin"));
    fs::create_dir_all(&bin).with_context(|| format!("failed to create: {}", bin.display()))?;
    let entries =
        fs::read_dir(&programs).with_context(|| format!("failed to list: {}", programs.display()))?;
    for entry in entries {
        let name = entry.with_context(|| format!("failed to list: {}", programs.display()))?.file_name();
        let name = name.to_string_lossy();
        // Relative, because the whole directory is moved to its place.
        symlink(Path::new("../root/usr/bin").join(&*name), bin.join(name.trim_end_matches("-win32")))
            .with_context(|| format!("failed to link: {name}"))?;
    }
    Ok(())
}

/// Writes a script that runs Wine from wherever the directory is, and lays a library beside Wine's that Debian's is linked with.
fn wrap_wine(staging: &Path) -> Result<()> {
    let bin = staging.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("failed to create: {}", bin.display()))?;
    unpack::write_program(&bin.join("wine"), WINE_SCRIPT)?;
    let root = staging.join("root/usr");
    let zlib = root.join("x86_64-w64-mingw32/lib/zlib1.dll");
    let beside = root.join("lib/x86_64-linux-gnu/wine/x86_64-windows/zlib1.dll");
    for copy in [beside, staging.join("zlib1.dll")] {
        fs::copy(&zlib, &copy).with_context(|| format!("failed to copy: {}", zlib.display()))?;
    }
    Ok(())
}

/// Where the first word is `wineserver`, that program is run instead.
const WINE_SCRIPT: &str = r#"#!/bin/sh
# wine from its Debian package, unpacked by `cargo xtask`.
set -eu
root=$(cd "$(dirname "$0")/../root" && pwd)
export LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export WINESERVER="$root/usr/lib/wine/wineserver64"
if [ "${1:-}" = wineserver ]; then
  shift
  exec "$WINESERVER" "$@"
fi
exec "$root/usr/lib/wine/wine64" "$@"
"#;

/// Writes a script that runs a command where the desktop is in place, and has the panel load its tray itself: a screen reader hears nothing
/// of what another process shows in it.
fn place_desk(staging: &Path) -> Result<()> {
    let bin = staging.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("failed to create: {}", bin.display()))?;
    unpack::write_program(&bin.join("within"), WITHIN_SCRIPT)?;
    let tray = staging.join("root/usr/share/xfce4/panel/plugins/systray.desktop");
    let text = fs::read_to_string(&tray).with_context(|| format!("failed to read: {}", tray.display()))?;
    fs::write(&tray, text.replace("X-XFCE-Internal=FALSE", "X-XFCE-Internal=TRUE"))
        .with_context(|| format!("failed to write: {}", tray.display()))
}

/// Most of these programs look for their parts below `/usr` and nowhere else. So the packages are laid over it, in a namespace of mounts that
/// ends with the command; and one of processes, so that nothing of it outlives the command.
const WITHIN_SCRIPT: &str = r#"#!/bin/sh
# Runs a command where these Debian packages are in place, for it alone. Unpacked by `cargo xtask`.
set -eu
root=$(cd "$(dirname "$0")/../root" && pwd)
user=
[ "$(id -u)" = 0 ] || user=--map-root-user
exec unshare $user --mount --pid --fork --kill-child --mount-proc \
  sh -euc 'mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr; shift; exec "$@"' sh "$root" "$@"
"#;
