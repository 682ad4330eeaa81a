//! What can't be understood or is not allowed: a sentence, a hint, an exit code, and nothing is changed.

use std::fs;

use insta::assert_snapshot;
use ormesh_core::model::day::Day;

use crate::refused::{Host, ORMESH, Ran, assert_refused};

/// A host with one of everything.
fn set_up() -> (Host, String) {
    let (host, other) = (Host::new(), Host::new());
    other.good(&["export", "add", "22"]);
    let invite = other.good(&["client", "add", "here"]);
    host.good(&["export", "add", "22"]);
    host.good(&["client", "add", "my-MacBook"]);
    host.good(&["remote", "add", "website", invite.trim()]);
    host.good(&["import", "add", "website", "22", "127.0.0.1:10022"]);
    (host, invite.trim().to_owned())
}

/// Runs what must be refused and must change nothing. Gives what was typed and what was said, as snapshots keep it.
fn all_refused(host: &Host, code: i32, lines: &[&[&str]]) -> String {
    let each = lines.iter().map(|args| {
        let before = host.kept();
        let ran = host.ormesh(args);
        assert_refused(&ran, code, &args.join(" "));
        assert!(host.kept() == before, "{args:?} changed something");
        said(host, args, &ran)
    });
    each.collect::<Vec<_>>().join("\n")
}

/// A command and what it said, with what is another in each run left out.
fn said(host: &Host, args: &[&str], ran: &Ran) -> String {
    let today = Day::from_unix(tornet::unix_now()).to_string();
    let typed = args.iter().map(|arg| match arg.is_empty() || arg.contains(char::is_whitespace) {
        true => format!(" {arg:?}"),
        false => format!(" {arg}"),
    });
    let text = format!("$ ormesh{}\n{}", typed.collect::<String>(), ran.stderr);
    let text = text.replace(host.home().to_str().unwrap(), "<home>").replace(&today, "<today>");
    // An onion address, wherever one is named.
    let words = text.split_inclusive([' ', '\n']).map(|word| match word.trim_end().strip_suffix(".onion") {
        Some(name) if name.len() == 56 => word.replace(name, "<56 characters>"),
        _ => word.to_owned(),
    });
    words.collect()
}

#[test]
fn what_is_malformed_is_a_usage_error() {
    let (host, _) = set_up();
    let long = "x".repeat(64);
    let said = all_refused(
        &host,
        2,
        &[
            &["export", "add", "99999"],
            &["export", "add", "0"],
            &["export", "add", "-1"],
            &["export", "add", "22 "],
            &["export", "add", ""],
            &["export", "add"],
            &["export", "add", "::1:80"],
            &["export", "add", "169.254.169.254:80"],
            &["export", "add", "unix:relative"],
            &["export", "add", "unix:/run/app.sock"],
            &["export", "add", "22", "0"],
            &["export", "add", "22", "33", "44"],
            &["export", "delete", "x"],
            &["export", "set", "22"],
            &["export", "set", "22", "--to", "33", "--all-clients"],
            &["export", "set", "22", "--allow-lan", "--to", "33"],
            &["export", "frobnicate"],
            &["client", "add", ""],
            &["client", "add", "1a"],
            &["client", "add", "-a"],
            &["client", "add", "a b"],
            &["client", "add", "a\nb"],
            &["client", "add", "é"],
            &["client", "add", &long],
            &["client", "add", "b", "--port", "70000"],
            &["client", "add", "b", "--expires", "soon"],
            &["client", "add", "b", "--expires", "2020-01-01"],
            &["client", "add", "b", "--expires", "2026-02-30"],
            &["client", "add", "b", "--request", "hello"],
            &["client", "set", "my-MacBook"],
            &["client", "rename", "my-MacBook", "!!!"],
            &["client", "rename", "my-MacBook"],
            &["client", "set", "my-MacBook", "--port", "none"],
            &["client", "token", "my-MacBook", "--format", "pem"],
            &["remote", "add", "1a", "-"],
            &["remote", "add", "other", "hello"],
            &["remote", "add", "other", ""],
            &["remote", "add", "other"],
            &["remote", "add", "other", "x", "--file", "y"],
            &["remote", "ssh-config", "website", "--proxy", "socat"],
            &["import", "add", "website", "22", "example.org:22"],
            &["import", "add", "website", "22", "::1:22"],
            &["import", "add", "website", "0"],
            &["import", "add", "website", "22", "127.0.0.1:10023", "--half-close", "maybe"],
            &["import", "delete"],
            &["import", "set", "127.0.0.1:10022"],
            &["import", "set", "127.0.0.1:10022", "--only-me", "--all-users"],
            &["config", "set", "agent.nonsense", "1"],
            &["config", "get", "agent.nonsense"],
            &["config", "set", "agent.socks-addr", "nowhere"],
            &["config", "set", "agent.bridges", "192.0.2.3:443"],
            &[
                "config",
                "set",
                "agent.bridges",
                "obfs3 192.0.2.3:443 0123456789ABCDEF0123456789ABCDEF01234567",
            ],
            &["config", "set", "agent.tor-path", "tor"],
            &["config", "set", "agent.max-sessions", "0"],
            &["config", "set", "agent.secrets", "file"],
            &["secrets", "migrate", "--to", "paper"],
            &["secrets", "migrate"],
            &["wait", "--timeout", "soon"],
            &["ping", "website", "0"],
            &["nc", "website"],
            &["status", "--yaml"],
            &["completions", "cmd"],
            &["agent", "systemd-unit", "--user", "--system"],
            &["exprot"],
        ],
    );
    assert_snapshot!(said);
}

