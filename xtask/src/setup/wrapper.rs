//! The scripts by which unpacked tools run: each sets what the tool would find in `/` and becomes the tool.
//!
//! A wrapper `exec`s, so the process that its caller started *is* the tool, with the same id.

use std::path::Path;

use super::catalogue::{Kind, Tool};

/// The script that runs `tool` from the cache in `dir`.
pub(super) fn text(tool: &Tool, dir: &Path) -> String {
    let plain = plain(tool.name, tool.program, dir);
    let (dir, root) = (dir.display().to_string(), format!("{}/root", dir.display()));
    match tool.kind {
        Kind::Plain => plain,
        Kind::Sshd => plain.replacen(SET, &(SET.to_owned() + &sshd(&dir, &root)), 1),
        Kind::DbusSession => dbus_session(tool, &dir, &root),
    }
}

/// The script that runs the `program` of the root in `dir` with that root's libraries.
pub(super) fn plain(name: &str, program: &str, dir: &Path) -> String {
    let root = format!("{}/root", dir.display());
    let (libraries, program) = (quoted(&library_path(&root)), quoted(&format!("{root}/{program}")));
    head(name)
        + &format!("export LD_LIBRARY_PATH={libraries}\"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\"\n")
        + &format!("exec {program} \"$@\"\n")
}

/// The line by which every script ends at its first failure.
const SET: &str = "set -eu\n";

fn head(name: &str) -> String {
    format!("#!/bin/sh\n# {name} from its Debian package, unpacked by `cargo xtask`.\n{SET}")
}

/// By way of the loader rather than `LD_LIBRARY_PATH`, which every program in the session would inherit. What the caller
/// chooses goes before the cache's: dbus-run-session refuses an option given twice.
fn dbus_session(tool: &Tool, dir: &str, root: &str) -> String {
    let program = quoted(&format!("{root}/{}", tool.program));
    let daemon = quoted(&format!("--dbus-daemon={dir}/bin/dbus-daemon"));
    let config = quoted(&format!("--config-file={root}/usr/share/dbus-1/session.conf"));
    let (loader, libraries) = (loader(), quoted(&library_path(root)));
    head(tool.name)
        + &format!(
            "daemon={daemon}\n\
             config={config}\n\
             for word in \"$@\"; do\n\
             \x20 case $word in\n\
             \x20   --) break ;;\n\
             \x20   --dbus-daemon*) daemon= ;;\n\
             \x20   --config-file*) config= ;;\n\
             \x20 esac\n\
             done\n\
             exec {loader} --library-path {libraries} {program} ${{daemon:+\"$daemon\"}} ${{config:+\"$config\"}} \"$@\"\n"
        )
}

/// Run as root, sshd insists on `/run/sshd` and a user `sshd`, and without PAM it refuses a locked account. The directory is made, the one
/// trace outside the cache; user and account are shown to this process alone, by nss_wrapper.
fn sshd(dir: &str, root: &str) -> String {
    let preload = quoted(&format!("{root}/usr/lib/{}/libnss_wrapper.so", triplet()));
    let users = quoted(&format!("{dir}/users"));
    format!(
        "if [ \"$(id -u)\" = 0 ]; then\n\
         \x20 [ -d /run/sshd ] || mkdir -m 0755 /run/sshd\n\
         \x20 mkdir -p {users}\n\
         \x20 new={users}/new.$$\n\
         \x20 {{ grep -v '^sshd:' /etc/passwd; echo 'sshd:x:74:65534::/run/sshd:/usr/sbin/nologin'; }} >\"$new\"\n\
         \x20 mv \"$new\" {users}/passwd\n\
         \x20 sed 's/:.*/:*:19000:0:99999:7:::/' {users}/passwd >\"$new\"\n\
         \x20 mv \"$new\" {users}/shadow\n\
         \x20 export NSS_WRAPPER_PASSWD={users}/passwd NSS_WRAPPER_SHADOW={users}/shadow NSS_WRAPPER_GROUP=/etc/group\n\
         \x20 export LD_PRELOAD={preload}\n\
         fi\n"
    )
}

/// The directories where packages put libraries, as `LD_LIBRARY_PATH` wants them.
fn library_path(root: &str) -> String {
    let triplet = triplet();
    format!("{root}/usr/lib/{triplet}:{root}/lib/{triplet}")
}

/// Debian's name for the machine, in library paths.
fn triplet() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

/// The dynamic loader, whose path the ABI fixes.
fn loader() -> &'static str {
    if cfg!(target_arch = "aarch64") { "/lib/ld-linux-aarch64.so.1" } else { "/lib64/ld-linux-x86-64.so.2" }
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::TOOLS;
    use super::*;

    #[test]
    fn every_wrapper_becomes_its_tool() {
        for tool in &TOOLS {
            let text = text(tool, Path::new("/cache dir/tools"));

            let last = text.lines().last().expect("a script has lines");
            assert!(last.starts_with("exec ") && last.ends_with("\"$@\""), "{}: {last}", tool.name);
            assert!(
                last.contains(&format!("'/cache dir/tools/root/{}'", tool.program)),
                "{}: {last}",
                tool.name
            );
        }
    }

    #[test]
    fn a_session_does_not_inherit_the_caches_libraries() {
        let tool = TOOLS.iter().find(|tool| tool.name == "dbus-run-session").expect("it is in the catalogue");

        assert!(!text(tool, Path::new("/c")).contains("LD_LIBRARY_PATH"));
    }

    #[test]
    fn a_quote_in_a_path_stays_in_it() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
