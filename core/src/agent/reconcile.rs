//! The loop: waits for the next event, records it, plans, executes the plan, and publishes the new status.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::chronicle_log;
use super::execute::{Executor, Outcome};
use super::keys_in_use::Fetched;
use super::known::Question;
use super::remotes::Remotes;
use super::stranger::Checks;
use super::vault::Vault;
use super::wake::{self, Wake};
use super::wires::{About, Applied, Forgotten, Inputs, Outputs};
use crate::engine::{EngineEvent, EngineState, OnionEngine};
use crate::forward::dialler::Dialler;
use crate::forward::gate::GateEvent;
use crate::model::config::Config;
use crate::model::onion::OnionAddress;
use crate::model::problem::{self, Problem};
use crate::model::status::Status;
use crate::plan::backoff::Backoff;
use crate::plan::derive::{self, View};
use crate::plan::health::Report;
use crate::plan::standing;
use crate::plan::{Desired, Moment, Observed, Socket, Step, Subject, plan};
use crate::store::InForce;

/// Watchers get a new status at most this often, because traffic changes it all the time.
const TICK: Duration = Duration::from_secs(1);
/// How long after a question a shell counts as watching.
const LOOK: Duration = Duration::from_secs(12);
/// How often the date is checked while a client has an expiry, because the clock may be set.
const DATE_CHECK: Duration = Duration::from_secs(60);

/// The loop's own state.
pub(super) struct Reconciler {
    pub(super) engine: Arc<dyn OnionEngine>,
    pub(super) dialler: Arc<Dialler>,
    pub(super) executor: Executor,
    pub(super) vault: Arc<Vault>,
    pub(super) inputs: Inputs,
    pub(super) outputs: Outputs,
    pub(super) about: About,
    pub(super) observed: Observed,
    /// When a shell asked last.
    pub(super) looked: Option<Moment>,
    /// When the shown state was last confirmed.
    pub(super) confirmed: Option<Moment>,
    /// The present problems, as found last.
    pub(super) standing: Vec<Problem>,
    /// Subjects whose Step waits for a key.
    pub(super) waiting: BTreeSet<Subject>,
    /// Callers that wait until tor has a key again.
    pub(super) rekeys: BTreeMap<OnionAddress, Vec<oneshot::Sender<bool>>>,
    pub(super) checks: Checks,
    pub(super) remotes: Remotes,
}

impl Reconciler {
    /// Runs until it is asked to stop, and leaves everything as it is then: the caller shuts down.
    pub(super) async fn run(&mut self) {
        self.take_engine_state();
        self.take_report(Report::Store(self.vault.store.problem()), self.now());
        loop {
            let wake = self.reconcile().await;
            match self.wait(wake).await {
                Wake::Stop => return,
                Wake::Config => {
                    let config = Arc::clone(&self.inputs.config.borrow().config);
                    self.executor.keys.forget_unneeded(&config);
                    self.executor.configure(&config);
                    // What a person just changed is tried at once.
                    self.observed.failures.clear();
                }
                Wake::Paused => {
                    let paused = *self.inputs.paused.borrow();
                    tracing::info!(paused, "pause");
                    if !paused {
                        self.start_engine();
                    }
                }
                Wake::EngineState => self.take_engine_state(),
                Wake::Engine(event) => self.take_event(event),
                Wake::Gate(GateEvent::FirstStream { address, client }) => {
                    tracing::debug!(client = %client, "connected for the first time");
                    let _ = self.outputs.first_stream.send(address);
                }
                Wake::Fetched(fetched) => self.take_key(fetched),
                Wake::Forgotten(Forgotten { address, done }) => {
                    self.observed.keys.remove(&address);
                    self.rekeys.entry(address).or_default().push(done);
                }
                Wake::Reported(at, report) => self.take_report(report, at - self.about.started),
                Wake::Asked(question) => {
                    self.looked = Some(self.now());
                    self.answer(question);
                }
                Wake::Opened(socket) => {
                    // Its Step is due, whenever the next try was to be.
                    let now = self.now();
                    if let Some(backoff) = self.observed.failures.get_mut(&socket.subject()) {
                        backoff.retry_at = backoff.retry_at.min(now);
                    }
                }
                Wake::Gone(sockets) => self.take_gone(sockets),
                Wake::Full(address) => self.remotes.ask_full(&self.inputs.config.borrow().config, address),
                Wake::Expired | Wake::Timer => {}
            }
        }
    }

