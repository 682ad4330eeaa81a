//! What is being typed, checked by the parsers that will read it. Nothing is kept and nothing is changed.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use ormesh_core::agent::own_day;
use ormesh_core::ipc::Confidential;
use ormesh_core::model::address::{ListenAddr, Port, Target};
use ormesh_core::model::bridge;
use ormesh_core::model::config::{Config, parse_socks};
use ormesh_core::model::edit::{self, Edit, Setting};
use ormesh_core::model::exposure;
use ormesh_core::model::invite::{Invite, InviteKey};
use ormesh_core::model::name::{ClientName, RemoteName};
use ormesh_core::model::problem::Problem;
use ormesh_core::model::tor_format;
use serde::{Deserialize, Serialize};
use tauri::State;

use super::typed::{self, parse, usage};
use crate::host::Host;

/// What a text is meant to be.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) enum Checkable {
    /// The name of a new client: one that is in use is refused.
    ClientName,
    /// The name of a new remote; the same.
    RemoteName,
    /// An export's target: `[ADDRESS:]PORT` or `unix:PATH`.
    Target,
    Port,
    /// Where an import listens: `[ADDRESS:]PORT` or `unix:PATH`.
    Listen,
    /// Where the agent's SOCKS server listens.
    Socks,
    /// `30d`, `12w`, `2026-12-31`.
    Expiry,
    Invite,
    Request,
    /// Bridge lines, as people are given them.
    Bridges,
}

/// It can be used as it is.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(super) struct Checked {
    #[cfg_attr(test, ts(type = "true"))]
    ok: bool,
    /// What the line below the field says: `ends on 2026-12-22`, `for website, ports 22 and 80`.
    detail: Option<String>,
    /// Whether the detail is something to think about first.
    careful: bool,
    /// What would do as well, where there is reason not to take it.
    instead: Option<String>,
}

#[tauri::command]
pub(super) fn check(host: State<'_, Host>, what: Checkable, text: Confidential) -> Result<Checked, Problem> {
    // Without a readable configuration, form is all that can be checked.
    let config = host.config().ok();
    let text = text.expose().trim();
    match what {
        Checkable::Listen => listen(text, config.as_ref()),
        Checkable::Socks => socks(text, config.as_ref(), socks_now(&host)),
        _ => Ok(Checked {
            ok: true,
            detail: detail(what, text, config.as_ref())?,
            careful: false,
            instead: None,
        }),
    }
}

/// An address for an import of this port: one that nobody has at present.
#[tauri::command]
pub(super) fn suggest_listen(host: State<'_, Host>, port: u16) -> Result<String, Problem> {
    let wished = typed::port(port)?.get();
    let first = if wished < 1024 { wished + 10_000 } else { wished };
    let config = host.config().ok();
    let start = SocketAddr::from((Ipv4Addr::LOCALHOST, first));
    Ok(free_from(start, config.as_ref()).unwrap_or(start).to_string())
}

/// The first address from this one on that nobody has, by its port.
fn free_from(addr: SocketAddr, config: Option<&Config>) -> Option<SocketAddr> {
    /// How many are tried.
    const TRIED: u16 = 200;
    let ports = addr.port()..=addr.port().saturating_add(TRIED);
    let mut all = ports.map(|port| SocketAddr::new(addr.ip(), port));
    all.find(|addr| {
        let listen = ListenAddr::Tcp(*addr);
        config.is_none_or(|config| edit::check_free(config, &listen).is_ok()) && !is_in_use(&listen)
    })
}