#[test]
fn what_is_against_a_rule_is_refused() {
    let (host, invite) = set_up();
    let said = all_refused(
        &host,
        4,
        &[
            &["export", "add", "127.0.0.1:8080", "22"],
            &["export", "add", "192.168.1.10:8123"],
            &["export", "add", "1"],
            &["export", "delete", "80"],
            &["export", "delete", "127.0.0.1:80"],
            &["client", "add", "other", "--port", "80"],
            &["client", "add", "my-MacBook", "--port", "22"],
            &["client", "show", "nobody"],
            &["client", "token", "nobody"],
            &["client", "rotate", "nobody"],
            &["client", "delete", "nobody"],
            &["client", "set", "nobody", "--port", "22"],
            &["client", "rename", "nobody", "somebody"],
            &["export", "set", "80", "--to", "81"],
            &["export", "set", "22", "--to", "1"],
            &["export", "set", "22", "--target", "192.168.1.10:22"],
            &["client", "set", "my-MacBook", "--port", "80"],
            &["remote", "show", "nobody"],
            &["remote", "delete", "nobody"],
            &["remote", "rename", "nobody", "somebody"],
            &["remote", "rename", "website", "localhost"],
            &["remote", "export", "nobody"],
            &["remote", "ssh-config", "nobody"],
            &["import", "add", "nobody", "22", "127.0.0.1:10023"],
            &["import", "add", "website", "80", "127.0.0.1:10022"],
            &["import", "add", "website", "80", "127.0.0.1:9250"],
            &["import", "delete", "127.0.0.1:1"],
            &["import", "set", "127.0.0.1:1", "--to", "127.0.0.1:2"],
            &["import", "set", "127.0.0.1:10022", "--to", "127.0.0.1:9250"],
            &["import", "set", "127.0.0.1:10022", "--to", "unix:/tmp/s", "--only-me"],
            &["import", "delete", "nobody", "127.0.0.1:10022"],
            &["config", "set", "agent.socks-addr", "127.0.0.1:10022"],
        ],
    );
    assert_snapshot!(said);
    // A second remote with the same address, and a remote that is there already: by a pipe, so that no note is due.
    fs::write(host.state().join("invite"), invite).unwrap();
    for line in ["remote add twice", "remote add website", "remote add new --replace"] {
        let before = host.kept();
        assert_refused(&host.shell(&format!("ormesh {line} - < state/invite")), 4, line);
        assert!(host.kept() == before, "{line} changed something");
    }
}

