//! The catalogue: the sentence and the hint of each problem that can stand in status, in doctor and in the window, and of those that are
//! said in more than one place. They are written here and nowhere else; why a store, a listener or tor failed is said by its own error.

use std::fmt::Display;
use std::path::Path;

use super::{Code, Problem, Subject};
use crate::model::address::{ListenAddr, Port, Target};
use crate::model::name::{ClientName, RemoteName};
use crate::model::status::TorStatus;

const START_BACKEND: &str = "start the program that is exported there";

/// The configuration file makes no sense.
pub fn config_mistake(path: &Path, error: &dyn Display) -> Problem {
    of_config(Code::ConfigMistake, format!("{}, {error}", path.display()))
        .hint("correct that line, or have `ormesh config restore` write the last good one back; nothing was changed")
}

/// The configuration file takes away what it should not without being asked; `loss` continues its path as a sentence.
pub fn config_lost(path: &Path, loss: &dyn Display) -> Problem {
    of_config(Code::ConfigLost, format!("{} {loss}", path.display())).hint(
        "put it back, or have `ormesh config restore` do that; `ormesh config accept` confirms that all this is to go",
    )
}

/// What a container is given takes away what it should not without being asked; `loss` as above.
pub fn given_lost(path: &Path, loss: &dyn Display) -> Problem {
    of_config(Code::GivenLost, format!("{} {loss}; what was given before stays in force", path.display())).hint(
        "put it back and start the agent anew; if all this is to go, take it out by commands, such as `ormesh export delete`",
    )
}

/// The configuration file seems to be cut off; `loss` as above.
pub fn config_cut(path: &Path, loss: &dyn Display) -> Problem {
    of_config(Code::ConfigCut, format!("{} {loss}", path.display())).hint(
        "end its last line if it is whole; `ormesh config restore` writes the last good one back, `ormesh config accept` takes it as it is",
    )
}

/// The system does not report changes of the configuration file.
pub fn config_unwatched(why: &dyn Display) -> Problem {
    let hint = match cfg!(target_os = "linux") {
        true => {
            "changes by hand are seen after some seconds; `sysctl fs.inotify` shows the limits of watching, which can be raised"
        }
        false => "changes by hand are seen after some seconds",
    };
    of_config(Code::ConfigUnwatched, format!("the configuration file can't be watched: {why}")).hint(hint)
}

/// Anything else of the configuration file.
pub fn of_config(code: Code, message: impl Into<String>) -> Problem {
    Problem::new(code, message).about(Subject::Configuration)
}

/// A client is cut off that the file lists; `are_noted` says whether the next agent would keep it out, too.
pub fn client_still_listed(name: &ClientName, are_noted: bool) -> Problem {
    let anew = if are_noted { "" } else { ": an agent that starts anew would let it in" };
    let message = format!("{name} is cut off, but the configuration file lists it still{anew}");
    Problem::new(Code::ClientStillListed, message)
        .about(Subject::Client(name.clone()))
        .hint(format!("the agent takes it out as soon as the file can be changed; `ormesh client delete {name}` tries at once"))
}

/// It is not known who has connected.
pub fn history_spoilt(message: String) -> Problem {
    Problem::new(Code::HistorySpoilt, message).about(Subject::History).hint(
        "it is not known any more who has connected; put a good copy in its place while no agent runs, or go on without",
    )
}

/// No agent runs.
pub fn no_agent() -> Problem {
    let hint = match cfg!(target_os = "linux") {
        true => "start it: `ormesh agent run`, or as a service: `ormesh agent systemd-unit --user`",
        false => "start it: `ormesh agent run`, or let the desktop app start it at login",
    };
    Problem::new(Code::NoAgent, "no agent is running").about(Subject::Agent).hint(hint)
}

/// What to do where the agent may open no more files and connections.
pub const MORE_FILES: &str = if cfg!(target_os = "linux") {
    "close some, or let the agent open more files: `ulimit -n`, or LimitNOFILE in the systemd unit"
} else if cfg!(windows) {
    "close some: Windows limits them by its memory alone"
} else {
    "close some, or let the agent open more files: `ulimit -n`, or NumberOfFiles in its launchd job"
};

