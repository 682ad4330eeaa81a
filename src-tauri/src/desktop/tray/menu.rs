//! The tray as data: what is known of the host → icon, tooltip and menu. Pure; `show` puts it on the screen.

use ormesh_core::model::address::ListenAddr;
use ormesh_core::model::problem::Severity;
use ormesh_core::model::status::{
    AgentState, ClientState, ClientStatus, ImportState, ImportStatus, RemoteState, RemoteStatus, Status,
};
use serde::{Deserialize, Serialize};

use crate::host::{AgentPresence, View};
use crate::web;

/// So many imports are shown one below the other; more are in a menu for each remote.
const FEW: usize = 6;
/// The longest sentence that a menu shows, in characters.
const LONGEST: usize = 60;

/// The whole tray.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tray {
    pub(crate) icon: Icon,
    pub(crate) tooltip: String,
    pub(crate) items: Vec<Item>,
}

/// How the host is, at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Icon {
    /// Online, and nothing needs a person.
    Online,
    /// On its way: starting or connecting.
    Connecting,
    /// Online, and something needs a person.
    Problem,
    /// Something needs a person before anything works.
    Attention,
    /// Paused, or no agent.
    Off,
}

/// One line of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// Text that can't be chosen.
    Label(String),
    /// Something to do.
    Act(String, Action),
    /// Something that is on or off.
    Check(String, bool, Action),
    /// More items, which open beside it.
    Menu(String, Vec<Item>),
    /// A line between groups.
    Separator,
}

/// What choosing an item does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Opens an import in the browser.
    OpenImport(ListenAddr),
    /// Copies an import's address.
    CopyAddress(ListenAddr),
    /// Closes everything until resumed.
    Pause,
    /// Ends the pause.
    Resume,
    /// Starts the agent.
    StartAgent,
    /// Ends the agent that runs, and starts another.
    RestartAgent,
    /// Shows the window.
    OpenWindow,
    /// Changes whether the app starts at login.
    StartAtLogin(bool),
    /// Ends the app, and the agent if it is ours.
    Quit,
}

impl Tray {
    /// The tray for what is known.
    pub(crate) fn of(view: &View, at_login: bool) -> Self {
        let (icon, line) = state(view);
        let mut items = vec![Item::Label(line.clone())];
        let problems = view.status.as_ref().map(|status| status.problems.as_slice()).unwrap_or_default();
        if let [first, ..] = problems {
            items.push(Item::Label(shortened(&first.message)));
        }
        items.push(Item::Separator);
        let imports = view.status.as_ref().map(imports).unwrap_or_default();
        if !imports.is_empty() {
            items.extend(imports);
            items.push(Item::Separator);
        }
        items.extend(steer(view));
        items.push(Item::Act("Open ormesh".into(), Action::OpenWindow));
        items.push(Item::Check("Start at login".into(), at_login, Action::StartAtLogin(!at_login)));
        items.push(Item::Separator);
        items.push(Item::Act(quit(view).into(), Action::Quit));
        Self { icon, tooltip: format!("ormesh: {line}"), items }
    }
}

fn state(view: &View) -> (Icon, String) {
    let agent = view.status.as_ref().and_then(|status| status.agent.as_ref());
    if view.silent.is_some() {
        return (Icon::Attention, "The agent does not answer".into());
    }
    match (view.agent, agent) {
        (AgentPresence::Starting, _) => (Icon::Connecting, "Starting".into()),
        (AgentPresence::OtherVersion, _) => (Icon::Attention, "The agent is of another version".into()),
        (AgentPresence::None, _) | (AgentPresence::Running, None) => match &view.problem {
            Some(problem) => (Icon::Attention, shortened(&format!("Not running: {}", problem.message))),
            None => (Icon::Off, "Not running".into()),
        },
        (AgentPresence::Running, Some(agent)) => match &agent.state {
            AgentState::Starting => (Icon::Connecting, "Starting".into()),
            AgentState::Connecting { percent, .. } => {
                (Icon::Connecting, format!("Connecting to Tor, {percent} %"))
            }
            AgentState::Online => match view.status.as_ref().is_some_and(needs_a_person) {
                true => (Icon::Problem, "Online, with a problem".into()),
                false => (Icon::Online, "Online".into()),
            },
            AgentState::Offline { why } => (Icon::Attention, shortened(&format!("Offline: {why}"))),
            AgentState::Paused => (Icon::Off, "Paused".into()),
        },
    }
}

