//! What a scripted tor has (services, client keys, circuits), and what a tor with these answers to each command that an agent sends.
//!
//! Its network is a directory that hosts share: each service is a Unix socket there, named by its address.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, HEXUPPER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ormesh_core::model::keys::{Secret, ServiceKey};
use sha2::Sha256;

/// The one relay that it is connected to.
const RELAY: &str = "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA~relay";
/// A second hop and a directory.
const MIDDLE: &str = "$BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB~middle";
const DIRECTORY: &str = "$CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC~directory";
/// Introduction circuits of each service.
const INTRODUCTIONS: u64 = 3;
/// Other numbers are above those of introduction circuits.
const NUMBERS: u64 = 1_000;

/// The cookie that it proves to know.
pub(crate) const COOKIE: [u8; 32] = [7; 32];

const OK: &str = "250 OK\r\n";

/// See the file's sentence.
#[derive(Debug)]
pub(crate) struct World {
    network: PathBuf,
    /// Virtual ports and their gates, by the service's address without its ending.
    services: BTreeMap<String, BTreeMap<u16, PathBuf>>,
    keys: BTreeSet<String>,
    /// Circuits of one hop that were asked for.
    circuits: BTreeSet<u64>,
    numbers: u64,
}

/// What comes of a command.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) reply: String,
    /// The events that follow.
    pub(crate) events: Vec<String>,
    /// A service that is reached from now on, by this socket.
    pub(crate) service: Option<(String, UnixListener)>,
    /// tor ends.
    pub(crate) ends: bool,
}

impl Answer {
    fn only(reply: impl Into<String>) -> Self {
        Self { reply: reply.into(), ..Self::default() }
    }
}

impl World {
    /// With nothing in it but the connection to the network.
    pub(crate) fn new(network: &Path) -> Self {
        Self {
            network: network.to_owned(),
            services: BTreeMap::new(),
            keys: BTreeSet::new(),
            circuits: BTreeSet::new(),
            numbers: NUMBERS,
        }
    }

    /// A number that was not given before.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Where a service of the network is reached.
    pub(crate) fn place(&self, id: &str) -> PathBuf {
        self.network.join(id)
    }

    /// The gate of a port of a service of ours.
    pub(crate) fn gate(&self, id: &str, port: u16) -> Option<PathBuf> {
        self.services.get(id)?.get(&port).cloned()
    }

    /// Whether it has the client key for a service.
    pub(crate) fn has_key(&self, id: &str) -> bool {
        self.keys.contains(id)
    }

    /// What tor answers to a line.
    pub(crate) fn answer(&mut self, line: &str) -> Answer {
        let words: Vec<&str> = line.split(' ').collect();
        let (verb, first) = (words[0], words.get(1).copied().unwrap_or_default());
        match verb {
            "PROTOCOLINFO" => Answer::only(format!("250-PROTOCOLINFO 1\r\n{OK}")),
            "AUTHCHALLENGE" => Answer::only(challenge(words.get(2).copied().unwrap_or_default())),
            "AUTHENTICATE" | "TAKEOWNERSHIP" => Answer::only(OK),
            "SETEVENTS" => {
                // So that it is known by its number when it ends.
                let events = vec![format!("ORCONN {RELAY} CONNECTED ID=1")];
                Answer { events, ..Answer::only(OK) }
            }
            "GETINFO" => Answer::only(self.information(first)),
            "ADD_ONION" => self.add(&words),
            "DEL_ONION" => {
                let _ = fs::remove_file(self.place(first));
                let was_there = self.services.remove(first).is_some();
                Answer::only(if was_there { OK } else { "552 Unknown Onion Service id\r\n" })
            }
            "ONION_CLIENT_AUTH_ADD" => {
                self.keys.insert(first.to_owned());
                Answer::only(OK)
            }
            "ONION_CLIENT_AUTH_REMOVE" => {
                self.keys.remove(first);
                Answer::only(OK)
            }
            "ONION_CLIENT_AUTH_VIEW" => {
                let client = match self.has_key(first) {
                    true => format!("250-CLIENT {first} x25519:AA==\r\n"),
                    false => String::new(),
                };
                Answer::only(format!("250-ONION_CLIENT_AUTH_VIEW {first}\r\n{client}{OK}"))
            }
            "HSFETCH" => {
                let event = match self.place(first).exists() {
                    true => format!("HS_DESC RECEIVED {first} NO_AUTH {DIRECTORY} x"),
                    false => format!("HS_DESC FAILED {first} NO_AUTH {DIRECTORY} x REASON=NOT_FOUND"),
                };
                Answer { events: vec![event], ..Answer::only(OK) }
            }
            "EXTENDCIRCUIT" => {
                let number = self.number();
                self.circuits.insert(number);
                Answer::only(format!("250 EXTENDED {number}\r\n"))
            }
            "CLOSECIRCUIT" => {
                if let Ok(number) = first.parse() {
                    self.circuits.remove(&number);
                }
                Answer::only(OK)
            }
            "SIGNAL" => Answer { ends: true, ..Answer::only(OK) },
            other => Answer::only(format!("510 Unrecognized command \"{other}\"\r\n")),
        }
    }

