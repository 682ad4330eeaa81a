//! `ormesh import`: a remote's ports at local addresses.

use std::net::{Ipv4Addr, SocketAddr};

use clap::{Args, Subcommand, ValueEnum};
use ormesh_core::model::address::{ListenAddr, Port};
use ormesh_core::model::config::{self, Users};
use ormesh_core::model::edit::Edit;
use ormesh_core::model::exposure;
use ormesh_core::model::hold::{self, Hold};
use ormesh_core::model::name::RemoteName;
use ormesh_core::model::problem::{Code, Problem};
use ormesh_core::model::status::{ImportStatus, Status};
use ormesh_core::model::status_yaml::import_state;
use serde::Serialize;

use super::nc::resolve;
use crate::args::{self, RemoteRef};
use crate::output::{self, DONE, Outcome};
use crate::this_host::Host;

#[derive(Subcommand)]
pub(crate) enum Import {
    /// Listen at a local address and carry its connections to a remote's port
    Add(Add),
    /// List the imports
    #[command(visible_alias = "ls")]
    List(List),
    /// Change where an import listens, who may connect to it, or what becomes of its connections
    Set(Set),
    /// Stop listening
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

#[derive(Args)]
pub(crate) struct Add {
    /// Which remote, by its name or its onion address
    #[arg(value_parser = args::remote_ref)]
    remote: RemoteRef,
    /// The port that the remote exports
    #[arg(value_name = "REMOTE-PORT", value_parser = args::port, allow_negative_numbers = true)]
    remote_port: Port,
    /// Where to listen: ADDRESS:PORT, a port of 127.0.0.1 or unix:PATH. Left out, the remote's port on 127.0.0.1
    #[arg(value_name = "LISTEN", value_parser = args::listen, allow_negative_numbers = true)]
    listen: Option<ListenAddr>,
    /// What to do when the application has sent all it will send: hold until the reply has come, or pass it on, which ends
    /// the connection
    #[arg(long, value_enum, value_name = "HOW", default_value_t = HalfClose::Hold)]
    half_close: HalfClose,
    /// Let nobody connect but programs of the user that the agent runs as, and root's. Every other user of this machine can
    /// connect without it, as to any local port
    #[arg(long)]
    only_me: bool,
    /// Whether connections go through a session where the remote offers that: they then outlive a network that goes away
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Session::On)]
    session: Session,
    /// How long they are held while there is no way to the remote, as in 90s, 15m or 2h; a day at most, 0 for not at all
    #[arg(long, value_name = "TIME", default_value_t = Hold::default(), value_parser = a_hold)]
    hold: Hold,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Session {
    /// Use sessions
    On,
    /// Give each connection a Tor stream of its own
    Off,
}

impl Session {
    fn rule(self) -> hold::Session {
        match self {
            Self::On => hold::Session::On,
            Self::Off => hold::Session::Off,
        }
    }
}

fn a_hold(text: &str) -> Result<Hold, String> {
    text.parse::<Hold>().map_err(|error| error.to_string())
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum HalfClose {
    /// Keep the connection until the reply has come
    Hold,
    /// End the connection at once
    Pass,
}

impl HalfClose {
    fn rule(self) -> config::HalfClose {
        match self {
            Self::Hold => config::HalfClose::Hold,
            Self::Pass => config::HalfClose::Pass,
        }
    }
}

#[derive(Args)]
pub(crate) struct Set {
    /// Where it listens: ADDRESS:PORT, a port of 127.0.0.1 or unix:PATH
    #[arg(value_name = "LISTEN", value_parser = args::listen, allow_negative_numbers = true)]
    listen: ListenAddr,
    /// Listen here from now on; connections that are open end
    #[arg(long = "to", value_name = "LISTEN", value_parser = args::listen, allow_negative_numbers = true)]
    to: Option<ListenAddr>,
    /// What to do when the application has sent all it will send; connections that are open end
    #[arg(long, value_enum, value_name = "HOW")]
    half_close: Option<HalfClose>,
    /// Let nobody connect but programs of the user that the agent runs as, and root's
    #[arg(long)]
    only_me: bool,
    /// Let every user of this machine connect
    #[arg(long, conflicts_with = "only_me")]
    all_users: bool,
    /// Whether connections go through a session where the remote offers that; those that are open end
    #[arg(long, value_enum, value_name = "HOW")]
    session: Option<Session>,
    /// How long they are held while there is no way to the remote, as in 90s, 15m or 2h; a day at most, 0 for not at all. Those that
    /// are open end
    #[arg(long, value_name = "TIME", value_parser = a_hold)]
    hold: Option<Hold>,
}

#[derive(Args)]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// Where it listens: ADDRESS:PORT, a port of 127.0.0.1 or unix:PATH
    #[arg(value_name = "LISTEN", allow_negative_numbers = true)]
    listen: String,
    /// Only if it is an import of this remote, given by its name or its onion address
    #[arg(long, value_name = "REMOTE", value_parser = args::remote_ref)]
    remote: Option<RemoteRef>,
    /// As it was written at first: the remote, then where it listens
    #[arg(hide = true, value_name = "LISTEN", value_parser = args::listen, allow_negative_numbers = true, conflicts_with = "remote")]
    listen_of_remote: Option<ListenAddr>,
}