/// As the window's head says it.
fn needs_a_person(status: &Status) -> bool {
    let is_failing = |client: &ClientStatus| matches!(client.state, Some(ClientState::Failing { .. }));
    status.problems.iter().any(|problem| problem.severity != Severity::Note)
        || status.clients.iter().any(is_failing)
}

/// One item for each import, in a menu for each remote where they are many. What is used comes first, and what can't be reached last.
fn imports(status: &Status) -> Vec<Item> {
    let mut remotes: Vec<&RemoteStatus> =
        status.remotes.iter().filter(|remote| !remote.imports.is_empty()).collect();
    let connections =
        |remote: &RemoteStatus| remote.imports.iter().map(|import| import.sessions).sum::<u32>();
    remotes.sort_by_key(|remote| (connections(remote) == 0, is_unreachable(remote)));
    let items = |remote: &RemoteStatus| {
        let mut imports: Vec<&ImportStatus> = remote.imports.iter().collect();
        imports.sort_by_key(|import| import.sessions == 0);
        imports.into_iter().map(|import| item(remote, import)).collect::<Vec<_>>()
    };
    if remotes.iter().map(|remote| remote.imports.len()).sum::<usize>() <= FEW {
        return remotes.into_iter().flat_map(items).collect();
    }
    let menu = |remote: &RemoteStatus| {
        let state = match connections(remote) {
            _ if is_unreachable(remote) => ": can't be reached".to_owned(),
            0 => String::new(),
            1 => ": 1 connection".to_owned(),
            number => format!(": {number} connections"),
        };
        Item::Menu(format!("{}{state}", remote.name), items(remote))
    };
    remotes.into_iter().map(menu).collect()
}

fn is_unreachable(remote: &RemoteStatus) -> bool {
    matches!(remote.state, Some(RemoteState::Unreachable { .. }))
}

fn item(remote: &RemoteStatus, import: &ImportStatus) -> Item {
    let name = format!("{} {}", remote.name, import.remote_port);
    match (&import.state, web::address(import)) {
        (Some(ImportState::Blocked { .. }), _) => Item::Label(format!("{name}: blocked")),
        (Some(ImportState::NotExported { .. }), _) => Item::Label(format!("{name}: not exported there")),
        (Some(ImportState::Paused), _) => Item::Label(format!("{name}: paused")),
        (Some(ImportState::Degraded), _) => Item::Label(format!("{name}: waits for {}", remote.name)),
        (None, _) => Item::Label(format!("{name}: {}", import.listen)),
        _ if is_unreachable(remote) => Item::Label(format!("{name}: waits for {}", remote.name)),
        (Some(_), Some(_)) => {
            Item::Act(format!("Open {name} in the browser"), Action::OpenImport(import.listen.clone()))
        }
        (Some(_), None) => Item::Act(
            format!("Copy the address of {name} ({})", import.listen),
            Action::CopyAddress(import.listen.clone()),
        ),
    }
}

/// Starting, pausing or resuming: whichever makes sense.
fn steer(view: &View) -> Option<Item> {
    let agent = view.status.as_ref().and_then(|status| status.agent.as_ref());
    if view.silent.is_some() {
        return Some(Item::Act("Restart the agent".into(), Action::RestartAgent));
    }
    match (view.agent, agent.map(|agent| &agent.state)) {
        (AgentPresence::Starting, _) | (AgentPresence::Running, None) => None,
        (AgentPresence::None, _) => Some(Item::Act("Start".into(), Action::StartAgent)),
        (AgentPresence::OtherVersion, _) => Some(Item::Act("Restart the agent".into(), Action::StartAgent)),
        (AgentPresence::Running, Some(AgentState::Paused)) => {
            Some(Item::Act("Resume".into(), Action::Resume))
        }
        (AgentPresence::Running, Some(_)) => Some(Item::Act("Pause".into(), Action::Pause)),
    }
}

