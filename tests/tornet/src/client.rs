//! A plain tor on the network, with no ormesh about it: it plays the unauthorised, and peers that run tor by hand.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::control::Control;
use crate::keys::create_private_dir;
use crate::network::Network;
use crate::process::{POLL, Process, data_dir};
use crate::tools::Tools;
use crate::torrc::quote;

/// From start to bootstrapped.
const READY_DEADLINE: Duration = Duration::from_secs(90);

/// One attempt to connect through tor. A healthy one takes a second or two; one towards a tor that was killed can hang for
/// minutes.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// Between two attempts.
const DIAL_AGAIN: Duration = Duration::from_millis(500);

/// What a client is to be; the default is a client without keys or services.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keys for services that want client authorisation (`ClientOnionAuthDir`).
    pub client_auth: Vec<ClientAuth>,
    /// A service to offer (`HiddenServiceDir`).
    pub service: Option<Service>,
    /// Further torrc lines.
    pub torrc_lines: Vec<String>,
}

/// A client's key for one service.
#[derive(Clone)]
pub struct ClientAuth {
    /// The service's address, with or without `.onion`.
    pub onion_address: String,
    /// The x25519 private key in base32, 52 characters.
    pub private_key: String,
}

impl std::fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientAuth").field("onion_address", &self.onion_address).finish_non_exhaustive()
    }
}

/// An onion service as tor's own torrc has it.
#[derive(Clone, Debug, Default)]
pub struct Service {
    /// Each virtual port and where it leads.
    pub ports: Vec<(u16, SocketAddr)>,
    /// x25519 public keys in base32 of the clients let in; with none, everyone is.
    pub authorized: Vec<String>,
}

/// A running client; ends when dropped, or with the process.
#[derive(Debug)]
pub struct Client {
    process: Process,
    control: Control,
    dir: PathBuf,
    socks: SocketAddr,
    onion_address: Option<String>,
    dials: u32,
}

impl Client {
    /// Starts a tor in `dir` (its own; state in it is used again) and waits until it has bootstrapped. Its service need not be
    /// published by then: [`Client::dial_until`] waits for that.
    ///
    /// # Errors
    ///
    /// When tor ends or does not bootstrap in time; the error quotes its log.
    pub fn start(network: &Network, dir: &Path, tools: &Tools, options: &Options) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("failed to create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        create_private_dir(&data_dir(&dir))?;
        let mut lines = network.torrc_lines().to_vec();
        lines.push("SocksPort 127.0.0.1:auto OnionTrafficOnly ExtendedErrors".to_owned());
        lines.extend(write_client_auth(&dir, &options.client_auth)?);
        if let Some(service) = &options.service {
            lines.extend(write_service(&dir, service)?);
        }
        lines.extend_from_slice(&options.torrc_lines);

        let deadline = Instant::now() + READY_DEADLINE;
        let mut process = Process::spawn(tools, &dir, &lines)?;
        let (_, mut control) = process.own(deadline)?;
        while !control.get_info("status/bootstrap-phase")?.contains("PROGRESS=100 ") {
            process.check_alive()?;
            if Instant::now() > deadline {
                bail!("the client did not bootstrap in time\n{}", process.quote_log());
            }
            thread::sleep(POLL);
        }
        let socks = control.get_info("net/listeners/socks")?;
        let socks = socks.trim_matches('"').parse().with_context(|| format!("tor listens on {socks}"))?;
        let onion_address = match options.service {
            None => None,
            Some(_) => Some(fs::read_to_string(service_dir(&dir).join("hostname"))?.trim().to_owned()),
        };
        Ok(Self { process, control, dir, socks, onion_address, dials: 0 })
    }

    /// Its SOCKS port. It serves onion addresses only and answers with the extended errors of proposal 304.
    pub fn socks(&self) -> SocketAddr {
        self.socks
    }