/// An agent runs that has no socket.
pub fn agent_unreachable(pid: &str, socket: &Path) -> Problem {
    let message = format!("an agent runs (process {pid}), but its socket {} is not there", socket.display());
    let by_force = match cfg!(windows) {
        true => format!("`taskkill /F /PID {pid}` ends it at once"),
        false => format!("`kill {pid}` ends it in order"),
    };
    Problem::new(Code::AgentUnreachable, message)
        .about(Subject::Agent)
        .hint(format!("it makes the socket again within seconds; {by_force}"))
}

/// The agent is a service manager's; `command` ends it.
pub fn agent_managed(command: impl Into<String>) -> Problem {
    Problem::new(Code::AgentManaged, "the agent is run by systemd, which would start it again")
        .about(Subject::Agent)
        .hint(command)
}

/// The agent was asked to take something away and has not done it yet.
pub fn agent_behind(message: &str) -> Problem {
    Problem::new(Code::AgentBehind, message)
        .about(Subject::Agent)
        .hint("it goes on by itself, and until then lets in whom it let in before; `ormesh agent stop` ends all at once")
}

/// A connection to the agent asked nothing, and the agent waits no longer.
pub fn asked_too_late() -> Problem {
    Problem::new(
        Code::AgentEnded,
        "the agent waited for the command and hung up: this computer may be very busy",
    )
    .about(Subject::Agent)
    .hint("nothing was done: try again")
}

/// An answer of another sort than the question has.
pub fn unexpected_answer() -> Problem {
    Problem::new(Code::UnexpectedAnswer, "the agent gave an answer that was not asked for")
        .about(Subject::Agent)
}

/// tor can't be run, or has ended.
pub fn tor_failed(why: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new(Code::TorFailed, why).about(Subject::Tor).hint(hint)
}

/// There is no tor that could be run.
pub fn tor_missing(why: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new(Code::TorMissing, why).about(Subject::Tor).hint(hint)
}

/// Another tor is used than the one that was named, for these reasons.
pub fn tor_passed_over(why: &str, tor: &TorStatus) -> Problem {
    let message = format!("{why}; tor {} at {} is used", tor.version, tor.path.display());
    Problem::new(Code::TorPassedOver, message).about(Subject::Tor).hint(
        "name another, or mend it and start tor anew: `ormesh agent pause`, then `ormesh agent resume`; `ormesh config set agent.tor-path ''` takes the one that is found",
    )
}

/// tor does not get on with connecting.
pub fn tor_stuck(why: impl Into<String>) -> Problem {
    Problem::new(Code::TorStuck, why).about(Subject::Tor).hint("ormesh doctor says where the way ends")
}

/// What to do about a wrong clock.
pub const SET_THE_CLOCK: &str =
    "set the clock; `timedatectl` and the system's settings show whether it is kept right by itself";

/// This host's clock is wrong, as tor says.
pub fn clock_wrong(why: impl Into<String>) -> Problem {
    Problem::new(Code::ClockWrong, why).about(Subject::Tor).hint(SET_THE_CLOCK)
}

/// A service was reached without its client's key.
pub fn service_open(client: Subject, name: &dyn Display) -> Problem {
    Problem::new(Code::ServiceOpen, format!("the service of {name} let a stranger in and was taken down"))
        .about(client)
        .hint("this must never happen: please report it, with tor's version")
}

/// Somebody was refused at the SOCKS address.
pub fn refused_at_socks(addr: &dyn Display, who: &str, times: u64) -> Problem {
    user_refused(addr, who, times)
        .about(Subject::Socks)
        .hint("ormesh config set agent.socks-users all lets everyone in who can reach the address")
}

/// Somebody was refused at an import.
pub fn refused_at_import(listen: &ListenAddr, who: &str, times: u64) -> Problem {
    user_refused(listen, who, times)
        .about(Subject::Import(listen.clone()))
        .hint(format!("to let everyone in, delete the import {listen} and add it without --only-me"))
}

fn user_refused(addr: &dyn Display, who: &str, times: u64) -> Problem {
    let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
    let message = format!("{who} was refused at {addr} ({times}): it is for this agent's user alone");
    Problem::new(Code::UserRefused, message)
}

