//! What the server has to offer: a web page and an sshd, both on loopback, both real.

use std::fs::{self, DirBuilder, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::probe;
use crate::process::{self, Owned};
use crate::setup::Tools;

/// A loopback port that nothing uses at the moment.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")?;
    Ok(listener.local_addr().context("failed to find a free port")?.port())
}

/// A web server with one page, and `/hold`, whose answer never ends.
pub(super) struct Page {
    port: u16,
    text: String,
}

impl Page {
    /// Serves until xtask ends.
    pub(super) fn serve() -> Result<Page> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to serve a page")?;
        let port = listener.local_addr().context("failed to serve a page")?.port();
        // Of this run alone, so that no other server can be mistaken for this one.
        let text = format!("Hello from the server. This page is number {}-{port}.\n", std::process::id());
        let answer = text.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = answer.clone();
                // A visitor who goes away early is no concern of the others.
                thread::spawn(move || serve_one(stream, &answer));
            }
        });
        Ok(Page { port, text })
    }

    /// Where it is served.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What it says.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

fn serve_one(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    let mut request = String::new();
    let mut lines = BufReader::new(stream.try_clone()?.take(8192));
    lines.read_line(&mut request)?;
    let mut line = String::new();
    while lines.read_line(&mut line)? > 2 {
        line.clear();
    }
    if request.starts_with("GET /hold ") {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nstay\n")?;
        // Until the other side goes; a session that is open and silent.
        let _ = stream.read(&mut [0]);
        return Ok(());
    }
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
}

/// An sshd with a host key and one authorised key of its own.
pub(super) struct Sshd {
    dir: PathBuf,
    port: u16,
    process: Owned,
}

impl Sshd {
    /// Makes the keys and starts it.
    pub(super) fn start(tools: &Tools, dir: &Path) -> Result<Sshd> {
        DirBuilder::new()
            .mode(0o700)
            .create(dir)
            .with_context(|| format!("failed to create: {}", dir.display()))?;
        for key in ["host", "login"] {
            let mut make = Command::new(tools.path("ssh-keygen"));
            make.args(["-q", "-t", "ed25519", "-N", "", "-C", &format!("ormesh-demo-{key}"), "-f"]);
            process::output(make.arg(dir.join(key)))?;
        }
        let port = free_port()?;
        let config = dir.join("sshd_config");
        fs::write(&config, configuration(dir, port))
            .with_context(|| format!("failed to write: {}", config.display()))?;
        let log = dir.join("log");
        let file = File::create(&log).with_context(|| format!("failed to create: {}", log.display()))?;
        let mut run = process::dying_with_us(tools.path("sshd"));
        run.args(["-D", "-e", "-f"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let mut sshd = Sshd { dir: dir.to_owned(), port, process: Owned::start("sshd", &mut run)? };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        process::wait_for("sshd", Duration::from_secs(20), || {
            if let Some(status) = sshd.process.ended()? {
                let log = fs::read(&log).unwrap_or_default();
                bail!("failed to start sshd: {status}\n{}", process::last_lines(&log, 10));
            }
            Ok(probe::listens(address).then_some(()))
        })?;
        Ok(sshd)
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The id of its process.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it needed something outside the demo's directory.
    pub(super) fn needs_run_dir(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    /// The private key that logs in.
    pub(super) fn login_key(&self) -> PathBuf {
        self.dir.join("login")
    }

    /// A line of known_hosts (sshd(8)) for this server under the name `host`.
    pub(super) fn known_host(&self, host: &str) -> Result<String> {
        let file = self.dir.join("host.pub");
        let key = fs::read_to_string(&file).with_context(|| format!("failed to read: {}", file.display()))?;
        Ok(format!("{host} {key}"))
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        self.process.end();
    }
}

fn configuration(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    format!(
        "ListenAddress 127.0.0.1:{port}\n\
         HostKey {dir}/host\n\
         AuthorizedKeysFile {dir}/login.pub\n\
         PasswordAuthentication no\n\
         KbdInteractiveAuthentication no\n\
         UsePAM no\n\
         StrictModes no\n\
         PidFile none\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_served() {
        let page = Page::serve().expect("it serves");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, page.port()));

        let body = probe::get(address, Duration::from_secs(10)).expect("it answers");

        assert_eq!(body, page.text());
    }

    #[test]
    fn a_held_session_stays_open() {
        let page = Page::serve().expect("it serves");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, page.port()));

        let mut stream = probe::open(address, "/hold", Duration::from_millis(300)).expect("it answers");

        let mut answer = Vec::new();
        let error = stream.read_to_end(&mut answer).expect_err("it does not end");
        assert!(
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
            "{error}"
        );
        assert!(answer.ends_with(b"stay\n"));
    }
}
