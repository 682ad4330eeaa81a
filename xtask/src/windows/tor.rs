//! `ormesh-tor.exe`: the tor of the packages for Windows, from the same source as the Linux one, and its libraries from theirs.
//!
//! It is kept in the cache and built again only when a source, the compiler or the way of building changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::files::{remove, write};
use crate::dist::TOR_SOURCE;
use crate::setup::{MINGW, Pin, Sources};
use crate::{interrupt, process, say};

/// OpenSSL as its authors published it: the mirrors of Debian's security archive were seen to lack Debian's own part of this version.
/// Debian's changes to it are in DTLS, CMP, CMS, CRLs and SM2 (its changelog), which tor does not use.
const OPENSSL: Pin = Pin {
    name: "openssl",
    version: "3.0.22-1~deb12u2",
    files: &[(
        "openssl_3.0.22.orig.tar.gz",
        "67ebca7e50d17383028045486653492195b83db95f8558709701bb47b5c1ef81",
    )],
};

const LIBEVENT: Pin = Pin {
    name: "libevent",
    version: "2.1.12-stable-8+deb12u1",
    files: &[
        (
            "libevent_2.1.12-stable-8+deb12u1.dsc",
            "acc01f440019a0369c1cf0e6256a22037a65f032b5192ee14bad548889074b55",
        ),
        (
            "libevent_2.1.12-stable.orig.tar.gz",
            "92e6de1be9ec176428fd2367677e61ceffc2ee1cb119035037a27d346b0403bb",
        ),
        (
            "libevent_2.1.12-stable-8+deb12u1.debian.tar.xz",
            "0c721f8a55e6a9e225f62f151f477675ed901400b56003bb424ef2eea74f370d",
        ),
    ],
};

const ZLIB: Pin = Pin {
    name: "zlib",
    version: "1:1.2.13.dfsg-1",
    files: &[
        ("zlib_1.2.13.dfsg-1.dsc", "3fa1e6b2fc525062aa88207dda52fed8e045373c809d362fe8a2bfbf7cf515a8"),
        ("zlib_1.2.13.dfsg.orig.tar.bz2", "71feb7947e3c00ef125f83b79a4e529bde31171e5babe48b391f06758d1ab0a1"),
        (
            "zlib_1.2.13.dfsg-1.debian.tar.xz",
            "f66cf3d4f2d7defcd4d1fd1fb0a11ee39f1e01b42ec7d059c9dc5c1695133c44",
        ),
    ],
};

/// Each library, and where its source says under what licence it is.
const LIBRARIES: [(&Pin, &str); 3] =
    [(&OPENSSL, "LICENSE.txt"), (&LIBEVENT, "LICENSE"), (&ZLIB, "debian/copyright")];

/// Raise it when the way of building changes; sources, flags and the compiler are compared by themselves.
const FORMAT: u32 = 1;

/// What all of them are built for.
const HOST: &str = "x86_64-w64-mingw32";

/// A client that hosts onion services and nothing else, as on Linux.
const CONFIGURE: [&str; 11] = [
    "--disable-asciidoc",
    "--disable-gcc-warnings-advisory",
    "--disable-libscrypt",
    "--disable-lzma",
    "--disable-module-dirauth",
    "--disable-module-relay",
    "--disable-system-torrc",
    "--disable-tool-name-check",
    "--disable-unittests",
    "--disable-zstd",
    "--prefix=/ormesh",
];

/// tor calls Windows by its functions for the system's code page, which lacks most letters. By this it is given UTF-8 instead, since
/// Windows 10 of May 2019: a user may be called anything.
const MANIFEST: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<assembly xmlns="urn:schemas-microsoft-com:asm.v1" manifestVersion="1.0">
  <assemblyIdentity type="win32" name="ormesh-tor" version="1.0.0.0"/>
  <application xmlns="urn:schemas-microsoft-com:asm.v3">
    <windowsSettings>
      <activeCodePage xmlns="http://schemas.microsoft.com/SMI/2019/WindowsSettings">UTF-8</activeCodePage>
    </windowsSettings>
  </application>
</assembly>
"#;

/// Libraries that every Windows has.
const SYSTEM: [&str; 11] = [
    "advapi32.dll",
    "bcrypt.dll",
    "crypt32.dll",
    "gdi32.dll",
    "iphlpapi.dll",
    "kernel32.dll",
    "msvcrt.dll",
    "shell32.dll",
    "shlwapi.dll",
    "user32.dll",
    "ws2_32.dll",
];

/// The built tor and its licences.
pub(super) struct Sidecar {
    dir: PathBuf,
}

