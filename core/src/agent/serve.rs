//! Answers shells, one task for each connection. Changes of configuration and keys go to `commands`; then the answer waits until the loop
//! has applied them.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::commands::Commands;
use super::examine::Examiner;
use super::follow_tor::{self, Followed};
use super::known::Known;
use super::wires::Applied;
use crate::engine::{DialError, EngineState};
use crate::forward::calendar::Calendar;
use crate::forward::capacity::Crowded;
use crate::forward::dialler::{ConnectError, Dialler, Early};
use crate::forward::guests::Guests;
use crate::forward::reach::{By, Reached, reach};
use crate::forward::relay::{self, Ending, OnNearEnd};
use crate::forward::responder::{self, Echo, Prober};
use crate::forward::silence::Why;
use crate::ipc::server::Asker;
use crate::ipc::transport::{self, Listener};
use crate::ipc::{Pong, PortTold, Request, Response};
use crate::model::address::Port;
use crate::model::config::{Client, HalfClose};
use crate::model::edit::{self, Edit, Setting};
use crate::model::layer::Layer;
use crate::model::name::{ClientName, RemoteName};
use crate::model::onion::OnionAddress;
use crate::model::pauses::Pauses;
use crate::model::problem::{self, Code, Problem, catalogue};
use crate::model::status::Status;
use crate::plan::Subject;
use crate::plan::derive;
use crate::plan::health::Report;
use crate::plan::waiting;
use crate::store::{ConfigStore, InForce};

/// What was not confirmed of late is waited for so long: a round trip over circuits that are there.
const CONFIRM: Duration = Duration::from_secs(2);
/// How long a question that changes nothing may hold up a revocation.
const A_MOMENT: Duration = Duration::from_millis(50);
/// How long an edit waits for the loop to have carried it out. It goes on after that, too.
const APPLY: Duration = Duration::from_secs(10);
/// After this time a connection attempt is slow, and its user is informed.
const SLOW: Duration = Duration::from_secs(3);
/// How long a connection to the agent may wait for the next one after an error (EMFILE, say).
const ACCEPT_AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What all connections share.
pub(super) struct Server {
    pub(super) commands: Commands,
    pub(super) store: ConfigStore,
    pub(super) calendar: Calendar,
    pub(super) dialler: Arc<Dialler>,
    pub(super) guests: Arc<Guests>,
    pub(super) prober: Arc<Prober>,
    pub(super) in_force: watch::Receiver<InForce>,
    pub(super) applied: watch::Receiver<Applied>,
    pub(super) status: watch::Sender<Arc<Status>>,
    pub(super) known: Known,
    pub(super) paused: watch::Sender<bool>,
    pub(super) stop: watch::Sender<bool>,
    /// How far what follows tor's settings has come; none where nothing does.
    pub(super) followed: watch::Sender<Option<Followed>>,
}

impl Server {
    /// Accepts connections until it is dropped. An error of accepting never ends it.
    pub(super) async fn run(self: Arc<Self>, mut listener: Listener) {
        let mut pauses = Pauses::new(ACCEPT_AGAIN);
        loop {
            match listener.accept().await {
                Ok(connection) => {
                    pauses.reset();
                    let server = Arc::clone(&self);
                    tokio::spawn(async move {
                        if let Err(error) = server.serve(connection).await {
                            tracing::debug!(%error, "a local connection ended");
                        }
                    });
                }
                Err(error) => {
                    if !pauses.are_on() {
                        tracing::warn!(%error, "a command can't be answered; it is tried again");
                    }
                    tokio::time::sleep(pauses.after_failure()).await;
                }
            }
        }
    }

    async fn serve(&self, connection: transport::Connection) -> std::io::Result<()> {
        let Some((request, mut asker)) = Asker::greet(connection).await? else { return Ok(()) };
        match request {
            Request::Watch => self.watch(asker).await,
            Request::Connect { remote, port } => self.connect(asker, &remote, port).await,
            Request::Ping { remote, port } => {
                // A shell that gave up (Ctrl-C) must not leave a dial behind.
                let Some(answer) = unless_gone(&mut asker, self.ping(&remote, port)).await else {
                    return Ok(());
                };
                asker.answer(&answer.map_or_else(Response::Refused, Response::Pong)).await
            }
            Request::Doctor { remote } => {
                let Some(answer) = unless_gone(&mut asker, self.doctor(remote.as_ref())).await else {
                    return Ok(());
                };
                asker.answer(&answer.map_or_else(Response::Refused, Response::Layers)).await
            }
            request => {
                let answer = self.answer(request).await.unwrap_or_else(Response::Refused);
                asker.answer(&answer).await
            }
        }
    }

