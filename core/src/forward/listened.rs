//! All TCP addresses that programs of this machine listen on, and the process that has each. This reads all of /proc or its like.

use std::net::SocketAddr;

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

/// Searches. Other users' processes can't be seen without privilege; Linux tells of their addresses all the same.
pub(super) fn search() -> Vec<(SocketAddr, Option<Holder>)> {
    system::search()
}

/// A socket is its children's, too: of a server's workers, of a helper that has inherited it, and for a moment of every program that is just
/// being started. So all processes are looked for that have it.
#[cfg(target_os = "linux")]
mod system {
    use std::collections::{HashMap, HashSet};
    use std::fs;
    use std::net::SocketAddr;

    use super::Holder;
    use crate::forward::tcp_table;

    /// What listens for others and hands them the socket (systemd.socket(5)).
    const SERVICE_MANAGER: &str = "systemd";

    pub(super) fn search() -> Vec<(SocketAddr, Option<Holder>)> {
        let sockets = tcp_table::listening();
        let having = having(&sockets.iter().map(|socket| socket.inode).collect());
        let of = |socket: tcp_table::Listens| {
            (socket.addr, having.get(&socket.inode).and_then(|pids| chosen(pids)))
        };
        sockets.into_iter().map(of).collect()
    }

    /// The processes that have each of these sockets.
    fn having(sockets: &HashSet<u64>) -> HashMap<u64, Vec<u32>> {
        let mut having = HashMap::<u64, Vec<u32>>::new();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            for socket in files.filter_map(|file| inode(&fs::read_link(file.path()).ok()?)) {
                if sockets.contains(&socket) {
                    having.entry(socket).or_default().push(pid);
                }
            }
        }
        having
    }

    /// The socket's, from what a file of a process links to: `socket:[4711]` (proc_pid_fd(5)).
    fn inode(link: &std::path::Path) -> Option<u64> {
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    }

    fn chosen(pids: &[u32]) -> Option<Holder> {
        let known: Vec<(u32, Stat)> = pids.iter().filter_map(|pid| Some((*pid, stat(*pid)?))).collect();
        server(&known).map(|(pid, stat)| Holder { pid: *pid, name: stat.name.clone() })
    }

    /// Of several that have a socket: the one that the others have it from, and no service manager where a service has it.
    pub(super) fn server(known: &[(u32, Stat)]) -> Option<&(u32, Stat)> {
        let servers = || known.iter().filter(|(_, stat)| stat.name != SERVICE_MANAGER);
        let has_it = |pid: u32| servers().any(|(other, _)| *other == pid);
        servers().find(|(_, stat)| !has_it(stat.parent)).or_else(|| known.first())
    }

    pub(super) struct Stat {
        pub(super) name: String,
        pub(super) parent: u32,
    }

    /// See proc_pid_stat(5). The name may have spaces and parentheses in it, and is cut after 15 bytes, within a letter if need be.
    fn stat(pid: u32) -> Option<Stat> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let stat = String::from_utf8_lossy(&stat);
        let (before, after) = stat.rsplit_once(')')?;
        let parent = after.split_whitespace().nth(1)?.parse().ok()?;
        Some(Stat { name: before.split_once('(')?.1.to_owned(), parent })
    }
}

