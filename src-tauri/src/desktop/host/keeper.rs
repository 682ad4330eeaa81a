//! The task that keeps the agent: joins one that runs, starts a child when none does, starts it again when it died, tells every change.
//!
//! An agent that was stopped in order (`ormesh agent stop`), or that someone else runs, is waited for and not replaced: its end was wanted.

use std::process::ExitStatus;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ormesh_core::agent;
use ormesh_core::ipc::client::Client;
use ormesh_core::model::pauses::Pauses;
use ormesh_core::model::problem::{Code, Problem};
use ormesh_core::model::status::Status;
use ormesh_core::store::paths::Paths;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use super::child::{self, AgentChild};
use super::older;
use super::view::{AgentPresence, View};

/// The first and the longest pause before an agent that died is started again.
const RESTART: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// An agent that lived this long was well: what ended it is new.
const WELL: Duration = Duration::from_secs(60);

/// How often a starting agent is looked for.
const STARTING: Duration = Duration::from_millis(50);
/// How often an agent is looked for that the app does not start.
const ABSENT: Duration = Duration::from_secs(1);
/// How often one of another version is asked again.
const OTHER: Duration = Duration::from_secs(5);

/// How often a running agent that says nothing new is asked whether it is there, and how long it may take to answer.
const PROBE: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(5);

/// What the app wants of the keeper.
pub(crate) enum Order {
    /// Start the agent, now.
    Start(oneshot::Sender<Result<(), Problem>>),
    /// End the agent, whoever has started it, and start another.
    Restart(oneshot::Sender<Result<(), Problem>>),
    /// End the agent if it is ours, and the keeper.
    End(oneshot::Sender<()>),
}

/// What a wait ended with.
enum Tick {
    Status(Box<Result<Status, Problem>>),
    Heard(bool),
    ChildEnded(Option<ExitStatus>),
    Look,
    Order(Order),
}

/// Whether to go on.
type Flow = std::ops::ControlFlow<oneshot::Sender<()>>;

/// The agent and what is told of it.
pub(super) struct Keeper {
    paths: Paths,
    told: watch::Sender<View>,
    orders: mpsc::UnboundedReceiver<Order>,
    child: Option<AgentChild>,
    pauses: Pauses,
    /// Whether a child is started when no agent runs.
    wanted: bool,
    /// How long to wait before that.
    pause: Duration,
}

impl Keeper {
    pub(super) fn new(
        paths: Paths,
        told: watch::Sender<View>,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        Self {
            paths,
            told,
            orders,
            child: None,
            pauses: Pauses::new(RESTART),
            wanted: true,
            pause: Duration::ZERO,
        }
    }

    /// Keeps the agent until it is told to end.
    pub(super) async fn run(mut self) {
        let ended = loop {
            let flow = match agent::connect(&self.paths).await {
                Ok(Some(client)) => self.follow(client).await,
                Ok(None) => self.without().await,
                Err(problem) => self.beside(problem).await,
            };
            if let Flow::Break(ended) = flow {
                break ended;
            }
        };
        if let Some(child) = self.child.take() {
            child.end(&self.paths).await;
        }
        // Whoever asked may be gone.
        let _ = ended.send(());
    }

    /// Tells each status of a running agent, until it ends.
    async fn follow(&mut self, client: Client) -> Flow {
        let (send, mut statuses) = mpsc::channel(1);
        // Following is not cancel-safe: it has a task, which ends when nobody takes what it gives.
        tokio::spawn(async move {
            let mut watch = match client.watch().await {
                Ok(watch) => watch,
                Err(problem) => return send.send(Err(problem)).await.unwrap_or_default(),
            };
            loop {
                let status = watch.next().await;
                let last = status.is_err();
                if send.send(status).await.is_err() || last {
                    return;
                }
            }
        });
        let mut probes = probes(self.paths.clone());
        let mut heard = now();
        loop {
            let tick = tokio::select! {
                Some(status) = statuses.recv() => Tick::Status(Box::new(status)),
                Some(answers) = probes.recv() => Tick::Heard(answers),
                Some(order) = self.orders.recv() => Tick::Order(order),
                else => return Flow::Continue(()),
            };
            match tick {
                Tick::Status(status) => {
                    let Ok(status) = *status else { return Flow::Continue(()) };
                    self.wanted = self.child.is_some();
                    heard = now();
                    self.tell(AgentPresence::Running, Some(status), None);
                }
                Tick::Heard(true) => {
                    heard = now();
                    self.hush(None);
                }
                Tick::Heard(false) => self.hush(Some(heard)),
                Tick::Order(Order::Start(reply)) => drop(reply.send(Ok(()))),
                Tick::Order(Order::Restart(reply)) => {
                    // Whoever asked may be gone.
                    let _ = reply.send(self.restart().await);
                    return Flow::Continue(());
                }
                Tick::Order(Order::End(ended)) => return Flow::Break(ended),
                Tick::ChildEnded(_) | Tick::Look => {}
            }
        }
    }

