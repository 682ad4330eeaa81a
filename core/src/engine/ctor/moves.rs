//! Tells when an address of this host is gone: what was connected over it leads nowhere, and nobody says so.
//!
//! Linux tells it unasked. Elsewhere nothing is told, and the relays are asked now and then all the same.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(super) use linux::Moves;

/// Nothing is told.
#[cfg(not(target_os = "linux"))]
pub(super) struct Moves;

#[cfg(not(target_os = "linux"))]
impl Moves {
    pub(super) fn watch() -> Self {
        Self
    }

    /// Never returns.
    pub(super) async fn next(&mut self) {
        std::future::pending().await
    }
}
