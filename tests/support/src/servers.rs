//! Servers to put behind exports: threads of the test process, on loopback. They serve until the process ends.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A running server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Server {
    /// How many connections it has taken so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// How many of them its handler has not done with.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Serves each connection by `handle`, in a thread of its own.
pub fn serve(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
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
pub fn echo() -> Server {
    serve(echo_back)
}

/// The same on IPv6's loopback.
pub fn echo_v6() -> Server {
    serve_at((std::net::Ipv6Addr::LOCALHOST, 0).into(), echo_back)
}

fn echo_back(stream: TcpStream) {
    let _ = std::io::copy(&mut &stream, &mut &stream);
}

/// Says back what it hears, at a Unix socket.
pub fn unix_echo(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
}

/// Speaks first, as SSH's and mail's servers do, then answers each line by `ok <line>`; `QUIT` ends it.
pub fn banner(greeting: &'static str) -> Server {
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

/// Reads one line, then answers by so many bytes and closes.
pub fn big_reply(bytes: usize) -> Server {
    serve(move |mut stream| {
        let mut request = String::new();
        let heard = BufReader::new(&stream).read_line(&mut request);
        if heard.is_ok_and(|heard| heard > 0) {
            let _ = stream.write_all(&vec![b'x'; bytes]);
        }
    })
}

/// Counts each line by its text, then waits for `answer` to be set, and says `done`.
pub fn counter(answer: Arc<AtomicBool>) -> (Server, Counts) {
    let counts = Counts::default();
    let counted = counts.clone();
    let server = serve(move |mut stream| {
        let mut request = String::new();
        let heard = BufReader::new(&stream).read_line(&mut request);
        if heard.is_ok_and(|heard| heard > 0) {
            *counted.0.lock().unwrap().entry(request.trim().to_owned()).or_default() += 1;
            while !answer.load(Ordering::SeqCst) {
                thread::sleep(crate::patience::LOOK);
            }
            let _ = stream.write_all(b"done\n");
        }
    });
    (server, counts)
}

/// How often each request has arrived.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<String, usize>>>);

impl Counts {
    /// How often this one has.
    pub fn of(&self, request: &str) -> usize {
        self.0.lock().unwrap().get(request).copied().unwrap_or_default()
    }

    /// Those that have arrived more than once.
    pub fn repeated(&self) -> Vec<String> {
        let counts = self.0.lock().unwrap();
        counts.iter().filter(|(_, count)| **count > 1).map(|(request, _)| request.clone()).collect()
    }
}

/// Answers every request by one page, and closes.
pub fn http(page: &'static str) -> Server {
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
