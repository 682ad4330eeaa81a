//! What `--json` prints: each form is kept in a snapshot, since programs read it.

use insta::assert_snapshot;
use serde_json::Value;

use crate::doctor::tor as fake_tor;
use crate::refused::{Host, ORMESH};
use crate::status::set_up;

/// What a command prints, with what is another in each run left out. It must be one JSON value.
fn printed(host: &Host, args: &[&str]) -> String {
    let tor = fake_tor(host);
    let output = host.command(ORMESH).args(args).env("ORMESH_TOR", tor).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"));
    let text = text.replace(host.home().to_str().unwrap(), "<home>");
    let part = |part: &str| match part.strip_suffix(".onion") {
        Some(name) if name.len() == 56 => "<address>".to_owned(),
        _ => part.to_owned(),
    };
    let text = text.split('"').map(part).collect::<Vec<_>>().join("\"");
    let line = |line: &str| match line.split_once("\"expires\": \"") {
        Some((before, day)) => {
            format!("{before}\"expires\": \"<day>\"{}\n", &day[day.rfind('"').unwrap() + 1..])
        }
        None => format!("{line}\n"),
    };
    format!("$ ormesh {}\n{}", args.join(" "), text.lines().map(line).collect::<String>())
}

#[test]
fn each_command_has_one_form() {
    let host = set_up();
    let commands: &[&[&str]] = &[
        &["status", "--json"],
        &["export", "list", "--json"],
        &["client", "list", "--json"],
        &["client", "show", "yes", "--json"],
        &["remote", "list", "--json"],
        &["remote", "show", "on", "--json"],
        &["import", "list", "--json"],
        &["secrets", "status", "--json"],
        &["config", "get", "--json"],
        &["config", "get", "agent.max-sessions", "--json"],
        &["config", "get", "agent.tor-path", "--json"],
        &["doctor", "--json"],
    ];
    let forms: Vec<String> = commands.iter().map(|args| printed(&host, args)).collect();
    assert_snapshot!(forms.join("\n"));
}

#[test]
fn a_store_that_can_not_be_used_says_why() {
    let host = Host::new();
    host.good(&["export", "add", "22"]);
    host.good(&["client", "add", "laptop"]);
    let secrets = host.home().join("state/secrets");
    std::fs::rename(&secrets, host.home().join("kept")).unwrap();
    std::fs::write(&secrets, "").unwrap();

    assert_snapshot!(printed(&host, &["secrets", "status", "--json"]));
}
