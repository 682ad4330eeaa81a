//! What the system tells the agent to do: to end, or to read its configuration again.

#[cfg_attr(unix, path = "signals/unix.rs")]
#[cfg_attr(windows, path = "signals/windows.rs")]
mod system;

pub(super) use system::Signals;

/// What a signal asks for.
pub(super) enum Asked {
    /// To end.
    End,
    /// To read the configuration again.
    #[cfg_attr(windows, expect(dead_code, reason = "Windows has no such signal"))]
    Reload,
}