    /// The address of its service, `….onion`, when it has one.
    pub fn onion_address(&self) -> Option<&str> {
        self.onion_address.as_deref()
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its control connection, for what the options don't cover, such as `ADD_ONION`.
    pub fn control(&mut self) -> &mut Control {
        &mut self.control
    }

    /// Connects to `host` (`….onion`) once, on circuits that no other dial of this client shares.
    ///
    /// # Errors
    ///
    /// [`DialError::Refused`] with tor's reply, else [`DialError::Io`], which a silence of 20 s is too.
    pub fn dial(&mut self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        self.dials += 1;
        // tor isolates by SOCKS credentials.
        let stream = socks_connect(self.socks, &format!("dial-{}", self.dials), host, port)?;
        stream.set_read_timeout(None)?;
        Ok(stream)
    }

    /// Dials again and again until it succeeds: for a service that is about to be published.
    ///
    /// # Errors
    ///
    /// The last attempt's, once `patience` is over.
    pub fn dial_until(&mut self, host: &str, port: u16, patience: Duration) -> Result<TcpStream> {
        let deadline = Instant::now() + patience;
        loop {
            match self.dial(host, port) {
                Ok(stream) => return Ok(stream),
                Err(error) if Instant::now() > deadline => {
                    bail!("failed to reach the service: {error}\n{}", self.process.quote_log());
                }
                Err(_) => thread::sleep(DIAL_AGAIN),
            }
        }
    }
}

/// Why a dial failed.
#[derive(Debug)]
pub enum DialError {
    /// tor's SOCKS reply: 1 to 8 of RFC 1928, 0xF0 to 0xF7 of proposal 304.
    Refused(u8),
    /// The connection to tor failed or went silent.
    Io(std::io::Error),
}

impl From<std::io::Error> for DialError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(code) => write!(f, "tor refused: SOCKS reply {code:#04x}"),
            Self::Io(error) => write!(f, "failed to dial through tor: {error}"),
        }
    }
}

impl std::error::Error for DialError {}

/// RFC 1928 with the credentials of RFC 1929, one step after the other.
fn socks_connect(socks: SocketAddr, user: &str, host: &str, port: u16) -> Result<TcpStream, DialError> {
    let mut stream = TcpStream::connect(socks)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DIAL_TIMEOUT))?;

    let mut choice = [0; 2];
    stream.write_all(&[5, 1, 2])?;
    stream.read_exact(&mut choice)?;
    if choice != [5, 2] {
        return Err(DialError::Refused(choice[1]));
    }

    let mut accepted = [0; 2];
    stream.write_all(&[&[1][..], &counted(user)?, &counted("x")?].concat())?;
    stream.read_exact(&mut accepted)?;
    if accepted[1] != 0 {
        return Err(DialError::Refused(accepted[1]));
    }

    let mut reply = [0; 4];
    stream.write_all(&[&[5, 1, 0, 3][..], &counted(host)?, &port.to_be_bytes()].concat())?;
    stream.read_exact(&mut reply)?;
    if reply[1] != 0 {
        return Err(DialError::Refused(reply[1]));
    }
    let mut bound = match reply[3] {
        4 => vec![0; 16 + 2],
        _ => vec![0; 4 + 2],
    };
    stream.read_exact(&mut bound)?;
    Ok(stream)
}

fn counted(text: &str) -> std::io::Result<Vec<u8>> {
    let length = u8::try_from(text.len()).map_err(|_| std::io::Error::other("too long for SOCKS"))?;
    Ok([&[length], text.as_bytes()].concat())
}

/// tor(1), "ClientOnionAuthDir": `<56 characters>:descriptor:x25519:<base32 private key>` in a `.auth_private` file.
fn write_client_auth(dir: &Path, keys: &[ClientAuth]) -> Result<Vec<String>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let auth_dir = dir.join("client-auth");
    create_private_dir(&auth_dir)?;
    for ClientAuth { onion_address, private_key } in keys {
        let address = onion_address.trim_end_matches(".onion");
        ensure!(address.len() == 56, "not an onion address: {onion_address}");
        let line = format!("{address}:descriptor:x25519:{private_key}\n");
        fs::write(auth_dir.join(address).with_extension("auth_private"), line)
            .context("failed to write a client's key")?;
    }
    Ok(vec![format!("ClientOnionAuthDir {}", quote(&auth_dir))])
}

/// tor(1), "CLIENT AUTHORIZATION": `descriptor:x25519:<base32 public key>` in `authorized_clients/<name>.auth`.
fn write_service(dir: &Path, service: &Service) -> Result<Vec<String>> {
    let service_dir = service_dir(dir);
    let authorized = service_dir.join("authorized_clients");
    create_private_dir(&authorized)?;
    for (number, public_key) in service.authorized.iter().enumerate() {
        let line = format!("descriptor:x25519:{public_key}\n");
        fs::write(authorized.join(format!("client-{number}.auth")), line)
            .context("failed to write a client's public key")?;
    }
    let mut lines = vec![format!("HiddenServiceDir {}", quote(&service_dir))];
    lines.extend(service.ports.iter().map(|(port, target)| format!("HiddenServicePort {port} {target}")));
    Ok(lines)
}

fn service_dir(dir: &Path) -> PathBuf {
    dir.join("service")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_key_is_not_printed() {
        let auth = ClientAuth { onion_address: "abc.onion".to_owned(), private_key: "SECRET".to_owned() };

        assert!(!format!("{auth:?}").contains("SECRET"));
    }
}