impl Sidecar {
    /// Builds it with the compiler in `mingw`, unless the cache has it.
    ///
    /// # Errors
    ///
    /// When a source cannot be had or verified, or what was built is not what it should be. Nothing half made is left in its place.
    pub(super) fn prepare(mingw: &Path) -> Result<Sidecar> {
        let sources = Sources::open()?;
        for pin in [&TOR_SOURCE, &OPENSSL, &LIBEVENT, &ZLIB] {
            sources.compare(pin)?;
        }
        let _lock = sources.lock()?;
        let sidecar = Sidecar { dir: sources.place("sidecar-windows") };
        let key = key(&sources.key(), &MINGW.versions(mingw));
        if fs::read_to_string(sidecar.dir.join("stamp")).is_ok_and(|stamp| stamp == key) {
            say::note(&format!("{} is in the cache", sidecar.program().display()));
            return Ok(sidecar);
        }
        let work = sources.place("sidecar-windows.new");
        remove(&work)?;
        fs::create_dir_all(&work).with_context(|| format!("failed to create: {}", work.display()))?;
        build(&sources, &work, mingw)?;
        write(&work.join("stamp"), &key)?;
        remove(&sidecar.dir)?;
        fs::rename(&work, &sidecar.dir).with_context(|| format!("failed to rename: {}", work.display()))?;
        Ok(sidecar)
    }

    /// The program.
    pub(super) fn program(&self) -> PathBuf {
        self.dir.join("ormesh-tor.exe")
    }

    /// The licences of tor and of what is linked into it, one file.
    pub(super) fn licences(&self) -> PathBuf {
        self.dir.join("licences")
    }
}

fn key(machine: &str, compiler: &str) -> String {
    let mut key = format!("{machine}build {FORMAT}\nflags {}\n{MANIFEST}", CONFIGURE.join(" "));
    for pin in [&TOR_SOURCE, &OPENSSL, &LIBEVENT, &ZLIB] {
        let sums: Vec<_> = pin.files.iter().map(|(_, sum)| *sum).collect();
        key += &format!("source {} {} {}\n", pin.name, pin.version, sums.join(" "));
    }
    key + compiler
}

/// Builds in a directory below `work`, and leaves in `work` only what [`Sidecar`] gives.
fn build(sources: &Sources, work: &Path, mingw: &Path) -> Result<()> {
    let builder = Builder { scratch: work.join("scratch"), mingw: mingw.join("bin") };
    for pin in [&ZLIB, &OPENSSL, &LIBEVENT, &TOR_SOURCE] {
        fs::create_dir_all(&builder.scratch).context("failed to create a directory to build in")?;
        sources.extract(pin, &builder.scratch.join(pin.name))?;
    }
    builder.zlib()?;
    builder.openssl()?;
    builder.libevent()?;
    builder.tor()?;

    let program = work.join("ormesh-tor.exe");
    let built = builder.scratch.join("tor/src/app/tor.exe");
    fs::copy(&built, &program).context("failed to copy tor")?;
    process::output(builder.command(&format!("{HOST}-strip"), ".").arg(&program))?;
    verify(&builder, &program)?;
    let mut parts = vec![("tor".to_owned(), builder.scratch.join("tor/LICENSE"))];
    for (pin, file) in LIBRARIES {
        parts.push((format!("{}={}", pin.name, pin.version), builder.scratch.join(pin.name).join(file)));
    }
    let mut text = String::new();
    for (name, file) in parts {
        let licence =
            fs::read_to_string(&file).with_context(|| format!("failed to read: {}", file.display()))?;
        text += &format!("==== {name} ====\n\n{}\n\n", licence.trim_end());
    }
    write(&work.join("licences"), &text)?;
    remove(&builder.scratch)
}

/// Where it is built, and with what.
struct Builder {
    scratch: PathBuf,
    mingw: PathBuf,
}

impl Builder {
    fn zlib(&self) -> Result<()> {
        say::note("compiling zlib");
        // Its script is for Unix; what is compiled is the same. Debian leaves the files for Windows out.
        let mut configure = self.command("./configure", "zlib");
        configure.args(["--static", "--uname=Linux"]).env("CC", format!("{HOST}-gcc"));
        configure.env("AR", format!("{HOST}-ar")).env("RANLIB", format!("{HOST}-ranlib"));
        configure.env("CFLAGS", self.c_flags());
        process::output(&mut configure)?;
        self.make("zlib", &["libz.a"])?;
        self.keep("zlib", "lib", &["libz.a"])?;
        self.keep("zlib", "include", &["zlib.h", "zconf.h"])
    }

    fn openssl(&self) -> Result<()> {
        say::note("compiling OpenSSL: some minutes");
        let mut configure = self.command("./Configure", "openssl");
        configure.args(["mingw64", "no-shared", "no-tests", "no-dso", "no-engine", "no-legacy"]);
        configure.arg("no-autoload-config");
        configure.arg(format!("--cross-compile-prefix={HOST}-"));
        // No file of OpenSSL's is read, and the directory of such files is one that can't be made: a name on Windows has no colon.
        configure.args(["--prefix=/ormesh", "--openssldir=/ormesh:none", "--libdir=lib"]);
        // These flags are in the program, so no directory is among them.
        configure.args(["-O2", "-g0"]);
        process::output(&mut configure)?;
        self.make("openssl", &["build_generated"])?;
        self.make("openssl", &["libcrypto.a", "libssl.a"])?;
        let mut install = self.command("make", "openssl");
        install
            .arg("install_dev")
            .arg(format!("DESTDIR={}", self.scratch.join("openssl-installed").display()));
        process::output(&mut install)?;
        let installed = self.scratch.join("openssl-installed/ormesh");
        for part in ["include/openssl", "lib/libcrypto.a", "lib/libssl.a"] {
            let to = self.prefix().join(part);
            fs::rename(installed.join(part), &to).with_context(|| format!("failed to move: {part}"))?;
        }
        Ok(())
    }

