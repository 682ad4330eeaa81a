//! Where output goes: results alone on standard output, a reader that leaves is no failure, help and completions are complete.

use std::process::Stdio;

use crate::refused::{Host, ORMESH, Ran};

#[test]
fn an_invite_is_alone_on_standard_output() {
    let host = Host::new();
    host.good(&["export", "add", "22"]);
    for args in
        [&["client", "add", "a"][..], &["client", "token", "a", "--qr"], &["client", "rotate", "a", "--qr"]]
    {
        let out = host.good(args);
        assert!(out.starts_with("ormesh1") && out.ends_with('\n') && out.lines().count() == 1, "{out:?}");
    }
    let key = host.good(&["client", "token", "a", "--format", "auth-private", "--qr"]);
    assert!(key.contains(":descriptor:x25519:") && key.lines().count() == 1);
    let drawn = host.ormesh(&["client", "token", "a", "--qr"]).stderr;
    assert!(drawn.lines().count() > 20 && drawn.contains('█'), "{drawn}");
}

#[test]
fn an_invite_comes_by_argument_pipe_or_file() {
    let exporter = Host::new();
    exporter.good(&["export", "add", "22"]);
    let invite = exporter.good(&["client", "add", "a"]);
    let adds = [
        (format!("ormesh remote add web {}", invite.trim()), 1),
        (format!("echo '{}' | ormesh remote add web -", invite.trim()), 0),
        (format!("echo '{}' > invite && ormesh remote add web --file invite", invite.trim()), 0),
    ];
    for (line, notes) in adds {
        let ran = Host::new().shell(&line);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
        let history =
            ran.stderr.lines().filter(|line| line.starts_with("note: ") && line.contains("history"));
        assert_eq!(history.count(), notes, "{line}: {}", ran.stderr);
    }
}

/// Commands that print something, on a host with an export, a client and a remote.
const PRINTING: [&[&str]; 19] = [
    &["--help"],
    &["--version"],
    &["completions", "bash"],
    &["agent", "systemd-unit"],
    &["config", "path"],
    &["config", "get"],
    &["config", "get", "agent.socks-addr"],
    &["status"],
    &["status", "--json"],
    &["export", "list"],
    &["client", "list", "--json"],
    &["client", "show", "a"],
    &["client", "token", "a"],
    &["remote", "list"],
    &["remote", "show", "web"],
    &["remote", "request", "other"],
    &["remote", "ssh-config", "web"],
    &["remote", "export", "web"],
    &["secrets", "status"],
];

