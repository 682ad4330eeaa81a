//! Judges each remote: whether it accepts our key, can be reached, and has its ports open.

use crate::model::address::Port;
use crate::model::day::Day;
use crate::model::layer::{Layer, LayerName};
use crate::model::name::RemoteName;
use crate::model::problem::{Problem, catalogue};

/// What was found of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name here.
    pub name: RemoteName,
    /// The last day of our access, when that is over.
    pub expired: Option<Day>,
    /// Why tor was not given the key, when it was not.
    pub key: Option<Problem>,
    /// The ports that are imported from it.
    pub imports: Vec<Port>,
    /// What became of trying it.
    pub reach: Reach,
}

/// What became of trying a remote. Of those that fail, the text is the reason, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// It was not tried.
    Untried,
    /// It was met, and its agent was asked.
    Met {
        /// The answer of its agent, or why there is none.
        told: Result<Told, String>,
        /// From question to answer, in milliseconds.
        round_trip: Option<u64>,
    },
    /// It was met, and it does not run ormesh, so that nothing more can be asked.
    MetPlain,
    /// Its service is not published.
    NotFound(String),
    /// Its descriptor was read by our key, and nobody is behind it.
    Gone(String),
    /// tor has no key for it.
    KeyMissing(String),
    /// Its descriptor can't be read by our key.
    KeyRefused(String),
    /// Anything else between here and there.
    Failed(String),
}

/// The answer of a remote's agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// The ports granted, and whether each accepts connections there.
    pub ports: Vec<(Port, bool)>,
    /// Those that have no room: open sessions, and how many there can be of all.
    pub full: Vec<(Port, u64, u64)>,
}

const SEE_THERE: &str = "see whether the host is up and connected; `ormesh doctor` there says more";

/// The three layers where nothing is known of any remote.
pub(super) fn unknown(why: &str) -> [Layer; 3] {
    [LayerName::Key, LayerName::Rendezvous, LayerName::Port].map(|name| Layer::unknown(name, why))
}

/// Three layers for each remote; `standstill` says why none could be tried.
pub(super) fn layers(remotes: &[Remote], standstill: Option<&str>) -> Vec<Layer> {
    if remotes.is_empty() {
        return unknown("there are no remotes").into();
    }
    if let Some(why) = standstill {
        return unknown(why).into();
    }
    let layers =
        |remote: &Remote| [key(remote), rendezvous(remote), port(remote)].map(|layer| layer.of(&remote.name));
    remotes.iter().flat_map(layers).collect()
}

fn key(remote: &Remote) -> Layer {
    const NAME: LayerName = LayerName::Key;
    let name = &remote.name;
    let new_invite = format!("ask its owner for a new invite, then: ormesh remote add {name} --replace");
    match (&remote.reach, &remote.key, remote.expired) {
        (Reach::Met { .. } | Reach::MetPlain, ..) => {
            Layer::good(NAME, format!("{name} takes this host's key"))
        }
        // The descriptor that it opens may be an old one.
        (Reach::Gone(_), ..) => {
            Layer::unknown(NAME, format!("{name} took this host's key before it went away; not tried since"))
        }
        (Reach::KeyRefused(why), ..) => Layer::bad(NAME, format!("{name}: {why}"), new_invite),
        (_, Some(problem), _) => {
            Layer::bad(NAME, format!("{name}: tor was not given the key: {problem}"), problem.hint.clone())
        }
        (_, _, Some(day)) => {
            Layer::bad(NAME, format!("{name}: this host's access ended on {day}"), new_invite)
        }
        (Reach::KeyMissing(why), ..) => Layer::bad(NAME, format!("{name}: {why}"), "try again in a moment"),
        (Reach::NotFound(_), ..) => {
            Layer::unknown(NAME, format!("{name}: not tried, since its service was not found"))
        }
        (Reach::Untried | Reach::Failed(_), ..) => {
            Layer::unknown(NAME, format!("{name}: not tried, since it was not reached"))
        }
    }
}

