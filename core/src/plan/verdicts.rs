//! Judges the facts about a host, layer by layer, from this computer to the other end. The agent collects them.
//!
//! Invariant: only what is known is called good or bad. What could not be tried is unknown, and says since when nothing was tried.

mod remote;
#[cfg(test)]
mod tests;

pub use remote::{Reach, Remote, Told};

use crate::model::layer::{Layer, LayerName};
use crate::model::name::ClientName;
use crate::model::problem::catalogue::SET_THE_CLOCK;
use crate::model::problem::{Code, Problem};
use crate::model::status::TorStatus;
use crate::model::status_yaml::{minute, uptime};
use crate::model::store_kind::StoreKind;

/// More names than this are counted rather than listed.
const NAMED: usize = 3;
/// A consensus that was just made is valid from a moment that a clock slightly behind has not reached yet, in seconds.
const CLOCK_TOLERANCE: u64 = 60;

/// Everything that was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// Seconds since 1970-01-01 UTC, by this host's clock.
    pub now: u64,
    /// The agent.
    pub agent: Agent,
    /// The secret store.
    pub secrets: Secrets,
    /// The program tor.
    pub tor: Tor,
    /// tor's way to the network; none while no tor runs.
    pub link: Option<Link>,
    /// The clients of this host.
    pub clients: Vec<Client>,
    /// What keeps connections from this host's listeners: its imports, its SOCKS address, its exports.
    pub listeners: Vec<Problem>,
    /// The remotes that were to be tried.
    pub remotes: Vec<Remote>,
    /// Whether the configuration could not be read, so that nobody knows which remotes there are.
    pub is_unread: bool,
}

/// What was found of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// It answers.
    Runs {
        /// Its process id.
        pid: u32,
        /// Seconds since it started.
        uptime: u64,
        /// Whether the user paused it.
        is_paused: bool,
        /// Why the configuration on disk is not in force, when it is not.
        config: Option<Problem>,
    },
    /// None runs, or it can't be spoken to.
    Absent(Problem),
}

/// What was found of the secret store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secrets {
    /// None was chosen, since there was no secret yet.
    Unchosen,
    /// It was written to and read from.
    Usable {
        /// Which.
        kind: StoreKind,
        /// Secrets that the configuration needs.
        needed: u32,
        /// How many of these it has.
        found: u32,
    },
    /// It can't be used.
    Unusable(Problem),
    /// It was left alone, for this reason.
    Untried(&'static str),
}

/// What was found of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tor {
    /// It runs and answers.
    Runs(TorStatus),
    /// It is there, and does not run now.
    Found(TorStatus),
    /// None can be run, or the one that was found ends.
    Fails {
        /// Why, in a sentence.
        why: String,
        /// What to do.
        hint: String,
    },
    /// It is being looked for.
    Starting,
    /// None was looked for. The words say why.
    Untried(&'static str),
}

/// tor's way to the network, as tor tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Link {
    /// How far it is, in percent and in its words; none once it is connected.
    pub bootstrap: Option<(u8, String)>,
    /// Why it does not get on.
    pub warning: Option<String>,
    /// What is wrong with the clock.
    pub clock: Option<String>,
    /// From when to when its consensus is valid, in seconds since 1970-01-01 UTC.
    pub consensus: Option<(u64, u64)>,
    /// Relays that it is connected to.
    pub relays: Option<u32>,
    /// Whether it takes the network for reachable.
    pub is_live: Option<bool>,
    /// Bridges that it may enter the network by; 0 where it uses the public relays.
    pub bridges: u32,
}

/// One client's service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Whose.
    pub name: ClientName,
    /// How it stands.
    pub service: Service,
    /// When it was last seen to refuse a stranger, in seconds since 1970-01-01 UTC.
    pub closed: Option<u64>,
}

/// How it stands with a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// There is to be none: nothing to reach, expired.
    Unwanted,
    /// It waits for its turn, or its descriptor is on its way.
    OnItsWay,
    /// It can't be published.
    Failing {
        /// Why, in a sentence.
        why: String,
        /// What to do; may be empty.
        hint: String,
    },
    /// tor has it.
    Up {
        /// Directories that have confirmed its descriptor.
        directories: u32,
        /// Introduction points that stand.
        introductions: u32,
    },
}

