//! All TCP addresses that programs of this machine listen on, each with its process. This reads all of /proc or its like.

use std::net::SocketAddr;

use listeners::{Protocol, SocketState};

/// A process and its program's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) name: String,
}

impl Holder {
    /// Whether it is this process.
    pub(super) fn is_us(&self) -> bool {
        self.pid == std::process::id()
    }
}

/// How often it is searched where a process was found that was only just starting another program.
const TRIES: u32 = 5;

/// Searches. Other users' processes can't be seen without privilege.
pub(super) fn search() -> Vec<(SocketAddr, Holder)> {
    let mut found = Vec::new();
    for _ in 0..TRIES {
        let all = listeners::get_all().unwrap_or_default();
        let listening =
            all.into_iter().filter(|l| l.protocol == Protocol::TCP && l.state == SocketState::Listen);
        let holder = |l: listeners::Listener| (l.socket, Holder { pid: l.process.pid, name: l.process.name });
        found = listening.map(holder).collect();
        if found.iter_mut().all(|(_, holder)| forked::find_origin(holder)) {
            break;
        }
    }
    found
}

/// A socket is its children's, too: of a server's workers, and for a moment of every program that is just being started. Of those that have
/// it the search tells of any.
#[cfg(target_os = "linux")]
mod forked {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;

    use super::Holder;

    /// Makes it the process that it was forked from, and so on, as long as that is the same program and has a socket of it. False where it has
    /// ended or become another program since it was found.
    pub(super) fn find_origin(holder: &mut Holder) -> bool {
        while let Some(parent) = parent(holder.pid)
            && program(parent).is_some_and(|theirs| program(holder.pid) == Some(theirs))
            && !sockets(parent).is_disjoint(&sockets(holder.pid))
        {
            holder.pid = parent;
        }
        stat(holder.pid).is_some_and(|(name, _)| name == holder.name)
    }

    fn parent(pid: u32) -> Option<u32> {
        stat(pid).map(|(_, parent)| parent).filter(|parent| *parent > 0)
    }

    /// Name and parent (proc_pid_stat(5)); the name may have spaces and parentheses in it.
    fn stat(pid: u32) -> Option<(String, u32)> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let parent = after.split_whitespace().nth(1)?.parse().ok()?;
        Some((before.split_once('(')?.1.to_owned(), parent))
    }

    fn program(pid: u32) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{pid}/exe")).ok()
    }

    fn sockets(pid: u32) -> BTreeSet<PathBuf> {
        let all = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let links = all.filter_map(|entry| fs::read_link(entry.path()).ok());
        links.filter(|link| link.as_os_str().as_encoded_bytes().starts_with(b"socket:")).collect()
    }
}

/// Only where sockets pass to children by themselves.
#[cfg(not(target_os = "linux"))]
mod forked {
    pub(super) fn find_origin(_holder: &mut super::Holder) -> bool {
        true
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::BufRead as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_socket_that_a_process_has_with_its_children_is_its_own() {
        let script = "import os,socket,sys,time\ns=socket.create_server(('127.0.0.1',0))\nfor _ in range(3):\n if os.fork()==0:\n  time.sleep(60); os._exit(0)\nprint(s.getsockname()[1],flush=True)\ntime.sleep(60)";
        let mut python = Command::new("python3");
        // A group of its own, to end it with its children.
        std::os::unix::process::CommandExt::process_group(&mut python, 0);
        let mut python = python.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        std::io::BufReader::new(python.stdout.take().unwrap()).read_line(&mut port).unwrap();

        let found = search();

        let group = rustix::process::Pid::from_raw(python.id().cast_signed()).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        python.wait().unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
        let holder = &found.iter().find(|(at, _)| *at == addr).unwrap().1;
        assert_eq!(holder.pid, python.id(), "{holder:?}");
        assert!(holder.name.starts_with("python3"));
    }
}
