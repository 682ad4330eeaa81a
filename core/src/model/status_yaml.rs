//! [`Status`] as the YAML that `ormesh status` prints: a fixed shape that people and YAML parsers both read.

use std::fmt::Write as _;

use super::address::Target;
use super::config::Users;
use super::status::{
    AgentState, AgentStatus, ClientState, ClientStatus, ImportState, RemoteState, RemoteStatus,
    SessionStatus, Status,
};

/// Writes a status as YAML 1.2; empty when there is nothing to say.
pub fn to_yaml(status: &Status) -> String {
    let mut out = Lines::default();
    if let Some(agent) = &status.agent {
        write_agent(&mut out, agent);
    }
    if !status.exports.is_empty() || !status.clients.is_empty() {
        out.line(0, "service:");
    }
    if !status.exports.is_empty() {
        out.line(1, "export:");
        for export in &status.exports {
            let plain = match export.target.port() == Some(export.port) {
                true => export.target.to_string(),
                false => format!("{} → {}", export.target, export.port),
            };
            let plain = match export.clients.as_deref() {
                None => plain,
                Some([]) => format!("{plain} for no client"),
                Some(clients) => {
                    let names: Vec<&str> = clients.iter().map(|name| name.as_str()).collect();
                    format!("{plain} for {} only", names.join(", "))
                }
            };
            // A flow sequence opens with a bracket, so an IPv6 target must be quoted.
            match &export.target {
                Target::Tcp(..) if !plain.starts_with('[') => out.line(2, &format!("- {plain}")),
                _ => out.line(2, &format!("- {}", quoted(&plain))),
            }
        }
    }
    if !status.clients.is_empty() {
        out.line(1, "clients:");
        status.clients.iter().for_each(|client| write_client(&mut out, status, client));
    }
    if !status.remotes.is_empty() {
        out.line(0, "remotes:");
        status.remotes.iter().for_each(|remote| write_remote(&mut out, remote));
    }
    if !status.requests.is_empty() {
        out.line(0, "requests:");
        status.requests.iter().for_each(|name| out.line(1, &format!("- {}", word(name.as_str()))));
    }
    if !status.problems.is_empty() {
        out.line(0, "problems:");
        for problem in &status.problems {
            let subject = problem.subject.as_ref().map(ToString::to_string).unwrap_or_default();
            out.line(1, &format!("- subject: {}", quoted(&subject)));
            out.line(1, &format!("  sentence: {}", quoted(&problem.message)));
            if let Some(since) = problem.since {
                out.line(1, &format!("  since: {}", quoted(&timestamp(since))));
            }
            if !problem.hint.is_empty() {
                out.line(1, &format!("  hint: {}", quoted(&problem.hint)));
            }
        }
    }
    out.0
}

fn write_agent(out: &mut Lines, agent: &AgentStatus) {
    out.line(0, "agent:");
    out.pair(1, "state", &with_age(agent_state(&agent.state), agent.unconfirmed));
    if let AgentState::Connecting { percent, .. } = &agent.state {
        out.line(1, &format!("bootstrap: {percent}"));
    }
    if let Some(tor) = &agent.tor {
        out.pair(1, "tor", &tor.version);
        out.pair(1, "tor-path", &tor.path.display().to_string());
        out.pair(1, "tor-found", &tor.found);
    }
    if let Some(bridges) = agent.bridges {
        out.line(1, &format!("bridges: {bridges}"));
    }
    if let Some(network) = &agent.network {
        out.pair(1, "network", &network.display().to_string());
    }
    out.line(1, &format!("uptime: {}", uptime(agent.uptime)));
    match &agent.socks {
        Some(addr) => out.pair(1, "socks", &addr.to_string()),
        None => out.pair(1, "socks", "off"),
    }
    if agent.socks_users == Some(Users::All) {
        out.line(1, "socks-users: all");
    }
    if let Some(note) = &agent.socks_note {
        out.pair(1, "socks-note", note);
    }
    if let Some(secrets) = &agent.secrets {
        out.pair(1, "secrets", secrets);
    }
    out.line(1, &format!("pid: {}", agent.pid));
    out.pair(1, "version", &agent.version);
}

fn write_client(out: &mut Lines, status: &Status, client: &ClientStatus) {
    out.line(2, &format!("- name: {}", word(client.name.as_str())));
    out.line(2, &format!("  address: {}", client.address));
    if let Some(ports) = status.ports_of(client) {
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        out.line(2, &format!("  ports: [{}]", ports.join(", ")));
    }
    if let Some(day) = client.expires {
        // Quoted: YAML 1.1 parsers read a bare date as a timestamp.
        out.line(2, &format!("  expires: {}", quoted(&day.to_string())));
    }
    if let Some(state) = &client.state {
        let agent = status.agent.as_ref().filter(|_| *state == ClientState::Reachable);
        out.pair(3, "state", &with_age(client_state(state), agent.and_then(|agent| agent.unconfirmed)));
        if client.sessions > 0 {
            out.line(3, &format!("sessions: {}", client.sessions));
        }
        if let Some(seen) = client.last_seen {
            out.pair(3, "last-seen", &timestamp(seen));
        }
    }
}