    /// Plans and executes once; returns when to do so again.
    async fn reconcile(&mut self) -> Option<Moment> {
        // Not marked as seen: what follows from a change is done where `wait` tells of it.
        let in_force = self.inputs.config.borrow().clone();
        let paused = *self.inputs.paused.borrow();
        self.executor.configure(&in_force.config);
        if paused && !matches!(*self.inputs.engine_state.borrow(), EngineState::Stopped) {
            self.close_all().await;
        }
        self.look_at_days(&in_force.config);
        let mut desired = self.desired(&in_force.config, paused);
        desired.services.retain(|address, _| !self.observed.health.is_open(address));
        self.observed.last_seen =
            in_force.config.clients.values().filter_map(|client| self.seen(&client.address)).collect();
        self.observed.forget_unwanted(&desired);
        let now = self.now();
        let plan = plan(&desired, &self.observed, now);
        let mut again = false;
        for step in &plan.steps {
            if self.waiting.contains(&step.subject())
                && matches!(step, Step::Publish(..) | Step::Replace(..) | Step::AddKey(..))
            {
                continue;
            }
            let outcome = self.executor.execute(&in_force.config, in_force.generation, step).await;
            again |= !matches!(outcome, Outcome::UnderWay);
            self.take_outcome(&in_force.config, step, outcome);
        }
        self.executor.openings.drop_unwanted();
        let applied = Applied {
            generation: in_force.generation,
            paused,
            up: self
                .observed
                .gates
                .keys()
                .map(|(address, _)| *address)
                .chain(self.observed.published.keys().copied())
                .collect(),
            failures: self
                .observed
                .failures
                .iter()
                .map(|(subject, backoff)| (subject.clone(), backoff.problem.clone()))
                .collect(),
            opening: self.executor.openings.generations(),
        };
        self.outputs.applied.send_if_modified(|old| {
            let changed = *old != applied;
            *old = applied;
            changed
        });
        self.take_stock();
        let wanted = self.observed.keys.keys().copied().collect();
        for line in self.observed.chronicle.look(&self.observed.health, paused, &wanted, now) {
            chronicle_log::write(&in_force.config, line);
        }
        let clients = in_force.config.clients.values().map(|client| client.address);
        let Observed { chronicle, last_seen, .. } = &mut self.observed;
        for line in chronicle.look_at_people(clients, last_seen, &self.standing, now) {
            chronicle_log::write(&in_force.config, line);
        }
        if self.is_watched() && !paused {
            self.confirm(&in_force.config);
        }
        if self.outputs.status.receiver_count() > 0 {
            let status = Arc::new(self.status());
            self.outputs.status.send_if_modified(|old| {
                let changed = *old != status;
                *old = status;
                changed
            });
        }
        // A Step may have made another possible, or failed and be due for a retry: both show in a new plan.
        let wake = plan.wake.into_iter().chain(self.observed.chronicle.wake()).min();
        if again { Some(now) } else { wake }
    }

    /// What is wanted today. A client whose access was seen to be over is out on any day.
    fn desired(&self, config: &Config, paused: bool) -> Desired {
        let today = self.about.calendar.today();
        let mut desired = Desired::from_config(config, today, paused);
        desired.services.retain(|address, _| {
            let last = config.client_at(address).and_then(|(_, client)| client.expires);
            !self.observed.expired.is_over(address, last, today)
        });
        desired
    }

    /// Sees whose access is over, and has that written down.
    fn look_at_days(&mut self, config: &Config) {
        if self.vault.clients.look_at_days(config, self.about.calendar.today()) {
            let vault = Arc::clone(&self.vault);
            tokio::spawn(async move { vault.clients.note_expired().await });
        }
        self.observed.expired = self.inputs.expired.borrow_and_update().clone();
    }

