//! The host that the commands act on: asks its agent, or does the same without one, and sorts the answers.

use ormesh_core::agent;
use ormesh_core::ipc::client::{Client, Greeted};
use ormesh_core::ipc::{Confidential, Request, Response};
use ormesh_core::model::config::Config;
use ormesh_core::model::edit::Edit;
use ormesh_core::model::problem::{Problem, catalogue};
use ormesh_core::model::status::Status;
use ormesh_core::store::ConfigStore;
use ormesh_core::store::paths::Paths;

use crate::output;

/// This user's host, as the environment names it.
pub(crate) struct Host {
    paths: Paths,
}

impl Host {
    /// Finds the host's directories.
    pub(crate) fn from_env() -> Result<Self, Problem> {
        Paths::from_env().map(|paths| Self { paths: agent::in_use(paths) })
    }

    /// Where its files are.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Asks, with or without an agent.
    pub(crate) async fn ask(&self, request: Request) -> Result<Response, Problem> {
        match agent::ask(&self.paths, request).await? {
            Response::Refused(problem) => Err(problem),
            response => Ok(response),
        }
    }

    /// Makes a change that touches no secret. Gives whether there was something to say.
    pub(crate) async fn edit(&self, edit: Edit) -> Result<bool, Problem> {
        self.done(Request::Edit(edit)).await
    }

    /// Has something done, and says what follows from it. Gives whether there was something to say.
    pub(crate) async fn done(&self, request: Request) -> Result<bool, Problem> {
        match self.ask(request).await? {
            Response::Done { notes } => {
                let said = !notes.is_empty();
                output::notes(notes);
                Ok(said)
            }
            _ => Err(catalogue::unexpected_answer()),
        }
    }

    /// Asks for an invite or a line of key material, and says what follows from it.
    pub(crate) async fn invite(&self, request: Request) -> Result<Confidential, Problem> {
        match self.ask(request).await? {
            Response::Invite { text, notes } => {
                output::notes(notes);
                Ok(text)
            }
            _ => Err(catalogue::unexpected_answer()),
        }
    }

    /// The whole state.
    pub(crate) async fn status(&self) -> Result<Status, Problem> {
        match self.ask(Request::Status).await? {
            Response::Status(status) => Ok(*status),
            _ => Err(catalogue::unexpected_answer()),
        }
    }

    /// The running agent, or that none runs.
    pub(crate) async fn agent(&self) -> Result<Client, Problem> {
        self.running().await?.ok_or_else(|| agent::not_running(&self.paths))
    }

    /// The running agent, if one runs.
    pub(crate) async fn running(&self) -> Result<Option<Client>, Problem> {
        agent::connect(&self.paths).await
    }

    /// The running agent, of whatever version it is, if one runs.
    pub(crate) async fn greeted(&self) -> Result<Option<Greeted>, Problem> {
        agent::greet(&self.paths).await
    }

    /// The configuration as it is on disk.
    pub(crate) fn config(&self) -> Result<Config, Problem> {
        ConfigStore::new(&self.paths)?.load()
    }
}