    pub(super) async fn answer(&self, request: Request) -> Result<Response, Problem> {
        let done = || Ok(Response::Done { notes: Vec::new() });
        let engine = self.dialler.engine();
        let is_wanted = !*self.stop.borrow() && !*self.paused.borrow();
        if is_wanted && matches!(*engine.state().borrow(), EngineState::Failed { .. }) {
            // Somebody may have done what a hint says.
            engine.run(true).await;
        }
        match request {
            Request::Status => self.current_status().await.map(|status| Response::Status(Box::new(status))),
            Request::Stop => {
                self.stop.send_replace(true);
                done()
            }
            Request::Pause => {
                self.paused.send_replace(true);
                match self.until(|applied| applied.paused).await {
                    true => done(),
                    false => {
                        Err(catalogue::agent_behind("the agent is to pause, and has not come to it yet")
                            .hint(
                                "it goes on trying; ormesh status says paused when nobody gets in any more",
                            ))
                    }
                }
            }
            Request::Resume => {
                self.paused.send_replace(false);
                let has_come = self.until(|applied| !applied.paused).await;
                Ok(with_notes(Response::Done { notes: Vec::new() }, (!has_come).then(behind)))
            }
            _ if *self.stop.borrow() => Err(ending()),
            Request::DeleteClient { name } => {
                self.delete_client(&name).await.map(|notes| Response::Done { notes })
            }
            request => {
                let (subject, takes_away) = (subject_of(&request), takes_away(&request));
                let of_tor =
                    matches!(request, Request::Edit(Edit::Set(Setting::TorPath(_) | Setting::Bridges(_))));
                let response = self.commands.carry_out(request).await?;
                // What it changed was put in force as it was written.
                let generation = self.in_force.borrow().generation;
                let has_come = self.until(|applied| applied.has(generation)).await;
                if !has_come && takes_away {
                    let message = "the change is in the configuration, and the agent has not come to it yet";
                    return Err(catalogue::agent_behind(message));
                }
                let response = self.with_failure(response, subject);
                let of_tor = match of_tor {
                    true => follow_tor::notes(self.followed.subscribe(), generation, APPLY).await,
                    false => Vec::new(),
                };
                Ok(with_notes(response, of_tor.into_iter().chain((!has_come).then(behind))))
            }
        }
    }

