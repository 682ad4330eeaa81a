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
        if forked::find_origins(&mut found) {
            break;
        }
    }
    found
}

/// A socket is its children's, too: of a server's workers, and for a moment of every program that is just being started. Of those that have
/// it the search tells of any.
#[cfg(target_os = "linux")]
mod forked {
    use std::collections::HashMap;
    use std::fs;
    use std::net::SocketAddr;
    use std::path::PathBuf;

    use super::Holder;
    use crate::forward::tcp_table;

    /// Makes each the process that it was forked from, and so on, as long as that is the same program and has the very socket. False where one
    /// has ended or become another program since it was found.
    pub(super) fn find_origins(found: &mut [(SocketAddr, Holder)]) -> bool {
        let sockets: HashMap<SocketAddr, u64> =
            tcp_table::listening().into_iter().map(|one| (one.addr, one.inode)).collect();
        let mut are_all_there = true;
        for (at, holder) in found {
            if let Some(inode) = sockets.get(at) {
                find_origin(holder, &format!("socket:[{inode}]"));
            }
            are_all_there &= stat(holder.pid).is_some_and(|(name, _)| name == holder.name);
        }
        are_all_there
    }

    fn find_origin(holder: &mut Holder, socket: &str) {
        while let Some(parent) = stat(holder.pid).map(|(_, parent)| parent)
            && program(parent).is_some_and(|theirs| program(holder.pid) == Some(theirs))
            && has(parent, socket)
        {
            holder.pid = parent;
        }
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

    /// Whether a process has a socket, by its name there (proc_pid_fd(5)).
    fn has(pid: u32, socket: &str) -> bool {
        let all = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        all.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|link| link.as_os_str() == socket)
    }
}

/// Only where sockets pass to children by themselves.
#[cfg(not(target_os = "linux"))]
mod forked {
    pub(super) fn find_origins(_found: &mut [(std::net::SocketAddr, super::Holder)]) -> bool {
        true
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::BufRead as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// Runs a script that prints a port, and gives who is found at it and the script's process.
    fn holder_at_port_of(script: &str) -> (Option<Holder>, u32) {
        let mut python = Command::new("python3");
        // A group of its own, to end it with its children; and a socket that it has in common with them.
        std::os::unix::process::CommandExt::process_group(&mut python, 0);
        let (_ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        python.stdin(std::os::fd::OwnedFd::from(theirs));
        let mut python = python.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        std::io::BufReader::new(python.stdout.take().unwrap()).read_line(&mut port).unwrap();

        let found = search();

        let group = rustix::process::Pid::from_raw(python.id().cast_signed()).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        python.wait().unwrap();
        let addr = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
        (found.into_iter().find(|(at, _)| *at == addr).map(|(_, holder)| holder), python.id())
    }

    #[test]
    fn a_socket_that_a_process_has_with_its_children_is_its_own() {
        let (holder, server) = holder_at_port_of(
            "import os,socket,sys,time\ns=socket.create_server(('127.0.0.1',0))\n\
             for _ in range(3):\n if os.fork()==0:\n  time.sleep(60); os._exit(0)\n\
             print(s.getsockname()[1],flush=True)\ntime.sleep(60)",
        );
        let holder = holder.unwrap();
        assert_eq!(holder.pid, server, "{holder:?}");
        assert!(holder.name.starts_with("python3"));
    }

    #[test]
    fn what_a_child_alone_listens_on_is_the_childs_though_it_has_other_sockets_of_its_parent() {
        let (holder, parent) = holder_at_port_of(
            "import os,socket,sys,time\nif os.fork()==0:\n s=socket.create_server(('127.0.0.1',0))\n\
             \x20print(s.getsockname()[1],flush=True)\ntime.sleep(60)",
        );
        assert_ne!(holder.unwrap().pid, parent);
    }
}
