//! Room 9, agent: [`run`] is the agent. [`ask`] carries out a shell's request: in the running agent, or with the same code in this process.

mod absent;
#[cfg(test)]
mod bench;
mod chronicle_log;
mod commands;
mod crowds;
mod endpoints;
mod environment;
mod examine;
mod execute;
mod follow_tor;
mod keys_in_use;
mod known;
mod life;
pub mod log;
mod openings;
pub mod own_day;
mod places;
mod random;
mod reconcile;
mod remotes;
mod run;
mod serve;
mod signals;
#[cfg(all(test, unix))]
mod sim;
mod sockets;
mod stranger;
mod vault;
mod wake;
mod warm;
mod wires;
mod world;

use crate::ipc::client::{Client, Greeted};
use crate::ipc::{Request, Response};
use crate::model::problem::{Problem, catalogue};
use crate::model::status::Status;
use crate::store::paths::Paths;

pub use absent::not_running;
pub use environment::in_use;
pub use examine::{Examination, doctor};
pub use run::{RunOptions, run};

/// Connects to the agent that runs for these paths; none where none runs.
pub async fn connect(paths: &Paths) -> Result<Option<Client>, Problem> {
    greet(paths).await?.map(Greeted::understood).transpose()
}

/// Connects to the agent that runs for these paths, of whatever version it is; none where none runs.
pub async fn greet(paths: &Paths) -> Result<Option<Greeted>, Problem> {
    Greeted::connect(&paths.socket(), &paths.agent_pid()).await
}

/// Has a request carried out: by the running agent, or here when none runs and the request needs none.
///
/// Errors: the refusal, of kind `NotReady` for what only a running agent can do.
pub async fn ask(paths: &Paths, request: Request) -> Result<Response, Problem> {
    match connect(paths).await? {
        Some(client) => client.ask(&request).await,
        None => commands::Commands::local(paths)?.carry_out_alone(request).await,
    }
}

/// What the files say of the host, whatever agent runs: for shells that can't ask the one that does.
pub async fn at_rest(paths: &Paths) -> Result<Status, Problem> {
    match commands::Commands::local(paths)?.carry_out(Request::Status).await? {
        Response::Status(status) => Ok(*status),
        _ => Err(catalogue::unexpected_answer()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_files_say_needs_no_agent() {
        let host = bench::Host::new();
        std::fs::write(&host.paths.config, "[[export]]\ntarget = \"127.0.0.1:22\"\n").unwrap();
        let status = at_rest(&host.paths).await.unwrap();
        assert_eq!(status.exports.len(), 1);
        assert!(status.agent.is_none());
    }
}