#[test]
fn what_needs_an_agent_says_so() {
    let (host, _) = set_up();
    let address = host.good(&["remote", "show", "website"]);
    let said = all_refused(
        &host,
        3,
        &[
            &["agent", "stop"],
            &["agent", "pause"],
            &["agent", "resume"],
            &["status", "--watch"],
            &["nc", "website", "22"],
            &["nc", address.trim(), "22"],
            &["ssh", "website"],
            &["wait", "--timeout", "0"],
        ],
    );
    assert_snapshot!(said);
}

#[test]
fn a_damaged_invite_is_explained_and_never_quoted() {
    let (host, other) = (Host::new(), Host::new());
    other.good(&["export", "add", "22"]);
    let invite = other.good(&["client", "add", "here"]);
    let invite = invite.trim();
    let (cut, mut typo) = (&invite[..invite.len() - 9], invite.to_owned());
    typo.replace_range(60..61, if &invite[60..61] == "q" { "p" } else { "q" });
    for bad in [cut, typo.as_str(), "ormesh1", "ormeshreq1qqqq", "expyuzz4wqqyqhjn.onion", "\u{1b}[2J"] {
        let before = host.kept();
        let file = other.state().join("bad");
        fs::write(&file, bad).unwrap();
        let ran = host.ormesh(&["remote", "add", "website", "--file", file.to_str().unwrap()]);
        assert_refused(&ran, 2, bad);
        assert!(bad.len() < 20 || !ran.stderr.contains(&bad[8..20]), "{}", ran.stderr);
        assert!(host.kept() == before);
    }
}