    /// Waits for what comes first, at most until the moment at which the loop has something to do by itself.
    async fn wait(&mut self, wake: Option<Moment>) -> Wake {
        let mut until = wake.map(|wake| self.about.started + wake);
        let mut at_most = |duration: Duration| {
            let at = Instant::now() + duration;
            until = Some(until.map_or(at, |until| until.min(at)));
        };
        if self.is_watched() {
            at_most(TICK);
        }
        if self.inputs.config.borrow().config.clients.values().any(|client| client.expires.is_some()) {
            at_most(DATE_CHECK);
        }
        wake::next(&mut self.inputs, &mut self.executor, &self.dialler, &self.vault, until).await
    }

    fn take_outcome(&mut self, config: &Config, step: &Step, outcome: Outcome) {
        let subject = step.subject();
        match outcome {
            Outcome::Done => {
                tracing::debug!(?step, "done");
                self.take_done(config, step);
            }
            Outcome::Waiting => {
                self.waiting.insert(subject);
            }
            Outcome::UnderWay => {}
            Outcome::Failed(problem) => {
                self.observed.failed(step, self.now());
                self.fail(subject, problem);
            }
        }
    }

    fn fail(&mut self, subject: Subject, problem: Problem) {
        let problem = match &subject {
            Subject::Service(address) | Subject::Withdrawal(address) => {
                problem.or_about(self.client(address))
            }
            Subject::Key(address) | Subject::KeyRemoval(address) => problem.or_about(self.remote(address)),
            Subject::Listener(_) | Subject::Socks => problem,
        };
        let backoff = Backoff::after(self.observed.failures.get(&subject), problem, self.now());
        if backoff.failures == 1 {
            let about = backoff.problem.subject.as_ref().map(ToString::to_string);
            // The chronicle tells of it, if it stands.
            tracing::debug!(about, "{}", backoff.problem.message);
        }
        self.observed.failures.insert(subject, backoff);
    }

    /// Records a finished Step in Observed, and does what follows from it.
    fn take_done(&mut self, config: &Config, step: &Step) {
        self.observed.done(step, self.now());
        match step {
            Step::Withdraw(address) => self.checks.forget(address),
            Step::RemoveKey(address) => {
                self.remotes.forget(address);
            }
            Step::OpenListener(_, listener) if self.observed.keys.contains_key(&listener.address) => {
                self.remotes.warm(config, &self.executor.endpoints, listener.address);
            }
            Step::AddKey(address, _) => {
                for waiting in self.rekeys.remove(address).unwrap_or_default() {
                    let _ = waiting.send(true);
                }
                self.remotes.warm(config, &self.executor.endpoints, *address);
            }
            _ => {}
        }
    }

    /// Tries remotes that were not reached, so that their state becomes right again even if nobody uses them.
    fn try_again(&mut self, which: impl Fn(Option<bool>) -> bool) {
        let config = Arc::clone(&self.inputs.config.borrow().config);
        self.remotes.try_again(&config, &self.observed, &self.executor.endpoints, which);
    }

    /// Whether a shell watches the status or has just asked for it.
    fn is_watched(&self) -> bool {
        self.outputs.status.receiver_count() > 0
            || self.looked.is_some_and(|looked| self.now() < looked + LOOK)
    }

    /// Has that proven again which somebody looks at: that the network is there, and the remotes. One that runs no ormesh is sent nothing.
    fn confirm(&mut self, config: &Config) {
        let now = self.now();
        // What it makes the engine tell comes back here.
        if self.confirmed.is_some_and(|confirmed| now < confirmed + TICK) {
            return;
        }
        self.confirmed = Some(now);
        self.engine.watched();
        self.remotes.confirm(config, &self.observed, &self.executor.endpoints, now);
    }

