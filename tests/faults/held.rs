//! A lock that another process holds, and a disk that is slow: they hold up whoever changes something, and nobody else.

use std::fs::{self, DirEntry, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use ormesh_core::model::problem::Code;

use crate::alone::{
    alone, socket, start, start_traced, tor, wait_for_no_problem, wait_for_problem, with_remote,
};
use crate::support::{Host, ORMESH, Signal, send, until};

/// Many times a command's way to the agent and back, so that one that was given before has long arrived.
const ROUNDS: usize = 60;

fn begin(host: &Host, args: &[&str]) -> Child {
    let mut command = host.command(ORMESH);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Asserts that all else goes on while a command waits.
fn all_else_goes_on(host: &Host, import: SocketAddr, waiting: &mut Child) {
    for _ in 0..ROUNDS {
        assert!(host.status().agent.is_some());
        assert!(TcpStream::connect(import).is_ok());
    }
    assert!(waiting.try_wait().unwrap().is_none(), "it did not wait");
}

fn finish(waiting: Child) {
    let ran = waiting.wait_with_output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn a_held_lock_holds_up_nobody_else() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    host.good(&["client", "add", "laptop"]);
    start(&mut host);
    for (lock, change) in [
        ("config.lock", ["export", "add", "80"]),
        ("keys.lock", ["client", "add", "phone"]),
        ("journal.lock", ["client", "delete", "laptop"]),
    ] {
        let held = File::options().create(true).append(true).open(host.state().join(lock)).unwrap();
        held.lock().unwrap();
        let mut waiting = begin(&host, &change);
        all_else_goes_on(&host, import, &mut waiting);
        // Access ends at once, whatever is waited for.
        assert!(
            lock != "journal.lock"
                || host.status().clients.iter().all(|client| client.name.as_str() != "laptop")
        );
        held.unlock().unwrap();
        finish(waiting);
    }
    assert_eq!(host.status().exports.len(), 1);
}

/// What a host keeps on disk, and the directory that it is in.
fn kept(host: &Host) -> Vec<PathBuf> {
    let state = host.state();
    let names = [
        "config.lock",
        "keys.lock",
        "journal.lock",
        "journal.json",
        ".journal.json.new",
        "history.json",
        "last-good.toml",
        ".last-good.toml.new",
    ];
    let files = names.map(|name| state.join(name));
    [host.home().to_owned(), host.config(), host.home().join(".config.toml.new"), host.secrets(), state]
        .into_iter()
        .chain(files)
        .collect()
}

#[test]
fn a_slow_disk_holds_up_nobody_else() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    let about = kept(&host);
    start_traced(&mut host, &about, &["trace=fsync,fdatasync", "inject=fsync,fdatasync:delay_enter=5000000"]);
    let mut waiting = begin(&host, &["client", "add", "phone"]);
    all_else_goes_on(&host, import, &mut waiting);
    finish(waiting);
}

/// Whatever is asked of it, the thread that carries all traffic touches none of those files.
#[test]
fn the_thread_that_carries_traffic_leaves_files_alone() {
    let mut host = with_remote();
    host.import("web", 22);
    let about = kept(&host);
    let log = start_traced(&mut host, &about, &["trace=%file,%desc,flock,fsync"]);
    let agent = host.agent_pid().to_string();
    let calls = || {
        let log = fs::read_to_string(&log).unwrap();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    host.status();
    let before = calls().len();
    host.good(&["export", "add", "80"]);
    host.good(&["client", "add", "laptop"]);
    host.good(&["client", "token", "laptop"]);
    host.good(&["client", "set", "laptop", "--expires", "30d"]);
    host.good(&["client", "rotate", "laptop"]);
    host.good(&["secrets", "status"]);
    host.good(&["secrets", "prune"]);
    host.good(&["remote", "request", "other"]);
    host.good(&["remote", "delete", "other"]);
    host.good(&["client", "delete", "laptop"]);
    fs::write(host.config(), fs::read_to_string(host.config()).unwrap() + "# by hand\n").unwrap();
    until("the file is read", || {
        fs::read_to_string(host.state().join("last-good.toml")).is_ok_and(|text| text.contains("by hand"))
    });
    let seen = calls().split_off(before);
    assert!(seen.len() > 100, "strace saw nothing: {seen:?}");
    // To give a lock back waits for nothing; a signal is no call. What is resumed was told when it began.
    let others = [" close(", " fcntl(", "LOCK_UN", "resumed>", " --- "];
    let waits = |line: &&String| !others.iter().any(|other| line.contains(other));
    let ours = seen.iter().filter(waits).filter(|line| line.split(' ').next() == Some(&agent));
    let ours: Vec<_> = ours.collect();
    assert!(ours.is_empty(), "the agent's first thread calls: {ours:#?}");
}

/// A file system that hangs under a socket that the agent makes, or removes, holds up nobody else; and it is said, and mends by itself.
#[test]
fn a_file_system_that_hangs_under_a_socket_holds_up_nobody_else() {
    let mut host = with_remote();
    let import = host.import("web", 22);
    let hung = host.home().join("hung.sock");
    let listen = format!("unix:{}", hung.display());
    let hangs = ["trace=%file", "inject=%file:delay_enter=3600000000"];
    start_traced(&mut host, std::slice::from_ref(&hung), &hangs);
    let tracer = Tracer::of(host.agent_pid());

    let mut waiting = begin(&host, &["import", "add", "web", "80", &listen]);
    all_else_goes_on(&host, import, &mut waiting);
    host.good(&["export", "add", "80"]);
    let import_added = waiting.wait_with_output().unwrap();
    let said = String::from_utf8(import_added.stderr).unwrap();
    assert!(import_added.status.success() && said.contains("file system does not answer"), "{said}");
    wait_for_problem(&host, Code::CannotListen);
    host.good(&["import", "delete", &listen]);
    host.good(&["import", "add", "web", "81", &listen]);

    // Calls that strace held up go on without it.
    drop(tracer);
    until("the import is open", || UnixStream::connect(&hung).is_ok());
    wait_for_no_problem(&host, Code::CannotListen);
    host.stop();
    assert!(!hung.exists(), "its socket was left behind");
}

/// What a line of strace says is touched in a file system that may be a slow one.
fn touched(line: &str) -> bool {
    let in_memory = ["\"/proc/", "\"/sys/", "\"/dev/"].iter().any(|path| line.contains(path));
    (line.contains("\"/") || line.contains("sun_path")) && !in_memory
}

/// Sockets in the file system, and all that tor needs there, are made, found and removed on other threads.
#[test]
fn the_thread_that_carries_traffic_touches_no_file_system() {
    let mut host = with_remote();
    let log = start_traced(&mut host, &[], &["trace=%file,bind,connect"]);
    let agent = host.agent_pid().to_string();
    let first = tor(&host);
    let lines = || fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let before = lines().len();
    let made = |name: &str| host.home().join(name);
    let (import, backend) = (format!("unix:{}", made("import").display()), made("backend"));
    let _backend = UnixListener::bind(&backend).unwrap();
    host.good(&["import", "add", "web", "80", &import]);
    host.good(&["export", "add", &format!("unix:{}", backend.display()), "80"]);
    host.good(&["client", "add", "laptop"]);
    let is_gate =
        |entry: io::Result<DirEntry>| entry.unwrap().file_name().to_string_lossy().starts_with("g-");
    until("the gates are open", || fs::read_dir(host.state().join("run")).unwrap().any(is_gate));
    host.good(&["import", "delete", &import]);
    host.good(&["client", "delete", "laptop"]);
    fs::remove_file(socket(&host)).unwrap();
    until("the socket for commands is made again", || socket(&host).exists());
    send(first, Signal::KILL);
    until("tor runs again", || {
        host.json_status()["agent"]["state"]["is"] == "connecting" && tor(&host) != first
    });
    host.good(&["doctor"]);
    until("strace has written it down", || {
        lines().iter().skip(before).any(|line| line.contains("control_auth_cookie"))
    });

    let seen = lines().split_off(before);
    let ours = seen.iter().filter(|line| line.split(' ').next() == Some(&agent) && touched(line));
    let ours: Vec<_> = ours.collect();
    assert!(seen.iter().filter(|line| touched(line)).count() > 50, "strace saw nothing: {seen:#?}");
    assert!(ours.is_empty(), "the agent's first thread calls: {ours:#?}");
}

/// The strace that holds up an agent, which lets go of it when it is dropped.
struct Tracer(u32);

impl Tracer {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")).unwrap();
        Self(tracer.trim().parse().unwrap())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        send(self.0, Signal::KILL);
    }
}

/// A disk that never answers keeps the agent from reading its configuration, and from writing at its end who was seen: it ends all the same.
#[test]
fn a_disk_that_hangs_keeps_no_agent_from_ending() {
    for ask in ["signal", "command"] {
        let mut host = alone();
        host.good(&["client", "add", "laptop"]);
        let address = host.status().clients[0].address;
        let seen = format!("{{\"{address}\": {{\"first\": 1, \"last\": 2}}}}");
        fs::write(host.state().join("history.json"), seen).unwrap();
        let hanging = [".last-good.toml.new", ".history.json.new"].map(|name| host.state().join(name));
        let hangs = ["trace=fsync,fdatasync", "inject=fsync,fdatasync:delay_enter=3600000000"];
        start_traced(&mut host, &hanging, &hangs);
        let tracer = Tracer::of(host.agent_pid());
        let good = fs::read_to_string(host.config()).unwrap();
        fs::write(host.config(), good + "# by hand\n").unwrap();
        until("the disk hangs", || hanging[0].exists());
        send(host.agent_pid(), Signal::HUP);
        // It has long come when so many commands were answered.
        for _ in 0..ROUNDS {
            assert!(host.status().agent.is_some());
        }
        match ask {
            "signal" => send(host.agent_pid(), Signal::TERM),
            _ => drop(host.good(&["agent", "stop"])),
        }
        until("the agent has ended", || host.log().contains("the agent has ended"));
        assert!(hanging[1].exists(), "nothing was to be written at the end");
        // Threads that strace holds up keep the process, as no disk would that lets go of it.
        drop(tracer);
        assert!(host.ended().success());
    }
}