/// Why nothing was tried of what the configuration names.
pub const UNREAD: &str = "not tried, since the configuration can't be read";

/// The layers, in order.
pub fn layers(findings: &Findings) -> Vec<Layer> {
    let mut layers = vec![agent(&findings.agent), secrets(&findings.secrets), tor(&findings.tor)];
    let standstill = standstill(findings);
    match &findings.link {
        Some(link) => layers.extend([clock(link, findings.now), network(link), bootstrap(link)]),
        None => {
            let why = standstill.unwrap_or("not tried, since tor does not run");
            let names = [LayerName::Clock, LayerName::Network, LayerName::Bootstrap];
            layers.extend(names.map(|name| Layer::unknown(name, why)));
        }
    }
    layers.extend(match standstill {
        Some(why) => [LayerName::Descriptor, LayerName::Introduction, LayerName::Listeners]
            .map(|name| Layer::unknown(name, why)),
        None => {
            let clients = &findings.clients;
            [descriptor(clients, findings.now), introduction(clients), listeners(&findings.listeners)]
        }
    });
    layers.extend(match findings.is_unread {
        true => remote::unknown(UNREAD).into(),
        false => remote::layers(&findings.remotes, standstill),
    });
    layers
}

/// Why nothing beyond this computer could be tried; none when tor is connected.
fn standstill(findings: &Findings) -> Option<&'static str> {
    match (&findings.agent, &findings.link) {
        (Agent::Absent(problem), _) if problem.code == Code::NoAgent => {
            Some("not tried, since no agent runs")
        }
        (Agent::Absent(_), _) => Some("not tried, since the agent can't be asked"),
        (Agent::Runs { is_paused: true, .. }, _) => Some("not tried, since the agent is paused"),
        (_, None) => Some("not tried, since tor does not run"),
        (_, Some(link)) if link.bootstrap.is_some() => Some("not tried, since tor is not connected yet"),
        (_, Some(_)) => None,
    }
}

fn agent(agent: &Agent) -> Layer {
    match agent {
        Agent::Runs { config: Some(problem), .. } => Layer::bad(
            LayerName::Agent,
            format!("the agent runs by the last good configuration: {problem}"),
            problem.hint.clone(),
        ),
        Agent::Runs { pid, uptime: seconds, is_paused: true, .. } => Layer::bad(
            LayerName::Agent,
            format!("process {pid} has been running for {}, and is paused", uptime(*seconds)),
            "ormesh agent resume",
        ),
        Agent::Runs { pid, uptime: seconds, .. } => {
            Layer::good(LayerName::Agent, format!("process {pid} has been running for {}", uptime(*seconds)))
        }
        Agent::Absent(problem) => Layer::bad(LayerName::Agent, problem.message.clone(), problem.hint.clone()),
    }
}

fn secrets(secrets: &Secrets) -> Layer {
    match secrets {
        Secrets::Unchosen => {
            Layer::unknown(LayerName::Secrets, "there are no keys yet; a store is chosen with the first")
        }
        Secrets::Usable { kind, needed, found } if found < needed => Layer::bad(
            LayerName::Secrets,
            format!(
                "{} can be used, but lacks {} of the {needed} keys that are needed",
                kind.in_words(),
                needed - found
            ),
            "a key that is lost is made anew by `ormesh client rotate`, or comes with a new invite",
        ),
        Secrets::Usable { kind, needed, .. } => {
            let has = match needed {
                0 => "no key is needed yet".to_owned(),
                1 => "the key that is needed is there".to_owned(),
                _ => format!("all {needed} keys that are needed are there"),
            };
            Layer::good(LayerName::Secrets, format!("{} can be used; {has}", kind.in_words()))
        }
        Secrets::Unusable(problem) => {
            Layer::bad(LayerName::Secrets, problem.message.clone(), problem.hint.clone())
        }
        Secrets::Untried(why) => Layer::unknown(LayerName::Secrets, *why),
    }
}

/// As `engine/ctor/find` says it: a place, and after a semicolon what was passed over before that.
fn where_found(found: &str) -> String {
    match found.split_once("; ") {
        Some((place, rest)) => format!("found {}; {rest}", by_place(place)),
        None => format!("found {}", by_place(found)),
    }
}

