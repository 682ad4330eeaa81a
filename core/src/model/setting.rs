//! The settings that `config get` and `config set` know: how each is read and shown. Pure.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::bridge::{self, Bridge};
use super::config::{Config, DEFAULT_MAX_SESSIONS, Users, parse_socks};
use super::problem::{Code, Problem};

/// A setting and its new value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "key", content = "value")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Setting {
    /// `agent.socks-addr`.
    SocksAddr(Option<std::net::SocketAddr>),
    /// `agent.socks-users`.
    SocksUsers(Users),
    /// `agent.tor-path`.
    TorPath(Option<PathBuf>),
    /// `agent.max-sessions`.
    MaxSessions(u16),
    /// `agent.sessions`.
    Sessions(bool),
    /// `agent.bridges`.
    Bridges(Vec<Bridge>),
}

impl Setting {
    /// The keys that `config get` and `config set` know.
    pub const KEYS: [&str; 7] = [
        "agent.socks-addr",
        "agent.socks-users",
        "agent.tor-path",
        "agent.secrets",
        "agent.max-sessions",
        "agent.sessions",
        "agent.bridges",
    ];

    /// Reads what `config set KEY VALUE` was given.
    pub fn parse(key: &str, value: &str) -> Result<Self, Problem> {
        let bad =
            |why: String| Problem::new(Code::BadSetting, format!("{key} can't be set to {value:?}: {why}"));
        match key {
            "agent.socks-addr" => parse_socks(value)
                .map(Self::SocksAddr)
                .map_err(|why| bad(why).hint("give an address as in 127.0.0.1:9250, or off")),
            "agent.socks-users" => match value {
                "me" => Ok(Self::SocksUsers(Users::Me)),
                "all" => Ok(Self::SocksUsers(Users::All)),
                _ => Err(bad("it is me or all".into()).hint(
                    "me: the user that the agent runs as, and root; all: everyone who can reach the address",
                )),
            },
            "agent.tor-path" if value.is_empty() => Ok(Self::TorPath(None)),
            "agent.tor-path" if PathBuf::from(value).is_absolute() => Ok(Self::TorPath(Some(value.into()))),
            "agent.tor-path" => {
                Err(bad("the path of a binary is absolute".into())
                    .hint("give it in full, as in /usr/bin/tor"))
            }
            "agent.max-sessions" => match value.parse::<std::num::NonZeroU16>() {
                Ok(number) => Ok(Self::MaxSessions(number.get())),
                Err(_) => Err(bad("it is a number from 1 to 65535".into()).hint(sessions_hint())),
            },
            "agent.sessions" => match value {
                "on" => Ok(Self::Sessions(true)),
                "off" => Ok(Self::Sessions(false)),
                _ => Err(bad("it is on or off".into())
                    .hint("on: connections between two agents outlive what carries them through Tor")),
            },
            // The whole text is long, and private.
            "agent.bridges" => bridge::parse_list(value).map(Self::Bridges).map_err(|why| {
                Problem::new(Code::BadSetting, format!("agent.bridges can't be set: {why}"))
                    .hint("copy each line as bridges.torproject.org gives it; separate them by newlines or ;")
            }),
            "agent.secrets" => Err(bad("secrets are moved, not switched".into())
                .hint(format!("ormesh secrets migrate --to {value}"))),
            _ => Err(unknown_key(key)),
        }
    }

    /// What `config get KEY --json` prints: null where nothing is set.
    pub fn json(config: &Config, key: &str) -> Result<serde_json::Value, Problem> {
        let agent = &config.agent;
        Ok(match key {
            "agent.socks-addr" => json!(agent.socks_addr),
            "agent.socks-users" => json!(agent.socks_users),
            "agent.tor-path" => json!(agent.tor_path),
            "agent.secrets" => json!(agent.secrets),
            "agent.max-sessions" => json!(agent.max_sessions),
            "agent.sessions" => json!(if agent.sessions { "on" } else { "off" }),
            "agent.bridges" => json!(agent.bridges),
            _ => return Err(unknown_key(key)),
        })
    }

    /// What `config get KEY` prints.
    pub fn get(config: &Config, key: &str) -> Result<String, Problem> {
        let agent = &config.agent;
        Ok(match key {
            "agent.socks-addr" => agent.socks_addr.map_or("off".into(), |addr| addr.to_string()),
            "agent.socks-users" => agent.socks_users.as_str().to_owned(),
            "agent.tor-path" => {
                agent.tor_path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
            }
            "agent.secrets" => agent.secrets.map(|kind| kind.to_string()).unwrap_or_default(),
            "agent.max-sessions" => agent.max_sessions.to_string(),
            "agent.sessions" => (if agent.sessions { "on" } else { "off" }).to_owned(),
            "agent.bridges" => agent.bridges.iter().map(Bridge::to_string).collect::<Vec<_>>().join("\n"),
            _ => return Err(unknown_key(key)),
        })
    }
}

fn unknown_key(key: &str) -> Problem {
    Problem::new(Code::BadSetting, format!("there is no setting {key:?}"))
        .hint(format!("the settings are {}", Setting::KEYS.join(", ")))
}

/// How a number of sessions is given.
pub(super) fn sessions_hint() -> String {
    format!("as in {DEFAULT_MAX_SESSIONS}, which it is by default")
}
