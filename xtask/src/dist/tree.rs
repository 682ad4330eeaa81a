//! The files of a package, laid out in a directory as they will be installed.
//!
//! What kind of archive becomes of them is left to `deb`, `rpm` and `tarball`.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use super::made::{Edition, Made};
use crate::process;

/// Where systems differ about the same file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Debian and what derives from it.
    Debian,
    /// Fedora, openSUSE and others with rpm.
    Rpm,
    /// Anywhere: all below one directory, which a user moves as she likes.
    Tarball,
}

/// The icons by the size that their directory is named for (Icon Theme Specification, "Directory Layout").
const ICONS: [(&str, &str); 5] = [
    ("32x32", "icons/32x32.png"),
    ("128x128", "icons/128x128.png"),
    ("256x256", "icons/128x128@2x.png"),
    ("512x512", "icons/icon.png"),
    ("scalable", "icons/icon.svg"),
];

/// A directory that is being filled.
pub(super) struct Tree {
    root: PathBuf,
    prefix: &'static str,
}

impl Tree {
    /// Lays out `edition` in `root`, which must not exist.
    pub(super) fn lay(root: PathBuf, edition: Edition, layout: Layout, made: &Made) -> Result<Tree> {
        let prefix = if layout == Layout::Tarball { "" } else { "usr" };
        let tree = Tree { root, prefix };
        tree.programs(edition, made)?;
        tree.completions(layout, made)?;
        tree.manual(edition, made)?;
        if layout != Layout::Tarball {
            tree.units(made)?;
        }
        if edition == Edition::App {
            tree.desktop(made)?;
        }
        tree.documents(edition, layout, made)?;
        Ok(tree)
    }