/// A host on which each of [`PRINTING`] has something to print.
fn with_something_to_print() -> Host {
    let (host, exporter) = (Host::new(), Host::new());
    host.good(&["export", "add", "22"]);
    host.good(&["client", "add", "a"]);
    host.good(&["remote", "add", "web", exporter.good(&["client", "add", "b"]).trim()]);
    host
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said() {
    let host = with_something_to_print();
    for args in PRINTING {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = Ran::from(host.command(ORMESH).args(args).stdout(full).output().unwrap());
        assert_eq!(ran.code, 1, "{args:?}: {ran:?}");
        let said = ran.stderr.lines().find(|line| line.starts_with("ormesh: ")).unwrap_or_default();
        assert!(
            said.starts_with("ormesh: failed to write to standard output: No space left"),
            "{args:?}: {ran:?}"
        );
    }
    // An invite that was made and not seen is not lost.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = Ran::from(host.command(ORMESH).args(["client", "add", "c"]).stdout(full).output().unwrap());
    assert!(ran.code == 1 && ran.stderr.contains("ormesh client invite c"), "{ran:?}");
    assert!(host.good(&["client", "token", "c"]).starts_with("ormesh1"));
}

#[cfg(target_os = "linux")]
#[test]
fn standard_error_may_be_closed_or_full() {
    let host = with_something_to_print();
    for (args, code) in [
        (&["client", "list"][..], 0),
        (&["client", "delete", "nobody"], 4),
        (&["nonsense"], 2),
        (&["ssh"], 2),
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        for err in [Stdio::from(full), Stdio::from(closed)] {
            let ran = host.command(ORMESH).args(args).stderr(err).output().unwrap();
            assert_eq!(ran.status.code(), Some(code), "{args:?}");
        }
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let host = with_something_to_print();
    for args in PRINTING {
        let mut child =
            host.command(ORMESH).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ran = child.wait_with_output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(
            ran.status.success() && !said.contains("panicked") && !said.contains("ormesh:"),
            "{args:?}: {said}"
        );
    }
}

#[test]
fn revoking_says_so_even_to_a_script() {
    let host = Host::new();
    host.good(&["client", "add", "a"]);
    let ran = host.ormesh(&["client", "delete", "a"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.lines().any(|line| line == "revoked a"), "{}", ran.stderr);
}

#[test]
fn help_names_every_exit_code_and_variable() {
    let help = Host::new().good(&["--help"]);
    for code in 0..=6 {
        assert!(help.lines().any(|line| line.starts_with(&format!("  {code}  "))), "{code}");
    }
    for name in ["CONFIG", "STATE", "SECRETS", "EXPORTS", "CLIENTS", "EPHEMERAL", "TOR", "TOR_NETWORK", "LOG"]
    {
        assert!(help.contains(&format!("  ORMESH_{name} ")), "{name}");
    }
}

#[test]
fn every_shell_and_man_has_its_pages() {
    let host = Host::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(host.good(&["completions", shell]).contains("ormesh"), "{shell}");
    }
    host.good(&["man", host.state().join("man").to_str().unwrap()]);
    let page = std::fs::read_to_string(host.state().join("man/ormesh.1")).unwrap();
    assert!(page.contains("Exit codes") && page.contains("ORMESH_CONFIG"));
    assert!(host.state().join("man/ormesh-client-add.1").exists());
}

#[test]
fn the_ssh_stanza_is_for_this_machine() {
    let (host, exporter) = (Host::new(), Host::new());
    let invite = exporter.good(&["client", "add", "a"]);
    host.good(&["remote", "add", "web", invite.trim()]);
    let dialer = |args: &[&str]| {
        let stanza = host.good(&[&["remote", "ssh-config", "web"], args].concat());
        stanza.lines().nth(1).unwrap().trim().to_owned()
    };
    let own = format!("ProxyCommand \"{ORMESH}\" nc %h %p");
    assert_eq!(dialer(&[]), "ProxyCommand nc -X 5 -x localhost:9250 %h %p");
    assert_eq!(dialer(&["--proxy", "ormesh"]), own);
    host.good(&["config", "set", "agent.socks-addr", "127.0.0.1:9999"]);
    assert_eq!(dialer(&[]), "ProxyCommand nc -X 5 -x 127.0.0.1:9999 %h %p");
    host.good(&["config", "set", "agent.socks-addr", "off"]);
    assert_eq!(dialer(&[]), own);
    assert_eq!(host.ormesh(&["remote", "ssh-config", "web", "--proxy", "nc"]).code, 4);
}

#[test]
fn a_request_that_waits_for_its_invite_is_told_of_by_every_form_of_list_and_show() {
    let host = Host::new();
    host.good(&["remote", "request", "nas"]);

    let requested = serde_json::json!({"name": "nas", "state": "requested"});
    let read = |args: &[&str]| serde_json::from_str::<serde_json::Value>(&host.good(args)).unwrap();
    assert_eq!(read(&["remote", "list", "--json"]), serde_json::json!([requested]));
    assert_eq!(read(&["remote", "show", "nas", "--json"]), requested);
    assert!(host.good(&["remote", "list"]).contains("requested"));
    let shown = host.ormesh(&["remote", "show", "nas"]);
    assert_eq!((shown.code, shown.stdout.as_str()), (4, ""));
    assert!(shown.stderr.contains("its request waits for an invite"), "{}", shown.stderr);
}
