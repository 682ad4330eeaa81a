//! What the server has to offer: a web page and an sshd, both on loopback, both real.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use support::{Server, Sshd, serve};

use crate::process;
use crate::setup::Tools;

/// A web server with one page, and `/hold`, whose answer never ends. It serves until xtask ends.
pub(super) struct Page {
    server: Server,
    text: String,
}

impl Page {
    /// Serves one that is of this run alone, so that no other server can be mistaken for this one.
    pub(super) fn serve() -> Page {
        let text = format!("Hello from the server. This page is number {}.\n", std::process::id());
        let answer = text.clone();
        // A visitor who goes away early is no concern of the others.
        Page { server: serve(move |stream| drop(serve_one(stream, &answer))), text }
    }

    /// Where it is served.
    pub(super) fn port(&self) -> u16 {
        self.server.addr.port()
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

/// Starts an sshd whose files are in `dir`, by the set-up's programs. It ends with xtask.
pub(super) fn sshd(tools: &Tools, dir: &Path) -> Sshd {
    Sshd::start_by(dir, |program| -> Command { process::dying_with_us(tools.path(program)) })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use super::super::probe;
    use super::*;

    #[test]
    fn the_page_is_served() {
        let page = Page::serve();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, page.port()));

        let body = probe::get(address, Duration::from_secs(10)).expect("it answers");

        assert_eq!(body, page.text());
    }

    #[test]
    fn a_held_session_stays_open() {
        let page = Page::serve();
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
