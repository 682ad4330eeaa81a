//! The agent's end of the protocol: exchanges Hello, reads one request, and passes it on with a place for the answer.

use std::io;
use std::time::Duration;

use super::frame::{self, MAX_REQUEST};
use super::pieces::Pieces;
use super::transport::Connection;
use super::{Hello, PROTOCOL, Request, Response};

/// How long a connection may stay silent before it has asked. A thousand idle ones must not stay.
const ASK_DEADLINE: Duration = Duration::from_secs(10);

/// A connection that has asked and waits for the answer.
pub struct Asker(Connection);

impl Asker {
    /// Greets a connection and reads what it asks; none when it went away. One of another version, which it was told, may ask to stop, and
    /// nothing else.
    pub async fn greet(mut connection: Connection) -> io::Result<Option<(Request, Self)>> {
        let asked = async {
            let hello: Option<Hello> = frame::read(&mut connection, MAX_REQUEST).await?;
            let Some(hello) = hello else { return Ok(None) };
            frame::write(&mut connection, &Hello::ours()).await?;
            let request: Option<Request> = frame::read(&mut connection, MAX_REQUEST).await?;
            Ok(request.filter(|request| hello.protocol == PROTOCOL || matches!(request, Request::Stop)))
        };
        match tokio::time::timeout(ASK_DEADLINE, asked).await {
            Ok(Ok(Some(request))) => Ok(Some((request, Self(connection)))),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// Answers. Can be called again for a watch.
    pub async fn answer(&mut self, response: &Response) -> io::Result<()> {
        frame::write(&mut self.0, response).await
    }

    /// Waits until the other end goes away; it has nothing more to say. Cancel-safe.
    pub async fn gone(&mut self) {
        use tokio::io::AsyncReadExt as _;
        let mut byte = [0];
        let _ = self.0.read(&mut byte).await;
    }

    /// The connection itself, after [`Response::Connected`].
    pub fn into_pieces(self) -> Pieces<Connection> {
        Pieces::new(self.0)
    }
}
