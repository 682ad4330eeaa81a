//! `ormesh export`: what this host offers.

use clap::{Args, Subcommand};
use ormesh_core::model::address::{Port, Target};
use ormesh_core::model::edit::Edit;
use ormesh_core::model::problem::{Problem, ProblemKind};
use ormesh_core::model::status::Status;

use crate::args::{self, ExportRef};
use crate::host::Host;
use crate::output::{self, DONE, Outcome};

#[derive(Subcommand)]
pub(crate) enum Export {
    /// Offer a port
    Add(Add),
    /// List what is offered
    #[command(visible_alias = "ls")]
    List(List),
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
            Self::Add(Add { target, port, allow_lan }) => {
                let said = format!("exported {target}");
                host.edit(Edit::AddExport { target, port, allow_lan }).await?;
                output::said(said);
            }
            Self::List(List { json }) => list(&host.status().await?, json)?,
            Self::Delete(Delete { export }) => {
                let port = match export {
                    ExportRef::Port(port) => port,
                    ExportRef::Target(target) => only_port(&host.status().await?, &target)?,
                };
                host.edit(Edit::DeleteExport { port }).await?;
                output::said(format!("no longer exported: {port}"));
            }
        }
        DONE
    }
}

fn list(status: &Status, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&status.exports);
    }
    if status.exports.is_empty() {
        output::hint("nothing is exported; `ormesh export add 22` offers this host's ssh");
        return Ok(());
    }
    let rows = status.exports.iter().map(|export| [export.port.to_string(), export.target.to_string()]);
    Ok(output::table(["PORT", "TARGET"], &rows.collect::<Vec<_>>())?)
}

/// The port under which a target is exported; it may be exported under several.
fn only_port(status: &Status, target: &Target) -> Result<Port, Problem> {
    let ports: Vec<Port> =
        status.exports.iter().filter(|export| export.target == *target).map(|export| export.port).collect();
    match ports[..] {
        [port] => Ok(port),
        [] => Err(Problem::new(ProblemKind::Refused, format!("{target} is not exported"))
            .hint("ormesh export list shows what is")),
        [first, ..] => {
            Err(Problem::new(ProblemKind::Refused, format!("{target} is exported under several ports"))
                .hint(format!("name the port: ormesh export delete {first}")))
        }
    }
}
