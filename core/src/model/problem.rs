//! What went wrong, as data: the same sentence and hint over IPC, in `status`, in the window and on stderr.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The sort of a problem; it decides the command's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ProblemKind {
    /// Anything that has no kind of its own. Exit code 1.
    Failed,
    /// What was typed or written in the configuration makes no sense. Exit code 2.
    Usage,
    /// No agent runs, or it is not ready yet. Exit code 3.
    NotReady,
    /// Refused by a rule here, or by the other host. Exit code 4.
    Refused,
    /// The secret store is locked, missing or does not answer. Exit code 5.
    Secrets,
    /// tor is missing, too old or does not work. Exit code 6.
    Tor,
}

impl ProblemKind {
    /// The exit code of a command that ends with this problem.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotReady => 3,
            Self::Refused => 4,
            Self::Secrets => 5,
            Self::Tor => 6,
        }
    }
}

/// One problem: what it is about, a sentence, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Problem {
    /// Its sort.
    pub kind: ProblemKind,
    /// What it is about: `client my-MacBook`, `import 127.0.0.1:10022`, `tor`, `config`; empty where the sentence says it all.
    pub subject: String,
    /// One sentence saying what could not be done and why; no capital at its start, no full stop.
    pub message: String,
    /// One line saying what to do; may be empty.
    pub hint: String,
}

impl Problem {
    /// A problem without a subject or hint.
    pub fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, subject: String::new(), message: message.into(), hint: String::new() }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same, with what it is about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
