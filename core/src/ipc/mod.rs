//! Room 8, ipc: the protocol between shells and the agent. JSON frames over a private local socket.
//!
//! A connection carries a [`Hello`] each way, then one [`Request`] and its [`Response`]. After [`Request::Watch`] a [`Response::Status`]
//! follows at each change. After [`Request::Connect`] any number of [`Response::Waiting`] come; after [`Response::Connected`] the connection
//! is the remote's byte stream, in [`pieces`].

pub mod client;
mod deadline;
pub mod frame;
pub mod pieces;
pub mod server;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
pub mod transport;
#[cfg(any(windows, test))]
mod trust;

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::model::address::Port;
use crate::model::day::Day;
use crate::model::edit::Edit;
use crate::model::keys::ClientPublicKey;
use crate::model::layer::Layer;
use crate::model::name::{ClientName, RemoteName};
use crate::model::onion::OnionAddress;
use crate::model::problem::Problem;
use crate::model::served::Served;
use crate::model::status::Status;
use crate::model::store_kind::StoreKind;

/// The version of this protocol. Two ends of different versions say so and part, but for one request: [`Request::Stop`]. So frames, both
/// fields of [`Hello`], that request and its answer stay as they are, whatever else changes.
pub const PROTOCOL: u32 = 4;

/// The first frame of either end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The version of ormesh that speaks.
    pub version: String,
}

impl Hello {
    /// What this build says.
    pub fn ours() -> Self {
        Self { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").into() }
    }
}

/// A text that holds a secret and must cross: an invite. Zeroized, never printed by `Debug`.
pub struct Confidential(Zeroizing<String>);

impl Confidential {
    /// Takes the text over.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The text, for the one place that it was made for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Serialize for Confidential {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Confidential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// The forms in which an invite can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InviteFormat {
    /// `ormesh1…`.
    Ormesh,
    /// A line for tor's `ClientOnionAuthDir`: `<56 characters>:descriptor:x25519:<base32>`.
    AuthPrivate,
}

/// What a shell asks of a host. Most of it can be answered with no agent running, by the same code (`agent::commands`).
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// The whole state, once. Answer: `Status`.
    Status,
    /// The whole state now and at each change. Answers: `Status`, again and again. Agent only.
    Watch,
    /// A change that touches no secret. Answer: `Done`.
    Edit(Edit),
    /// Makes a client's keys, or takes its public key from a request. Answer: `Invite`. While the client is only invited, the same
    /// again gives the same invite.
    AddClient {
        /// What to call it.
        name: ClientName,
        /// The ports granted; all when none.
        ports: Option<BTreeSet<Port>>,
        /// Its last day.
        expires: Option<Day>,
        /// The public key of a join request; a key pair is made when none.
        #[serde(rename = "request")]
        key: Option<ClientPublicKey>,
    },
    /// The invite of a client that has not connected yet. Answer: `Invite`.
    ClientToken {
        /// Which.
        name: ClientName,
        /// How to write it.
        format: InviteFormat,
    },
    /// New keys and so a new address. Answer: `Invite`.
    RotateClient {
        /// Which.
        name: ClientName,
        /// The public key of a join request; a key pair is made when none.
        #[serde(rename = "request")]
        key: Option<ClientPublicKey>,
    },
    /// Revokes a client. Answered once it is out. Answer: `Done`.
    DeleteClient {
        /// Which.
        name: ClientName,
    },
    /// Makes a key for a host that will be added, and a public request for it; the same again gives the same. Answer: `JoinRequest`.
    RequestRemote {
        /// What the remote will be called.
        name: RemoteName,
    },
    /// Adds a remote from an invite. Answer: `Done`.
    AddRemote {
        /// What to call it.
        name: RemoteName,
        /// The invite, in any of the forms that are known.
        invite: Confidential,
        /// Whether it takes the place of one of the same name.
        replace: bool,
    },
    /// Our key for a remote as a line for tor's `ClientOnionAuthDir`. Answer: `Invite`.
    ExportRemote {
        /// Which.
        name: RemoteName,
    },
    /// Removes a remote, its imports and its key; or a request that waits. Answer: `Done`.
    DeleteRemote {
        /// Which.
        name: RemoteName,
    },
    /// What listens on this host and could be exported. Answer: `Served`.
    Served,
    /// Asks a remote how it is. Answer: `Pong`. Agent only.
    Ping {
        /// Which.
        remote: RemoteName,
        /// Also whether this port can be reached.
        port: Option<Port>,
    },
    /// Walks the layers of this host and of the remotes. Answer: `Layers`. Agent only; what is known without one, `agent::examine` tells.
    Doctor {
        /// The only remote to try; all of them when none.
        remote: Option<RemoteName>,
    },
    /// Turns this connection into the remote's byte stream. Answers: `Waiting` any number of times, `Connected`, then bytes. Agent only.
    Connect {
        /// Which.
        remote: RemoteName,
        /// Its virtual port.
        port: Port,
    },
    /// Puts the configuration file in force as it is, whatever is missing in it. Answer: `Done`.
    AcceptConfig,
    /// Writes the last good configuration back. Answer: `Done`.
    RestoreConfig,
    /// How the secret store is. Answer: `Secrets`.
    SecretsStatus,
    /// Has a secret store that is locked ask a person for its password. Answer: `Done`.
    UnlockSecrets,
    /// Moves all secrets to another store. Answer: `Done`.
    MigrateSecrets {
        /// Where to.
        to: StoreKind,
    },
    /// Erases what an interrupted change left in the store. Answer: `Done`.
    PruneSecrets,
    /// Gives up a store that is gone for good and not in use: what was to be erased in it is left there. Answer: `Done`.
    ForgetStore {
        /// Which.
        store: StoreKind,
    },
    /// Closes listeners and sessions and stops tor, until `Resume` or the agent's end. Answer: `Done`. Agent only.
    Pause,
    /// Ends a pause. Answer: `Done`. Agent only.
    Resume,
    /// Ends the agent in order. Answer: `Done`, before it ends. Agent only.
    Stop,
}

