//! `ormesh client`: who may reach the exports.

use std::io::{self, IsTerminal as _};

use clap::{Args, Subcommand, ValueEnum};
use ormesh_core::agent::own_day;
use ormesh_core::ipc::{Confidential, InviteFormat, Request};
use ormesh_core::model::address::Port;
use ormesh_core::model::day::Day;
use ormesh_core::model::edit::Edit;
use ormesh_core::model::keys::ClientPublicKey;
use ormesh_core::model::name::ClientName;
use ormesh_core::model::problem::{Code, Problem, catalogue};
use ormesh_core::model::status::{ClientStatus, Status};
use ormesh_core::model::status_yaml::{client_state, timestamp};

use crate::args::{self, DayOrNever, PortOrAll};
use crate::output::{self, DONE, Outcome};
use crate::qr;
use crate::this_host::Host;

#[derive(Subcommand)]
pub(crate) enum Client {
    /// Make an onion service for one client, and print the client's invite
    ///
    /// The keys are made here and at once: no tor, agent or network is needed. The same again prints the same invite,
    /// until the client has connected for the first time.
    Add(Add),
    /// List the clients
    #[command(visible_alias = "ls")]
    List(List),
    /// Show one client: its address, and on a terminal the rest
    Show(Show),
    /// Print a client's invite again, while it has not connected yet
    #[command(visible_alias = "token")]
    Invite(Invite),
    /// Make new keys, a new address and a new invite; the old ones stop working
    Rotate(Rotate),
    /// Change a client's ports or last day; the invite stays as it is
    Set(Set),
    /// Give a client another name; its address, its keys and its invite stay
    Rename(Rename),
    /// Revoke a client: end its sessions and erase its keys
    #[command(visible_alias = "rm")]
    Delete(Delete),
}

#[derive(Args)]
pub(crate) struct Add {
    /// What to call the client, as in my-MacBook
    #[arg(value_parser = args::client_name)]
    name: ClientName,
    /// Limit the client to this exported port; can be given several times. Left out, or `all`, there is no limit
    #[arg(long = "port", value_name = "PORT", value_parser = args::port_or_all, allow_negative_numbers = true)]
    ports: Vec<PortOrAll>,
    /// End the access: after a time (30d, 12w) or a day (2027-06-30) where you are. It lasts to the end of that day, and of the day that
    /// it then is in UTC. Left out, or `never`, it has no end
    #[arg(long, value_name = "WHEN", value_parser = args::day_or_never, allow_hyphen_values = true)]
    expires: Option<DayOrNever>,
    /// Let in whoever made this request (`ormesh remote request`), so that the invite carries no key
    #[arg(long, value_name = "REQUEST", value_parser = args::request)]
    request: Option<ClientPublicKey>,
    #[command(flatten)]
    qr: Qr,
}

#[derive(Args)]
pub(crate) struct Qr {
    /// Draw the invite as a QR code too, on standard error; standard output has the text alone
    #[arg(long)]
    qr: bool,
}

#[derive(Args)]
pub(crate) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct Show {
    /// Which client
    #[arg(value_parser = args::client_name)]
    name: ClientName,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    /// An invite: ormesh1…
    Ormesh,
    /// A line for tor's ClientOnionAuthDir, for Tor Browser, Orbot and plain tor
    AuthPrivate,
}

#[derive(Args)]
pub(crate) struct Invite {
    /// Which client
    #[arg(value_parser = args::client_name)]
    name: ClientName,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Ormesh)]
    format: Format,
    #[command(flatten)]
    qr: Qr,
}

#[derive(Args)]
pub(crate) struct Rotate {
    /// Which client
    #[arg(value_parser = args::client_name)]
    name: ClientName,
    /// Use the key of this request (`ormesh remote request`), so that the invite carries none
    #[arg(long, value_name = "REQUEST", value_parser = args::request)]
    request: Option<ClientPublicKey>,
    #[command(flatten)]
    qr: Qr,
}

#[derive(Args)]
pub(crate) struct Set {
    /// Which client
    #[arg(value_parser = args::client_name)]
    name: ClientName,
    /// Limit the client to this exported port; can be given several times; `all` lifts the limit
    #[arg(long = "port", value_name = "PORT", value_parser = args::port_or_all, allow_negative_numbers = true)]
    ports: Vec<PortOrAll>,
    /// End the access: after a time (30d, 12w) or a day (2027-06-30); `never` lifts the limit
    #[arg(long, value_name = "WHEN", value_parser = args::day_or_never, allow_hyphen_values = true)]
    expires: Option<DayOrNever>,
}

#[derive(Args)]
pub(crate) struct Rename {
    /// Which client
    #[arg(value_parser = args::client_name)]
    name: ClientName,
    /// What to call it from now on
    #[arg(value_name = "NEW-NAME", value_parser = args::client_name)]
    to: ClientName,
}

#[derive(Args)]
pub(crate) struct Delete {
    /// Which client
    #[arg(value_parser = args::client_name)]
    name: ClientName,
}