    /// The directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Every file, relative to the root, sorted.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        walk(&self.root, &mut |path, meta| {
            if !meta.is_dir() {
                files.push(path.strip_prefix(&self.root).unwrap_or(path).to_owned());
            }
            Ok(())
        })?;
        files.sort();
        Ok(files)
    }

    /// Bytes of all files.
    pub(super) fn size(&self) -> Result<u64> {
        let mut size = 0;
        walk(&self.root, &mut |_, meta| {
            size += if meta.is_dir() { 0 } else { meta.len() };
            Ok(())
        })?;
        Ok(size)
    }

    /// Gives everything one time, and rights that no umask has a say in.
    pub(super) fn settle(&self, epoch: u64) -> Result<()> {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(epoch);
        walk(&self.root, &mut |path, meta| {
            let may_run = meta.is_dir() || process::is_executable(path);
            fs::set_permissions(path, Permissions::from_mode(if may_run { 0o755 } else { 0o644 }))
                .and_then(|()| File::open(path)?.set_modified(time))
                .with_context(|| format!("failed to settle: {}", path.display()))
        })
    }

    /// Writes a file.
    pub(super) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let file = self.place(path)?;
        fs::write(&file, content).with_context(|| format!("failed to write: {}", file.display()))
    }

    /// Writes a script or program.
    pub(super) fn write_program(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.write(path, content)?;
        fs::set_permissions(self.root.join(path), Permissions::from_mode(0o755))
            .with_context(|| format!("failed to make executable: {path}"))
    }

    fn programs(&self, edition: Edition, made: &Made) -> Result<()> {
        self.copy(&made.programs.command, "bin/ormesh")?;
        self.copy(&made.sidecar.program(), "bin/ormesh-tor")?;
        if edition == Edition::App {
            self.copy(&made.programs.app, "bin/ormesh-desktop")?;
        }
        Ok(())
    }

    fn completions(&self, layout: Layout, made: &Made) -> Result<()> {
        let zsh = match layout {
            Layout::Debian => "zsh/vendor-completions/_ormesh",
            Layout::Rpm | Layout::Tarball => "zsh/site-functions/_ormesh",
        };
        let bash = "bash-completion/completions/ormesh";
        for (shell, file) in [("bash", bash), ("zsh", zsh), ("fish", "fish/vendor_completions.d/ormesh.fish")]
        {
            let text = process::output(Command::new(&made.programs.command).args(["completions", shell]))?;
            self.write(&self.own(&format!("share/{file}")), text)?;
        }
        Ok(())
    }

    fn manual(&self, edition: Edition, made: &Made) -> Result<()> {
        let directory = self.root.join(self.own("share/man/man1"));
        process::output(Command::new(&made.programs.command).arg("man").arg(&directory))?;
        let mut static_pages = vec!["ormesh-tor.1"];
        if edition == Edition::App {
            static_pages.push("ormesh-desktop.1");
        }
        for page in static_pages {
            self.copy(&made.packaging(page), &format!("share/man/man1/{page}"))?;
        }
        let pages =
            directory.read_dir().with_context(|| format!("failed to list: {}", directory.display()))?;
        let pages: Vec<_> = pages.filter_map(|entry| Some(entry.ok()?.path())).collect();
        compress(&pages)
    }

    fn units(&self, made: &Made) -> Result<()> {
        for kind in ["user", "system"] {
            let mut ask = Command::new(&made.programs.command);
            ask.args(["agent", "systemd-unit", &format!("--{kind}"), "--binary", "/usr/bin/ormesh"]);
            self.write(&self.own(&format!("lib/systemd/{kind}/ormesh.service")), process::output(&mut ask)?)?;
        }
        Ok(())
    }

    fn desktop(&self, made: &Made) -> Result<()> {
        self.copy(&made.packaging("ormesh.desktop"), "share/applications/ormesh.desktop")?;
        for (size, icon) in ICONS {
            let ending = icon.rsplit('.').next().unwrap_or_default();
            self.copy(&made.root.join(icon), &format!("share/icons/hicolor/{size}/apps/ormesh.{ending}"))?;
        }
        Ok(())
    }

    fn documents(&self, edition: Edition, layout: Layout, made: &Made) -> Result<()> {
        if layout == Layout::Tarball {
            for file in ["README.md", "CHANGELOG.md", "LICENSE", "LICENSE-APACHE", "LICENSE-MIT"] {
                self.copy(&made.root.join(file), file)?;
            }
            self.copy(&made.sidecar.licences(), "LICENSE-tor")?;
            return self.copy(&made.credits, "LICENSE-libraries");
        }
        let doc = format!("share/doc/{}", edition.package());
        self.copy(&made.packaging("copyright"), &format!("{doc}/copyright"))?;
        self.copy(&made.sidecar.licences(), &format!("{doc}/licences-tor"))?;
        self.copy(&made.credits, &format!("{doc}/licences-libraries"))?;
        self.copy(&made.root.join("README.md"), &format!("{doc}/README.md"))?;
        self.copy(&made.root.join("CHANGELOG.md"), &format!("{doc}/CHANGELOG.md"))?;
        let mut large = vec!["licences-tor", "licences-libraries", "README.md", "CHANGELOG.md"];
        if layout == Layout::Debian {
            self.write(&self.own(&format!("{doc}/changelog")), changelog(edition, made)?)?;
            large.push("changelog");
        }
        let large: Vec<_> =
            large.iter().map(|file| self.root.join(self.own(&format!("{doc}/{file}")))).collect();
        compress(&large)
    }

    /// A path below `usr`, or where there is none.
    fn own(&self, path: &str) -> String {
        if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) }
    }

    fn copy(&self, from: &Path, to: &str) -> Result<()> {
        let file = self.place(&self.own(to))?;
        fs::copy(from, &file).with_context(|| format!("failed to copy: {}", from.display()))?;
        Ok(())
    }

    fn place(&self, path: &str) -> Result<PathBuf> {
        let file = self.root.join(path);
        let parent = file.parent().context("a file is in a directory")?;
        fs::create_dir_all(parent).with_context(|| format!("failed to create: {}", parent.display()))?;
        Ok(file)
    }
}

/// Compresses each file in its place, without its name and time.
fn compress(files: &[PathBuf]) -> Result<()> {
    process::output(Command::new("gzip").args(["--best", "--no-name"]).args(files))?;
    Ok(())
}

/// Visits everything in `dir`, and itself last.
fn walk(dir: &Path, visit: &mut impl FnMut(&Path, &fs::Metadata) -> Result<()>) -> Result<()> {
    let failed = || format!("failed to read: {}", dir.display());
    for entry in dir.read_dir().with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        let meta = path.symlink_metadata().with_context(failed)?;
        if meta.is_dir() { walk(&path, visit)? } else { visit(&path, &meta)? }
    }
    visit(dir, &dir.symlink_metadata().with_context(failed)?)
}

/// The changelog that Debian wants (deb-changelog(5)): what changed is told once, in the project's own.
fn changelog(edition: Edition, made: &Made) -> Result<String> {
    let date = process::output(
        Command::new("date")
            .args(["--utc", "--rfc-email", &format!("--date=@{}", made.epoch)])
            .env("LC_ALL", "C"),
    )?;
    Ok(format!(
        "{} ({}) stable; urgency=medium\n\n  * See CHANGELOG.md.gz beside this file.\n\n -- {}  {}\n",
        edition.package(),
        made.package_version(),
        made.maintainer,
        date.trim()
    ))
}
