//! A shell's end of the protocol: connects, exchanges Hello, sends a request, and returns the response or a problem.

use std::io;
use std::path::Path;

use super::deadline::within;
use super::frame::{self, MAX_RESPONSE};
use super::pieces::{Pieces, agent_ended};
use super::transport::{self, Connection};
use super::{Hello, PROTOCOL, Request, Response};
use crate::model::problem::{Code, Problem, Subject, catalogue};
use crate::model::status::Status;
use crate::store::private;

/// Seconds that an agent may take to say hello. It answers from memory, so this is long.
const HELLO_DEADLINE: u32 = 10;

/// An agent of any version, after Hello: every version can be asked to stop.
pub struct Greeted {
    connection: Connection,
    hello: Hello,
    pid: Option<u32>,
}

impl Greeted {
    /// Connects; none when no agent runs there. `agent_pid` is the file where an agent writes its process id.
    ///
    /// Errors: an agent that does not answer, that belongs to another user, or that does not greet as agents do. Another program that
    /// has taken the agent's name is sent nothing.
    pub async fn connect(socket: &Path, agent_pid: &Path) -> Result<Option<Self>, Problem> {
        let mut connection = match transport::connect(socket).await {
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
        let pid = transport::server_process(&connection);
        transport::check(&connection, agent_pid).map_err(|why| {
            let who = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
            let message =
                format!("nothing is sent to {}: the program that answers there{who} {why}", socket.display());
            Problem::new(Code::AgentImpostor, message)
                .about(Subject::Agent)
                .hint("end that program, and start the agent again: `ormesh agent run`")
        })?;
        match within(HELLO_DEADLINE, greet(&mut connection)).await {
            Some(Ok(hello)) => Ok(Some(Self { connection, hello, pid })),
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(Problem::new(Code::OtherVersion, "the running agent does not greet as ormesh does")
                    .about(Subject::Agent)
                    .hint(format!("it may be of another version: {}", by_hand(pid))))
            }
            Some(Err(error)) => Err(broken(&error)),
            None => Err(Problem::new(Code::AgentSilent, "the agent does not answer")
                .hint(format!("see its log; {}", by_hand(pid)))),
        }
    }

    /// Its process, where the system tells it.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The agent as one that can be asked anything.
    ///
    /// Errors: it speaks another version.
    pub fn understood(self) -> Result<Client, Problem> {
        match self.hello.protocol == PROTOCOL {
            true => Ok(Client { connection: self.connection }),
            false => Err(self.other_version().hint(match cfg!(target_os = "linux") {
                true => "restart the agent: `ormesh agent stop`, or `systemctl --user restart ormesh`, then run it again",
                false => "restart the agent: `ormesh agent stop`, then start it again",
            })),
        }
    }

    /// Asks it to stop in order. It may still run when this returns.
    ///
    /// Errors: an older one that takes nothing from another version; it is named, with what ends it.
    pub async fn stop(self) -> Result<(), Problem> {
        let is_other = self.hello.protocol != PROTOCOL;
        let hint = format!("it takes no command of another version: {}", by_hand(self.pid));
        let not_taken = self.other_version().hint(hint);
        let told = Client { connection: self.connection }.ask(&Request::Stop).await;
        match told {
            Err(told) if is_other && told.code == Code::AgentEnded => Err(not_taken),
            told => told.map(drop),
        }
    }

    /// The versions alone may be the same: of two builds of one release, say.
    fn other_version(&self) -> Problem {
        let (Hello { protocol, version }, ours) = (&self.hello, Hello::ours());
        let which = if *protocol < ours.protocol { "older" } else { "newer" };
        let message = format!(
            "the running agent is {which} than this ormesh: it is {version} (protocol {protocol}), and this is {} (protocol {})",
            ours.version, ours.protocol
        );
        Problem::new(Code::OtherVersion, message).about(Subject::Agent)
    }
}

async fn greet(connection: &mut Connection) -> io::Result<Hello> {
    frame::write(connection, &Hello::ours()).await?;
    let hello = frame::read(connection, MAX_RESPONSE).await?;
    hello.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// How to end an agent that can't be asked to end.
fn by_hand(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("{}; then start it again", transport::ended_by(pid)),
        None => "end its process; then start it again".into(),
    }
}

/// A connection to a running agent of this version that has asked nothing yet.
pub struct Client {
    connection: Connection,
}

impl Client {
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

    /// Asks for a remote's byte stream. `waiting` is called with the reason for the wait, and again when the reason changes.
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
        let Err(error) = frame::write(&mut self.connection, request).await else { return Ok(()) };
        // It may have said why it hung up.
        match frame::read(&mut self.connection, MAX_RESPONSE).await {
            Ok(Some(Response::Refused(problem))) => Err(problem),
            _ => Err(broken(&error)),
        }
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
