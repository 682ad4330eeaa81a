//! The owner of a socket, as far as a listener needs to know.

/// The owner of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum User {
    /// The user that this process runs as.
    Me,
    /// The system's administrator, from whom nothing here is kept.
    #[cfg_attr(windows, expect(dead_code, reason = "Windows has no such user"))]
    Root,
    /// Somebody else, in words: `user 1001`.
    Other(String),
}