fn detail(what: Checkable, text: &str, config: Option<&Config>) -> Result<Option<String>, Problem> {
    match what {
        Checkable::ClientName => {
            let name: ClientName = parse(text, "as in my-MacBook")?;
            match config.is_some_and(|config| config.clients.contains_key(&name)) {
                true => Err(usage(format!("there is a client {name} already"), "choose another name")),
                false => Ok(None),
            }
        }
        Checkable::RemoteName => {
            let name: RemoteName = parse(text, "as in website")?;
            match config.is_some_and(|config| config.remotes.contains_key(&name)) {
                true => Err(usage(format!("there is a remote {name} already"), "choose another name")),
                false => Ok(None),
            }
        }
        Checkable::Target => {
            let target: Target = parse(text, "as in 22, 127.0.0.1:8080 or unix:/run/app.sock")?;
            Ok(Some(match target.is_local() {
                true => target.to_string(),
                false => format!("{target}, another host"),
            }))
        }
        Checkable::Port => parse::<Port>(text, "as in 22").map(|_| None),
        Checkable::Listen => listen(text, config).map(|checked| checked.detail),
        Checkable::Socks => socks(text, config, None).map(|checked| checked.detail),
        Checkable::Expiry => typed::expiry(text).map(|day| Some(format!("ends at {}", own_day::ends(day)))),
        Checkable::Invite => invite(text),
        Checkable::Request => typed::request(text).map(|_| None),
        Checkable::Bridges => {
            let bridges = bridge::parse_list(text)
                .map_err(|why| usage(why, "copy each line as bridges.torproject.org gives it"))?;
            Ok((!bridges.is_empty()).then(|| bridge::summary(&bridges)))
        }
    }
}

/// Where an import would listen: nobody else's address, and a word of warning where there is reason for one.
fn listen(text: &str, config: Option<&Config>) -> Result<Checked, Problem> {
    let listen: ListenAddr = parse(text, "as in 127.0.0.1:10022, 10022 or unix:/run/user/1000/app.sock")?;
    if let Some(config) = config {
        edit::check_free(config, &listen)?;
    }
    let (detail, careful) = match (is_in_use(&listen), listen.is_public()) {
        (true, _) => (format!("{listen} is in use now; the import waits until it is free"), true),
        (false, true) => (format!("{listen}, open to everyone who can reach this machine"), true),
        (false, false) => (listen.to_string(), false),
    };
    let instead = match &listen {
        ListenAddr::Tcp(addr) if is_in_use(&listen) => free_from(*addr, config),
        ListenAddr::Tcp(_) | ListenAddr::Unix(_) => None,
    };
    Ok(Checked { ok: true, detail: Some(detail), careful, instead: instead.map(|addr| addr.to_string()) })
}

/// Where the agent's SOCKS server listens now.
fn socks_now(host: &Host) -> Option<SocketAddr> {
    host.view().status?.agent?.socks
}

/// Where the SOCKS server would listen, and who could reach it there. `now`: where it listens already.
fn socks(text: &str, config: Option<&Config>, now: Option<SocketAddr>) -> Result<Checked, Problem> {
    let wished = parse_socks(text).map_err(|why| usage(why, "give an address as in 127.0.0.1:9250"))?;
    let Some(addr) = wished else {
        return Ok(Checked { ok: true, detail: None, careful: false, instead: None });
    };
    let agent = config.map(|config| config.agent.clone()).unwrap_or_default();
    let in_use = now != Some(addr) && is_in_use(&ListenAddr::Tcp(addr));
    let detail = match in_use {
        true => Some(format!("{addr} is in use now; the agent takes it when it is free")),
        false => exposure::of_socks(addr, agent.socks_users),
    };
    if let Some(config) = config {
        edit::apply(config, &Edit::Set(Setting::SocksAddr(wished)))?;
    }
    let instead = if in_use { free_from(addr, config).map(|addr| addr.to_string()) } else { None };
    Ok(Checked { ok: true, careful: detail.is_some(), detail, instead })
}

/// Whether somebody listens there now.
fn is_in_use(listen: &ListenAddr) -> bool {
    let ListenAddr::Tcp(address) = listen else { return false };
    TcpListener::bind(address).is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
}

