//! The `.rpm`: a spec that takes the laid out tree as it is, then `rpmbuild`.
//!
//! rpm itself finds out which libraries it requires, by their sonames: those are the same on every distribution.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::made::{Edition, Made};
use super::script;
use super::tree::{Layout, Tree};
use crate::process;

/// Nothing is compiled here, so nothing is to be stripped or split; dates and host are fixed, so that the same commit gives
/// the same package.
const MACROS: [(&str, &str); 9] = [
    ("debug_package", "%{nil}"),
    ("__os_install_post", "%{nil}"),
    ("_build_id_links", "none"),
    ("_binary_payload", "w6.xzdio"),
    ("_buildhost", "ormesh"),
    ("_dbpath", "%{_topdir}/db"),
    ("clamp_mtime_to_source_date_epoch", "1"),
    ("use_source_date_epoch_as_buildtime", "1"),
    ("_target_os", "linux"),
];

/// Makes the package of `edition` in `work`, and gives its path.
pub(super) fn make(edition: Edition, made: &Made, work: &Path) -> Result<PathBuf> {
    let package = edition.package();
    let tree = Tree::lay(work.join(format!("{package}.rpm-tree")), edition, Layout::Rpm, made)?;
    tree.settle(made.epoch)?;
    let top = work.join("rpm");
    fs::create_dir_all(&top).with_context(|| format!("failed to create: {}", top.display()))?;
    let spec = top.join("ormesh.spec");
    fs::write(&spec, text(edition, made, &tree)?)
        .with_context(|| format!("failed to write: {}", spec.display()))?;

    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet", "--define"]).arg(format!("_topdir {}", top.display()));
    for (name, value) in MACROS {
        build.arg("--define").arg(format!("{name} {value}"));
    }
    process::output(build.arg(&spec).env("SOURCE_DATE_EPOCH", made.epoch.to_string()))?;

    let architecture = std::env::consts::ARCH;
    let name = format!("{package}-{}-1.{architecture}.rpm", made.package_version());
    let file = work.join(&name);
    fs::rename(top.join("RPMS").join(architecture).join(&name), &file)
        .with_context(|| format!("failed to find what rpmbuild made: {name}"))?;
    fs::remove_dir_all(tree.root()).context("failed to remove a staging directory")?;
    fs::remove_dir_all(&top).context("failed to remove rpmbuild's directory")?;
    Ok(file)
}

fn text(edition: Edition, made: &Made, tree: &Tree) -> Result<String> {
    let mut files = String::new();
    for file in tree.files()? {
        writeln!(files, "/{}", file.display())?;
    }
    Ok(format!(
        "Name: {}\nVersion: {}\nRelease: 1\nSummary: {}\nURL: {}\n\
         License: (Apache-2.0 OR MIT) AND BSD-3-Clause AND Apache-2.0 AND Zlib\n\n\
         %description\n{}\n\n\
         %install\ncp --archive {}/. %{{buildroot}}\n\n\
         %files\n%defattr(-, root, root)\n%dir /usr/share/doc/{0}\n{files}\n\
         %post\n{}\n\
         %preun\nif [ \"$1\" = 0 ]; then\n{}fi\n",
        edition.package(),
        made.package_version(),
        edition.summary(),
        made.homepage,
        edition.description(),
        tree.root().display(),
        script::installed(made)?,
        script::removing(made)?,
    ))
}