fn rendezvous(remote: &Remote) -> Layer {
    const NAME: LayerName = LayerName::Rendezvous;
    let name = &remote.name;
    match &remote.reach {
        Reach::Met { round_trip: Some(millis), .. } => {
            Layer::good(NAME, format!("{name} answers within {millis} ms"))
        }
        Reach::Met { .. } | Reach::MetPlain => Layer::good(NAME, format!("{name} was met")),
        Reach::NotFound(why) | Reach::Gone(why) | Reach::Failed(why) => {
            Layer::bad(NAME, format!("{name} can't be reached: {why}"), SEE_THERE)
        }
        Reach::KeyMissing(_) | Reach::KeyRefused(_) => {
            Layer::unknown(NAME, format!("{name}: not tried, since the key does not open its service"))
        }
        Reach::Untried => Layer::unknown(NAME, format!("{name}: not tried")),
    }
}

fn port(remote: &Remote) -> Layer {
    const NAME: LayerName = LayerName::Port;
    let name = &remote.name;
    let told = match &remote.reach {
        Reach::Met { told: Ok(told), .. } => told,
        Reach::Met { told: Err(why), .. } => {
            return Layer::unknown(NAME, format!("{name} did not tell of its ports: {why}"));
        }
        Reach::MetPlain => {
            return Layer::unknown(
                NAME,
                format!("{name} does not run ormesh, so that its ports can't be asked for"),
            )
            .hint(format!("`ormesh ping {name} PORT` tries one"));
        }
        _ => return Layer::unknown(NAME, format!("{name}: not tried, since it was not reached")),
    };
    if let Some(port) = remote.imports.iter().find(|port| told.ports.iter().all(|(other, _)| other != *port))
    {
        return Layer::bad(
            NAME,
            format!("{name} does not export port {port} to this host, which imports it"),
            "ask its owner to export it, or to grant it to you",
        );
    }
    // What nobody here has asked for is no failure.
    let is_imported = |port: &Port| remote.imports.contains(port);
    let closed = |port: &Port| told.ports.iter().any(|(other, open)| other == port && !open);
    let full = |port: &Port| told.full.iter().find(|(other, ..)| other == port);
    if let Some(port) = remote.imports.iter().find(|port| closed(port)) {
        return Layer::bad(
            NAME,
            format!("nothing accepts connections behind port {port} of {name}"),
            "its owner must start the program that is exported there",
        );
    }
    if let Some((port, held, of)) = remote.imports.iter().find_map(full) {
        let full = catalogue::full_there(name, *port, (*held, *of));
        return Layer::bad(NAME, full.message, full.hint);
    }
    let unused: Vec<String> = told
        .ports
        .iter()
        .map(|(port, _)| *port)
        .filter(|port| !is_imported(port))
        .filter_map(|port| {
            let why = match full(&port) {
                Some((_, held, of)) => format!("port {port} is full: {held} of {of}"),
                None if closed(&port) => format!("nothing accepts connections behind port {port}"),
                None => return None,
            };
            Some(format!("; {why}, and no import here leads to it"))
        })
        .collect();
    let unused = unused.join("");
    let works = |port: &Port| !closed(port) && full(port).is_none();
    let open: Vec<String> =
        told.ports.iter().map(|(port, _)| port).filter(|port| works(port)).map(ToString::to_string).collect();
    match open.as_slice() {
        [] if told.ports.is_empty() => Layer::unknown(NAME, format!("{name} exports no port to this host")),
        [] => Layer::unknown(NAME, format!("no port of {name} is open{unused}")),
        [one] => Layer::good(NAME, format!("port {one} of {name} is open{unused}")),
        many if many.len() <= 8 => {
            Layer::good(NAME, format!("ports {} of {name} are open{unused}", many.join(", ")))
        }
        many => Layer::good(NAME, format!("{} ports of {name} are open{unused}", many.len())),
    }
}