#[test]
fn an_invite_is_found_in_a_file_of_any_encoding_and_not_sought_in_half_a_file() {
    let other = Host::new();
    other.good(&["export", "add", "22"]);
    let invite = other.good(&["client", "add", "here"]);
    let utf16: Vec<u8> =
        format!("\u{feff}Grüße\r\n{invite}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let latin1 = [&b"Gr\xfc\xdfe\r\n"[..], invite.as_bytes()].concat();
    let far = [&b"x ".repeat(40_000)[..], invite.as_bytes()].concat();
    for (bytes, code) in [(utf16, 0), (latin1, 0), (far, 2)] {
        let host = Host::new();
        let file = other.state().join("mail");
        fs::write(&file, bytes).unwrap();
        let ran = host.ormesh(&["remote", "add", "website", "--file", file.to_str().unwrap()]);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(code == 0 || ran.stderr.contains("too long"), "{}", ran.stderr);
    }
}

#[test]
fn an_invite_in_a_wrong_place_is_never_quoted() {
    let host = Host::new();
    let invite = format!("ormesh1{}", "q".repeat(112));
    for args in [
        &["remote", "add", &invite, "website"][..],
        &["remote", "add", "website", &invite, &invite],
        &["client", "add", &invite],
        &["client", "add", "a", "--request", &invite],
        &["client", "add", "a", "--expires", &invite],
        &["export", "add", &invite],
        &["import", "add", "a", &invite, "1"],
        &["import", "add", "a", "1", &invite],
        &["config", "get", &invite],
        &["config", "set", "agent.tor-path", &invite],
        &["config", "set", &invite, "x"],
        &["completions", &invite],
        &["client", "token", "a", "--format", &invite],
        &["client", "token", "a", &format!("--{invite}")],
        &[&invite],
    ] {
        let ran = host.ormesh(args);
        assert_refused(&ran, 2, &args.join(" "));
        assert!(!ran.stderr.contains("qqqqqqqq"), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_configuration_that_does_not_parse_stops_every_change() {
    let mut all = Vec::new();
    for (text, place) in [
        ("nonsense = 1\n", "line 1"),
        ("[agent]\nsocks-addr = 9250\n", "line 2"),
        ("[agent]\nmax-sessions = -1\n", "line 2"),
        ("[agent]\nbridges = [\"192.0.2.3:443\"]\n", "line 2"),
        ("[agent]\nbridges = \"192.0.2.3:443\"\n", "line 2"),
        ("version = 99\n", "line 1"),
        ("[[export]]\ntarget = \"99999\"\n", "line 2"),
        ("[[export]]\ntarget = \"10.0.0.1:22\"\n", "line 1"),
        ("[client.1a]\n", "line 1"),
        ("[remote.web\n", "line 1"),
    ] {
        let host = Host::new();
        fs::write(host.config(), text).unwrap();
        let before = host.kept();
        for args in [
            &["config", "check"][..],
            &["status"],
            &["export", "add", "22"],
            &["client", "add", "a"],
            &["config", "set", "agent.socks-addr", "off"],
        ] {
            let ran = host.ormesh(args);
            assert_refused(&ran, 2, &format!("{args:?} with {text:?}"));
            assert!(ran.stderr.contains(place), "{text:?}: {}", ran.stderr);
        }
        assert!(host.kept() == before, "{text:?}");
        all.push(format!("{text}{}", said(&host, &["status"], &host.ormesh(&["status"]))));
    }
    assert_snapshot!(all.join("\n"));
}

#[test]
fn directories_that_are_not_absolute_are_refused() {
    let host = Host::new();
    for name in ["ORMESH_CONFIG", "ORMESH_STATE"] {
        let ran =
            host.command(crate::refused::ORMESH).arg("status").env(name, "relative").output().unwrap().into();
        assert_refused(&ran, 2, name);
    }
}

#[test]
fn an_expiry_is_a_day_where_the_user_is() {
    let host = Host::new();
    let yesterday = Day::from_unix(tornet::unix_now() - 86_400).to_string();
    // A zone that is a whole day behind UTC (POSIX's form of TZ has its sign turned round): there it is still yesterday.
    let add = |name: &str, day: &str, zone: &str| {
        let mut command = host.command(ORMESH);
        Ran::from(command.args(["client", "add", name, "--expires", day]).env("TZ", zone).output().unwrap())
    };
    let ran = add("west", &yesterday, "WEST+24");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains(" UTC (") && ran.stderr.contains(" here)"), "{ran:?}");
    let over = add("utc", &yesterday, "UTC0");
    assert_refused(&over, 2, "a day that is over");
    assert!(over.stderr.contains("over already") && over.stderr.contains("here it is "), "{over:?}");
    let ran = add("utc", "30d", "UTC0");
    assert!(
        ran.stderr.contains("the access of utc ends at ") && ran.stderr.contains(" 00:00 UTC\n"),
        "{ran:?}"
    );
}

#[test]
fn what_is_no_port_of_tcp_is_said_to_be_none() {
    let host = Host::new();
    for (target, sentence) in [
        ("udp:53", "\"udp:53\" is UDP; ormesh carries TCP only"),
        ("53/udp", "\"53/udp\" is UDP; ormesh carries TCP only"),
        ("[fe80::1%lo]:80", "\"fe80::1%lo\" has a zone"),
        ("http://localhost:3000/admin", "names a page"),
    ] {
        let ran = host.ormesh(&["export", "add", target]);
        assert_refused(&ran, 2, target);
        assert!(ran.stderr.contains(sentence), "{ran:?}");
    }
    host.good(&["export", "add", "http://localhost:3000/"]);
    assert!(host.good(&["export", "list"]).starts_with("3000 "));
}

#[test]
fn no_invite_is_printed_that_would_not_be_taken() {
    let host = Host::new();
    host.good(&["client", "add", "old", "--expires", "30d"]);
    let config = fs::read_to_string(host.config()).unwrap();
    let expires = config.lines().find(|line| line.starts_with("expires")).unwrap();
    fs::write(host.config(), config.replace(expires, "expires = \"2020-01-01\"")).unwrap();
    for args in [&["client", "token", "old"][..], &["client", "rotate", "old"], &["client", "add", "old"]] {
        let before = host.kept();
        let ran = host.ormesh(args);
        assert_refused(&ran, 4, &args.join(" "));
        assert!(ran.stderr.contains("was over at the end of 2020-01-01"), "{ran:?}");
        assert!(host.kept() == before, "{args:?} changed something");
    }
    host.good(&["client", "set", "old", "--expires", "never"]);
    assert!(host.good(&["client", "token", "old"]).starts_with("ormesh1"));
}

#[test]
fn what_one_command_takes_its_neighbour_takes_too() {
    let (host, _) = set_up();
    host.good(&["client", "add", "phone", "--port", "all", "--expires", "never"]);
    let status = host.json_status();
    let phone =
        status["clients"].as_array().unwrap().iter().find(|client| client["name"] == "phone").unwrap();
    assert!(phone["ports"].is_null() && phone["expires"].is_null(), "{phone}");
    // The same again is the same, however it is said.
    assert_eq!(
        host.good(&["client", "add", "phone", "--expires", "never"]),
        host.good(&["client", "token", "phone"])
    );

    let address = host.good(&["remote", "show", "website"]);
    let address = address.trim();
    assert_eq!(host.good(&["remote", "show", address]).trim(), address);
    for verb in ["ssh-config", "export"] {
        assert_eq!(host.good(&["remote", verb, address]), host.good(&["remote", verb, "website"]));
    }

    let imports = || host.good(&["import", "list"]).lines().count();
    for delete in [
        &["127.0.0.1:10022"][..],
        &["127.0.0.1:10022", "--remote", "website"],
        &["--remote", "website", "10022"],
        &["website", "127.0.0.1:10022"],
        &["website", "10022"],
        &[address, "10022"],
        &["10022", "--remote", address],
    ] {
        assert_eq!(imports(), 1);
        host.good(&[&["import", "delete"], delete].concat());
        assert_eq!(imports(), 0, "{delete:?}");
        host.good(&["import", "add", address, "22", "127.0.0.1:10022"]);
    }
    // An export, too, by its port or by where it leads.
    host.good(&["export", "set", "127.0.0.1:22", "--client", "phone"]);
    assert_eq!(host.json_status()["exports"][0]["clients"], serde_json::json!(["phone"]));
    let said = all_refused(
        &host,
        2,
        &[
            &["import", "delete"],
            &["import", "delete", "website"],
            &["import", "delete", "website", "127.0.0.1:10022", "--remote", "website"],
            &["import", "delete", "127.0.0.1:10022", "website"],
            &["remote", "show", "x.onion"],
            &["agent", "become-tor"],
        ],
    );
    let other = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";
    let strange =
        ["show", "ssh-config", "export"].map(|verb| all_refused(&host, 4, &[&["remote", verb, other]]));
    assert_snapshot!(format!("{said}\n{}", strange.join("\n")));
}

#[test]
fn a_home_directory_that_can_not_be_one_is_named_and_not_made() {
    let host = Host::new();
    let missing = host.home().join("missing");
    for (home, why) in [("relative", "not an absolute path"), (missing.to_str().unwrap(), "not there")] {
        for args in [&["export", "add", "22"][..], &["status"]] {
            let mut command = host.command(ORMESH);
            command.args(args).env("HOME", home).env_remove("ORMESH_CONFIG");
            let ran = Ran::from(command.output().unwrap());
            assert_refused(&ran, 1, home);
            assert!(ran.stderr.contains(home) && ran.stderr.contains(why), "{}", ran.stderr);
            assert!(ran.stderr.contains("ORMESH_CONFIG (a file)"), "{}", ran.stderr);
        }
    }
    assert!(!missing.exists() && !host.home().join("relative").exists());
}

#[test]
fn the_responder_s_port_of_a_remote_is_not_imported() {
    let (host, _) = set_up();
    let ran = host.ormesh(&["import", "add", "website", "1", "127.0.0.1:10001"]);
    assert_refused(&ran, 4, "port 1");
    assert!(ran.stderr.contains("port 1 of a remote is its responder's"), "{}", ran.stderr);
}
