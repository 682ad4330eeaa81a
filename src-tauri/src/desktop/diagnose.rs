//! `doctor` for the window: the layers of a connection in its order, each judged by what the agent says and what the remotes answered. Pure.

use ormesh_core::ipc::Pong;
use ormesh_core::model::name::RemoteName;
use ormesh_core::model::problem::{Problem, ProblemKind};
use ormesh_core::model::status::{AgentState, AgentStatus, ClientState, ClientStatus, Status};
use serde::Serialize;

use crate::host::{AgentPresence, View};

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Layer {
    layer: &'static str,
    /// None: not tried, since one before it failed or there is nothing to try it on.
    ok: Option<bool>,
    sentence: String,
    hint: Option<String>,
}

/// What a remote answered.
pub(crate) type Answer = (RemoteName, Result<Pong, Problem>);

/// The remotes that have to be asked first.
pub(crate) fn to_ping(view: &View) -> Vec<RemoteName> {
    match online(view) {
        Some((status, _)) => status.remotes.iter().map(|remote| remote.name.clone()).collect(),
        None => Vec::new(),
    }
}

/// The layers, from this computer to the other end.
pub(crate) fn layers(view: &View, answers: &[Answer]) -> Vec<Layer> {
    let agent = view.status.as_ref().and_then(|status| status.agent.as_ref());
    let mut layers = vec![agent_layer(view), tor(agent), bootstrap(agent)];
    match online(view) {
        Some((status, _)) => layers.extend([descriptor(&status.clients), rendezvous(answers), port(answers)]),
        None => layers.extend(
            ["descriptor", "rendezvous", "port"]
                .map(|layer| untried(layer, "not tried, since there is no connection to Tor")),
        ),
    }
    layers
}

fn online(view: &View) -> Option<(&Status, &AgentStatus)> {
    let status = view.status.as_ref()?;
    let agent = status.agent.as_ref().filter(|agent| agent.state == AgentState::Online)?;
    (view.agent == AgentPresence::Running).then_some((status, agent))
}

fn agent_layer(view: &View) -> Layer {
    match (view.agent, &view.problem) {
        (AgentPresence::Running, _) => {
            good("agent", if view.ours { "runs, started by this app" } else { "runs by itself" })
        }
        (AgentPresence::Starting, _) => untried("agent", "it is starting"),
        (_, Some(problem)) => bad("agent", &problem.message, &problem.hint),
        (_, None) => bad("agent", "it does not run", "start it"),
    }
}

fn tor(agent: Option<&AgentStatus>) -> Layer {
    match agent.map(|agent| (&agent.tor, &agent.state)) {
        Some((Some(tor), _)) => good("tor", &format!("tor {} at {}", tor.version, tor.path.display())),
        Some((None, AgentState::Offline { why })) => {
            bad("tor", why, "install tor, or give its path in the settings")
        }
        Some((None, _)) => untried("tor", "it was not started"),
        None => untried("tor", "not tried, since the agent does not run"),
    }
}

fn bootstrap(agent: Option<&AgentStatus>) -> Layer {
    match agent.map(|agent| &agent.state) {
        Some(AgentState::Online) => good("bootstrap", "connected to the Tor network"),
        Some(AgentState::Connecting { percent, doing }) => {
            untried("bootstrap", &format!("{percent} %: {doing}"))
        }
        Some(AgentState::Offline { why }) => bad(
            "bootstrap",
            why,
            "check this computer's network and clock; where Tor is blocked, it needs a bridge",
        ),
        Some(AgentState::Paused) => untried("bootstrap", "paused"),
        Some(AgentState::Starting) | None => untried("bootstrap", "not tried, since tor does not run"),
    }
}