    /// The whole state, as the loop sees it now. What was not confirmed of late is given a moment to be: to ask is to look.
    pub(super) async fn current_status(&self) -> Result<Status, Problem> {
        let until = Instant::now() + CONFIRM;
        loop {
            let look = |view: &derive::View<'_>, standing: &[Problem]| {
                let status = derive::status(view, standing);
                (derive::awaits_proof(view, &status), status)
            };
            let (is_old, status) = self.known.ask(look).await.ok_or_else(ending)?;
            if !is_old || Instant::now() >= until {
                return Ok(status);
            }
            tokio::time::sleep(CONFIRM / 40).await;
        }
    }

    /// Examines this host: its agent, its tor, its services, and the remotes, or the one that is named.
    pub(super) async fn doctor(&self, remote: Option<&RemoteName>) -> Result<Vec<Layer>, Problem> {
        let in_force = self.in_force.borrow().clone();
        let Self { commands, calendar, dialler, known, prober, .. } = self;
        let examiner = Examiner { config: &in_force.config, commands, calendar, dialler, known, prober };
        examiner.examine(remote).await?.ok_or_else(ending)
    }

    /// Adds a note when what was just asked for is accepted and does not work yet.
    fn with_failure(&self, response: Response, subject: Option<Subject>) -> Response {
        let applied = self.applied.borrow();
        match (response, subject.and_then(|subject| applied.failures.get(&subject))) {
            (Response::Done { mut notes }, Some(problem)) => {
                let hint = if problem.hint.is_empty() { "" } else { "; " };
                notes.push(format!("{problem}: it is tried again by itself{hint}{}", problem.hint));
                Response::Done { notes }
            }
            (response, _) => response,
        }
    }

    /// Revokes a client: ends its access first, whatever the disk and the file say, and then takes it out of the file.
    async fn delete_client(&self, name: &ClientName) -> Result<Vec<String>, Problem> {
        let (known, began) = {
            let in_force = self.in_force.borrow();
            let cut_off = in_force.revoked.values().find(|(other, _)| other == name);
            let known = in_force.config.clients.get(name).or(cut_off.map(|(_, client)| client)).cloned();
            (known, Arc::clone(&in_force.config))
        };
        let client = match known {
            Some(client) => client,
            None => self.commands.clients.listed(name).await?,
        };
        let open = self.open_sessions(client.address).await;
        let (mut generation, mut services) = (0, BTreeSet::new());
        let revoke = |client: &Client| {
            generation = self.store.revoke(name, client);
            services.insert(client.address);
        };
        let taken_out = self.commands.clients.delete(name, client, &began, revoke).await;
        if taken_out.is_err() {
            self.store.apart(ConfigStore::keep_revoked).await;
        }
        let is_down =
            |applied: &Applied| applied.generation >= generation && services.is_disjoint(&applied.up);
        let is_down = self.until(is_down).await;
        let mut notes = match taken_out {
            Ok(notes) => notes,
            Err(problem) => {
                let message =
                    format!("{name} is cut off, but the configuration file lists it still: {problem}");
                let hint = match problem.hint.as_str() {
                    "" => String::new(),
                    hint => format!("{hint}; "),
                };
                let anew = match self.in_force.borrow().are_noted {
                    true => "",
                    false => ", and must not be started anew before that",
                };
                let hint = format!("{hint}the agent also tries again by itself{anew}");
                return Err(Problem { message, hint, ..problem });
            }
        };
        if !is_down {
            self.commands.changes.settle_later();
            let message = format!("{name} was deleted, but its service is not down yet");
            let hint = match self.applied.borrow().generation >= generation {
                true => "ormesh status shows when it is; it can't be reached through its gates any more",
                false => {
                    "the agent is busy, and may let it in until it comes to that; `ormesh agent stop` ends all at once"
                }
            };
            return Err(Problem::new(Code::ServiceNotDown, message).hint(hint));
        }
        notes.extend(open.filter(|open| *open > 0).map(|open| match open {
            1 => "1 open connection of it was ended".into(),
            many => format!("{many} open connections of it were ended"),
        }));
        notes.extend(self.commands.changes.settle().await);
        Ok(notes)
    }

    /// How many connections of a client are open. A loop that is busy is not waited for: its access ends first.
    async fn open_sessions(&self, address: OnionAddress) -> Option<u32> {
        let sessions =
            self.known.ask(move |view, _| view.clients.get(&address).map(|traffic| traffic.sessions));
        tokio::time::timeout(A_MOMENT, sessions).await.ok().flatten().flatten()
    }

    /// Reads the configuration again and puts it in force; a bad one leaves the last good one in force. Gives the generation in force.
    pub(super) async fn reload(&self) -> u64 {
        self.store.apart(ConfigStore::reload).await
    }

    /// Waits for the loop to have come so far; false when it took too long.
    async fn until(&self, come: impl FnMut(&Applied) -> bool) -> bool {
        let mut applied = self.applied.clone();
        matches!(tokio::time::timeout(APPLY, applied.wait_for(come)).await, Ok(Ok(_)))
    }

    async fn watch(&self, mut asker: Asker) -> std::io::Result<()> {
        let mut changes = self.status.subscribe();
        changes.borrow_and_update();
        let Ok(mut status) = self.current_status().await else { return Ok(()) };
        loop {
            asker.answer(&Response::Status(Box::new(status))).await?;
            tokio::select! {
                () = asker.gone() => return Ok(()),
                changed = changes.changed() => match changed {
                    Ok(()) => status = (**changes.borrow_and_update()).clone(),
                    Err(_) => return Ok(()),
                },
            }
        }
    }

    fn address(&self, remote: &RemoteName) -> Result<OnionAddress, Problem> {
        let in_force = self.in_force.borrow();
        edit::find(&in_force.config.remotes, remote).map(|remote| remote.address)
    }

    /// Whose service a connection leads to; while the agent is paused it would wait for nothing.
    fn reachable(&self, remote: &RemoteName) -> Result<OnionAddress, Problem> {
        let address = self.address(remote)?;
        match *self.paused.borrow() {
            true => Err(Problem::new(Code::AgentPaused, "the agent is paused").hint("ormesh agent resume")),
            false => Ok(address),
        }
    }

    async fn connect(&self, mut asker: Asker, remote: &RemoteName, port: Port) -> std::io::Result<()> {
        let address = match self.reachable(remote) {
            Ok(address) => address,
            Err(problem) => return asker.answer(&Response::Refused(problem)).await,
        };
        let Some(place) = unless_gone(&mut asker, self.guests.enter()).await else { return Ok(()) };
        let _place = match place {
            Ok(place) => place,
            Err(full) => return asker.answer(&Response::Refused(no_room(full))).await,
        };
        if self.in_force.borrow().config.remotes.get(remote).is_some_and(|remote| !remote.plain_tor) {
            self.dialler.has_responder(&address);
        }
        let failing = watch::Sender::default();
        let (mut engine, mut failed) = (self.dialler.engine().state(), failing.subscribe());
        let (to, by) = ((&address, port), By::default());
        let mut dial = pin!(reach(&self.dialler, to, "nc", by, Early::none(), &failing));
        let slow = Instant::now() + SLOW;
        let (mut said, known) = (None, self.dialler.lost(&address));
        let connected = loop {
            let state = engine.borrow_and_update().clone();
            let error = failed.borrow_and_update().clone().or_else(|| known.clone());
            let is_slow = Instant::now() >= slow;
            let now = waiting::sentence(remote, &state, error.as_ref(), is_slow);
            if let Some(now) = now.filter(|now| said.as_ref() != Some(now)) {
                asker.answer(&Response::Waiting(now.clone())).await?;
                said = Some(now);
            }
            // A shell that gave up (Ctrl-C) must not leave a dial behind.
            tokio::select! {
                connected = &mut dial => break connected,
                () = asker.gone() => return Ok(()),
                Ok(()) = engine.changed() => {}
                Ok(()) = failed.changed() => {}
                () = tokio::time::sleep_until(slow), if !is_slow => {}
            }
        };
        let connected = match connected {
            Ok(connected) => connected,
            Err(error) => return asker.answer(&Response::Refused(cannot_reach(remote, &error))).await,
        };
        asker.answer(&Response::Connected).await?;
        let mut near = asker.into_pieces();
        let Reached { far, unsent, .. } = connected;
        let rule = OnNearEnd::for_application(HalfClose::Hold, self.guests.holds(), far.is_session());
        let ending = relay::run(&mut near, far, unsent, rule, relay::Traffic::default()).await;
        if ending.is_cut() {
            tracing::info!(%remote, %port, why = %ending, "connection of ormesh nc cut off");
            near.fail(cut_off(remote, &ending)).await?;
        }
        Ok(())
    }

    async fn ping(&self, remote: &RemoteName, port: Option<Port>) -> Result<Pong, Problem> {
        let address = self.reachable(remote)?;
        let refused = |error: ConnectError| cannot_reach(remote, &error);
        let plain = self.in_force.borrow().config.remotes.get(remote).is_some_and(|remote| remote.plain_tor);
        let began = Instant::now();
        let mut full = Vec::new();
        let mut pong = Pong { address, connect: 0, round_trip: None, ports: Vec::new() };
        if let Some(port) = port {
            self.dialler.connect(&address, port, "ping", Early::none()).await.map_err(refused)?;
            pong.connect = millis(began.elapsed());
        }
        if !plain {
            let echo = self
                .dialler
                .connect(&address, Port::RESPONDER, "ping", Early::none())
                .await
                .map_err(refused)?;
            if port.is_none() {
                pong.connect = millis(began.elapsed());
            }
            let answered = responder::ask_echo(echo.stream).await.ok();
            pong.round_trip = answered.as_ref().map(|echo| millis(echo.took));
            let info = self
                .dialler
                .connect(&address, Port::RESPONDER, "ping", Early::none())
                .await
                .map_err(refused)?;
            if let Ok(info) = responder::ask_info(info.stream).await {
                pong.ports =
                    info.ports.iter().map(|info| PortTold { port: info.port, open: info.open }).collect();
                full = info.full().collect();
            }
            if let Some(Echo { took, ports, sessions }) = answered {
                self.dialler.sessions().announced(&address, sessions);
                // The last word, so that status shows the same.
                self.dialler.reports().tell(Report::Answered { remote: address, took, ports });
            }
        } else if port.is_none() {
            return Err(Problem::new(
                Code::PlainTor,
                format!("{remote} is not known to run ormesh, so only a port of it can be pinged"),
            )
            .hint(format!("ormesh ping {remote} PORT")));
        }
        let closed = port.filter(|port| pong.ports.iter().any(|told| told.port == *port && !told.open));
        let full: Option<(Port, _)> = full.into_iter().find(|(other, _)| Some(*other) == port);
        if let Some((port, full)) = full {
            return Err(catalogue::full_there(remote, port, full));
        }
        match closed {
            Some(port) => Err(catalogue::no_backend_there(remote, port)),
            None => Ok(pong),
        }
    }
}