    /// Records a report, and does what follows from it.
    fn take_report(&mut self, report: Report, at: Moment) {
        match &report {
            Report::StrangerRefused(address) | Report::StrangerLetIn(address)
                // Ours could have become a remote of ours meanwhile.
                if !self.checks.ended(address) || self.observed.keys.contains_key(address) =>
            {
                return;
            }
            Report::StrangerLetIn(address) => {
                tracing::error!(%address, "the service let a stranger in; it is taken down");
            }
            _ => {}
        }
        let is_of_a_dial = matches!(report, Report::Dialled { .. });
        if matches!(report, Report::Store(None)) && self.observed.health.store().is_some() {
            let now = self.now();
            self.observed.store_answers(now);
        }
        if self.observed.health.report(report, at) && is_of_a_dial {
            self.try_again(|reached| reached == Some(false));
        }
    }

    fn take_engine_state(&mut self) {
        let state = self.inputs.engine_state.borrow_and_update().clone();
        let (now, is_ready) = (self.now(), state.is_ready());
        self.observed.health.report(Report::Engine(state), now);
        if let Some(tor) = self.engine.info() {
            self.observed.health.report(Report::Tor(tor), now);
        }
        if is_ready {
            // What was known of remotes before is known no more.
            self.try_again(|reached| reached.is_none());
        }
    }

    fn take_event(&mut self, event: EngineEvent) {
        match event {
            EngineEvent::Lost => {
                self.observed.lost(self.now());
                self.checks.forget_all();
                self.take_engine_state();
                self.remotes.stop();
                self.dialler.engine_lost();
            }
            EngineEvent::Uploaded(address) => {
                if self.observed.health.report(Report::Uploaded(address), self.now()) {
                    tracing::info!(service = %self.client_name(&address), "published");
                    // A host that imports from itself holds the key, so the dial would tell nothing.
                    match self.observed.keys.contains_key(&address) {
                        true => self.checks.forget(&address),
                        false => self.checks.begin(&self.engine, self.dialler.reports(), address),
                    }
                }
            }
            EngineEvent::UploadFailed(address, reason) => {
                tracing::debug!(%address, reason, "a directory did not take the descriptor");
            }
            EngineEvent::Introductions(standing) => {
                for (address, number) in &standing {
                    if *number == 0 && self.observed.health.is_introduced(address) == Some(true) {
                        tracing::debug!(service = %self.client_name(address), "no introduction point stands");
                    }
                }
                self.observed.health.report(Report::Introductions(standing), self.now());
            }
            EngineEvent::IntroductionsDeserted => {
                self.observed.health.report(Report::IntroductionsDeserted, self.now());
            }
            EngineEvent::NetworkProven => {
                self.observed.health.report(Report::NetworkProven, self.now());
            }
            EngineEvent::Received(address) => self.dialler.descriptor_came(&address),
            EngineEvent::FetchFailed(address, reason) => tracing::debug!(%address, reason, "no descriptor"),
        }
    }

    fn take_key(&mut self, fetched: Fetched) {
        let subject = fetched.subject.clone();
        self.waiting.remove(&subject);
        let config = Arc::clone(&self.inputs.config.borrow().config);
        match self.executor.keys.take(fetched, &config) {
            Ok(()) => {
                self.observed.failures.remove(&subject);
            }
            Err(problem) => {
                if let Subject::Key(address) = &subject {
                    for waiting in self.rekeys.remove(address).unwrap_or_default() {
                        let _ = waiting.send(false);
                    }
                }
                self.fail(subject, problem);
            }
        }
    }

    /// Records sockets that are gone; the next plan makes them again.
    fn take_gone(&mut self, sockets: BTreeSet<Socket>) {
        for socket in sockets {
            let is_news = self.observed.gone.insert(socket.clone());
            let why = "a cleaner of temporary files does that; it is made again";
            match socket {
                _ if !is_news => {}
                Socket::Gate(address, port) => {
                    let client = self.client_name(&address);
                    tracing::warn!(%client, %port, "the socket of a gate was removed or replaced: {why}");
                }
                Socket::Listener(listen) => {
                    tracing::warn!(import = %listen, "the socket of an import was removed or replaced: {why}");
                }
            }
        }
    }