fn descriptor(clients: &[ClientStatus]) -> Layer {
    let failing = clients.iter().find_map(|client| match &client.state {
        Some(ClientState::Failing { why }) => Some((client, why)),
        _ => None,
    });
    if let Some((client, why)) = failing {
        return bad("descriptor", &format!("the service of {} is not published: {why}", client.name), "");
    }
    let published = |client: &&ClientStatus| {
        matches!(client.state, Some(ClientState::Reachable | ClientState::Connected))
    };
    let expected = |client: &&ClientStatus| client.state != Some(ClientState::Expired);
    match (clients.iter().filter(published).count(), clients.iter().filter(expected).count()) {
        (_, 0) => untried("descriptor", "this host has no clients"),
        (some, all) if some == all => good("descriptor", &format!("published for {all} of {all} clients")),
        (some, all) => {
            untried("descriptor", &format!("published for {some} of {all} clients, the rest is on its way"))
        }
    }
}

fn rendezvous(answers: &[Answer]) -> Layer {
    if let Some((name, problem)) = first_failure(answers) {
        return match problem.kind {
            ProblemKind::Refused => {
                bad("rendezvous", &format!("{name} refused: {}", problem.message), &problem.hint)
            }
            _ => bad("rendezvous", &format!("{name} can't be reached: {}", problem.message), &problem.hint),
        };
    }
    match answers.len() {
        0 => untried("rendezvous", "there are no remotes"),
        1 => good("rendezvous", "the remote answers"),
        all => good("rendezvous", &format!("all {all} remotes answer")),
    }
}

fn port(answers: &[Answer]) -> Layer {
    let closed = answers.iter().find_map(|(name, answer)| {
        let pong = answer.as_ref().ok()?;
        pong.ports.iter().find(|(_, open)| !open).map(|(port, _)| (name, port))
    });
    if let Some((name, port)) = closed {
        let sentence = format!("nothing accepts connections behind port {port} of {name}");
        return bad("port", &sentence, "start the program there that serves it");
    }
    let known: usize =
        answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()).map(|pong| pong.ports.len()).sum();
    match known {
        0 => untried("port", "no remote told of its ports"),
        _ => good("port", "every port that is exported to us is open"),
    }
}

fn first_failure(answers: &[Answer]) -> Option<(&RemoteName, &Problem)> {
    answers.iter().find_map(|(name, answer)| answer.as_ref().err().map(|problem| (name, problem)))
}

fn good(layer: &'static str, sentence: &str) -> Layer {
    Layer { layer, ok: Some(true), sentence: sentence.to_owned(), hint: None }
}

fn bad(layer: &'static str, sentence: &str, hint: &str) -> Layer {
    let hint = (!hint.is_empty()).then(|| hint.to_owned());
    Layer { layer, ok: Some(false), sentence: sentence.to_owned(), hint }
}

fn untried(layer: &'static str, sentence: &str) -> Layer {
    Layer { layer, ok: None, sentence: sentence.to_owned(), hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: &str) -> View {
        let status = format!(
            r#"{{"version":1,"agent":{{"version":"0.1.0","pid":1,"uptime":1,"state":{state},"tor":null,"socks":null,"network":null,"secrets":null}},
            "exports":[],"clients":[],"remotes":[],"requests":[],"problems":[]}}"#
        );
        let status = serde_json::from_str(&status).unwrap();
        View { agent: AgentPresence::Running, status: Some(status), problem: None, ours: true }
    }

    fn judged(layers: &[Layer]) -> Vec<(&str, Option<bool>)> {
        layers.iter().map(|layer| (layer.layer, layer.ok)).collect()
    }

    #[test]
    fn nothing_is_tried_behind_what_failed() {
        let layers = layers(&view(r#"{"is":"offline","why":"no network"}"#), &[]);

        let expected = [
            ("agent", Some(true)),
            ("tor", Some(false)),
            ("bootstrap", Some(false)),
            ("descriptor", None),
            ("rendezvous", None),
            ("port", None),
        ];
        assert_eq!(judged(&layers), expected);
    }

    #[test]
    fn a_remote_that_does_not_answer_is_named() {
        let refused = Problem::new(ProblemKind::NotReady, "the host is offline").hint("wait");
        let answers = [("website".parse().unwrap(), Err(refused))];

        let layers = layers(&view(r#"{"is":"online"}"#), &answers);

        let rendezvous = &layers[4];
        assert_eq!(rendezvous.sentence, "website can't be reached: the host is offline");
        assert_eq!((rendezvous.ok, rendezvous.hint.as_deref()), (Some(false), Some("wait")));
    }
}
