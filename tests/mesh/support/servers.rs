//! Servers to put behind exports: threads of the test process, on loopback. They serve until the process ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A running server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Server {
    /// How many connections it has taken so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// How many of them its handler has not done with.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Serves each connection by `handle`, in a thread of its own.
pub(crate) fn serve(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
    serve_at((Ipv4Addr::LOCALHOST, 0).into(), handle)
}

/// The same at an address of one's choice.
pub(crate) fn serve_at(addr: SocketAddr, handle: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind(addr).unwrap();
    let server =
        Server { addr: listener.local_addr().unwrap(), accepted: Arc::default(), open: Arc::default() };
    let (counts, handle) = (server.clone(), Arc::new(handle));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = stream.set_nodelay(true);
            counts.accepted.fetch_add(1, Ordering::SeqCst);
            counts.open.fetch_add(1, Ordering::SeqCst);
            let (open, handle) = (Arc::clone(&counts.open), Arc::clone(&handle));
            thread::spawn(move || {
                handle(stream);
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    server
}

/// Says back what it hears.
pub(crate) fn echo() -> Server {
    serve(echo_back)
}

/// The same on IPv6's loopback.
pub(crate) fn echo_v6() -> Server {
    serve_at((std::net::Ipv6Addr::LOCALHOST, 0).into(), echo_back)
}

fn echo_back(stream: TcpStream) {
    let _ = std::io::copy(&mut &stream, &mut &stream);
}

/// Says back what it hears, at a Unix socket.
pub(crate) fn unix_echo(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
}

/// Speaks first, as SSH's and mail's servers do, then answers each line by `ok <line>`; `QUIT` ends it.
pub(crate) fn banner(greeting: &'static str) -> Server {
    serve(move |mut stream| {
        let _ = writeln!(stream, "{greeting}\r");
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            if line.trim() == "QUIT" || writeln!(stream, "ok {line}\r").is_err() {
                return;
            }
        }
    })
}

/// Reads a request up to its end (the client closes its side), then answers by so many bytes and closes.
pub(crate) fn big_reply(bytes: usize) -> Server {
    serve(move |mut stream| {
        let mut request = Vec::new();
        if stream.read_to_end(&mut request).is_ok() && !request.is_empty() {
            let _ = stream.write_all(&vec![b'x'; bytes]);
            let _ = stream.shutdown(Shutdown::Write);
        }
    })
}

/// Answers every request by one page, and closes.
pub(crate) fn http(page: &'static str) -> Server {
    serve(move |mut stream| {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        // The request's head, up to its empty line.
        if lines.by_ref().map_while(Result::ok).any(|line| line.is_empty()) {
            let length = page.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            );
        }
    })
}
