//! Sessions between two agents, on real links: an importer's [`Pool`](pool::Pool) of them, and those that a client has [`Served`](served::Served). The
//! machine itself is [`crate::session`].
//!
//! A link is a connection to the far side's responder which asks for a session; what follows that line are the machine's frames.

pub mod channel;
pub(super) mod driven;
pub mod pool;
pub mod served;
#[cfg(all(test, unix))]
mod tests;
