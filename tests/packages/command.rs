//! The package of the command alone, on a machine without a display.

use crate::installed::Host;
use crate::root::{As, Root};
use crate::{assert_has, command_files, package};

#[test]
fn the_command_is_installed_without_a_window_and_goes_online() {
    let root = Root::new("command");
    assert_eq!(root.shell("command -v tor ormesh || true"), "");
    let deb = package("ormesh-cli_", ".deb");
    let path = root.bring(&deb);

    let changes = root.would_install(&path);
    let is_graphical =
        |line: &&String| ["gtk", "webkit", "libx11", "wayland"].iter().any(|word| line.contains(word));
    assert_eq!(changes.iter().find(is_graphical), None);
    root.install(&[&path]);
    let files = root.files_of("ormesh-cli");
    assert_has(&files, &command_files("ormesh-cli", "vendor-completions"), &deb);

    let host = Host::new(&root, "server");
    host.ormesh(&["export", "add", "22"]);
    host.ormesh(&["client", "add", "laptop"]);
    let mut agent = host.agent();
    host.ormesh(&["wait", "--timeout", "120"]);
    let status = host.status();
    assert_eq!(status["agent"]["state"]["is"], "online", "{status:#}");
    host.assert_own_tor();
    host.ormesh(&["agent", "stop"]);
    support::until("the agent ends", || (!agent.runs()).then_some(()));

    the_app_takes_its_place(&root);
    root.good(As::Root, "apt-get", &["--quiet", "--yes", "purge", "ormesh-cli"]);
    assert_eq!(root.traces(), "");
    assert!(host.is_kept());
}

/// Both have the command, so one goes when the other comes, and apt needs no help with it.
fn the_app_takes_its_place(root: &Root) {
    let changes = root.would_install(&root.bring(&package("ormesh_", ".deb")));

    assert!(changes.iter().any(|line| line.starts_with("Remv ormesh-cli ")), "{changes:#?}");
    assert!(changes.iter().any(|line| line.starts_with("Inst ormesh ")), "{changes:#?}");
}