fn by_place(place: &str) -> String {
    match place {
        "PATH" => "in PATH".into(),
        "beside ormesh" => "beside ormesh".into(),
        named => format!("by {named}"),
    }
}

fn tor(tor: &Tor) -> Layer {
    let which = |info: &TorStatus| format!("tor {} at {}", info.version, info.path.display());
    match tor {
        Tor::Runs(info) => {
            Layer::good(LayerName::Tor, format!("{} runs ({})", which(info), where_found(&info.found)))
        }
        Tor::Found(info) => {
            Layer::good(LayerName::Tor, format!("{} can be used ({})", which(info), where_found(&info.found)))
        }
        Tor::Fails { why, hint } => Layer::bad(LayerName::Tor, why.clone(), hint.clone()),
        Tor::Starting => Layer::unknown(LayerName::Tor, "it is being started"),
        Tor::Untried(why) => Layer::unknown(LayerName::Tor, *why),
    }
}

/// tor compares clocks with the relays that it meets and says when they differ; that it holds a consensus of now says that ours is right.
fn clock(link: &Link, now: u64) -> Layer {
    if let Some(sentence) = &link.clock {
        return Layer::bad(LayerName::Clock, sentence.clone(), SET_THE_CLOCK);
    }
    match link.consensus {
        Some((from, _)) if now + CLOCK_TOLERANCE < from => Layer::bad(
            LayerName::Clock,
            format!(
                "this host's clock says {}, and the Tor network's consensus begins at {}: it is behind",
                minute(now),
                minute(from)
            ),
            SET_THE_CLOCK,
        ),
        Some((_, to)) if now > to => Layer::unknown(
            LayerName::Clock,
            format!(
                "the last consensus that tor has ended at {}, so it tells nothing of this host's clock",
                minute(to)
            ),
        ),
        Some((from, to)) => Layer::good(
            LayerName::Clock,
            format!(
                "{} is within the Tor network's consensus, {} to {}",
                minute(now),
                minute(from),
                minute(to)
            ),
        ),
        None => Layer::unknown(LayerName::Clock, "not known, since tor has no consensus yet"),
    }
}

fn network(link: &Link) -> Layer {
    match (link.relays, &link.warning, link.is_live) {
        (Some(relays @ 1..), ..) => {
            Layer::good(LayerName::Network, format!("connected {}", through(relays, link.bridges)))
        }
        (_, Some(warning), _) if link.bridges > 0 => Layer::bad(
            LayerName::Network,
            warning.clone(),
            "check this host's network; or use another bridge: bridges.torproject.org has them",
        ),
        (_, Some(warning), _) => Layer::bad(
            LayerName::Network,
            warning.clone(),
            "check this host's network and firewall; where Tor is blocked, it needs bridges (agent.bridges)",
        ),
        (_, None, Some(true)) => Layer::good(LayerName::Network, "tor has reached the network lately"),
        (..) if link.clock.is_some() => {
            Layer::unknown(LayerName::Network, "not known, since the clock is wrong")
        }
        (..) => Layer::unknown(LayerName::Network, "not known: no relay of Tor has been reached yet"),
    }
}

/// `to 3 relays of Tor`, `through 1 of 2 bridges`.
fn through(connections: u32, bridges: u32) -> String {
    match bridges {
        0 => format!("to {} of Tor", number(connections, "relay")),
        all => format!("through {} of {}", connections.min(all), number(all, "bridge")),
    }
}

fn number(count: u32, of: &str) -> String {
    format!("{count} {of}{}", if count == 1 { "" } else { "s" })
}

fn bootstrap(link: &Link) -> Layer {
    let Some((percent, doing)) = &link.bootstrap else {
        return Layer::good(LayerName::Bootstrap, "connected to the Tor network");
    };
    match link.clock.is_some() || link.warning.is_some() {
        true => Layer::bad(
            LayerName::Bootstrap,
            format!("tor does not get past {percent} % ({doing})"),
            "it goes on by itself once the layers above work",
        ),
        false => Layer::unknown(LayerName::Bootstrap, format!("on its way, {percent} % ({doing})")),
    }
}

