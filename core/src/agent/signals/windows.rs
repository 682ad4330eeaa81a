//! What the console and the session tell on Windows (HandlerRoutine): keys, a window that is closed, a user who logs off, a machine that is
//! shut down. After the last three the system ends the process within seconds, so the agent has to begin at once.

use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_logoff,
    ctrl_shutdown,
};

use super::Asked;
use crate::model::problem::{Code, Problem};

/// What asks the agent to end. One that comes while nobody waits for it is kept.
pub(crate) struct Signals {
    interrupt: CtrlC,
    break_: CtrlBreak,
    close: CtrlClose,
    logoff: CtrlLogoff,
    shutdown: CtrlShutdown,
}

impl Signals {
    pub(crate) fn new() -> Result<Self, Problem> {
        let watched = || {
            std::io::Result::Ok(Self {
                interrupt: ctrl_c()?,
                break_: ctrl_break()?,
                close: ctrl_close()?,
                logoff: ctrl_logoff()?,
                shutdown: ctrl_shutdown()?,
            })
        };
        watched().map_err(|error| {
            Problem::new(Code::SystemFailed, format!("failed to watch for the console's events: {error}"))
        })
    }

    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.break_.recv() => {}
            _ = self.close.recv() => {}
            _ = self.logoff.recv() => {}
            _ = self.shutdown.recv() => {}
        }
        Asked::End
    }

    /// Waits until one asks to end.
    pub(crate) async fn end(&mut self) {
        self.next().await;
    }
}