/// Where sockets don't pass to children by themselves.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::net::SocketAddr;

    use listeners::{Protocol, SocketState};

    use super::Holder;

    pub(super) fn search() -> Vec<(SocketAddr, Option<Holder>)> {
        let all = listeners::get_all().unwrap_or_default();
        let listening =
            all.into_iter().filter(|l| l.protocol == Protocol::TCP && l.state == SocketState::Listen);
        listening.map(|l| (l.socket, Some(Holder { pid: l.process.pid, name: l.process.name }))).collect()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::BufRead as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// Runs a script that prints ports, and gives who is found at each and the script's process.
    fn holders_of(script: &str) -> (Vec<Option<Holder>>, u32) {
        let mut python = Command::new("python3");
        // A group of its own, to end it with its children; and a socket that it has in common with them.
        std::os::unix::process::CommandExt::process_group(&mut python, 0);
        let (_ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        python.stdin(std::os::fd::OwnedFd::from(theirs));
        let script = format!(
            "import os,socket,subprocess,sys,time\nlisten=lambda: socket.create_server(('127.0.0.1',0))\n{script}\ntime.sleep(60)"
        );
        let mut python = python.args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut ports = String::new();
        std::io::BufReader::new(python.stdout.take().unwrap()).read_line(&mut ports).unwrap();

        let found = search();

        let group = rustix::process::Pid::from_raw(python.id().cast_signed()).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        python.wait().unwrap();
        let holder = |port: &str| {
            let addr = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
            found
                .iter()
                .find(|(at, _)| *at == addr)
                .unwrap_or_else(|| panic!("{addr} is not listed"))
                .1
                .clone()
        };
        (ports.split_whitespace().map(holder).collect(), python.id())
    }

    const SAY: &str = "print(s.getsockname()[1],flush=True)";

    #[test]
    fn a_server_is_named_and_not_what_has_its_socket_from_it() {
        for children in [
            "for _ in range(3):\n if os.fork()==0:\n  time.sleep(60); os._exit(0)",
            // Of another program, and of another name.
            "subprocess.Popen(['sleep','60'],pass_fds=[s.fileno()])",
            "if os.fork()==0:\n open('/proc/self/comm','w').write('worker: of many')\n time.sleep(60); os._exit(0)",
        ] {
            let (holders, server) = holders_of(&format!("s=listen()\n{children}\ntime.sleep(0.3)\n{SAY}"));
            let holder = holders[0].as_ref().unwrap();
            assert_eq!(holder.pid, server, "{holder:?} {children}");
            assert!(holder.name.starts_with("python3"), "{holder:?}");
        }
    }

    #[test]
    fn of_all_that_have_a_socket_the_server_is_chosen() {
        let chosen = |all: &[(u32, &str, u32)]| {
            let known: Vec<_> = all
                .iter()
                .map(|(pid, name, parent)| (*pid, system::Stat { name: (*name).to_owned(), parent: *parent }))
                .collect();
            system::server(&known).map(|(pid, _)| *pid)
        };
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[(1, "systemd", 0)]), Some(1), "nobody has connected yet");
        assert_eq!(chosen(&[(1, "systemd", 0), (7, "sshd", 1), (8, "sshd", 7)]), Some(7));
        // The master's number may be the higher one.
        assert_eq!(chosen(&[(8, "nginx", 9), (9, "nginx", 1), (10, "nginx", 9)]), Some(9));
        assert_eq!(chosen(&[(20, "logger", 1)]), Some(20), "its server has ended");
    }

    #[test]
    fn what_a_child_alone_listens_on_is_the_childs() {
        let (holders, parent) = holders_of(&format!("if os.fork()==0:\n s=listen()\n {SAY}"));
        assert_ne!(holders[0].as_ref().unwrap().pid, parent);
    }

    #[test]
    fn any_name_of_a_program_is_told() {
        let name = "abcdefghijklmn\u{e4}";
        let (holders, server) =
            holders_of(&format!("open('/proc/self/comm','wb').write('{name}'.encode())\ns=listen()\n{SAY}"));
        let holder = holders[0].as_ref().unwrap();
        assert!(holder.pid == server && holder.name.starts_with("abcdefghijklmn"), "{holder:?}");
    }

    #[test]
    fn a_server_of_many_addresses_with_workers_is_searched_in_one_pass() {
        const MANY: usize = 400;
        let (holders, server) = holders_of(&format!(
            "all=[listen() for _ in range({MANY})]\nfor _ in range(3):\n if os.fork()==0:\n  time.sleep(60); os._exit(0)\n\
             print(*[s.getsockname()[1] for s in all],flush=True)"
        ));
        assert_eq!(holders.len(), MANY);
        assert!(holders.iter().all(|holder| holder.as_ref().is_some_and(|holder| holder.pid == server)));
    }
}
