//! `ormesh config`: the file, and the settings in it that are no noun of their own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use ormesh_core::engine::ctor::Finder;
use ormesh_core::ipc::Request;
use ormesh_core::model::edit::{Edit, Setting};
use ormesh_core::model::exposure;
use ormesh_core::model::problem::Problem;

use crate::args;
use crate::output::{self, DONE, Outcome};
use crate::this_host::Host;

#[derive(Subcommand)]
pub(crate) enum Config {
    /// Print where the configuration is
    Path,
    /// Print a setting; without KEY, all of them
    Get(Get),
    /// Change a setting
    #[command(after_help = SETTINGS)]
    Set(Set),
    /// Read the configuration and say what is wrong with it, with line and column
    Check,
    /// Write the last good configuration back, after the file was lost or spoilt
    Restore,
    /// Use the file as it is now, even if all that was in it is gone: says that this was meant
    Accept,
}

const SETTINGS: &str = "\
Settings:
  agent.socks-addr    where the agent's SOCKS server listens, as in 127.0.0.1:9250, or off
  agent.socks-users   who may use it: me, which is the user that the agent runs as, and root; or all
  agent.tor-path      the tor binary; empty for the one that is found
  agent.max-sessions  the most sessions that one client can have open at once
  agent.sessions      on or off: whether connections between two agents outlive what carries them through Tor; both ends
                      must have it on
  agent.bridges       ways into Tor where it is blocked, as bridges.torproject.org gives them, separated by ; or
                      newlines; empty for the public relays
  agent.secrets       the secret store; `ormesh secrets migrate` changes it";

#[derive(Args)]
#[command(after_help = SETTINGS)]
pub(crate) struct Get {
    /// Which setting, as in agent.socks-addr
    #[arg(value_parser = args::word)]
    key: Option<String>,
    /// Print JSON: the value, or without KEY an object with all of them
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Set {
    /// Which setting, as in agent.socks-addr
    #[arg(value_parser = args::word)]
    key: String,
    /// Its new value
    #[arg(value_parser = args::word, allow_hyphen_values = true)]
    value: String,
}

impl Config {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        match self {
            Self::Path => output::line(&host.paths().config.display().to_string())?,
            Self::Get(Get { key: Some(key), json: true }) => {
                output::json(&Setting::json(&host.config()?, &key)?)?
            }
            Self::Get(Get { key: None, json: true }) => {
                let config = host.config()?;
                let value = |key: &str| Ok((key.to_owned(), Setting::json(&config, key)?));
                let all =
                    Setting::KEYS.into_iter().map(value).collect::<Result<BTreeMap<_, _>, Problem>>()?;
                output::json(&all)?;
            }
            Self::Get(Get { key: Some(key), json: false }) => {
                output::line(&Setting::get(&host.config()?, &key)?)?
            }
            Self::Get(Get { key: None, json: false }) => {
                let config = host.config()?;
                // A value of several lines in the form that `set` takes, too.
                let row = |key: &str| Ok([key.to_owned(), Setting::get(&config, key)?.replace('\n', "; ")]);
                let rows: Vec<_> = Setting::KEYS.into_iter().map(row).collect::<Result<_, Problem>>()?;
                output::table(["KEY", "VALUE"], &rows)?;
            }
            Self::Set(Set { key, value }) => {
                let setting = Setting::parse(&key, &value)?;
                let about_socks = matches!(setting, Setting::SocksAddr(_) | Setting::SocksUsers(_));
                let tor = match &setting {
                    Setting::TorPath(path) => path.clone(),
                    _ => None,
                };
                let is_told = host.edit(Edit::Set(setting)).await?;
                if let Some(path) = tor.filter(|_| !is_told) {
                    output::notes(why_no_tor(path).await);
                }
                if about_socks {
                    let agent = host.config()?.agent;
                    output::notes(
                        agent.socks_addr.and_then(|addr| exposure::of_socks(addr, agent.socks_users)),
                    );
                }
                output::said(format!("set {key}"));
            }
            Self::Check => {
                host.config()?;
                output::said(format!("{} is in order", host.paths().config.display()));
            }
            Self::Restore => {
                host.done(Request::RestoreConfig).await?;
                output::said(format!("wrote {} back", host.paths().config.display()));
            }
            Self::Accept => {
                host.done(Request::AcceptConfig).await?;
                output::said(format!("{} is in force as it is", host.paths().config.display()));
            }
        }
        DONE
    }
}

/// Why a program is not taken for tor, in a sentence: where no agent looks at it now, a person hears of a typing error all the same.
async fn why_no_tor(path: PathBuf) -> Option<String> {
    let finder = Finder { config: Some(path), ..Finder::default() };
    finder.find().await.err().map(|none| format!("{}; {}", none.why, none.hint))
}