/// Whether it may take something from somebody: such a change is not said to be done before it is.
fn takes_away(request: &Request) -> bool {
    match request {
        Request::Edit(edit) => match edit {
            Edit::AddExport { .. } | Edit::AddImport { .. } => false,
            Edit::SetExport { .. } | Edit::DeleteExport { .. } | Edit::SetClient { .. } => true,
            Edit::MoveExport { .. } | Edit::SetImport { .. } | Edit::DeleteImport { .. } => true,
            Edit::RenameClient { .. } | Edit::RenameRemote { .. } => false,
            Edit::Set(setting) => matches!(setting, Setting::SocksAddr(_) | Setting::SocksUsers(_)),
        },
        Request::DeleteRemote { .. } | Request::AcceptConfig | Request::RestoreConfig => true,
        _ => false,
    }
}

fn behind() -> String {
    "the agent is busy, and has not come to this change yet; ormesh status shows when it has".to_owned()
}

fn with_notes(response: Response, more: impl IntoIterator<Item = String>) -> Response {
    match response {
        Response::Done { mut notes } => {
            notes.extend(more);
            Response::Done { notes }
        }
        Response::Invite { text, mut notes } => {
            notes.extend(more);
            Response::Invite { text, notes }
        }
        response => response,
    }
}

fn no_room(full: Option<Crowded>) -> Problem {
    let how = full.map_or_else(String::new, |full| format!(": {}", full.sentence()));
    Problem::new(Code::Full, format!("there is no room for another connection of ormesh nc or ssh{how}"))
        .hint(catalogue::MORE_FILES)
}

