//! Connections as applications make them, through imports and the SOCKS front.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::patience::{PATIENCE, until};

/// How long an answer is waited for that must not come; one that came would take a tenth of a second.
const KEPT_OUT: Duration = Duration::from_secs(5);

/// A connection to an echo server that is open and proven to work.
#[derive(Debug)]
pub struct Echo {
    stream: TcpStream,
    turn: u64,
}

impl Echo {
    /// Sends something and hears it said back; an error when the connection has ended.
    pub fn turn(&mut self) -> io::Result<()> {
        self.turn += 1;
        let sent = format!("turn {:>20}\n", self.turn);
        let mut heard = vec![0; sent.len()];
        self.stream.write_all(sent.as_bytes())?;
        self.stream.read_exact(&mut heard)?;
        assert_eq!(heard, sent.as_bytes(), "the echo is wrong");
        Ok(())
    }

    /// Sends and hears so many bytes at once.
    pub fn bulk(&mut self, bytes: usize) -> io::Result<()> {
        let sent: Vec<u8> = (0..bytes).map(|index| (index % 251) as u8).collect();
        let mut writer = self.stream.try_clone()?;
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| writer.write_all(&sent));
            let mut heard = vec![0; bytes];
            self.stream.read_exact(&mut heard)?;
            assert!(heard == sent, "the echo is wrong");
            writing.join().unwrap()
        })
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// Connects to an echo server and proves that it works; an error when it does not.
pub fn try_echo(addr: SocketAddr) -> io::Result<Echo> {
    let stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut echo = Echo { stream, turn: 0 };
    echo.turn()?;
    Ok(echo)
}

/// The same, which must succeed the first time.
pub fn open_echo(addr: SocketAddr) -> Echo {
    try_echo(addr).unwrap_or_else(|error| panic!("no echo through {addr}: {error}"))
}

/// Whether an echo server answers there now.
pub fn echoed(addr: SocketAddr) -> bool {
    try_echo(addr).is_ok()
}

/// Tries again until an echo server answers.
pub fn reaches(addr: SocketAddr) -> Echo {
    until(&format!("an echo through {addr}"), || try_echo(addr).ok())
}

/// Whether an echo server gives no answer for as long as many round trips take. Who is kept out may wait a minute for the end.
pub fn is_kept_out(addr: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(addr) else { return true };
    let _ = stream.set_read_timeout(Some(KEPT_OUT));
    let _ = stream.write_all(b"let me in\n");
    !matches!(stream.read(&mut [0]), Ok(1))
}

/// Whether a connection has ended, at once or after what was still to be heard. One that is silent for long has not.
pub fn ended(stream: &TcpStream, patience: Duration) -> bool {
    let _ = stream.set_read_timeout(Some(patience));
    let mut heard = [0; 4096];
    loop {
        match (&mut &*stream).read(&mut heard) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}

/// Sends a request, closes this side, and gives the whole reply.
pub fn talk(addr: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    stream.shutdown(Shutdown::Write)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(reply)
}

/// The first line of a server that speaks first.
pub fn first_line(addr: SocketAddr) -> io::Result<String> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Why a SOCKS server did not connect.
#[derive(Debug)]
pub enum SocksError {
    /// Its reply (RFC 1928, or proposal 304).
    Reply(u8),
    /// The connection to it failed.
    Io(io::Error),
}

impl From<io::Error> for SocksError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Connects by name through a SOCKS5 server without credentials (RFC 1928), as `nc -X 5` does.
pub fn socks_dial(socks: SocketAddr, host: &str, port: u16) -> Result<TcpStream, SocksError> {
    let mut stream = TcpStream::connect(socks)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut choice = [0; 2];
    stream.write_all(&[5, 1, 0])?;
    stream.read_exact(&mut choice)?;
    assert_eq!(choice, [5, 0], "the SOCKS server wants credentials");
    let length = u8::try_from(host.len()).unwrap();
    stream.write_all(&[&[5, 1, 0, 3, length], host.as_bytes(), &port.to_be_bytes()].concat())?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply)?;
    if reply[1] != 0 {
        return Err(SocksError::Reply(reply[1]));
    }
    let mut bound = vec![0; if reply[3] == 4 { 18 } else { 6 }];
    stream.read_exact(&mut bound)?;
    Ok(stream)
}

/// The reply by which a SOCKS server refuses.
pub fn refusal(socks: SocketAddr, host: &str, port: u16) -> u8 {
    match socks_dial(socks, host, port) {
        Err(SocksError::Reply(code)) => code,
        other => panic!("no refusal: {other:?}"),
    }
}
