//! Ending a process on Windows: there is no asking, so it is left to the user.

/// Does nothing: what follows waits for the end, and says that it did not come.
pub(super) fn terminate(_pid: u32) {}

/// Does nothing, as `terminate`.
pub(super) fn kill(_pid: u32) {}

/// No service manager runs the agent there.
pub(super) fn service_command(_pid: u32) -> Option<&'static str> {
    None
}
