//! A reply to a control command: whether it succeeded, and which part of its text may be shown.

// It reads what tor says, or whatever has taken its place: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::fmt;

use zeroize::Zeroize as _;

use crate::engine::EngineError;

/// Characters of a reply's text that are passed on.
const TEXT: usize = 200;

/// A reply, whose lines may hold a key (ONION_CLIENT_AUTH_VIEW does).
pub(super) struct Reply {
    /// Of control-spec §4.
    pub(super) code: u16,
    /// Without the code; a data line (`250+`) holds its data.
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// Whether the command was carried out.
    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The error to a refused command.
    pub(super) fn refused(&self, action: &'static str) -> EngineError {
        let text = self.lines.last().map(|line| presentable(line)).unwrap_or_default();
        EngineError::Refused { action, code: self.code, text }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.lines.zeroize();
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("code", &self.code).finish_non_exhaustive()
    }
}

/// What tor says, cut and without what could disturb a terminal. A long word may be a key, and is left out.
pub(super) fn presentable(text: &str) -> String {
    let is_long = |word: &str| word.len() > 40 && !word.contains('.');
    let words = text.split_whitespace().map(|word| if is_long(word) { "…" } else { word });
    words.collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_replies_hold_no_key_and_no_control_characters() {
        let key = "q".repeat(88);

        assert_eq!(presentable(&format!("Failed \x1b[31m to\tdecode {key}")), "Failed [31m to decode …");
        assert_eq!(presentable(&"ab ".repeat(1000)).len(), TEXT);
        let reply = Reply { code: 250, lines: vec![key.clone()] };
        assert!(!format!("{reply:?}").contains(&key));
    }
}
