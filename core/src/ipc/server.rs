//! The agent's end of the protocol: exchanges Hello, reads one request, and passes it on with a place for the answer.

use std::io;

use super::deadline::within;
use super::frame::{self, MAX_REQUEST};
use super::pieces::Pieces;
use super::transport::Connection;
use super::{Hello, PROTOCOL, Request, Response};
use crate::model::problem::catalogue;

/// Seconds that a connection may stay silent before it has greeted, and again before it has asked. A thousand idle ones must not stay.
const ASK_DEADLINE: u32 = 10;

/// A connection that has asked and waits for the answer.
pub struct Asker(Connection);

impl Asker {
    /// Greets a connection and reads what it asks; none when it went away. One of another version, which it was told, may ask to stop, and
    /// nothing else.
    pub async fn greet(mut connection: Connection) -> io::Result<Option<(Request, Self)>> {
        let read = frame::read::<Hello>(&mut connection, MAX_REQUEST);
        let Some(hello) = in_time(read).await?.flatten() else { return Ok(None) };
        if in_time(frame::write(&mut connection, &Hello::ours())).await?.is_none() {
            return Ok(None);
        }
        let Some(request) = in_time(frame::read::<Request>(&mut connection, MAX_REQUEST)).await? else {
            // Who is only slow learns why.
            in_time(frame::write(&mut connection, &Response::Refused(catalogue::asked_too_late()))).await?;
            return Ok(None);
        };
        let request =
            request.filter(|request| hello.protocol == PROTOCOL || matches!(request, Request::Stop));
        Ok(request.map(|request| (request, Self(connection))))
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

/// What comes of it within [`ASK_DEADLINE`].
async fn in_time<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<Option<T>> {
    within(ASK_DEADLINE, work).await.transpose()
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use super::super::client::Greeted;
    use super::super::frame::MAX_RESPONSE;
    use super::super::transport::Listener;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_wait_for_a_slow_shell_has_its_own_deadline() {
        let (mut shell, far) = Connection::pair().unwrap();
        let agent = tokio::spawn(Asker::greet(far));

        tokio::time::sleep(Duration::from_secs((ASK_DEADLINE - 1).into())).await;
        frame::write(&mut shell, &Hello::ours()).await.unwrap();
        assert_eq!(frame::read(&mut shell, MAX_RESPONSE).await.unwrap(), Some(Hello::ours()));
        tokio::time::sleep(Duration::from_secs((ASK_DEADLINE - 1).into())).await;
        frame::write(&mut shell, &Request::Status).await.unwrap();

        assert!(matches!(agent.await.unwrap(), Ok(Some((Request::Status, _)))));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_too_late_is_told_that_nothing_was_done() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let mut listener = Listener::bind(&socket).unwrap();
        let agent = tokio::spawn(async move { Asker::greet(listener.accept().await.unwrap()).await });
        let greeted = Greeted::connect(&socket, &dir.path().join("pid")).await.unwrap().unwrap();

        assert!(matches!(agent.await.unwrap(), Ok(None)));
        let told = greeted.understood().unwrap().ask(&Request::Status).await;

        assert_eq!(told.err(), Some(catalogue::asked_too_late()));
    }
}
