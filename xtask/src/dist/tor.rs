//! The tor that the packages carry, `ormesh-tor`: built from Debian's source with its libraries linked in, so that it runs
//! on machines that have none of them.
//!
//! It is kept in the cache and built again only when something that went into it changes: the pinned source, Debian's
//! version of a library (an OpenSSL that mends a fault must reach the packages), the way of building.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::{Libraries, Pin, Sources};
use crate::{interrupt, process, say};

/// The source, as it was looked at: <https://tracker.debian.org/pkg/tor>. Debian changes nothing outside `debian/`.
pub(crate) const SOURCE: Pin = Pin {
    name: "tor",
    version: "0.4.9.11-0+deb12u1",
    files: &[
        ("tor_0.4.9.11-0+deb12u1.dsc", "ff97246c105b94f7e59d32b86de79e3c6dff59da6181db56ad38745b323bca8b"),
        ("tor_0.4.9.11.orig.tar.gz", "2e6c1720118c812acf0079fd47cf91b6bfaba5d766c321c4d3d2a28d6a11a8ed"),
        (
            "tor_0.4.9.11-0+deb12u1.diff.gz",
            "508c347b479b4ef1c3bf20ecb6c3ee658ccaf74cbd3308251f22355a66905348",
        ),
    ],
};

/// Raise it when the way of building changes; the source, the libraries and the flags are compared by themselves.
const FORMAT: u32 = 1;

/// What is linked in.
const LIBRARIES: [&str; 3] = ["libevent-dev", "libssl-dev", "zlib1g-dev"];

/// What may stay dynamic: the C library, which every system has.
const DYNAMIC: [&str; 3] = ["libc.so.6", "libm.so.6", "ld-linux"];

/// A client that hosts onion services and nothing else: no relay or authority, no system configuration, and none of the
/// optional libraries. Without `--enable-gpl` it stays under tor's own licence.
const CONFIGURE: [&str; 14] = [
    "--prefix=/usr",
    "--sysconfdir=/etc",
    "--localstatedir=/var",
    "--disable-asciidoc",
    "--disable-gcc-warnings-advisory",
    "--disable-libscrypt",
    "--disable-lzma",
    "--disable-module-dirauth",
    "--disable-module-relay",
    "--disable-seccomp",
    "--disable-system-torrc",
    "--disable-systemd",
    "--disable-unittests",
    "--disable-zstd",
];

/// The libraries that `configure` links statically, each at the place that it is told.
const STATIC: [&str; 3] = ["libevent", "openssl", "zlib"];

/// The built tor and what its packages must say of it.
pub(super) struct Sidecar {
    dir: PathBuf,
}

impl Sidecar {
    /// Builds it, unless the cache has it.
    ///
    /// # Errors
    ///
    /// When the source or a library cannot be had or verified, or what was built is not what it should be.
    pub(super) fn prepare() -> Result<Sidecar> {
        let sources = Sources::open()?;
        sources.compare(&SOURCE)?;
        let _lock = sources.lock()?;
        let sidecar = Sidecar { dir: sources.place("sidecar") };
        let key = key(&sources.key(), &sources.current(&LIBRARIES)?);
        if fs::read_to_string(sidecar.dir.join("stamp")).is_ok_and(|stamp| stamp == key) {
            say::note(&format!("{} is in the cache", sidecar.program().display()));
            return Ok(sidecar);
        }
        let work = sources.place("sidecar.new");
        remove(&work)?;
        fs::create_dir_all(&work).with_context(|| format!("failed to create: {}", work.display()))?;
        let libraries = sources.libraries("sidecar-libraries", &LIBRARIES)?;
        say::note(&format!("tor {} with {}", SOURCE.version, libraries.versions.join(", ")));
        build(&sources, &work, &libraries)?;
        write(&work.join("stamp"), &key)?;
        remove(&sidecar.dir)?;
        fs::rename(&work, &sidecar.dir).with_context(|| format!("failed to rename: {}", work.display()))?;
        remove(&sources.place("sidecar-libraries"))?;
        Ok(sidecar)
    }

    /// The program.
    pub(super) fn program(&self) -> PathBuf {
        self.dir.join("ormesh-tor")
    }

    /// The packages of Debian's that it was built from, as `name=version`: its own source, and the libraries in it.
    pub(super) fn made_of(&self) -> Result<Vec<String>> {
        let stamp = self.dir.join("stamp");
        let stamp =
            fs::read_to_string(&stamp).with_context(|| format!("failed to read: {}", stamp.display()))?;
        let libraries = stamp.lines().find_map(|line| line.strip_prefix("libraries ")).unwrap_or_default();
        let tor = format!("{}={}", SOURCE.name, SOURCE.version);
        Ok([tor].into_iter().chain(libraries.split_whitespace().map(str::to_owned)).collect())
    }

