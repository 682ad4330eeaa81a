//! What other versions may send, and that the list of codes is whole.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

fn read(value: serde_json::Value) -> Problem {
    serde_json::from_value(value).unwrap()
}

#[test]
fn what_is_written_is_read_as_it_was() {
    let name = "anna".parse().unwrap();
    let mut problem =
        Problem::new(Code::Full, "port 22 for anna is full").about(Subject::Client(name)).hint("close some");
    problem.since = Some(1_700_000_000);

    let written = serde_json::to_value(&problem).unwrap();

    assert_eq!(
        written,
        json!({
            "code": "full", "kind": "refused", "severity": "warning", "subject": { "is": "client", "id": "anna" },
            "since": 1_700_000_000, "message": "port 22 for anna is full", "hint": "close some",
        })
    );
    assert_eq!(read(written), problem);
}

#[test]
fn what_a_newer_version_says_is_understood_as_far_as_it_goes() {
    let problem = read(json!({
        "code": "moon-full", "kind": "tor", "severity": "note", "subject": { "is": "moon", "id": 3 },
        "message": "the moon is full", "hint": "wait", "more": [1, 2],
    }));
    assert_eq!(problem.id(), (Code::Other, None));
    assert_eq!((problem.kind, problem.severity), (ProblemKind::Tor, Severity::Note));

    let stranger = read(json!({ "code": "moon", "kind": "lunar", "severity": "awful", "message": "?" }));
    assert_eq!((stranger.kind, stranger.severity), (ProblemKind::Failed, Severity::Error));
}

#[test]
fn a_code_that_is_known_says_how_bad_it_is_whatever_is_sent_beside_it() {
    let code = Code::StoreLocked;
    let problem = read(json!({ "code": code.as_str(), "kind": "tor", "severity": "note", "message": "?" }));
    assert_eq!((problem.code, problem.kind, problem.severity), (code, code.kind(), code.severity()));
    assert_ne!(problem.kind, ProblemKind::Tor);
}

#[test]
fn what_the_version_before_codes_says_is_understood_as_far_as_it_goes() {
    let problem = read(json!({ "kind": "refused", "subject": "client anna", "message": "no", "hint": "" }));
    assert_eq!(problem.id(), (Code::Other, None));
    assert_eq!(problem.kind.exit_code(), 4);
}

#[test]
fn each_code_has_a_name_of_its_own_which_json_has_too() {
    let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        assert_eq!(serde_json::to_value(code).unwrap(), json!(code.as_str()));
        assert_eq!(serde_json::from_value::<Code>(json!(code.as_str())).unwrap(), *code);
        assert!(code.meaning().ends_with('.') && code.cure().ends_with('.'), "{code}");
    }
}

/// The list in the docs, as the code has it.
fn list() -> String {
    let mut text = String::from(
        "# Problems\n\
         \n\
         <!-- Generated from core/src/model/problem/code.rs: `ORMESH_PROBLEMS=write cargo test -p ormesh-core problem`. -->\n\
         \n\
         What goes wrong has a code, whatever words it is told in. `ormesh status --json` lists the problems that stand, the worst first:\n\
         \n\
         ```json\n\
         {\n  \"code\": \"full\",\n  \"kind\": \"refused\",\n  \"severity\": \"warning\",\n  \"subject\": { \"is\": \"export\", \"id\": 22 },\n  \"since\": 1795363200,\n  \"message\": \"port 22 for laptop is full: 512 of 512; 3 connections were turned away\",\n  \"hint\": \"close some, or allow more: ormesh config set agent.max-sessions NUMBER\"\n}\n\
         ```\n\
         \n\
         Go by `code` and `subject`: a code keeps its name and its meaning. `message` and `hint` are for people and may change. `since` is in\n\
         seconds since 1970-01-01 UTC, and stays while the problem stands. `severity` is `error` (something does not work), `warning`\n\
         (something works in part) or `note`. `subject` is left out where the sentence says it all. `kind` gives the exit code of a command\n\
         that fails so: `failed` 1, `usage` 2, `not-ready` 3, `refused` 4, `secrets` 5, `tor` 6. A newer version may have codes and subjects\n\
         that are not here; an older one shows them as `other`, with their sentence and hint.\n\
         \n\
         | code | severity | exit code | what it means | what to do |\n\
         |---|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let severity = serde_json::to_value(code.severity()).unwrap();
        let severity = severity.as_str().unwrap();
        let (exit, meaning, cure) = (code.kind().exit_code(), code.meaning(), code.cure());
        text.push_str(&format!("| `{code}` | {severity} | {exit} | {meaning} | {cure} |\n"));
    }
    text
}

#[test]
fn the_docs_list_each_code_with_its_meaning_and_its_cure() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/problems.md");
    if std::env::var_os("ORMESH_PROBLEMS").is_some_and(|how| how == "write") {
        std::fs::write(&path, list()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        found == list(),
        "{} is stale: ORMESH_PROBLEMS=write cargo test -p ormesh-core problem",
        path.display()
    );
}
