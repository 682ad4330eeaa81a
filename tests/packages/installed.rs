//! A host in a root: the installed command with a configuration and a state of its own, and its agent.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use support::until;

use crate::root::{As, Root, run};

/// A host of the user's.
pub(crate) struct Host<'a> {
    root: &'a Root,
    home: String,
}

impl<'a> Host<'a> {
    /// One on which nothing is set up.
    pub(crate) fn new(root: &'a Root, name: &str) -> Self {
        let host = Self { root, home: format!("/home/mesh/{name}") };
        root.good(As::User, "mkdir", &[&host.home]);
        // So that hosts can run side by side.
        host.ormesh(&["config", "set", "agent.socks-addr", "off"]);
        host
    }

    /// A program as it runs on this host.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.root.command(As::User, program);
        command.env("ORMESH_CONFIG", format!("{}/config.toml", self.home));
        command.env("ORMESH_STATE", format!("{}/state", self.home));
        command
    }

    /// Runs `ormesh`, which must succeed, and gives what it printed.
    pub(crate) fn ormesh(&self, arguments: &[&str]) -> String {
        run(self.command("ormesh").args(arguments))
    }

    /// Adds a remote by its invite, read from standard input.
    pub(crate) fn add_remote(&self, name: &str, invite: &str) {
        let mut add = self.command("ormesh");
        let mut child = add.args(["remote", "add", name, "-"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(invite.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Starts an agent.
    pub(crate) fn agent(&self) -> Running {
        let child = self.command("ormesh").args(["agent", "run"]).stderr(Stdio::null()).spawn().unwrap();
        Running(child)
    }

    /// The whole state.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ormesh(&["status", "--json"])).unwrap()
    }

    /// Fails unless the agent runs the tor of the package, and says so.
    pub(crate) fn assert_own_tor(&self) {
        let status = self.status();
        let tor = &status["agent"]["tor"];
        assert_eq!(tor["path"], "/usr/bin/ormesh-tor", "{status:#}");
        assert_eq!(tor["found"], "beside ormesh", "{status:#}");
        let text = self.ormesh(&["status"]);
        assert!(text.contains("tor-path: /usr/bin/ormesh-tor\n  tor-found: \"beside ormesh\"\n"), "{text}");
    }

    /// Whether its files are still there.
    pub(crate) fn is_kept(&self) -> bool {
        self.root.path(&format!("{}/config.toml", self.home)).is_file()
            && self.root.path(&format!("{}/state", self.home)).is_dir()
    }
}

/// A child that is killed with this value.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(&mut self) {
        let pid = rustix::process::Pid::from_raw(self.id().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        until("it ends", || self.0.try_wait().unwrap());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It fails only if it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A web page on a port of loopback, for as long as the tests run.
pub(crate) fn serve(page: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whoever asks is answered the same.
            let _ = stream.read(&mut [0; 4096]);
            let length = page.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(page.as_bytes()));
        }
    });
    port
}

/// What a web server answers; none when it cannot be reached.
pub(crate) fn fetch(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: website\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// An address of loopback that is free.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
