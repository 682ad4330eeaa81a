//! `ormesh remote`: the hosts that this one imports from.

use std::io::{self, IsTerminal as _};

use clap::{Args, Subcommand};
use ormesh_core::ipc::{Request, Response};
use ormesh_core::model::edit::Edit;
use ormesh_core::model::name::RemoteName;
use ormesh_core::model::problem::{Code, Problem, catalogue};
use ormesh_core::model::status::{RemoteStatus, Status};
use ormesh_core::model::status_yaml::{import_state, remote_state};
use serde::Serialize;

use super::nc::resolve;
use super::ssh_config::SshConfig;
use crate::args::{self, RemoteRef};
use crate::invite_input::InviteInput;
use crate::output::{self, DONE, Outcome};
use crate::this_host::Host;

#[derive(Subcommand)]
pub(crate) enum Remote {
    /// Add a host by the invite that it made
    Add(Add),
    /// List the remotes
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one remote: its address, and on a terminal the rest
    Show(Show),
    /// Give a remote, or a request that waits for its invite, another name; its address, its key and its imports stay
    Rename(Rename),
    /// Remove a remote, its imports and its key
    #[command(visible_alias = "rm")]
    Delete(Delete),
    /// Make a key here and print a public request for an invite, so that no key travels
    ///
    /// The other host answers with `ormesh client add NAME --request …`; the invite that it prints is then for `ormesh
    /// remote add`.
    Request(JoinRequest),
    /// Print the stanza for ~/.ssh/config with which ssh reaches a remote
    SshConfig(SshConfig),
    /// Print the key for a remote as a line for tor's ClientOnionAuthDir
    #[command(visible_alias = "export")]
    Key(Key),
}

#[derive(Args)]
pub(crate) struct Add {
    /// What to call the remote, as in website
    #[arg(value_parser = args::remote_name)]
    name: RemoteName,
    #[command(flatten)]
    invite: InviteInput,
    /// Take the place of the remote of that name, with its imports: for the new invite after `ormesh client rotate`
    #[arg(long)]
    replace: bool,
}

#[derive(Args)]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Show {
    /// Which remote, by its name or its onion address
    #[arg(value_name = "REMOTE", value_parser = args::remote_ref)]
    remote: RemoteRef,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Rename {
    /// Which remote, or which request
    #[arg(value_parser = args::remote_name)]
    name: RemoteName,
    /// What to call it from now on
    #[arg(value_name = "NEW-NAME", value_parser = args::remote_name)]
    to: RemoteName,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// Which remote, or which request that waits for its invite
    #[arg(value_parser = args::remote_name)]
    name: RemoteName,
}

#[derive(Args)]
pub(crate) struct JoinRequest {
    /// What the remote will be called
    #[arg(value_parser = args::remote_name)]
    name: RemoteName,
}

#[derive(Args)]
pub(crate) struct Key {
    /// Which remote, by its name or its onion address
    #[arg(value_name = "REMOTE", value_parser = args::remote_ref)]
    remote: RemoteRef,
}

impl Remote {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        match self {
            Self::Add(Add { name, invite, replace }) => {
                let said = format!("added {name}");
                let warning = invite.warning();
                let invite = invite.read().await?;
                host.done(Request::AddRemote { name, invite, replace }).await?;
                output::notes(warning);
                output::said(said);
            }
            Self::List(List { json }) => list(&host.status().await?, json)?,
            Self::Show(Show { remote, json }) => {
                let name = resolve(&host, remote).await?;
                show(&host.status().await?, &name, json)?;
            }
            Self::Rename(Rename { name, to }) => {
                let said = format!("{name} is called {to} now");
                host.edit(Edit::RenameRemote { name, to }).await?;
                output::said(said);
            }
            Self::Delete(Delete { name }) => {
                host.done(Request::DeleteRemote { name: name.clone() }).await?;
                output::always_said(format!("deleted {name}"));
            }
            Self::Request(JoinRequest { name }) => match host.ask(Request::RequestRemote { name }).await? {
                Response::JoinRequest { text } => output::line(&text)?,
                _ => return Err(catalogue::unexpected_answer().into()),
            },
            Self::SshConfig(verb) => verb.run(&host).await?,
            Self::Key(Key { remote }) => {
                let name = resolve(&host, remote).await?;
                let line = host.invite(Request::ExportRemote { name }).await?;
                output::line(line.expose())?;
            }
        }
        DONE
    }
}

/// A remote, or a request that waits for its invite, as `--json` prints it.
#[derive(Serialize)]
#[serde(untagged)]
enum Row<'a> {
    Remote(&'a RemoteStatus),
    Request { name: &'a RemoteName, state: &'static str },
}

impl<'a> Row<'a> {
    fn requested(name: &'a RemoteName) -> Self {
        Self::Request { name, state: REQUESTED }
    }
}

/// The state of a request that no invite has answered.
const REQUESTED: &str = "requested";

fn list(status: &Status, json: bool) -> anyhow::Result<()> {
    if json {
        let remotes = status.remotes.iter().map(Row::Remote);
        return output::json(&remotes.chain(status.requests.iter().map(Row::requested)).collect::<Vec<_>>());
    }
    if status.remotes.is_empty() && status.requests.is_empty() {
        output::hint("there are no remotes; `ormesh remote add NAME` takes the invite of another host");
        return Ok(());
    }
    let remotes = status.remotes.iter().map(|remote| {
        let state = remote.state.as_ref().map(remote_state).unwrap_or_default();
        [remote.name.to_string(), remote.address.to_string(), remote.imports.len().to_string(), state]
    });
    let requests =
        status.requests.iter().map(|name| [name.to_string(), "-".into(), "0".into(), REQUESTED.into()]);
    let rows: Vec<_> = remotes.chain(requests).collect();
    Ok(output::table(["NAME", "ADDRESS", "IMPORTS", "STATE"], &rows)?)
}

fn show(status: &Status, name: &RemoteName, json: bool) -> anyhow::Result<()> {
    if status.requests.contains(name) && !status.remotes.iter().any(|remote| remote.name == *name) {
        if json {
            return output::json(&Row::requested(name));
        }
        let message = format!("{name} has no address yet: its request waits for an invite");
        return Err(Problem::new(Code::NotThere, message)
            .hint(format!("ormesh remote request {name} prints the request again; ormesh remote add {name} takes the invite"))
            .into());
    }
    let Some(remote) = status.remotes.iter().find(|remote| remote.name == *name) else {
        return Err(catalogue::not_there(name.clone().into()).hint("ormesh remote list shows them").into());
    };
    if json {
        return output::json(remote);
    }
    output::line(&remote.address.to_string())?;
    if io::stdout().is_terminal() {
        output::print(&details(remote))?;
    }
    Ok(())
}

/// What a person wants to know after the address.
fn details(remote: &RemoteStatus) -> String {
    let mut text = String::new();
    if let Some(day) = remote.expires {
        text.push_str(&format!("expires: {day}\n"));
    }
    if let Some(state) = &remote.state {
        text.push_str(&format!("state: {}\n", remote_state(state)));
    }
    for import in &remote.imports {
        let state =
            import.state.as_ref().map(|state| format!(", {}", import_state(state))).unwrap_or_default();
        text.push_str(&format!("import: port {} at {}{state}\n", import.remote_port, import.listen));
    }
    text
}
