//! A shell's end of the protocol: connects, says hello, asks, and turns what comes back into answers or problems.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::frame::{self, MAX_RESPONSE};
use super::pieces::{Pieces, agent_ended};
use super::transport::{self, Connection};
use super::{Hello, PROTOCOL, Request, Response};
use crate::model::problem::{Code, Problem, Subject, catalogue};
use crate::model::status::Status;
use crate::store::private;

/// How long an agent may take to say hello. It answers from memory, so this is long.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);

/// A connection to a running agent, greeted, that has asked nothing yet.
pub struct Client {
    connection: Connection,
}

impl Client {
    /// Connects; none when no agent runs there.
    ///
    /// Errors: an agent that does not answer, that belongs to another user, or that speaks another version.
    pub async fn connect(socket: &Path) -> Result<Option<Self>, Problem> {
        let connection = match transport::connect(socket).await {
            Ok(connection) => connection,
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(private::denied(socket).unwrap_or_else(|| broken(&error)));
            }
            Err(error) => return Err(broken(&error)),
        };
        let mut client = Self { connection };
        match tokio::time::timeout(HELLO_DEADLINE, client.greet()).await {
            Ok(result) => result.map(|()| Some(client)),
            Err(_) => Err(Problem::new(Code::AgentSilent, "the agent does not answer")
                .hint("see its log, or end it and start it again")),
        }
    }

    async fn greet(&mut self) -> Result<(), Problem> {
        frame::write(&mut self.connection, &Hello::ours()).await.map_err(|error| broken(&error))?;
        let hello: Option<Hello> =
            frame::read(&mut self.connection, MAX_RESPONSE).await.map_err(|error| broken(&error))?;
        match hello {
            Some(hello) if hello.protocol == PROTOCOL => Ok(()),
            Some(hello) => Err(Problem::new(
                Code::OtherVersion,
                format!("the running agent is ormesh {}, and this is {}", hello.version, Hello::ours().version),
            )
            .about(Subject::Agent)
            .hint("restart the agent: `ormesh agent stop`, or `systemctl --user restart ormesh`, then run it again")),
            None => Err(broken(&io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Asks and waits for the answer; a refusal becomes the error. There is no deadline: the agent has its own for everything.
    pub async fn ask(mut self, request: &Request) -> Result<Response, Problem> {
        self.send(request).await?;
        self.next().await
    }

    /// Follows the agent's status.
    pub async fn watch(mut self) -> Result<Watch, Problem> {
        self.send(&Request::Watch).await?;
        Ok(Watch(self))
    }

    /// Asks for a remote's byte stream. `waiting` is told what is waited for, and again when that changes.
    pub async fn connect_remote(
        mut self,
        request: &Request,
        mut waiting: impl FnMut(&str),
    ) -> Result<Pieces<Connection>, Problem> {
        self.send(request).await?;
        loop {
            match self.next().await? {
                Response::Waiting(what) => waiting(&what),
                Response::Connected => return Ok(Pieces::new(self.connection)),
                _ => return Err(catalogue::unexpected_answer()),
            }
        }
    }

    async fn send(&mut self, request: &Request) -> Result<(), Problem> {
        frame::write(&mut self.connection, request).await.map_err(|error| broken(&error))
    }

    async fn next(&mut self) -> Result<Response, Problem> {
        match frame::read(&mut self.connection, MAX_RESPONSE).await {
            Ok(Some(Response::Refused(problem))) => Err(problem),
            Ok(Some(response)) => Ok(response),
            Ok(None) => Err(broken(&io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(broken(&error)),
        }
    }
}

/// The agent's status, now and at each change.
pub struct Watch(Client);

impl Watch {
    /// The next status; the first one comes at once. An agent that ended is an error of kind `NotReady`. Not cancel-safe.
    pub async fn next(&mut self) -> Result<Status, Problem> {
        match self.0.next().await? {
            Response::Status(status) => Ok(*status),
            _ => Err(catalogue::unexpected_answer()),
        }
    }
}

fn broken(error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            agent_ended()
        }
        _ => Problem::new(Code::AgentEnded, format!("failed to talk to the agent: {error}"))
            .hint("ormesh status shows whether it runs"),
    }
}