    fn libevent(&self) -> Result<()> {
        say::note("compiling libevent");
        let mut configure = self.command("./configure", "libevent");
        configure.arg(format!("--host={HOST}")).arg(format!("--prefix={}", self.prefix().display()));
        configure.args(["--disable-shared", "--disable-openssl", "--disable-samples"]);
        configure.args(["--disable-libevent-regress", "--disable-debug-mode"]);
        configure.arg(format!("CFLAGS={}", self.c_flags()));
        process::output(&mut configure)?;
        self.make("libevent", &["install"])
    }

    fn tor(&self) -> Result<()> {
        say::note("compiling tor: some minutes");
        write(&self.scratch.join("tor.manifest"), MANIFEST)?;
        write(&self.scratch.join("manifest.rc"), "1 24 \"tor.manifest\"\n")?;
        let mut resource = self.command(&format!("{HOST}-windres"), ".");
        process::output(resource.args(["manifest.rc", "--output-format=coff", "--output=manifest.o"]))?;
        let mut configure = self.command("./configure", "tor");
        configure.arg(format!("--host={HOST}")).args(CONFIGURE).arg(format!("CFLAGS={}", self.c_flags()));
        configure.arg(format!("LDFLAGS=-static {}", self.scratch.join("manifest.o").display()));
        for library in ["libevent", "openssl", "zlib"] {
            configure.arg(format!("--enable-static-{library}"));
            configure.arg(format!("--with-{library}-dir={}", self.prefix().display()));
        }
        process::output(&mut configure)?;
        self.make("tor", &["src/app/tor.exe"])
    }

    fn make(&self, dir: &str, what: &[&str]) -> Result<()> {
        interrupt::check()?;
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut make = self.command("make", dir);
        // Debian's changes make some scripts look older than what they are made from; they are good as they are.
        make.args(["ACLOCAL=:", "AUTOCONF=:", "AUTOHEADER=:", "AUTOMAKE=:"]);
        process::output(make.arg(format!("--jobs={jobs}")).args(what)).map(drop)
    }

    /// A command in a directory of the scratch, to which the compilers are there by name.
    fn command(&self, program: &str, dir: &str) -> Command {
        let mut path = vec![self.mingw.clone()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let dir = self.scratch.join(dir);
        let compiler = self.mingw.join(program);
        let program = match program.strip_prefix("./") {
            Some(script) => dir.join(script),
            None if compiler.exists() => compiler,
            None => program.into(),
        };
        let mut command = Command::new(program);
        command.current_dir(dir).env("LC_ALL", "C");
        if let Ok(path) = std::env::join_paths(path) {
            command.env("PATH", path);
        }
        command
    }

    /// No path of the machine that builds it is left in the program.
    fn c_flags(&self) -> String {
        format!("-O2 -g0 -ffile-prefix-map={}=.", self.scratch.display())
    }

    /// Where libraries are for those that need them.
    fn prefix(&self) -> PathBuf {
        self.scratch.join("prefix")
    }

    fn keep(&self, dir: &str, part: &str, files: &[&str]) -> Result<()> {
        let to = self.prefix().join(part);
        fs::create_dir_all(&to).with_context(|| format!("failed to create: {}", to.display()))?;
        for file in files {
            fs::copy(self.scratch.join(dir).join(file), to.join(file))
                .with_context(|| format!("failed to copy: {file}"))?;
        }
        Ok(())
    }
}

/// Fails unless `program` needs nothing but what every Windows has, and holds the pinned version. It can't be run here.
fn verify(builder: &Builder, program: &Path) -> Result<()> {
    let said = process::output(builder.command(&format!("{HOST}-objdump"), ".").arg("-p").arg(program))?;
    let needed = said.lines().filter_map(|line| line.trim().strip_prefix("DLL Name: "));
    let strays: Vec<_> =
        needed.map(str::to_lowercase).filter(|name| !SYSTEM.contains(&name.as_str())).collect();
    if !strays.is_empty() {
        bail!("failed to link tor statically: it still needs {}", strays.join(", "));
    }
    let (upstream, _) = TOR_SOURCE.version.split_once('-').context("a version of Debian's has a revision")?;
    let bytes = fs::read(program).with_context(|| format!("failed to read: {}", program.display()))?;
    if !bytes.windows(upstream.len()).any(|part| part == upstream.as_bytes()) {
        bail!("failed to build tor {upstream}: the program does not hold this version");
    }
    Ok(())
}
