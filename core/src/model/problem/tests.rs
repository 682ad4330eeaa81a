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