fn descriptor(clients: &[Client], now: u64) -> Layer {
    const NAME: LayerName = LayerName::Descriptor;
    let wanted: Vec<&Client> = wanted(clients).collect();
    if wanted.is_empty() {
        return Layer::unknown(NAME, no_service(clients));
    }
    let failing = wanted.iter().find_map(|client| match &client.service {
        Service::Failing { why, hint } => Some((&client.name, why, hint)),
        _ => None,
    });
    if let Some((name, why, hint)) = failing {
        return Layer::bad(NAME, format!("the service of {name} is not published: {why}"), hint.clone());
    }
    let up: Vec<(&ClientName, u32)> = wanted
        .iter()
        .filter_map(|client| match client.service {
            Service::Up { directories, .. } => Some((&client.name, directories)),
            _ => None,
        })
        .collect();
    if up.len() < wanted.len() {
        return Layer::unknown(
            NAME,
            format!("published for {} of {} clients; the rest is on its way", up.len(), wanted.len()),
        );
    }
    let published = said(&up, "published for", "directory has it", "directories have it");
    Layer::good(NAME, format!("{published}; {}", strangers(&wanted, now)))
}

/// What is known of strangers, of whom each service must refuse one after it was published.
fn strangers(clients: &[&Client], now: u64) -> String {
    let unchecked: Vec<&ClientName> =
        clients.iter().filter(|client| client.closed.is_none()).map(|client| &client.name).collect();
    match (unchecked.as_slice(), clients.iter().filter_map(|client| client.closed).min()) {
        ([], Some(oldest)) => format!("a stranger was refused {} ago", uptime(now.saturating_sub(oldest))),
        ([name], _) => format!("not checked yet whether that of {name} refuses strangers"),
        (names, _) => format!("not checked yet whether {} of them refuse strangers", names.len()),
    }
}

fn introduction(clients: &[Client]) -> Layer {
    const NAME: LayerName = LayerName::Introduction;
    let up: Vec<(&ClientName, u32)> = clients
        .iter()
        .filter_map(|client| match client.service {
            Service::Up { introductions, .. } => Some((&client.name, introductions)),
            _ => None,
        })
        .collect();
    if up.is_empty() {
        return match wanted(clients).next() {
            Some(_) => Layer::unknown(NAME, "not tried, since no service is published yet"),
            None => Layer::unknown(NAME, no_service(clients)),
        };
    }
    if let Some((name, _)) = up.iter().find(|(_, points)| *points == 0) {
        return Layer::bad(
            NAME,
            format!("no introduction point of the service of {name} stands, so it can't be reached now"),
            "tor makes new ones by itself: try again in a minute",
        );
    }
    Layer::good(NAME, said(&up, "ready for", "introduction point stands", "introduction points stand"))
}

fn listeners(problems: &[Problem]) -> Layer {
    const NAME: LayerName = LayerName::Listeners;
    match problems {
        [] => Layer::good(NAME, "imports, exports and the SOCKS address take connections"),
        [one] => Layer::bad(NAME, one.message.clone(), one.hint.clone()),
        [first, others @ ..] => {
            let others = number(u32::try_from(others.len()).unwrap_or(u32::MAX), "other problem");
            let message = format!("{} (and {others}: ormesh status)", first.message);
            Layer::bad(NAME, message, first.hint.clone())
        }
    }
}

fn wanted(clients: &[Client]) -> impl Iterator<Item = &Client> {
    clients.iter().filter(|client| client.service != Service::Unwanted)
}

fn no_service(clients: &[Client]) -> &'static str {
    match clients {
        [] => "this host has no clients",
        _ => "no client of this host has a port to reach now",
    }
}

/// `published for laptop (6 directories have it)`; of many, the least.
fn said(counts: &[(&ClientName, u32)], verb: &str, one: &str, many: &str) -> String {
    let number = |count: u32| format!("{count} {}", if count == 1 { one } else { many });
    match counts.len() {
        0..=NAMED => {
            let each = counts.iter().map(|(name, count)| format!("{name} ({})", number(*count)));
            format!("{verb} {}", each.collect::<Vec<_>>().join(", "))
        }
        all => {
            let least = counts.iter().map(|(_, count)| *count).min().unwrap_or_default();
            format!("{verb} all {all} clients (at least {})", number(least))
        }
    }
}
