//! A host's way to the network: a SOCKS5 proxy (RFC 1928) between its tor and the relays, which a test cuts, silences,
//! moves elsewhere and restores.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use std::{fs, thread};

use rustix::net::sockopt::set_socket_linger;
use tornet::Network;

use crate::host::Host;
use crate::patience::LOOK;
use crate::ports::free_address;

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// As it should be.
    Up,
    /// Connections are reset and refused.
    Cut,
    /// Nothing is answered and nothing arrives, and nobody says so.
    Silent,
    /// The test is over.
    Gone,
}

/// See the file's sentence. Dropping it cuts it for good.
#[derive(Debug)]
pub struct Uplink(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    addr: SocketAddr,
    state: Mutex<State>,
    /// How often it was moved. Connections from before lead nowhere.
    moves: AtomicU64,
    changed: Condvar,
    streams: Mutex<Vec<Weak<TcpStream>>>,
}

impl Uplink {
    /// Gives a host that has no agent yet a way of its own onto a private network.
    pub fn of(host: &mut Host, network: &Network) -> Self {
        Self::at(host, network, Ipv4Addr::LOCALHOST.into())
    }

    /// The same, at another address of this machine than that of loopback.
    pub fn at(host: &mut Host, network: &Network, ip: IpAddr) -> Self {
        let addr = SocketAddr::from((ip, free_address().port()));
        let file = host.home().join("network.torrc");
        fs::write(&file, format!("{}\nSocks5Proxy {addr}\n", network.torrc_lines().join("\n"))).unwrap();
        host.set("ORMESH_TOR_NETWORK", file);
        let shared = Arc::new(Shared {
            addr,
            state: Mutex::new(State::Up),
            moves: AtomicU64::new(0),
            changed: Condvar::new(),
            streams: Mutex::default(),
        });
        // There before anyone is told of it.
        let listener = shared.listen();
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(Some(listener)));
        Self(shared)
    }

    /// Where tor connects to.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr
    }

    /// Resets what is open, and refuses what comes, until it is restored.
    pub fn cut(&self) {
        self.0.set(State::Cut);
    }

    /// Holds everything back without a word, until it is restored.
    pub fn silence(&self) {
        self.0.set(State::Silent);
    }

    /// Moves the host to another network: what is open leads nowhere from now on, and nobody says so. New connections work.
    pub fn strand(&self) {
        self.0.moves.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends the fault.
    pub fn restore(&self) {
        self.0.set(State::Up);
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        self.0.set(State::Gone);
    }
}

impl Shared {
    fn set(&self, state: State) {
        *self.state() = state;
        self.changed.notify_all();
        if matches!(state, State::Cut | State::Gone) {
            for stream in self.streams().drain(..).filter_map(|stream| stream.upgrade()) {
                reset(&stream);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn streams(&self) -> MutexGuard<'_, Vec<Weak<TcpStream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self) -> TcpListener {
        let listener = TcpListener::bind(self.addr).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    }

    fn accept(self: Arc<Self>, mut listener: Option<TcpListener>) {
        loop {
            let state = *self.state();
            match state {
                State::Gone => return,
                State::Cut => listener = None,
                // Connections wait in the listener's queue, as with a program that was stopped.
                State::Silent => {}
                State::Up => {
                    let listener = listener.get_or_insert_with(|| self.listen());
                    while let Ok((stream, _)) = listener.accept() {
                        let shared = Arc::clone(&self);
                        thread::spawn(move || shared.serve(stream));
                    }
                }
            }
            thread::sleep(LOOK);
        }
    }

    /// One connection of tor's.
    fn serve(self: Arc<Self>, near: TcpStream) {
        let moves = self.moves.load(Ordering::SeqCst);
        let near = self.keep(near);
        let Ok(far) = self.handshake(&near) else { return };
        let far = self.keep(far);
        let back = {
            let (shared, near, far) = (Arc::clone(&self), Arc::clone(&near), Arc::clone(&far));
            thread::spawn(move || shared.pass(&far, &near, moves))
        };
        self.pass(&near, &far, moves);
        let _ = back.join();
    }

    /// Its end is this one's matter from now on.
    fn keep(&self, stream: TcpStream) -> Arc<TcpStream> {
        let _ = (stream.set_nonblocking(false), stream.set_nodelay(true));
        let stream = Arc::new(stream);
        // The state is looked at with the list held, so that a cut misses none.
        let mut streams = self.streams();
        streams.retain(|stream| stream.strong_count() > 0);
        streams.push(Arc::downgrade(&stream));
        if matches!(*self.state(), State::Cut | State::Gone) {
            reset(&stream);
        }
        stream
    }

    fn handshake(&self, mut near: &TcpStream) -> io::Result<TcpStream> {
        let mut greeting = [0; 3];
        near.read_exact(&mut greeting)?;
        near.write_all(&[5, 0])?;
        let mut request = [0; 10];
        near.read_exact(&mut request)?;
        let [5, 1, 0, 1, a, b, c, d, high, low] = request else {
            return Err(io::Error::other(format!("not a CONNECT to an IPv4 address: {request:?}")));
        };
        let port = u16::from_be_bytes([high, low]);
        let connected = TcpStream::connect((Ipv4Addr::new(a, b, c, d), port));
        let code = if connected.is_ok() { 0 } else { 5 };
        near.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0])?;
        connected
    }

    /// Passes on what comes, while the network is up and has been moved so often.
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream, moves: u64) {
        let mut bytes = [0; 16 * 1024];
        loop {
            let read = from.read(&mut bytes).unwrap_or(0);
            let leads_nowhere = |state: &mut State| match state {
                State::Up => self.moves.load(Ordering::SeqCst) != moves,
                State::Silent => true,
                State::Cut | State::Gone => false,
            };
            let state = self.changed.wait_while(self.state(), leads_nowhere);
            if *state.unwrap_or_else(PoisonError::into_inner) != State::Up {
                return;
            }
            if read == 0 || to.write_all(&bytes[..read]).is_err() {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
        }
    }
}

/// Has it closed by a reset, as soon as nobody reads it any more.
fn reset(stream: &TcpStream) {
    let _ = set_socket_linger(stream, Some(Duration::ZERO));
    let _ = stream.shutdown(Shutdown::Read);
}
