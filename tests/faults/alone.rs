//! Hosts that need no network: their tor runs, and never connects. And what is asked of hosts again and again.

use std::fs;
use std::path::{Path, PathBuf};

use ormesh_core::model::problem::Code;
use serde_json::Value;

use crate::support::{Host, ORMESH, Ran, finished, hosts, until};

/// A host that never connects to any network.
pub(crate) fn alone() -> Host {
    let [host] = hosts(["host"]);
    fs::write(no_network(&host), "DisableNetwork 1\n").unwrap();
    host
}

fn no_network(host: &Host) -> PathBuf {
    host.home().join("no-network.torrc")
}

/// Starts a host's agent, whose tor stays off the network, and waits until it answers.
pub(crate) fn start(host: &mut Host) {
    start_with(host, &[]);
}

/// The same, with more in its environment.
pub(crate) fn start_with(host: &mut Host, environment: &[(&str, &str)]) {
    let network = no_network(host).display().to_string();
    host.start_with(&[&[("ORMESH_TOR_NETWORK", network.as_str())], environment].concat());
}

/// Starts a host's agent under strace, which sees calls that concern these files and directories and does with them what `inject` says;
/// gives its log. The agent is our child all the same, and strace ends with it.
pub(crate) fn start_traced(host: &mut Host, about: &[PathBuf], expressions: &[&str]) -> PathBuf {
    let log = host.home().join("strace.log");
    let mut traced: Vec<String> = ["strace", "-D", "-f", "-o"].map(str::to_owned).to_vec();
    traced.push(log.display().to_string());
    for path in about {
        traced.extend(["-P".to_owned(), path.display().to_string()]);
    }
    for expression in expressions {
        traced.extend(["-e".to_owned(), (*expression).to_owned()]);
    }
    let network = no_network(host).display().to_string();
    host.start_under(&traced, &[("ORMESH_TOR_NETWORK", network.as_str())]);
    log
}

/// The process of a host's tor, once it answers: before, it might be one that is only asked for its version.
pub(crate) fn tor(host: &Host) -> u32 {
    until("tor answers", || host.json_status()["agent"]["state"]["is"] == "connecting");
    host.tor_pid()
}

/// Runs `ormesh agent run`, which must end by itself: one that runs fails the test.
#[track_caller]
pub(crate) fn run_agent(host: &Host, environment: &[(&str, &str)]) -> Ran {
    let mut command = host.command(ORMESH);
    command.args(["agent", "run"]).env("ORMESH_TOR_NETWORK", no_network(host));
    finished(command.envs(environment.iter().copied())).into()
}

/// A host with a remote, which nobody runs.
pub(crate) fn with_remote() -> Host {
    let host = alone();
    host.add_remote("web", &invite_of_nobody());
    host
}

/// An invite to a host that nobody runs.
pub(crate) fn invite_of_nobody() -> String {
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(ORMESH);
    command.args(["client", "add", "a"]).env_clear().env("ORMESH_SECRETS", "file");
    command.env("ORMESH_CONFIG", elsewhere.path().join("config.toml"));
    let ran: Ran = command.env("ORMESH_STATE", elsewhere.path().join("state")).output().unwrap().into();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout.trim().to_owned()
}

/// Where the agent listens for commands.
pub(crate) fn socket(host: &Host) -> PathBuf {
    host.state().join("run/agent.sock")
}

/// The problems of a host's status, each whole.
pub(crate) fn problems(host: &Host) -> Vec<Value> {
    host.json_status()["problems"].as_array().unwrap().clone()
}

/// Waits until a problem of this code stands, and gives it.
pub(crate) fn wait_for_problem(host: &Host, code: Code) -> Value {
    let mut found = None;
    until(&format!("the problem {code}"), || {
        found = problems(host).into_iter().find(|problem| problem["code"] == code.as_str());
        found.is_some()
    });
    found.unwrap()
}

/// Waits until a problem's sentence holds this text, where the words are what is tested, and gives the problem.
pub(crate) fn wait_for_words(host: &Host, text: &str) -> Value {
    let mut found = None;
    until(&format!("a problem that says {text:?}"), || {
        found =
            problems(host).into_iter().find(|problem| problem["message"].as_str().unwrap().contains(text));
        found.is_some()
    });
    found.unwrap()
}

/// Waits until no problem of this code stands.
pub(crate) fn wait_for_no_problem(host: &Host, code: Code) {
    let is_it = |problem: &Value| problem["code"] == code.as_str();
    until(&format!("no problem {code}"), || !problems(host).iter().any(is_it));
}

/// Asserts that a command failed as commands do: nothing on standard output, one sentence, at most a hint. Gives both.
#[track_caller]
pub(crate) fn refused(ran: &Ran, code: i32) -> (String, String) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert_eq!(ran.stdout, "", "{ran:?}");
    let mut lines = ran.stderr.lines().filter(|line| !line.starts_with("note: "));
    let sentence = lines.next().and_then(|line| line.strip_prefix("ormesh: ")).unwrap_or_default().to_owned();
    let hint = lines.next().map(|line| line.strip_prefix("hint: ").unwrap_or_default().to_owned());
    assert!(sentence.len() > 10, "no sentence: {ran:?}");
    assert!(hint.as_ref().is_none_or(|hint| hint.len() > 5), "an empty hint: {ran:?}");
    assert_eq!(lines.next(), None, "{ran:?}");
    (sentence, hint.unwrap_or_default())
}

/// Every file below a directory, with its bytes.
pub(crate) fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            // One that goes away meanwhile holds nothing.
            found.extend(fs::read(&path).ok().map(|bytes| (path, bytes)));
        }
    }
    found.sort();
    found
}

/// The names of the secrets that the file store holds.
pub(crate) fn secrets(host: &Host) -> Vec<String> {
    let name = |(path, _): (PathBuf, _)| path.file_name().unwrap().to_string_lossy().into_owned();
    files(&host.secrets()).into_iter().map(name).collect()
}

/// The names of the secrets that a host's configuration needs, when none of its clients has connected.
pub(crate) fn needed(host: &Host) -> Vec<String> {
    let config: toml::Table = fs::read_to_string(host.config()).unwrap_or_default().parse().unwrap();
    let entries = |of: &str| config.get(of).and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let text = |value: &toml::Value, key: &str| value[key].as_str().unwrap().to_ascii_lowercase();
    let mut names = Vec::new();
    for (_, client) in entries("client") {
        names.push(format!("service-{}", text(&client, "address").trim_end_matches(".onion")));
        names.push(format!("client-{}", text(&client, "key")));
    }
    names.extend(entries("remote").iter().map(|(_, remote)| format!("client-{}", text(remote, "key"))));
    names.extend(entries("request").iter().map(|(_, request)| format!("client-{}", text(request, "key"))));
    names.sort();
    names
}