/// How full something is that turns connections away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowd {
    /// `full: 384 of 512`.
    pub said: String,
    /// Whether the limit is the agent's, which the open files set; else it is the client's.
    pub by_agent: bool,
    /// Connections turned away.
    pub refused: u64,
}

/// The SOCKS address turns connections away.
pub fn socks_full(addr: &dyn Display, crowd: &Crowd) -> Problem {
    full(format!("the SOCKS address {addr}"), crowd).about(Subject::Socks)
}

/// An import turns connections away.
pub fn import_full(listen: &ListenAddr, crowd: &Crowd) -> Problem {
    full(listen.to_string(), crowd).about(Subject::Import(listen.clone()))
}

/// What `ormesh nc` and `ssh` carry turns connections away.
pub fn guests_full(crowd: &Crowd) -> Problem {
    full("the room for ormesh nc and ssh".to_owned(), crowd).about(Subject::Agent)
}

/// A port turns connections of one client away, and of so many others.
pub fn port_full(port: Port, client: &ClientName, others: usize, crowd: &Crowd) -> Problem {
    let mut problem = full(format!("port {port} for {client}"), crowd).about(Subject::Export(port));
    match others {
        0 => {}
        1 => problem.message.push_str("; so is it for 1 other client"),
        others => problem.message.push_str(&format!("; so is it for {others} other clients")),
    }
    problem
}

fn full(what: String, crowd: &Crowd) -> Problem {
    let turned = match crowd.refused {
        1 => "1 connection was turned away".to_owned(),
        refused => format!("{refused} connections were turned away"),
    };
    let hint = match crowd.by_agent {
        true => MORE_FILES,
        false => "close some, or allow more: ormesh config set agent.max-sessions NUMBER",
    };
    Problem::new(Code::Full, format!("{what} is {}; {turned}", crowd.said)).hint(hint)
}

/// A port of a remote turns connections away: it holds so many, of so many.
pub fn full_there(remote: &RemoteName, port: Port, (held, of): (u64, u64)) -> Problem {
    let message = format!(
        "port {port} of {remote} is full: {held} of {of} connections, as {remote} says; more are turned away"
    );
    Problem::new(Code::FullThere, message).about(Subject::Remote(remote.clone())).hint(
        "close some connections, or ask its owner to allow more: ormesh config set agent.max-sessions NUMBER, there",
    )
}

/// Nothing answers behind a remote's port, as its host says.
pub fn no_backend_there(remote: &RemoteName, port: Port) -> Problem {
    let message = format!("{remote} is there, but nothing accepts connections behind its port {port}");
    Problem::new(Code::NoBackendThere, message).hint("its owner must start what is exported there")
}

/// Nothing answers behind an exported port.
pub fn no_backend(port: Port, why: &dyn Display) -> Problem {
    Problem::new(Code::NoBackend, format!("the last connection to port {port} found no server: {why}"))
        .about(Subject::Export(port))
        .hint(START_BACKEND)
}

/// Nothing accepts connections behind an exported port now.
pub fn no_backend_now(port: Port, target: &Target) -> Problem {
    let message = format!("nothing accepts connections at {target}, to which port {port} leads");
    Problem::new(Code::NoBackend, message).about(Subject::Export(port)).hint(START_BACKEND)
}

/// There is no thing of that name.
pub fn not_there(subject: Subject) -> Problem {
    Problem::new(Code::NotThere, format!("there is no {subject}")).about(subject)
}

/// The system gives no random bytes.
pub fn no_randomness(why: &dyn Display) -> Problem {
    Problem::new(Code::SystemFailed, format!("failed to get random bytes: {why}"))
}

/// A lock can't be taken.
pub fn cannot_lock(path: &Path, why: &std::io::Error) -> Problem {
    let problem = Problem::new(Code::FileFailed, format!("failed to lock {}: {why}", path.display()));
    match why.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            problem.hint("free some space and try again")
        }
        _ => problem,
    }
    .about(Subject::Files)
}

/// An invite can't be shown, since its key is gone.
pub fn invite_gone(name: &ClientName, message: String) -> Problem {
    Problem::new(Code::InviteGone, message)
        .about(Subject::Client(name.clone()))
        .hint(format!("ormesh client rotate {name} makes a new invite, and ends the old one"))
}
