//! This user's host as the app acts on it: what it is told, and what it asks of the agent.
//!
//! The app opens no keyring: what needs a secret is the agent's to do, and is refused while none runs.

mod child;
mod keeper;
mod older;
mod view;

use std::path::{Path, PathBuf};

use ormesh_core::agent::{self, Examination};
use ormesh_core::ipc::{Request, Response};
use ormesh_core::model::config::Config;
use ormesh_core::model::edit::Edit;
use ormesh_core::model::layer::Layer;
use ormesh_core::model::problem::{Code, Problem, catalogue};
use ormesh_core::store::ConfigStore;
use ormesh_core::store::paths::Paths;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use keeper::Order;
pub(crate) use view::{AgentPresence, View};

use keeper::Keeper;

/// A handle on the host; the agent is kept by a task of its own, or by that of another process.
pub(crate) struct Host {
    paths: Paths,
    view: watch::Receiver<View>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Host {
    /// Follows the agent of these paths, and starts one when none runs. To be called in a runtime.
    pub(crate) fn follow(paths: Paths) -> Self {
        let (told, view) = watch::channel(View::unknown());
        let (orders, taken) = mpsc::unbounded_channel();
        tokio::spawn(Keeper::new(paths.clone(), told, taken).run());
        Self { paths, view, orders }
    }

    /// The same where another process keeps the agent: what it tells, and where its orders go.
    pub(crate) fn kept_elsewhere(
        paths: Paths,
        view: watch::Receiver<View>,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Self {
        Self { paths, view, orders }
    }

    /// What is known now.
    pub(crate) fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// What is known, and each change of it.
    pub(crate) fn views(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// Where an agent that the app starts writes its log.
    pub(crate) fn log(&self) -> PathBuf {
        child::log_path(&self.paths)
    }

    /// Where the configuration is.
    pub(crate) fn config_path(&self) -> &Path {
        &self.paths.config
    }

    /// The configuration as it is on disk.
    pub(crate) fn config(&self) -> Result<Config, Problem> {
        ConfigStore::new(&self.paths)?.load()
    }

    /// Asks the running agent.
    pub(crate) async fn ask(&self, request: Request) -> Result<Response, Problem> {
        match agent::connect(&self.paths).await? {
            Some(client) => client.ask(&request).await,
            None => Err(no_agent()),
        }
    }

    /// Has the running agent do something; gives what follows from it, one sentence each.
    pub(crate) async fn done(&self, request: Request) -> Result<Vec<String>, Problem> {
        done(self.ask(request).await?)
    }

    /// Asks with or without an agent, for what needs no secret.
    pub(crate) async fn ask_any(&self, request: Request) -> Result<Response, Problem> {
        match agent::ask(&self.paths, request).await? {
            Response::Refused(problem) => Err(problem),
            response => Ok(response),
        }
    }

    /// Makes a change that touches no secret, with or without an agent.
    pub(crate) async fn edit(&self, edit: Edit) -> Result<Vec<String>, Problem> {
        done(self.ask_any(Request::Edit(edit)).await?)
    }

    /// Walks the layers, by the agent or as far as that goes without one. The secret store is the agent's to open.
    pub(crate) async fn doctor(&self) -> Result<Vec<Layer>, Problem> {
        let view = self.view();
        let no_agent = match view.agent {
            AgentPresence::Starting => {
                Some(Problem::new(Code::AgentStarting, "the agent is starting").hint("try again in a moment"))
            }
            _ => view.problem.or_else(|| Some(no_agent())),
        };
        agent::doctor(&self.paths, Examination { remote: None, spares_secrets: true, no_agent }).await
    }

    /// Starts the agent, after having stopped one of another version. It need not be ready when this returns.
    pub(crate) async fn start_agent(&self) -> Result<(), Problem> {
        self.order(Order::Start).await.unwrap_or_else(|| Err(no_agent()))
    }

    /// Ends the agent that runs and starts another, also one that answers nothing.
    ///
    /// Errors: it is a service manager's to restart, or it does not end.
    pub(crate) async fn restart_agent(&self) -> Result<(), Problem> {
        self.order(Order::Restart).await.unwrap_or_else(|| Err(no_agent()))
    }

    /// Ends the agent if the app started it, and follows it no more.
    pub(crate) async fn end(&self) {
        // None: the keeper has ended already.
        let _: Option<()> = self.order(Order::End).await;
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).ok()?;
        answer.await.ok()
    }
}

fn done(response: Response) -> Result<Vec<String>, Problem> {
    match response {
        Response::Done { notes } => Ok(notes),
        _ => Err(catalogue::unexpected_answer()),
    }
}

fn no_agent() -> Problem {
    catalogue::no_agent().hint("start it, then try again")
}
