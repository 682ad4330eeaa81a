//! The second Rust toolchain, for `cargo xtask cross`: Debian's, whose sources of the standard library match it.
//!
//! It is unpacked into a directory of the cache's own and never installed. Which targets it is used for is `cross`'s.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::cache::{self, Cache};
use super::libraries::Install;
use super::unpack;
use super::wrapper;
use crate::process;

/// The compiler, its own standard library (build scripts and macros run here), the sources to build others from, and the
/// `dlltool` that Windows' import libraries are made with.
const PACKAGES: [&str; 4] = ["rustc-web", "libstd-rust-web-dev", "rust-web-src", "binutils-mingw-w64-x86-64"];

/// The directory's name in the cache.
const NAME: &str = "cross";

/// The unpacked toolchain.
pub(crate) struct Toolchain {
    dir: PathBuf,
}

impl Toolchain {
    /// Gets it if it is missing. None: it is missing and was listed as asked.
    ///
    /// # Errors
    ///
    /// When apt fails or there is none.
    pub(crate) fn prepare(install: Install) -> Result<Option<Toolchain>> {
        let cache = Cache::open()?;
        let toolchain = Toolchain { dir: cache.base().join(NAME) };
        if toolchain.is_fresh() {
            return Ok(Some(toolchain));
        }
        if process::find("apt-get").is_none() {
            bail!(
                "failed to get a toolchain with sources of its standard library: it is taken from Debian 12's packages"
            );
        }
        if install == Install::ListOnly {
            println!("would unpack into {} (850 MB, nothing is installed):", toolchain.dir.display());
            println!("  {}", PACKAGES.join(" "));
            return Ok(None);
        }
        let _lock = cache.lock()?;
        if !toolchain.is_fresh() {
            let packages = unpack::unpack(&cache, NAME, &PACKAGES, &PACKAGES, |staging| {
                unpack::write_program(
                    &staging.join("rustc"),
                    &wrapper::plain("rustc", "usr/bin/rustc", &toolchain.dir),
                )
            })?;
            unpack::stamp(&toolchain.dir, &key(&toolchain.dir), &packages)?;
        }
        Ok(Some(toolchain))
    }

    /// The compiler, the value of `RUSTC`.
    pub(crate) fn rustc(&self) -> PathBuf {
        self.dir.join("rustc")
    }

    /// The directory with `dlltool`, to be put first in `PATH`.
    pub(crate) fn bin(&self) -> PathBuf {
        self.dir.join("root/usr/bin")
    }

    /// A target directory of its own: another compiler would make cargo build everything anew each time.
    pub(crate) fn target(&self) -> PathBuf {
        self.dir.with_file_name("cross-target")
    }

    fn is_fresh(&self) -> bool {
        let stamp = fs::read_to_string(self.dir.join("stamp")).unwrap_or_default();
        stamp.starts_with(&key(&self.dir)) && process::is_executable(&self.rustc())
    }
}

fn key(dir: &std::path::Path) -> String {
    cache::key(&PACKAGES, &PACKAGES) + &wrapper::plain("rustc", "usr/bin/rustc", dir)
}