impl Delete {
    fn import(self) -> Result<(Option<RemoteRef>, ListenAddr), Problem> {
        match self.listen_of_remote {
            Some(listen) => Ok((Some(args::remote_ref(&self.listen)?), listen)),
            None => Ok((self.remote, args::listen(&self.listen)?)),
        }
    }
}

impl Import {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        match self {
            Self::Add(Add { remote, remote_port, listen, half_close, only_me, session, hold: time }) => {
                let remote = resolve(&host, remote).await?;
                let listen = listen.unwrap_or_else(|| same_port(remote_port));
                let half_close = half_close.rule();
                let users = if only_me { Users::Me } else { Users::All };
                let open = exposure::of_import(&listen, users, remote_port, &remote);
                let said = format!("imported port {remote_port} of {remote} at {listen}");
                host.edit(Edit::AddImport {
                    remote,
                    remote_port,
                    listen,
                    half_close,
                    users: Some(users),
                    session: Some(session.rule()),
                    hold: Some(time),
                })
                .await?;
                output::notes(open);
                output::said(said);
            }
            Self::Set(Set { listen, to, half_close, only_me, all_users, session, hold: time }) => {
                let users = match (only_me, all_users) {
                    (true, _) => Some(Users::Me),
                    (_, true) => Some(Users::All),
                    _ => None,
                };
                if to.is_none()
                    && half_close.is_none()
                    && users.is_none()
                    && session.is_none()
                    && time.is_none()
                {
                    return Err(Problem::new(
                        Code::BadArgument,
                        format!("nothing is to change for {listen}"),
                    )
                    .hint("say what is to change: --to, --only-me or --all-users, --half-close, --session or --hold; --help explains each")
                    .into());
                }
                let at = to.clone().unwrap_or_else(|| listen.clone());
                let said = match &to {
                    Some(to) => format!("moved the import at {listen} to {to}"),
                    None => format!("changed the import at {listen}"),
                };
                let half_close = half_close.map(HalfClose::rule);
                let session = session.map(Session::rule);
                host.edit(Edit::SetImport { listen, to, half_close, users, session, hold: time }).await?;
                // The change is made: that the status can't be had is no failure of it.
                let status = host.status().await.ok();
                let imports =
                    status.iter().flat_map(|status| &status.remotes).flat_map(|remote| &remote.imports);
                output::notes(
                    imports.filter(|import| import.listen == at).filter_map(|import| import.note.as_ref()),
                );
                output::said(said);
            }
            Self::List(List { json }) => list(&host.status().await?, json)?,
            Self::Delete(delete) => {
                let (remote, listen) = delete.import()?;
                let remote = match remote {
                    Some(remote) => Some(resolve(&host, remote).await?),
                    None => None,
                };
                let said = format!("no longer imported: {listen}");
                host.edit(Edit::DeleteImport { remote, listen }).await?;
                output::said(said);
            }
        }
        DONE
    }
}

fn same_port(port: Port) -> ListenAddr {
    ListenAddr::Tcp(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port.get()))
}

/// An import with its remote, as `--json` prints it.
#[derive(Serialize)]
struct Row<'a> {
    remote: &'a RemoteName,
    #[serde(flatten)]
    import: &'a ImportStatus,
}

fn list(status: &Status, json: bool) -> anyhow::Result<()> {
    let remotes = status.remotes.iter();
    let rows: Vec<Row<'_>> = remotes
        .flat_map(|remote| remote.imports.iter().map(|import| Row { remote: &remote.name, import }))
        .collect();
    if json {
        return output::json(&rows);
    }
    if rows.is_empty() {
        output::hint("there are no imports; `ormesh import add REMOTE 22 127.0.0.1:10022` makes one");
        return Ok(());
    }
    let lines = rows.iter().map(|Row { remote, import }| {
        let state = import.state.as_ref().map(import_state).unwrap_or_default();
        let users = import.users.unwrap_or(Users::Me).as_str().to_owned();
        [import.listen.to_string(), remote.to_string(), import.remote_port.to_string(), users, state]
    });
    Ok(output::table(["LISTEN", "REMOTE", "PORT", "USERS", "STATE"], &lines.collect::<Vec<_>>())?)
}
