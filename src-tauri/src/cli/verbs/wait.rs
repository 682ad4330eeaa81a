//! `ormesh wait`: returns once the host does what it was set up for, so that scripts and units need not poll.

use std::time::Duration;

use clap::{Args, ValueEnum};
use ormesh_core::model::problem::{Code, Problem};
use ormesh_core::model::status::{AgentState, ClientState, ImportState, RemoteState, Status};
use ormesh_core::model::status_yaml::{agent_state, client_state, import_state, remote_state};
use tokio::time::Instant;

use crate::args;
use crate::output::{self, DONE, Outcome};
use crate::this_host::Host;

/// Between two looks for an agent that does not run yet.
const LOOK: Duration = Duration::from_millis(100);

/// What `--timeout 0` gives the agent to answer.
const ONE_LOOK: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Wait {
    /// Give up after so many seconds, with exit code 3; left out, never
    #[arg(long, value_name = "SECONDS", value_parser = args::number, allow_negative_numbers = true)]
    timeout: Option<u32>,
    /// Wait for this only; can be given several times. Left out, for all of them
    #[arg(long = "for", value_name = "WHAT", value_enum)]
    what: Vec<What>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// tor is connected
    Online,
    /// The service of each client that has a port to reach is published
    Clients,
    /// Each import listens, and its remote was reached at the last try and exports the port
    Imports,
}

impl Wait {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        let mut missing = Missing::default();
        // A year is never to a command, and fits every clock.
        let seconds = self.timeout.map_or(365 * 86_400, u64::from);
        let deadline = Instant::now() + Duration::from_secs(seconds).max(ONE_LOOK);
        match tokio::time::timeout_at(deadline, until_ready(&host, &self.what, &mut missing)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let Missing { what, hint } = missing;
                Err(Problem::new(Code::NotReady, format!("not ready after {seconds} s: {what}"))
                    .hint(hint)
                    .into())
            }
        }
    }
}

/// What is waited for, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missing {
    what: String,
    hint: &'static str,
}

impl Default for Missing {
    fn default() -> Self {
        Self { what: "no agent runs".into(), hint: "ormesh agent run starts one" }
    }
}

impl Missing {
    /// Takes the next one, and says it to somebody who sits before a terminal.
    fn becomes(&mut self, next: Self, is_first: bool) {
        if is_first || *self != next {
            output::said(format_args!("waiting: {}", next.what));
        }
        *self = next;
    }
}

