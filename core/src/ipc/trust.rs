//! Whether a process that answers where the agent should is the agent (pure). Names of pipes can be taken by anyone who is first, so on
//! Windows a shell sends nothing before it knows.

/// What is known of the process at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    /// Its id; none where the system does not tell.
    pub(super) pid: Option<u32>,
    /// Whether it runs as this user; none where the system does not tell, as of a process with more rights.
    pub(super) is_ours: Option<bool>,
}

/// Whether it may be told anything. `written` is what is in the file where a running agent writes its id: only this user, and
/// administrators, can write there.
///
/// Errors: why not, completing "the program that answers there …".
pub(super) fn judge(server: Server, written: Option<&str>) -> Result<(), &'static str> {
    let agent = written.and_then(|text| text.trim().parse::<u32>().ok());
    match (server.pid, server.is_ours) {
        (Some(_), Some(false)) => Err("belongs to another user"),
        (None, _) | (_, None) => Err("is not known: the system does not tell whose it is"),
        (Some(pid), Some(true)) if agent == Some(pid) => Ok(()),
        (Some(_), Some(true)) => Err("is not this host's agent"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agent_s_own_process_is_told_anything() {
        let judged = |pid, is_ours, written| judge(Server { pid, is_ours }, written).is_ok();

        assert!(judged(Some(7), Some(true), Some("7")));
        assert!(judged(Some(7), Some(true), Some(" 7\r\n")));
        // Another program of this user took the name: no agent runs, or it is another process.
        assert!(!judged(Some(7), Some(true), None));
        assert!(!judged(Some(7), Some(true), Some("8")));
        assert!(!judged(Some(7), Some(true), Some("")));
        // Another user's, and one that can't be looked at, whatever is written.
        assert!(!judged(Some(7), Some(false), Some("7")));
        assert!(!judged(Some(7), None, Some("7")));
        assert!(!judged(None, Some(true), Some("7")));
    }
}