/// What an invite says in the open: never its key, and not the text.
fn invite(text: &str) -> Result<Option<String>, Problem> {
    if tor_format::is_tor_format(text) {
        tor_format::parse_auth_private(text).map_err(|error| usage(error, "copy the whole line again"))?;
        return Ok(Some("a key in tor's own format".into()));
    }
    let invite = Invite::parse(text, typed::today()).map_err(|error| usage(&error, error.hint()))?;
    let mut said = Vec::new();
    if let Some(ports) = &invite.ports {
        let ports: Vec<String> = ports.iter().map(Port::to_string).collect();
        said.push(format!("{} {}", if ports.len() == 1 { "port" } else { "ports" }, ports.join(", ")));
    }
    if let Some(day) = invite.expires {
        said.push(format!("ends on {day}"));
    }
    if matches!(invite.key, InviteKey::Requested) {
        said.push("answers a request that was made here".into());
    }
    Ok((!said.is_empty()).then(|| said.join(", ")))
}

#[cfg(test)]
mod tests {
    use ormesh_core::model::config::InstanceId;

    use super::*;

    #[test]
    fn each_field_is_read_by_the_parser_that_will_read_it() {
        let check = |what, text| detail(what, text, None);

        assert_eq!(check(Checkable::Target, "22"), Ok(Some("127.0.0.1:22".into())));
        assert_eq!(
            check(Checkable::Target, "192.168.1.10:8123"),
            Ok(Some("192.168.1.10:8123, another host".into()))
        );
        assert!(check(Checkable::Target, "169.254.169.254:80").is_err());
        assert_eq!(check(Checkable::Listen, "10022"), Ok(Some("127.0.0.1:10022".into())));
        assert!(check(Checkable::Listen, "0.0.0.0:25").unwrap().unwrap().contains("open to everyone"));
        assert_eq!(check(Checkable::Socks, "127.0.0.1:1"), Ok(None));
        assert_eq!(check(Checkable::Socks, "off"), Ok(None));
        assert!(
            check(Checkable::Socks, "0.0.0.0:1")
                .unwrap()
                .unwrap()
                .contains("from other machines are refused")
        );
        assert!(check(Checkable::Socks, "localhost").is_err());
        assert!(check(Checkable::Port, "0").is_err());
        assert!(check(Checkable::ClientName, "-x").is_err());
        let bridge = |n| format!("obfs4 192.0.2.{n}:443 0123456789ABCDEF0123456789ABCDEF01234567 cert=x");
        let two = format!("{}\n{}\n", bridge(1), bridge(2));
        assert_eq!(check(Checkable::Bridges, &two), Ok(Some("2 bridges, by obfs4".into())));
        assert_eq!(check(Checkable::Bridges, ""), Ok(None));
        assert!(check(Checkable::Bridges, "192.0.2.1:443").is_err());
        assert!(check(Checkable::Expiry, "2030-01-02").unwrap().unwrap().starts_with("ends at 2030-01-0"));
    }

    #[test]
    fn an_address_in_use_is_careful_and_comes_with_one_that_is_free() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let held = holder.local_addr().unwrap();

        for checked in [listen(&held.to_string(), None), socks(&held.to_string(), None, None)] {
            let checked = checked.unwrap();
            assert!(checked.careful && checked.detail.unwrap().contains("in use"));
            let instead: SocketAddr = checked.instead.unwrap().parse().unwrap();
            assert!(instead.ip() == held.ip() && instead.port() > held.port());
        }
        assert_eq!(free_from(held, None).map(|addr| addr.ip()), Some(held.ip()));
        let wrong = socks("banana", None, None).unwrap_err();
        assert!(!wrong.message.contains("socks-addr") && !wrong.hint.is_empty(), "{wrong:?}");
    }

    #[test]
    fn an_address_that_the_agent_has_is_not_offered_to_an_import() {
        let config = Config::new(InstanceId::from_random([0; 10]));
        let socks = config.agent.socks_addr.unwrap();

        for taken in [socks.to_string(), format!("0.0.0.0:{}", socks.port())] {
            let problem = detail(Checkable::Listen, &taken, Some(&config)).unwrap_err();
            assert!(problem.message.contains("SOCKS"), "{problem:?}");
        }
    }

    #[test]
    fn a_damaged_invite_is_refused_without_its_text() {
        let problem = detail(Checkable::Invite, "ormesh1qqqqsecret", None).unwrap_err();

        assert!(!problem.message.contains("secret") && !problem.hint.is_empty());
    }
}
