//! The `.deb`: control files beside the tree, then `dpkg-deb`.
//!
//! What it depends on is computed from its programs by `dpkg-shlibdeps`, as Debian's own packages do it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::made::{Edition, Made};
use super::script;
use super::tree::{Layout, Tree};
use crate::process;

/// Makes the package of `edition` in `work`, and gives its path.
pub(super) fn make(edition: Edition, made: &Made, work: &Path) -> Result<PathBuf> {
    let package = edition.package();
    let tree = Tree::lay(work.join(format!("{package}.deb-tree")), edition, Layout::Debian, made)?;
    let depends = depends(edition, tree.root(), work)?;
    let architecture = process::output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let size = tree.size()?.div_ceil(1024);
    let sums = md5sums(&tree)?;
    tree.write("DEBIAN/control", control(edition, made, &architecture, size, &depends))?;
    tree.write("DEBIAN/md5sums", sums)?;
    for (name, body) in [("postinst", script::installed(made)?), ("prerm", script::removing(made)?)] {
        let condition = if name == "postinst" { "configure" } else { "remove" };
        let text = format!("#!/bin/sh\nset -e\nif [ \"$1\" = {condition} ]; then\n{body}fi\n");
        tree.write_program(&format!("DEBIAN/{name}"), text)?;
    }
    tree.settle(made.epoch)?;

    let file = work.join(format!("{package}_{}_{architecture}.deb", made.package_version()));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zxz", "--build"]).arg(tree.root()).arg(&file);
    process::output(build.env("SOURCE_DATE_EPOCH", made.epoch.to_string()))?;
    fs::remove_dir_all(tree.root()).context("failed to remove a staging directory")?;
    Ok(file)
}

fn control(edition: Edition, made: &Made, architecture: &str, size: u64, depends: &str) -> String {
    let (package, version) = (edition.package(), made.package_version());
    // Both have the command, and either may take the other's place.
    let relations = match edition {
        Edition::App => format!(
            "Suggests: gnome-keyring, openssh-client\nProvides: ormesh-cli (= {version})\n\
             Conflicts: ormesh-cli\nReplaces: ormesh-cli\nSection: net\n"
        ),
        Edition::Command => {
            "Suggests: openssh-client\nConflicts: ormesh\nReplaces: ormesh\nSection: net\n".to_owned()
        }
    };
    format!(
        "Package: {package}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: {}\n\
         Installed-Size: {size}\nDepends: {depends}\n{relations}Priority: optional\nHomepage: {}\n\
         Description: {}\n{}\n",
        made.maintainer,
        made.homepage,
        edition.summary(),
        paragraphs(edition.description())
    )
}

/// A long description as the control file wants it: a space before each line, a dot for an empty one.
fn paragraphs(text: &str) -> String {
    let lines = text.lines().map(|line| if line.is_empty() { " .".to_owned() } else { format!(" {line}") });
    lines.collect::<Vec<_>>().join("\n")
}

/// The packages of the libraries that the programs link, each in the version that its symbols need.
fn depends(edition: Edition, root: &Path, work: &Path) -> Result<String> {
    let description = work.join("debian/control");
    fs::create_dir_all(work.join("debian"))
        .and_then(|()| fs::write(&description, "Source: ormesh\n\nPackage: ormesh\nArchitecture: any\n"))
        .with_context(|| format!("failed to write: {}", description.display()))?;
    let mut ask = Command::new("dpkg-shlibdeps");
    ask.arg("-O").current_dir(work);
    edition.programs().iter().for_each(|name| {
        ask.arg(format!("-e{}", root.join("usr/bin").join(name).display()));
    });
    let said = process::output(&mut ask)?;
    let depends = said.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    Ok(depends.context("dpkg-shlibdeps named no packages")?.to_owned())
}

fn md5sums(tree: &Tree) -> Result<String> {
    process::output(Command::new("md5sum").args(tree.files()?).current_dir(tree.root()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_line_of_a_description_is_a_dot() {
        assert_eq!(paragraphs("One\ntwo.\n\nThree."), " One\n two.\n .\n Three.");
    }
}
