//! An error as data: its code and its subject, with the same sentence and hint over IPC, in `status`, in the window and on stderr.
//!
//! Programs go by code and subject, never by the words.

pub mod catalogue;
mod code;
mod subject;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

pub use code::{Code, ProblemKind, Severity};
pub use subject::Subject;

/// One problem.
///
/// Two are the same problem if [`Problem::id`] is the same. `==` compares the words, too: a count that has changed is to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(from = "Wire")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Problem {
    /// What went wrong.
    pub code: Code,
    /// Its sort: that of its code, or what another version said of a code that is not known here.
    pub kind: ProblemKind,
    /// How bad it is where it stands; as `kind`.
    pub severity: Severity,
    /// What it is about; none where the sentence says it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub subject: Option<Subject>,
    /// When it began, in seconds since 1970-01-01 UTC, if it stands in a running agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub since: Option<u64>,
    /// One sentence saying what could not be done and why; no capital at its start, no full stop.
    pub message: String,
    /// One line saying what to do; may be empty.
    pub hint: String,
}

impl Problem {
    /// A problem without a subject or hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            kind: code.kind(),
            severity: code.severity(),
            subject: None,
            since: None,
            message: message.into(),
            hint: String::new(),
        }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same, with what it is about.
    #[must_use]
    pub fn about(mut self, subject: Subject) -> Self {
        self.subject = Some(subject);
        self
    }

    /// The same, with what it is about unless that is known.
    #[must_use]
    pub fn or_about(mut self, subject: Subject) -> Self {
        self.subject.get_or_insert(subject);
        self
    }

    /// What distinguishes it from other problems.
    pub fn id(&self) -> (Code, Option<&Subject>) {
        (self.code, self.subject.as_ref())
    }

    /// Whether it is about this.
    pub fn is_about(&self, subject: &Subject) -> bool {
        self.subject.as_ref() == Some(subject)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A problem as it is read: another version may have codes, subjects and kinds that are not known here.
#[derive(Deserialize)]
struct Wire {
    #[serde(default, deserialize_with = "known")]
    code: Option<Code>,
    #[serde(default, deserialize_with = "known")]
    kind: Option<ProblemKind>,
    #[serde(default, deserialize_with = "known")]
    severity: Option<Severity>,
    #[serde(default, deserialize_with = "known")]
    subject: Option<Subject>,
    #[serde(default)]
    since: Option<u64>,
    message: String,
    #[serde(default)]
    hint: String,
}

impl From<Wire> for Problem {
    fn from(Wire { code, kind, severity, subject, since, message, hint }: Wire) -> Self {
        let code = code.unwrap_or(Code::Other);
        let (kind, severity) = match code {
            Code::Other => (kind.unwrap_or_default(), severity.unwrap_or_default()),
            code => (code.kind(), code.severity()),
        };
        Self { code, kind, severity, subject, since, message, hint }
    }
}

/// Reads a value, or none where it is of a form that is not known here.
fn known<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Read<T> {
        Known(T),
        Unknown(serde::de::IgnoredAny),
    }
    Ok(match Read::deserialize(from)? {
        Read::Known(value) => Some(value),
        Read::Unknown(_) => None,
    })
}