/// What quitting stops.
fn quit(view: &View) -> &'static str {
    let status = view.status.as_ref();
    let exports = status.is_some_and(|status| !status.exports.is_empty() && !status.clients.is_empty());
    let imports = status.is_some_and(|status| status.remotes.iter().any(|remote| !remote.imports.is_empty()));
    match (view.agent, view.ours) {
        (AgentPresence::None | AgentPresence::OtherVersion, _) => "Quit",
        (_, false) => "Quit (the agent goes on)",
        (_, true) => match (exports, imports) {
            (false, false) => "Quit and stop the agent",
            (true, false) => "Quit and stop exports",
            (false, true) => "Quit and stop imports",
            (true, true) => "Quit and stop exports and imports",
        },
    }
}

fn shortened(sentence: &str) -> String {
    let plain: String = sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match plain.chars().count() <= LONGEST {
        true => plain,
        false => plain.chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ormesh_core::model::problem::{Code, Problem};

    const ADDRESS: &str = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";

    fn view(agent: &str, imports: &str) -> View {
        let status = format!(
            r#"{{"version":1,"agent":{{"version":"0.1.0","pid":1,"uptime":1,"state":{agent},"tor":null,"socks":null,"network":null,"secrets":null}},
            "exports":[],"clients":[],"requests":[],"problems":[],
            "remotes":[{{"name":"website","address":"{ADDRESS}","expires":null,"state":null,"imports":[{imports}]}}]}}"#
        );
        let status = serde_json::from_str(&status).unwrap();
        View { agent: AgentPresence::Running, status: Some(status), problem: None, silent: None, ours: true }
    }

    fn import(listen: &str, port: u16, state: &str) -> String {
        format!(r#"{{"listen":"{listen}","remote_port":{port},"state":{state},"sessions":0,"bytes":[0,0]}}"#)
    }

    fn listen(text: &str) -> ListenAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_whole_menu_of_a_host_that_is_online() {
        let imports = [
            import("127.0.0.1:10022", 22, r#"{"is":"listening"}"#),
            import("127.0.0.1:10080", 80, r#"{"is":"listening"}"#),
            import("127.0.0.1:10443", 443, r#"{"is":"degraded"}"#),
            import("127.0.0.1:8000", 8000, r#"{"is":"blocked","why":"in use"}"#),
        ];

        let tray = Tray::of(&view(r#"{"is":"online"}"#, &imports.join(",")), false);

        assert_eq!((tray.icon, tray.tooltip.as_str()), (Icon::Online, "ormesh: Online"));
        let copy = Action::CopyAddress(listen("127.0.0.1:10022"));
        assert_eq!(
            tray.items,
            [
                Item::Label("Online".into()),
                Item::Separator,
                Item::Act("Copy the address of website 22 (127.0.0.1:10022)".into(), copy),
                Item::Act(
                    "Open website 80 in the browser".into(),
                    Action::OpenImport(listen("127.0.0.1:10080"))
                ),
                Item::Label("website 443: waits for website".into()),
                Item::Label("website 8000: blocked".into()),
                Item::Separator,
                Item::Act("Pause".into(), Action::Pause),
                Item::Act("Open ormesh".into(), Action::OpenWindow),
                Item::Check("Start at login".into(), false, Action::StartAtLogin(true)),
                Item::Separator,
                Item::Act("Quit and stop imports".into(), Action::Quit),
            ]
        );
    }

    #[test]
    fn many_imports_are_in_a_menu_for_each_remote_with_what_is_used_first() {
        let listening = |port: u16| import(&format!("127.0.0.1:{port}"), port, r#"{"is":"listening"}"#);
        let imports: Vec<String> = (9001..=9008).map(listening).collect();
        let mut view = view(r#"{"is":"online"}"#, &imports.join(","));
        let status = view.status.as_mut().unwrap();
        let mut used = status.remotes[0].clone();
        used.name = "zoo".parse().unwrap();
        used.imports.truncate(2);
        used.imports[1].sessions = 2;
        let mut gone = used.clone();
        gone.name = "gone".parse().unwrap();
        gone.imports.iter_mut().for_each(|import| import.sessions = 0);
        gone.state = Some(RemoteState::Unreachable { why: "so".into() });
        status.remotes.extend([used, gone]);

        let menus: Vec<(String, Vec<Item>)> = Tray::of(&view, false)
            .items
            .into_iter()
            .filter_map(|item| match item {
                Item::Menu(name, items) => Some((name, items)),
                _ => None,
            })
            .collect();

        let names: Vec<&str> = menus.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["zoo: 2 connections", "website", "gone: can't be reached"]);
        assert!(matches!(&menus[0].1[0], Item::Act(text, _) if text.contains("zoo 9002")));
        assert_eq!(menus[1].1.len(), 8);
        assert!(
            menus[2]
                .1
                .iter()
                .all(|item| matches!(item, Item::Label(text) if text.ends_with("waits for gone")))
        );
    }

    #[test]
    fn each_state_has_an_icon_and_a_line() {
        for (agent, icon, line) in [
            (r#"{"is":"starting"}"#, Icon::Connecting, "Starting"),
            (r#"{"is":"connecting","percent":45,"doing":"x"}"#, Icon::Connecting, "Connecting to Tor, 45 %"),
            (r#"{"is":"offline","why":"no network"}"#, Icon::Attention, "Offline: no network"),
            (r#"{"is":"paused"}"#, Icon::Off, "Paused"),
        ] {
            assert_eq!(state(&view(agent, "")), (icon, line.to_owned()));
        }
    }

    #[test]
    fn a_problem_is_said_and_shortened() {
        let mut view = view(r#"{"is":"online"}"#, "");
        let problem = Problem::new(Code::AgentFailed, format!("line\n{}", "x".repeat(100)));
        view.status.as_mut().unwrap().problems.push(problem);

        let tray = Tray::of(&view, false);

        assert_eq!(tray.icon, Icon::Problem);
        let Item::Label(said) = &tray.items[1] else { panic!("the problem comes after the state") };
        assert_eq!(
            (said.chars().count(), said.starts_with("line xxx"), said.ends_with('…')),
            (60, true, true)
        );
    }

    #[test]
    fn pausing_starting_and_quitting_follow_the_agent() {
        let online = view(r#"{"is":"online"}"#, "");
        let paused = view(r#"{"is":"paused"}"#, "");
        let none =
            View { agent: AgentPresence::None, status: None, problem: None, silent: None, ours: false };
        let other = View { agent: AgentPresence::OtherVersion, ..none.clone() };
        let joined = View { ours: false, ..online.clone() };

        let action = |view: &View| {
            steer(view).map(|item| match item {
                Item::Act(_, action) => action,
                item => panic!("not an action: {item:?}"),
            })
        };
        assert_eq!(action(&online), Some(Action::Pause));
        assert_eq!(action(&paused), Some(Action::Resume));
        assert_eq!(action(&none), Some(Action::StartAgent));
        assert_eq!(action(&other), Some(Action::StartAgent));
        assert_eq!(quit(&online), "Quit and stop the agent");
        assert_eq!(quit(&joined), "Quit (the agent goes on)");
        assert_eq!(quit(&none), "Quit");
    }

    #[test]
    fn an_action_survives_the_menu() {
        for action in
            [Action::Quit, Action::StartAtLogin(true), Action::OpenImport(listen("unix:/run/a b.sock"))]
        {
            let id = serde_json::to_string(&action).unwrap();
            assert_eq!(serde_json::from_str::<Action>(&id).unwrap(), action);
        }
    }
}