fn write_remote(out: &mut Lines, remote: &RemoteStatus) {
    out.line(1, &format!("- name: {}", word(remote.name.as_str())));
    out.line(1, &format!("  address: {}", remote.address));
    if let Some(day) = remote.expires {
        out.line(1, &format!("  expires: {}", quoted(&day.to_string())));
    }
    if let Some(state) = &remote.state {
        out.pair(2, "state", &with_age(remote_state(state), remote.unconfirmed));
    }
    if remote.imports.is_empty() {
        return;
    }
    out.line(2, "imports:");
    // Not indented under its key, which YAML allows: the shape that ormesh has had from its first version.
    for import in &remote.imports {
        let listen = import.listen.to_string();
        let listen = if listen.starts_with(|c: char| c.is_ascii_digit()) { listen } else { quoted(&listen) };
        out.line(2, &format!("- local-addr: {listen}"));
        out.line(2, &format!("  remote-port: {}", import.remote_port));
        if import.users == Some(Users::Me) {
            out.line(3, "only-me: true");
        }
        if let Some(note) = &import.note {
            out.pair(3, "note", note);
        }
        if let Some(state) = &import.state {
            out.pair(3, "state", &import_state(state));
        }
        if import.sessions > 0 {
            out.line(3, &format!("sessions: {}", import.sessions));
        }
        if let Some(through) = import.through {
            out.pair(3, "session", &session(through));
        }
    }
}

/// How it stands with the connections that go through a session, in words.
pub fn session(session: SessionStatus) -> String {
    let SessionStatus { connections, circuits, holding } = session;
    let s = |number: u32| if number == 1 { "" } else { "s" };
    match holding {
        Some(seconds) => {
            format!(
                "holding {connections} connection{} (waiting for the network, {seconds} s)",
                s(connections)
            )
        }
        None => format!("{connections} connection{} over {circuits} circuit{}", s(connections), s(circuits)),
    }
}

/// An agent's state in words.
pub fn agent_state(state: &AgentState) -> String {
    match state {
        AgentState::Starting => "starting".into(),
        AgentState::Connecting { percent, doing } => format!("connecting to Tor, {percent} % ({doing})"),
        AgentState::Online => "online".into(),
        AgentState::Offline { why } => format!("offline ({why})"),
        AgentState::Paused => "paused".into(),
    }
}

/// A state in words, and for how long nothing has shown that it is so still, where that is too long.
pub fn with_age(state: String, unconfirmed: Option<u64>) -> String {
    match unconfirmed {
        Some(seconds) => format!("{state}, not confirmed for {}", uptime(seconds)),
        None => state,
    }
}

/// A client's state in words.
pub fn client_state(state: &ClientState) -> String {
    match state {
        ClientState::Invited => "invited".into(),
        ClientState::NoPort => "no port to reach".into(),
        ClientState::Publishing => "publishing".into(),
        ClientState::Reachable => "reachable".into(),
        ClientState::Connected => "connected".into(),
        ClientState::Expired => "expired".into(),
        ClientState::Failing { why } => format!("failing ({why})"),
    }
}

/// A remote's state in words.
pub fn remote_state(state: &RemoteState) -> String {
    match state {
        RemoteState::Unknown => "unknown".into(),
        RemoteState::Reachable { round_trip } => format!("reachable ({round_trip} ms)"),
        RemoteState::Unreachable { why } => format!("unreachable ({why})"),
    }
}

/// An import's state in words.
pub fn import_state(state: &ImportState) -> String {
    match state {
        ImportState::Opening => "opening".into(),
        ImportState::Paused => "paused".into(),
        ImportState::Listening => "listening".into(),
        ImportState::Blocked { why } => format!("blocked ({why})"),
        ImportState::Degraded => "degraded (the remote is unreachable)".into(),
        ImportState::NotExported { by } => format!("not exported by {by}"),
    }
}

/// A moment as RFC 3339, in UTC, from seconds since 1970-01-01.
pub fn timestamp(unix: u64) -> String {
    let moment = i64::try_from(unix).ok().and_then(|unix| jiff::Timestamp::from_second(unix).ok());
    moment.map_or_else(|| unix.to_string(), |moment| moment.to_string())
}

/// A moment for people, in UTC: `2026-11-27 14:05 UTC`.
pub fn minute(unix: u64) -> String {
    let moment = i64::try_from(unix).ok().and_then(|unix| jiff::Timestamp::from_second(unix).ok());
    moment.map_or_else(|| unix.to_string(), |moment| moment.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// `3d 4h`, `2h 5m`, `1m 30s`, `12s`.
pub fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, m) => format!("{m}m {}s", seconds % 60),
        (0, h, m) => format!("{h}h {m}m"),
        (d, h, _) => format!("{d}d {h}h"),
    }
}

/// A double-quoted scalar. JSON's strings are YAML's (YAML 1.2 §1.3), but for characters that YAML lets nobody write plainly (§5.1), some
/// of which terminals obey; line separators and marks of direction are escaped with them.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    for c in serde_json::to_string(text).unwrap_or_default().chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted
}

/// A name, quoted only where YAML would read it as something else than a string (`null`, `yes`, `on`, `e1`…).
fn word(name: &str) -> String {
    const RESERVED: [&str; 11] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    match RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        true => quoted(name),
        false => name.to_owned(),
    }
}

/// Lines at a depth of two spaces each.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.0, "{:width$}{text}", "", width = depth * 2);
    }

    /// `key: value`, the value plain when it is one harmless word.
    fn pair(&mut self, depth: usize, key: &str, value: &str) {
        let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/' | '_');
        let plain =
            value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && value.chars().all(harmless);
        match plain {
            true => self.line(depth, &format!("{key}: {}", word(value))),
            false => self.line(depth, &format!("{key}: {}", quoted(value))),
        }
    }
}

#[cfg(test)]
mod tests;