impl Client {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        match self {
            Self::Add(Add { name, ports, expires, request, qr }) => {
                let ports = args::granted(ports).flatten();
                let expires = expires.and_then(DayOrNever::day);
                let request = Request::AddClient { name: name.clone(), ports, expires, key: request };
                let invite = host.invite(request).await?;
                output::notes(expires.map(|day| ends(&name, day)));
                print_invite(&name, &invite, &qr)?;
            }
            Self::List(List { json }) => list(&host.status().await?, json)?,
            Self::Show(Show { name, json }) => show(&host.status().await?, &name, json)?,
            Self::Invite(Invite { name, format, qr }) => {
                let format = match format {
                    Format::Ormesh => InviteFormat::Ormesh,
                    Format::AuthPrivate => InviteFormat::AuthPrivate,
                };
                let invite = host.invite(Request::ClientToken { name: name.clone(), format }).await?;
                print_invite(&name, &invite, &qr)?;
            }
            Self::Rotate(Rotate { name, request, qr }) => {
                let invite = host.invite(Request::RotateClient { name: name.clone(), key: request }).await?;
                print_invite(&name, &invite, &qr)?;
            }
            Self::Set(Set { name, ports, expires }) => {
                if ports.is_empty() && expires.is_none() {
                    return Err(Problem::new(Code::BadArgument, format!("nothing is to change for {name}"))
                        .hint("--port PORT limits the ports, --expires WHEN ends the access")
                        .into());
                }
                let said = format!("changed {name}");
                let expires = expires.map(DayOrNever::day);
                let note = expires.flatten().map(|day| ends(&name, day));
                host.edit(Edit::SetClient { name, ports: args::granted(ports), expires }).await?;
                output::notes(note);
                output::said(said);
            }
            Self::Rename(Rename { name, to }) => {
                let said = format!("{name} is called {to} now");
                host.edit(Edit::RenameClient { name, to }).await?;
                output::said(said);
            }
            Self::Delete(Delete { name }) => {
                host.done(Request::DeleteClient { name: name.clone() }).await?;
                output::always_said(format!("revoked {name}"));
            }
        }
        DONE
    }
}

/// The very moment, since a day is another one elsewhere.
fn ends(name: &ClientName, day: Day) -> String {
    format!("the access of {name} ends at {}", own_day::ends(day))
}

/// The text alone on standard output, so that it can be piped; a drawing goes beside it.
fn print_invite(name: &ClientName, invite: &Confidential, qr: &Qr) -> anyhow::Result<()> {
    output::line(invite.expose()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => anyhow::Error::from(error),
        _ => Problem::new(Code::OutputFailed, error.to_string())
            .hint(format!("the invite is not lost: ormesh client invite {name} prints it"))
            .into(),
    })?;
    if qr.qr {
        output::always_said(qr::draw(invite.expose(), io::stderr().is_terminal())?.as_str());
    }
    Ok(())
}

fn list(status: &Status, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&status.clients);
    }
    if status.clients.is_empty() {
        output::hint("there are no clients; `ormesh client add NAME` makes one and prints its invite");
        return Ok(());
    }
    let rows = status.clients.iter().map(|client| {
        let ports = status.ports_of(client).map_or("all".into(), |ports| port_list(&ports));
        let expires = client.expires.map_or("never".into(), |day| day.to_string());
        let state = client.state.as_ref().map(client_state).unwrap_or_default();
        [client.name.to_string(), client.address.to_string(), ports, expires, state]
    });
    Ok(output::table(["NAME", "ADDRESS", "PORTS", "EXPIRES", "STATE"], &rows.collect::<Vec<_>>())?)
}

fn show(status: &Status, name: &ClientName, json: bool) -> anyhow::Result<()> {
    let Some(client) = status.clients.iter().find(|client| client.name == *name) else {
        return Err(catalogue::not_there(name.clone().into()).hint("ormesh client list shows them").into());
    };
    if json {
        return output::json(client);
    }
    output::line(&client.address.to_string())?;
    if io::stdout().is_terminal() {
        output::print(&details(status, client))?;
    }
    Ok(())
}

/// What a person wants to know after the address.
fn details(status: &Status, client: &ClientStatus) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| text.push_str(&format!("{key}: {value}\n"));
    match (status.ports_of(client), &client.ports) {
        (Some(ports), None) => {
            line("ports", format!("{}, and later ones that are exported for all", port_list(&ports)))
        }
        (Some(ports), Some(_)) => line("ports", port_list(&ports)),
        (None, _) => line("ports", "all".into()),
    }
    if let Some(day) = client.expires {
        line("expires", format!("{day}, at {}", own_day::ends(day)));
    }
    if let Some(state) = &client.state {
        line("state", client_state(state));
    }
    if client.sessions > 0 {
        line("sessions", client.sessions.to_string());
    }
    if let Some(seen) = client.last_seen {
        line("last seen", timestamp(seen));
    }
    text
}

fn port_list(ports: &[Port]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