/// Waits for some work unless the shell goes away.
async fn unless_gone<T>(asker: &mut Asker, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        result = work => Some(result),
        () = asker.gone() => None,
    }
}

/// The subject of an edit whose failure can be reported at once.
fn subject_of(request: &Request) -> Option<Subject> {
    match request {
        Request::Edit(Edit::AddImport { listen, .. } | Edit::SetImport { to: Some(listen), .. }) => {
            Some(Subject::Listener(listen.clone()))
        }
        Request::Edit(Edit::Set(edit::Setting::SocksAddr(Some(_)))) => Some(Subject::Socks),
        _ => None,
    }
}

fn cannot_reach(remote: &RemoteName, error: &ConnectError) -> Problem {
    let code = match error.dial_error() {
        Some(DialError::KeyRefused) => Code::RemoteKeyRefused,
        Some(DialError::KeyMissing) => Code::RemoteKeyMissing,
        Some(DialError::PortNotExported(_)) => Code::PortNotGranted,
        Some(DialError::NotReady) => Code::TorNotConnected,
        Some(DialError::Broken(_) | DialError::Code(_)) => Code::DialFailed,
        _ => Code::RemoteUnreachable,
    };
    let hint = match error.dial_error() {
        Some(DialError::KeyRefused) => {
            format!("ask its owner for a new invite, then: ormesh remote add {remote} --replace")
        }
        Some(DialError::PortNotExported(Port::RESPONDER)) => {
            return Problem::new(code, format!("{remote} exports no port to you at present"))
                .about(problem::Subject::Remote(remote.clone()))
                .hint("ask its owner to export one, or to grant one to you");
        }
        Some(DialError::PortNotExported(_)) => "ask its owner to export it, or to grant it to you".into(),
        Some(DialError::NotReady) => "ormesh status shows how far tor is; ormesh wait waits for it".into(),
        _ => "see whether the host is up; its own `ormesh status` says more".into(),
    };
    Problem::new(code, format!("failed to reach {remote}: {error}"))
        .about(problem::Subject::Remote(remote.clone()))
        .hint(hint)
}

/// What is said of a connection that was cut off, where its agent knows why.
fn cut_off(remote: &RemoteName, ending: &Ending) -> Problem {
    let why = match ending {
        Ending::FarBroke(error) => Why::find(error),
        _ => None,
    };
    match why {
        Some(Why::Full(port, held, of)) => catalogue::full_there(remote, port, (held, of)),
        Some(why @ Why::NoRoom(_)) => Problem::new(Code::Full, why.to_string()).hint("try again later"),
        Some(Why::NoBackend(port)) => catalogue::no_backend_there(remote, port),
        Some(Why::NotExported(port)) => {
            let error = ConnectError::Dial(DialError::PortNotExported(port));
            cannot_reach(remote, &error)
        }
        Some(Why::NoAnswer) | None => {
            Problem::new(Code::CutOff, format!("the connection to {remote} was cut off: {ending}"))
                .hint("what has come may be a part of what was sent")
        }
    }
}

fn ending() -> Problem {
    Problem::new(Code::AgentEnding, "the agent is ending").hint("try again when it has ended")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