/// Follows one agent after another until one is ready; keeps in `missing` what it waits for.
async fn until_ready(host: &Host, what: &[What], missing: &mut Missing) -> Outcome {
    let mut is_first = true;
    loop {
        let Some(agent) = host.running().await? else {
            missing.becomes(Missing::default(), std::mem::take(&mut is_first));
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let mut watch = agent.watch().await?;
        // An agent that ends may be one that is being restarted.
        while let Ok(status) = watch.next().await {
            let Some(what) = self::missing(&status, what) else { return DONE };
            let hint = match status.agent.as_ref().map(|agent| &agent.state) {
                Some(AgentState::Paused) => "ormesh agent resume",
                _ => "ormesh status shows everything; a longer --timeout gives Tor more time",
            };
            missing.becomes(Missing { what, hint }, std::mem::take(&mut is_first));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The first thing that is not ready, in a sentence. Nothing named is everything.
fn missing(status: &Status, what: &[What]) -> Option<String> {
    let state = status.agent.as_ref().map(|agent| &agent.state);
    match state {
        Some(AgentState::Online) => {}
        Some(state) => return Some(format!("the agent is {}", agent_state(state))),
        None => return Some("no agent runs".into()),
    }
    let asked = |of| what.is_empty() || what.contains(&of);
    let client = asked(What::Clients).then(|| missing_client(status)).flatten();
    client.or_else(|| asked(What::Imports).then(|| missing_import(status)).flatten())
}

/// A client without a port to reach has no service, nor has one whose last day is over: neither is waited for.
fn missing_client(status: &Status) -> Option<String> {
    status.clients.iter().filter(|client| !client.may_reach.is_empty()).find_map(|client| {
        match &client.state {
            Some(ClientState::Reachable | ClientState::Connected | ClientState::Expired) => None,
            Some(state) => Some(format!("client {} is {}", client.name, client_state(state))),
            None => Some(format!("client {} is unknown to the agent", client.name)),
        }
    })
}

/// A remote without imports need not be reached.
fn missing_import(status: &Status) -> Option<String> {
    status.remotes.iter().filter(|remote| !remote.imports.is_empty()).find_map(|remote| {
        let import = remote.imports.iter().find_map(|import| match &import.state {
            Some(ImportState::Listening | ImportState::Degraded) => None,
            Some(state) => Some(format!("import {} is {}", import.listen, import_state(state))),
            None => Some(format!("import {} is unknown to the agent", import.listen)),
        });
        import.or_else(|| match &remote.state {
            Some(RemoteState::Reachable { .. }) => None,
            Some(RemoteState::Unknown) | None => {
                Some(format!("whether remote {} can be reached is not known yet", remote.name))
            }
            Some(state) => Some(format!("remote {} is {}", remote.name, remote_state(state))),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ormesh_core::model::status::{
        AgentStatus, ClientStatus, ExportStatus, ImportStatus, RemoteStatus, VERSION,
    };

    type Change = fn(&mut Status);

    fn online() -> Status {
        let address = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion".parse().unwrap();
        let agent = AgentStatus {
            unconfirmed: None,
            version: String::new(),
            pid: 1,
            uptime: 0,
            state: AgentState::Online,
            tor: None,
            socks: None,
            socks_users: None,
            socks_note: None,
            network: None,
            secrets: None,
            bridges: None,
        };
        let client = ClientStatus {
            name: "laptop".parse().unwrap(),
            address,
            ports: None,
            may_reach: vec!["22".parse().unwrap()],
            expires: None,
            state: Some(ClientState::Reachable),
            sessions: 0,
            bytes: (0, 0),
            full: Vec::new(),
            last_seen: None,
        };
        let import = ImportStatus {
            listen: "127.0.0.1:10022".parse().unwrap(),
            users: None,
            note: None,
            remote_port: "22".parse().unwrap(),
            state: Some(ImportState::Listening),
            through: None,
            sessions: 0,
            bytes: (0, 0),
        };
        let remote = RemoteStatus {
            unconfirmed: None,
            offers: None,
            name: "website".parse().unwrap(),
            address,
            expires: None,
            state: Some(RemoteState::Reachable { round_trip: 1 }),
            imports: vec![import],
        };
        Status {
            version: VERSION,
            agent: Some(agent),
            exports: vec![ExportStatus {
                target: "22".parse().unwrap(),
                port: "22".parse().unwrap(),
                clients: None,
            }],
            clients: vec![client],
            remotes: vec![remote],
            requests: vec![],
            problems: vec![],
            events: Vec::new(),
        }
    }

    #[test]
    fn a_host_that_does_all_it_should_is_ready() {
        assert_eq!(missing(&online(), &[]), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases: [(Change, &str); 7] = [
            (
                |s| {
                    s.remotes[0].state = Some(RemoteState::Unreachable { why: "it is gone".into() });
                    s.remotes[0].imports[0].state = Some(ImportState::Degraded);
                },
                "remote website is unreachable (it is gone)",
            ),
            (|s| s.agent = None, "no agent runs"),
            (|s| s.agent.as_mut().unwrap().state = AgentState::Paused, "the agent is paused"),
            (|s| s.clients[0].state = Some(ClientState::Publishing), "client laptop is publishing"),
            (
                |s| s.remotes[0].imports[0].state = Some(ImportState::Blocked { why: "in use".into() }),
                "import 127.0.0.1:10022 is blocked (in use)",
            ),
            (
                |s| {
                    let by = "website".parse().unwrap();
                    s.remotes[0].imports[0].state = Some(ImportState::NotExported { by });
                },
                "import 127.0.0.1:10022 is not exported by website",
            ),
            (
                |s| s.remotes[0].state = Some(RemoteState::Unknown),
                "whether remote website can be reached is not known yet",
            ),
        ];
        for (change, sentence) in cases {
            let mut status = online();
            change(&mut status);
            assert_eq!(missing(&status, &[]).as_deref(), Some(sentence));
        }
    }

    #[test]
    fn what_can_never_come_is_not_waited_for() {
        let cases: [Change; 3] = [
            |s| {
                s.exports.clear();
                s.clients[0].may_reach.clear();
                s.clients[0].state = Some(ClientState::Invited);
            },
            |s| s.clients[0].state = Some(ClientState::Expired),
            |s| {
                s.remotes[0].imports.clear();
                s.remotes[0].state = Some(RemoteState::Unknown);
            },
        ];
        for change in cases {
            let mut status = online();
            change(&mut status);
            assert_eq!(missing(&status, &[]), None);
        }
    }

    #[test]
    fn only_what_is_asked_for_is_waited_for() {
        let mut status = online();
        status.clients[0].state = Some(ClientState::Publishing);
        status.remotes[0].state = Some(RemoteState::Unreachable { why: "it is gone".into() });
        assert_eq!(missing(&status, &[What::Online]), None);
        assert_eq!(missing(&status, &[What::Clients]).as_deref(), Some("client laptop is publishing"));
        assert!(missing(&status, &[What::Imports]).unwrap().starts_with("remote website is unreachable"));
        assert!(missing(&status, &[What::Online, What::Clients, What::Imports]).is_some());
        status.agent.as_mut().unwrap().state = AgentState::Starting;
        assert!(missing(&status, &[What::Imports]).unwrap().starts_with("the agent is"));
    }
}