    /// The licences of tor and of what is linked into it, one file.
    pub(super) fn licences(&self) -> PathBuf {
        self.dir.join("licences")
    }
}

fn key(machine: &str, libraries: &[String]) -> String {
    let files: Vec<_> = SOURCE.files.iter().map(|(_, sum)| *sum).collect();
    let (files, flags, libraries) = (files.join(" "), CONFIGURE.join(" "), libraries.join(" "));
    format!(
        "{machine}build {FORMAT}\nsource {} {files}\nlibraries {libraries}\nflags {flags}\n",
        SOURCE.version
    )
}

/// Builds in a directory below `work`, and leaves in `work` only what [`Sidecar`] gives.
fn build(sources: &Sources, work: &Path, libraries: &Libraries) -> Result<()> {
    let scratch = work.join("scratch");
    let (source, build, place) = (scratch.join("source"), scratch.join("build"), scratch.join("libraries"));
    fs::create_dir_all(&scratch).with_context(|| format!("failed to create: {}", scratch.display()))?;
    sources.extract(&SOURCE, &source)?;
    fs::create_dir_all(&build).with_context(|| format!("failed to create: {}", build.display()))?;

    say::note("configuring and compiling tor: some minutes");
    let multiarch = process::output(Command::new("dpkg-architecture").arg("-qDEB_HOST_MULTIARCH"))?;
    let multiarch = multiarch.trim();
    // `configure` looks below each library's directory for `include` and `lib`.
    fs::create_dir_all(&place).with_context(|| format!("failed to create: {}", place.display()))?;
    for (name, target) in [("include", "usr/include"), ("lib", &*format!("usr/lib/{multiarch}"))] {
        std::os::unix::fs::symlink(libraries.root.join(target), place.join(name))
            .with_context(|| format!("failed to link: {name}"))?;
    }
    let mut configure = Command::new(source.join("configure"));
    configure.args(CONFIGURE).current_dir(&build);
    for library in STATIC {
        configure.arg(format!("--enable-static-{library}"));
        configure.arg(format!("--with-{library}-dir={}", place.display()));
    }
    configure.arg(format!("CPPFLAGS=-I{}/usr/include/{multiarch}", libraries.root.display()));
    // No path of the machine that builds it is left in the program.
    configure.arg(format!("CFLAGS=-O2 -g0 -ffile-prefix-map={}=.", scratch.display()));
    process::output(&mut configure)?;

    interrupt::check()?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut make = Command::new("make");
    process::output(make.arg(format!("--jobs={jobs}")).arg("src/app/tor").current_dir(&build))?;

    let program = work.join("ormesh-tor");
    fs::copy(build.join("src/app/tor"), &program).context("failed to copy tor")?;
    process::output(Command::new("strip").arg("--remove-section=.comment").arg(&program))?;
    verify(&program)?;
    gather_licences(work, &source, libraries)?;
    remove(&scratch)
}

/// Fails unless `program` is the pinned tor and links nothing but the C library.
fn verify(program: &Path) -> Result<()> {
    let said = process::output(Command::new(program).arg("--version"))?;
    let (upstream, _) = SOURCE.version.split_once('-').context("a version of Debian's has a revision")?;
    if !said.starts_with(&format!("Tor version {upstream}.")) {
        bail!("failed to build tor {upstream}: it says {}", said.lines().next().unwrap_or_default());
    }
    let strays: Vec<_> = super::elf::needed(program)?
        .into_iter()
        .filter(|library| !DYNAMIC.iter().any(|allowed| library.starts_with(allowed)))
        .collect();
    if !strays.is_empty() {
        bail!("failed to link tor statically: it still needs {}", strays.join(", "));
    }
    Ok(())
}

fn gather_licences(work: &Path, source: &Path, libraries: &Libraries) -> Result<()> {
    let mut parts = vec![("tor".to_owned(), source.join("LICENSE"))];
    for (name, version) in LIBRARIES.iter().zip(&libraries.versions) {
        parts.push((version.clone(), libraries.root.join(format!("usr/share/doc/{name}/copyright"))));
    }
    let mut text = String::new();
    for (name, file) in parts {
        let licence =
            fs::read_to_string(&file).with_context(|| format!("failed to read: {}", file.display()))?;
        text += &format!("==== {name} ====\n\n{}\n\n", licence.trim_end());
    }
    write(&work.join("licences"), &text)
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("failed to write: {}", file.display()))
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove: {}", dir.display()))
        }
        _ => Ok(()),
    }
}