    /// Starts the engine in a task, because this waits for a shutdown that may be in progress.
    fn start_engine(&self) {
        let engine = Arc::clone(&self.engine);
        tokio::spawn(async move { engine.run(true).await });
    }

    fn now(&self) -> Moment {
        self.about.started.elapsed()
    }

    fn remote(&self, address: &OnionAddress) -> problem::Subject {
        let config = &self.inputs.config.borrow().config;
        config
            .remote_at(address)
            .map_or(problem::Subject::Service(*address), |(name, _)| problem::Subject::Remote(name.clone()))
    }

    pub(super) fn client(&self, address: &OnionAddress) -> problem::Subject {
        self.inputs.config.borrow().config.subject_at(address)
    }

    pub(super) fn client_name(&self, address: &OnionAddress) -> String {
        let config = &self.inputs.config.borrow().config;
        config.client_at(address).map_or_else(|| address.to_string(), |(name, _)| name.to_string())
    }

    fn seen(&self, address: &OnionAddress) -> Option<(OnionAddress, u64)> {
        let sessions = self.executor.endpoints.sessions.get(address);
        let live = sessions.and_then(|sessions| sessions.stats().last_seen);
        live.or_else(|| self.vault.clients.last_seen(address)).map(|seen| (*address, seen))
    }

    /// Updates the list of present problems; new ones get the present time.
    fn take_stock(&mut self) {
        let found = self.with_view(|view, _| derive::problems(view));
        self.standing = standing::after(&self.standing, found, self.about.calendar.now());
    }

    /// The whole present state.
    fn status(&mut self) -> Status {
        self.take_stock();
        self.with_view(derive::status)
    }

    /// Answers a question.
    fn answer(&mut self, question: Question) {
        self.take_stock();
        self.with_view(question);
    }

    /// Builds the view from which `plan::derive` makes status and doctor's facts.
    fn with_view<T>(&self, look: impl FnOnce(&View<'_>, &[Problem]) -> T) -> T {
        let in_force = self.inputs.config.borrow().clone();
        let is_paused = *self.inputs.paused.borrow();
        let desired = self.desired(&in_force.config, is_paused);
        let here = self
            .vault
            .clients
            .history_problem()
            .into_iter()
            .chain(self.executor.endpoints.problems(&in_force.config));
        let view = View {
            config: &in_force.config,
            is_paused,
            desired: &desired,
            observed: &self.observed,
            process: &self.about.process,
            now: self.about.started.elapsed(),
            unix: self.about.calendar.now(),
            clients: self.executor.endpoints.client_traffic(),
            full: self.executor.endpoints.full_for(),
            imports: self.executor.endpoints.import_traffic(),
            configuration: in_force.problems().collect(),
            here: here.collect(),
        };
        look(&view, &self.standing)
    }

    /// For a pause, and for the shutdown, when the loop is over.
    ///
    /// tor ends before the gates are closed: what is still open there breaks with its circuit, which the other end sees as a failure. It
    /// can't tell a gate that is closed from an answer that is over.
    pub(super) async fn close_all(&mut self) {
        self.remotes.stop();
        self.executor.openings.give_up().await;
        self.close_what(|step| matches!(step, Step::CloseListener(_) | Step::CloseSocks)).await;
        // While tor still carries the word: who does not hear it holds its connections, and waits.
        self.executor.endpoints.leave().await;
        self.dialler.sessions().leave().await;
        self.engine.run(false).await;
        self.observed.lost(self.now());
        self.close_what(|_| true).await;
    }

    async fn close_what(&mut self, which: impl Fn(&Step) -> bool) {
        let InForce { config, generation, .. } = self.inputs.config.borrow().clone();
        let steps = plan(&Desired::default(), &self.observed, self.now()).steps;
        for step in steps.iter().filter(|step| which(step)) {
            let outcome = self.executor.execute(&config, generation, step).await;
            self.take_outcome(&config, step, outcome);
        }
    }
}

#[cfg(test)]
mod tests;
