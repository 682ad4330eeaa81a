//! On Windows the console's mode is the reader's alone, and no signal ends a process but Ctrl-C, which the reader takes.

use std::io;

/// What cmd.exe gives for a process that Ctrl-C has ended (STATUS_CONTROL_C_EXIT).
pub(super) const INTERRUPTED: i32 = 0xC000_013A_u32 as i32;

/// Nothing is to be restored.
pub(super) struct Terminal;

/// Leaves the console to the reader of the line.
pub(super) fn hide() -> io::Result<Terminal> {
    Ok(Terminal)
}

/// Never ends by itself.
pub(super) fn ended() -> io::Result<impl Future<Output = i32>> {
    Ok(std::future::pending())
}