    fn information(&self, keyword: &str) -> String {
        let one = |value: &str| format!("250-{keyword}={value}\r\n{OK}");
        match keyword {
            "status/bootstrap-phase" => one("NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY=\"Done\""),
            "orconn-status" => one(&format!("{RELAY} CONNECTED")),
            "network-liveness" => one("up"),
            "consensus/valid-after" => one("2020-01-01 00:00:00"),
            "consensus/valid-until" => one("2099-01-01 00:00:00"),
            "circuit-status" => {
                let small = self.circuits.iter().map(|number| {
                    format!("{number} BUILT {RELAY} BUILD_FLAGS=ONEHOP_TUNNEL PURPOSE=CONTROLLER\r\n")
                });
                let introductions = self.services.keys().zip(0..).flat_map(|(id, place)| {
                    (1..=INTRODUCTIONS).map(move |number| {
                        let number = place * INTRODUCTIONS + number;
                        let purpose = "PURPOSE=HS_SERVICE_INTRO HS_STATE=HSSI_ESTABLISHED";
                        format!("{number} BUILT {RELAY},{MIDDLE} {purpose} REND_QUERY={id}\r\n")
                    })
                });
                let lines: String = small.chain(introductions).collect();
                format!("250+circuit-status=\r\n{lines}.\r\n{OK}")
            }
            other => format!("552 Unrecognized key \"{other}\"\r\n"),
        }
    }

    fn add(&mut self, words: &[&str]) -> Answer {
        let secret = words[1].strip_prefix("ED25519-V3:").unwrap();
        let secret = Secret::new(BASE64.decode(secret.as_bytes()).unwrap());
        let id = ServiceKey::from_secret(&secret).unwrap().address().service_id();
        if self.services.contains_key(&id) {
            return Answer::only("550 Onion address collision\r\n");
        }
        let port = |word: &&str| {
            let (port, gate) = word.strip_prefix("Port=")?.split_once(",unix:")?;
            Some((port.parse().ok()?, PathBuf::from(gate)))
        };
        self.services.insert(id.clone(), words.iter().filter_map(port).collect());
        let client = words.iter().filter(|word| word.starts_with("ClientAuthV3="));
        let client: String = client.map(|word| format!("250-{word}\r\n")).collect();
        let place = self.place(&id);
        let _ = fs::remove_file(&place);
        let listener = UnixListener::bind(&place).unwrap();
        let events = vec![
            format!("HS_DESC UPLOAD {id} UNKNOWN {DIRECTORY} x"),
            format!("HS_DESC UPLOADED {id} UNKNOWN {DIRECTORY}"),
        ];
        let reply = format!("250-ServiceID={id}\r\n{client}{OK}");
        Answer { reply, events, service: Some((id, listener)), ends: false }
    }
}

/// The proof that the cookie is known (control-spec §3.24).
fn challenge(nonce: &str) -> String {
    let nonce = HEXUPPER.decode(nonce.as_bytes()).unwrap();
    let key = b"Tor safe cookie authentication server-to-controller hash";
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    [&COOKIE[..], &nonce, &[9; 32]].iter().for_each(|part| mac.update(part));
    let hash = HEXUPPER.encode(&mac.finalize().into_bytes());
    format!("250 AUTHCHALLENGE SERVERHASH={hash} SERVERNONCE={}\r\n", HEXUPPER.encode(&[9; 32]))
}