    /// No agent answers: starts a child if one is wanted and none is on its way, and waits for what comes first.
    async fn without(&mut self) -> Flow {
        if self.child.is_none() && self.wanted && self.pause.is_zero() {
            match AgentChild::start(&self.paths) {
                Ok(child) => self.child = Some(child),
                Err(problem) => self.failed(problem),
            }
        }
        let tick = match &mut self.child {
            Some(child) => {
                tokio::select! {
                    status = child.ended() => Tick::ChildEnded(status),
                    () = sleep(STARTING) => Tick::Look,
                    Some(order) = self.orders.recv() => Tick::Order(order),
                }
            }
            None => tokio::select! {
                () = sleep(ABSENT) => Tick::Look,
                Some(order) = self.orders.recv() => Tick::Order(order),
            },
        };
        match tick {
            Tick::Order(Order::End(ended)) => return Flow::Break(ended),
            Tick::Order(Order::Start(reply)) => {
                let started = self.start_now();
                // Whoever asked may be gone.
                let _ = reply.send(started);
            }
            Tick::Order(Order::Restart(reply)) => {
                let _ = reply.send(self.restart().await);
            }
            Tick::ChildEnded(status) => self.mourn(status),
            Tick::Look | Tick::Status(_) | Tick::Heard(_) => self.pause = self.pause.saturating_sub(ABSENT),
        }
        let (presence, problem) = match self.child {
            Some(_) => (AgentPresence::Starting, None),
            None => (AgentPresence::None, self.told.borrow().problem.clone()),
        };
        let at_rest = agent::at_rest(&self.paths).await;
        let (status, unreadable) = (at_rest.as_ref().ok().cloned(), at_rest.err());
        self.tell(presence, status, problem.or(unreadable));
        Flow::Continue(())
    }

    /// An agent runs that can't be asked.
    async fn beside(&mut self, problem: Problem) -> Flow {
        let is_silent = problem.code == Code::AgentSilent;
        let presence = match problem.code {
            Code::OtherVersion => AgentPresence::OtherVersion,
            Code::AgentSilent => AgentPresence::Running,
            _ => AgentPresence::None,
        };
        if is_silent {
            // What it last said stays, with its age.
            let since = self.told.borrow().silent.unwrap_or_else(now);
            let known = self.told.borrow().status.clone();
            let status = match known {
                Some(status) => Some(status),
                None => agent::at_rest(&self.paths).await.ok(),
            };
            self.tell(presence, status, None);
            self.hush(Some(since));
        } else {
            let problem = match presence {
                AgentPresence::OtherVersion => {
                    problem.hint("a restart interrupts its open connections for a moment")
                }
                _ => problem,
            };
            let status = agent::at_rest(&self.paths).await.ok();
            self.tell(presence, status, Some(problem));
        }
        let tick = tokio::select! {
            () = sleep(OTHER) => Tick::Look,
            Some(order) = self.orders.recv() => Tick::Order(order),
        };
        match tick {
            Tick::Order(Order::End(ended)) => return Flow::Break(ended),
            Tick::Order(Order::Start(reply) | Order::Restart(reply)) => {
                // Whoever asked may be gone.
                let _ = reply.send(self.restart().await);
            }
            _ => {}
        }
        Flow::Continue(())
    }

    /// A person wants the agent.
    fn start_now(&mut self) -> Result<(), Problem> {
        self.pauses.reset();
        self.pause = Duration::ZERO;
        self.wanted = true;
        if self.child.is_none() {
            self.child = Some(AgentChild::start(&self.paths)?);
        }
        Ok(())
    }

    /// Ends the agent that runs, and starts one.
    async fn restart(&mut self) -> Result<(), Problem> {
        let is_silent = self.told.borrow().silent.is_some();
        older::end(&self.paths, is_silent).await?;
        if let Some(mut child) = self.child.take() {
            // It has let go of the lock: its end is near, and wanted.
            child.ended().await;
        }
        self.start_now()
    }

    /// Tells since when the agent has been silent, or that it is not.
    fn hush(&self, since: Option<u64>) {
        self.told.send_if_modified(|view| std::mem::replace(&mut view.silent, since) != since);
    }

    /// The child ended: by itself, which is mended, or in order, which was wanted.
    fn mourn(&mut self, status: Option<ExitStatus>) {
        let Some(child) = self.child.take() else { return };
        if status.is_some_and(|status| status.success()) {
            self.wanted = false;
            self.told.send_modify(|view| view.problem = None);
            return;
        }
        if child.lived() >= WELL {
            self.pauses.reset();
        }
        self.pause = self.pauses.after_failure();
        let problem = child::why(&self.paths, status);
        tracing::warn!(%problem, pause = ?self.pause, "the agent died");
        self.told.send_modify(|view| view.problem = Some(problem));
    }

    fn failed(&mut self, problem: Problem) {
        self.pause = self.pauses.after_failure();
        tracing::warn!(%problem, "failed to start the agent");
        self.told.send_modify(|view| view.problem = Some(problem));
    }

    fn tell(&self, agent: AgentPresence, status: Option<Status>, problem: Option<Problem>) {
        let new = View { agent, status, problem, silent: None, ours: self.child.is_some() };
        self.told.send_if_modified(|view| {
            let changed = *view != new;
            *view = new;
            changed
        });
    }
}

/// Asks the agent again and again whether it is there, which it answers from memory, until nobody takes the answers.
fn probes(paths: Paths) -> mpsc::Receiver<bool> {
    let (send, answers) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            sleep(PROBE).await;
            // One that ended, or refuses, has answered: what follows its words tells the rest.
            let answers = tokio::time::timeout(ANSWER, agent::greet(&paths)).await.is_ok();
            if send.send(answers).await.is_err() {
                return;
            }
        }
    });
    answers
}

/// Seconds since 1970-01-01 UTC.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