impl Request {
    /// Adds a client that reaches every port that is exported to all, for ever, by a key that is made here.
    pub fn add_client(name: ClientName) -> Self {
        Self::AddClient { name, ports: None, expires: None, key: None }
    }
}

/// What comes back.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// It was done. Notes are lines for stderr: warnings and what follows from it.
    Done {
        /// One sentence each.
        notes: Vec<String>,
    },
    /// An invite, or a line of key material.
    Invite {
        /// The text.
        text: Confidential,
        /// One sentence each, for stderr.
        notes: Vec<String>,
    },
    /// A public join request.
    JoinRequest {
        /// `ormeshreq1…`.
        text: String,
    },
    /// The whole state.
    Status(Box<Status>),
    /// What could be exported, by port.
    Served(Vec<Served>),
    /// A remote answered.
    Pong(Pong),
    /// The layers, in order.
    Layers(Vec<Layer>),
    /// How the store is.
    Secrets(SecretsStatus),
    /// What is waited for meanwhile, for a person: one sentence without a full stop.
    Waiting(String),
    /// Bytes follow.
    Connected,
    /// It could not be done; nothing was changed. A client that was to be deleted may be cut off all the same: the sentence says so.
    Refused(Problem),
}

/// A remote's answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Pong {
    /// Its address.
    pub address: OnionAddress,
    /// Time until the connection stood, in milliseconds.
    pub connect: u64,
    /// Round trip through that connection, in milliseconds; none where the host does not run ormesh.
    pub round_trip: Option<u64>,
    /// The ports granted, as the host says.
    pub ports: Vec<PortTold>,
}

/// What a remote tells of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PortTold {
    /// Which.
    pub port: Port,
    /// Whether it accepts connections there.
    pub open: bool,
}

/// How the secret store is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SecretsStatus {
    /// The store in use; none before the first secret.
    pub store: Option<StoreKind>,
    /// Whether it can be read and written now.
    pub usable: bool,
    /// Why not, where it can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub problem: Option<Problem>,
    /// How many secrets the configuration needs, and how many of these the store has.
    pub needed: u32,
    /// See `needed`.
    pub found: u32,
    /// Secrets whose change was interrupted and will be settled.
    pub in_doubt: u32,
    /// Another store, used before, that some of these may be in, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub also_in: Option<StoreKind>,
    /// Where they lie, in words: a directory, or the keyring's entry names.
    pub place: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shell_can_ask_for_a_change_of_keys_that_goes_past_the_journal() {
        let asked = |edit: &str| serde_json::from_str::<Request>(&format!(r#"{{"edit":{edit}}}"#));
        let (address, key) = (
            "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion",
            "BEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQ",
        );
        let client = format!(
            r#"{{"address":"{address}","key":"{key}","ports":null,"expires":null,"requested":true}}"#
        );
        let remote = format!(
            r#"{{"address":"{address}","key":"{key}","expires":null,"ports":[],"plain_tor":false,"imports":{{}}}}"#
        );
        for edit in [
            format!(r#"{{"edit":"add-client","name":"a","client":{client}}}"#),
            format!(
                r#"{{"edit":"rotate-client","name":"a","address":"{address}","key":"{key}","requested":true}}"#
            ),
            r#"{"edit":"delete-client","name":"a"}"#.into(),
            format!(r#"{{"edit":"add-remote","name":"a","remote":{remote},"replace":false}}"#),
            r#"{"edit":"delete-remote","name":"a"}"#.into(),
            format!(r#"{{"edit":"add-request","name":"a","key":"{key}"}}"#),
            r#"{"edit":"delete-request","name":"a"}"#.into(),
            r#"{"edit":"set","key":"secrets","value":"file"}"#.into(),
        ] {
            assert!(asked(&edit).is_err(), "{edit}");
        }
        assert!(asked(r#"{"edit":"delete-export","port":22}"#).is_ok());
        assert!(asked(r#"{"edit":"set","key":"max-sessions","value":8}"#).is_ok());
    }
}
