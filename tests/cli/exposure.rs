//! What listens off loopback, and for whom: said by the command that does it, and by `status` however it came about.

use crate::refused::Host;

fn with_remote() -> Host {
    let (host, exporter) = (Host::new(), Host::new());
    let invite = exporter.good(&["client", "add", "a"]);
    host.good(&["remote", "add", "web", invite.trim()]);
    host
}

fn note(host: &Host, args: &[&str]) -> String {
    let ran = host.ormesh(args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stderr.lines().filter_map(|line| line.strip_prefix("note: ")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_socks_address_off_loopback_is_noted_with_who_may_use_it() {
    let host = with_remote();
    assert_eq!(host.good(&["config", "get", "agent.socks-users"]).trim(), "me");
    assert_eq!(note(&host, &["config", "set", "agent.socks-addr", "127.0.0.1:9999"]), "");

    let closed = note(&host, &["config", "set", "agent.socks-addr", "0.0.0.0:9999"]);
    assert!(closed.contains("from other machines are refused"), "{closed}");
    let open = note(&host, &["config", "set", "agent.socks-users", "all"]);
    assert!(open.contains("everyone who can reach this machine") && open.contains("every remote"), "{open}");
    assert_eq!(
        note(&host, &["config", "set", "agent.socks-addr", "0.0.0.0:9998"]),
        open.replace("9999", "9998")
    );

    assert_eq!(host.good(&["config", "get", "agent.socks-users"]).trim(), "all");
    let text = std::fs::read_to_string(host.config()).unwrap();
    assert!(text.contains("socks-users = \"all\""), "{text}");
    host.good(&["config", "check"]);
    let refused = host.ormesh(&["config", "set", "agent.socks-users", "root"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("me or all") && refused.stderr.contains("hint: "), "{}", refused.stderr);
    assert_eq!(note(&host, &["config", "set", "agent.socks-users", "me"]), closed.replace("9999", "9998"));
    assert!(!std::fs::read_to_string(host.config()).unwrap().contains("socks-users"));
}

#[test]
fn an_import_off_loopback_is_noted_by_the_command_and_by_status() {
    let host = with_remote();
    assert_eq!(note(&host, &["import", "add", "web", "22", "127.0.0.1:10022"]), "");
    let open = note(&host, &["import", "add", "web", "25", "0.0.0.0:10025"]);
    assert!(
        open.contains("everyone who can reach this machine") && open.contains("port 25 of web"),
        "{open}"
    );
    let mine = note(&host, &["import", "add", "web", "26", "0.0.0.0:10026", "--only-me"]);
    assert!(mine.contains("from other machines are refused"), "{mine}");

    let status = host.good(&["status"]);
    assert!(status.contains(&open) && status.contains(&mine), "{status}");
    assert_eq!(status.matches("note: ").count(), 2, "{status}");
    assert_eq!(status.matches("only-me: true").count(), 1, "{status}");

    // By hand, too.
    let text = std::fs::read_to_string(host.config()).unwrap();
    std::fs::write(host.config(), text.replace("127.0.0.1:10022", "0.0.0.0:10022")).unwrap();
    assert_eq!(host.good(&["status"]).matches("note: ").count(), 3);

    let ran = host.ormesh(&["import", "add", "web", "80", "unix:/tmp/ormesh-x", "--only-me"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
}

#[test]
fn an_address_that_the_agent_has_already_is_refused_however_it_is_written() {
    let host = with_remote();
    host.good(&["import", "add", "web", "22", "127.0.0.1:10022"]);
    host.good(&["import", "add", "web", "23", "0.0.0.0:10023"]);
    let refused = |args: &[&str], names: &str| {
        let ran = host.ormesh(args);
        assert_eq!(ran.code, 4, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(names), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("stop "), "{args:?}: {}", ran.stderr);
    };
    refused(&["import", "add", "web", "80", "0.0.0.0:9250"], "the agent's SOCKS address 127.0.0.1:9250");
    refused(&["import", "add", "web", "80", "9250"], "the agent's SOCKS address");
    refused(
        &["import", "add", "web", "80", "0.0.0.0:10022"],
        "the import of port 22 of web at 127.0.0.1:10022",
    );
    refused(
        &["import", "add", "web", "80", "127.0.0.1:10023"],
        "the import of port 23 of web at 0.0.0.0:10023",
    );
    refused(
        &["config", "set", "agent.socks-addr", "127.0.0.1:10023"],
        "the import of port 23 of web at 0.0.0.0:10023",
    );
    refused(
        &["config", "set", "agent.socks-addr", "0.0.0.0:10022"],
        "the import of port 22 of web at 127.0.0.1:10022",
    );
    // Another family, and another address, are something else.
    host.good(&["import", "add", "web", "80", "[::]:9250"]);
    host.good(&["import", "add", "web", "80", "127.0.0.2:10022"]);
}
