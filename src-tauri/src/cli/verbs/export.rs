//! `ormesh export`: what this host offers.

use clap::{Args, Subcommand};
use ormesh_core::ipc::{Request, Response};
use ormesh_core::model::address::{Port, Target};
use ormesh_core::model::edit::Edit;
use ormesh_core::model::name::ClientName;
use ormesh_core::model::problem::{Code, Problem, catalogue};
use ormesh_core::model::served::Served;
use ormesh_core::model::status::Status;

use crate::args::{self, ExportRef};
use crate::output::{self, DONE, Outcome};
use crate::this_host::Host;

#[derive(Subcommand)]
pub(crate) enum Export {
    /// Offer a port, to every client that has no list of ports, or to some clients only
    Add(Add),
    /// Change which clients can reach a port, under which number, or where it leads
    Set(Set),
    /// List what is offered
    #[command(visible_alias = "ls")]
    List(List),
    /// List what listens on this host and could be offered
    Available(List),
    /// Stop offering a port
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

#[derive(Args)]
pub(crate) struct Add {
    /// Where connections go: a port of this host, ADDRESS:PORT or unix:PATH
    #[arg(value_parser = args::target, allow_negative_numbers = true)]
    target: Target,
    /// The port under which clients reach it, if it is another
    #[arg(value_name = "REMOTE-PORT", value_parser = args::port, allow_negative_numbers = true)]
    port: Option<Port>,
    /// Allow a target that is another host, which clients then reach through this one
    #[arg(long)]
    allow_lan: bool,
    /// Offer it to this client only; can be given several times. Left out, every client without a list of ports reaches it
    #[arg(long = "client", value_name = "NAME", value_parser = args::client_name)]
    clients: Vec<ClientName>,
}

#[derive(Args)]
pub(crate) struct Set {
    /// The port under which clients reach it, or where it leads
    #[arg(value_name = "PORT", value_parser = args::export_ref, allow_negative_numbers = true)]
    export: ExportRef,
    /// Offer it to this client only; can be given several times
    #[arg(long = "client", value_name = "NAME", value_parser = args::client_name)]
    clients: Vec<ClientName>,
    /// Offer it to every client that has no list of ports
    #[arg(long, conflicts_with = "clients")]
    all_clients: bool,
    /// Let clients reach it under this port from now on; who may reach it stays, and connections that are open end
    #[arg(long, value_name = "REMOTE-PORT", value_parser = args::port, allow_negative_numbers = true, conflicts_with_all = ["clients", "all_clients"])]
    to: Option<Port>,
    /// Lead connections there from now on: a port of this host, ADDRESS:PORT or unix:PATH; those that are open end
    #[arg(long, value_name = "TARGET", value_parser = args::target, allow_negative_numbers = true, conflicts_with_all = ["clients", "all_clients"])]
    target: Option<Target>,
    /// Allow a target that is another host, which clients then reach through this one
    #[arg(long, requires = "target", conflicts_with_all = ["clients", "all_clients"])]
    allow_lan: bool,
}

#[derive(Args)]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// The port under which clients reach it, or where it leads
    #[arg(value_name = "PORT", value_parser = args::export_ref, allow_negative_numbers = true)]
    export: ExportRef,
}

impl Export {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        match self {
            Self::Add(Add { target, port, allow_lan, clients }) => {
                let said = format!("exported {target}");
                let for_all = clients.is_empty().then_some(port.or(target.port())).flatten();
                let clients = (!clients.is_empty()).then(|| clients.into_iter().collect());
                let gained = host.edit(Edit::AddExport { target, port, allow_lan, clients }).await?;
                if let Some(port) = for_all.filter(|_| gained) {
                    output::hint(format!(
                        "`ormesh export set {port} --client NAME` offers it to some clients only"
                    ));
                }
                output::said(said);
            }
            Self::Set(Set { export, to, target, allow_lan, .. }) if to.is_some() || target.is_some() => {
                let port = port_of(&host, export).await?;
                let said = match (to, &target) {
                    (Some(to), None) => format!("clients reach port {port} as port {to} now"),
                    (Some(to), Some(target)) => {
                        format!("clients reach port {port} as port {to} now, which leads to {target}")
                    }
                    (None, Some(target)) => format!("port {port} leads to {target} now"),
                    (None, None) => String::new(),
                };
                host.edit(Edit::MoveExport { port, to, target, allow_lan }).await?;
                output::said(said);
            }
            Self::Set(Set { export, clients, all_clients, .. }) => {
                let port = port_of(&host, export).await?;
                if clients.is_empty() && !all_clients {
                    let message = format!("nothing is to change for port {port}");
                    return Err(Problem::new(Code::BadArgument, message)
                        .hint("--client NAME and --all-clients say who can reach it, --to PORT and --target TARGET move it")
                        .into());
                }
                let said = format!("changed who can reach port {port}");
                host.edit(Edit::SetExport {
                    port,
                    clients: (!all_clients).then(|| clients.into_iter().collect()),
                })
                .await?;
                output::said(said);
            }
            Self::List(List { json }) => list(&host.status().await?, json)?,
            Self::Available(List { json }) => match host.ask(Request::Served).await? {
                Response::Served(all) => available(&all, json)?,
                _ => return Err(catalogue::unexpected_answer().into()),
            },
            Self::Delete(Delete { export }) => {
                let port = port_of(&host, export).await?;
                host.edit(Edit::DeleteExport { port }).await?;
                output::said(format!("no longer exported: {port}"));
            }
        }
        DONE
    }
}

/// The virtual port of the export that was meant.
async fn port_of(host: &Host, export: ExportRef) -> anyhow::Result<Port> {
    Ok(match export {
        ExportRef::Port(port) => port,
        ExportRef::Target(target) => only_port(&host.status().await?, &target)?,
    })
}

fn list(status: &Status, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&status.exports);
    }
    if status.exports.is_empty() {
        output::hint("nothing is exported; `ormesh export add 22` offers this host's ssh");
        return Ok(());
    }
    let rows = status.exports.iter().map(|export| {
        let clients = match export.clients.as_deref() {
            None => "all".into(),
            Some([]) => "none".into(),
            Some(clients) => clients.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        };
        [export.port.to_string(), export.target.to_string(), clients]
    });
    Ok(output::table(["PORT", "TARGET", "CLIENTS"], &rows.collect::<Vec<_>>())?)
}

fn available(all: &[Served], json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&all);
    }
    if all.is_empty() {
        output::hint(
            "nothing listens here that is not exported yet; a port can be exported before its program runs",
        );
        return Ok(());
    }
    let rows = all.iter().map(|one| {
        let program = one.program.clone().unwrap_or_else(|| "-".into());
        [one.port.to_string(), one.target.to_string(), program]
    });
    Ok(output::table(["PORT", "TARGET", "PROGRAM"], &rows.collect::<Vec<_>>())?)
}

/// The port under which a target is exported; it may be exported under several.
fn only_port(status: &Status, target: &Target) -> Result<Port, Problem> {
    let ports: Vec<Port> =
        status.exports.iter().filter(|export| export.target == *target).map(|export| export.port).collect();
    match ports[..] {
        [port] => Ok(port),
        [] => Err(Problem::new(Code::NotThere, format!("{target} is not exported"))
            .hint("ormesh export list shows what is")),
        [first, ..] => {
            Err(Problem::new(Code::Ambiguous, format!("{target} is exported under several ports"))
                .hint(format!("name the port: ormesh export delete {first}")))
        }
    }
}
