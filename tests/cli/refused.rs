//! Hosts that need no network, the command under test, and what is asked of one that fails.

pub(crate) use support::{Host, Ran};

/// The command under test.
pub(crate) const ORMESH: &str = env!("CARGO_BIN_EXE_ormesh");

/// Asserts that a command failed as commands do: nothing on standard output, one sentence, one hint.
pub(crate) fn assert_refused(ran: &Ran, code: i32, what: &str) {
    assert_eq!(ran.code, code, "{what}: {ran:?}");
    assert_eq!(ran.stdout, "", "{what}");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let [sentence, hint] = lines[..] else { panic!("{what}: not two lines: {:?}", ran.stderr) };
    assert!(sentence.starts_with("ormesh: ") && sentence.len() > 12, "{what}: {sentence}");
    assert!(hint.starts_with("hint: ") && hint.len() > 8, "{what}: {hint}");
}
