//! `ormesh nc`: standard input and output as a remote's byte stream, for `ProxyCommand` and pipes.

use std::io;

use clap::Args;
use ormesh_core::ipc::Request;
use ormesh_core::model::address::Port;
use ormesh_core::model::name::RemoteName;
use ormesh_core::model::problem::{Code, Problem};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::args::{self, RemoteRef};
use crate::output::{self, DONE, Outcome};
use crate::this_host::Host;

/// Bytes moved at once, each way.
const BUFFER: usize = 64 * 1024;

#[derive(Args)]
pub(crate) struct Nc {
    /// Don't say on a terminal what is waited for
    #[arg(short, long)]
    quiet: bool,
    /// Which remote, by its name or its onion address
    #[arg(value_parser = args::remote_ref)]
    remote: RemoteRef,
    /// The port that it exports
    #[arg(value_parser = args::port, allow_negative_numbers = true)]
    port: Port,
}

impl Nc {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        let agent = host.agent().await?;
        let request = Request::Connect { remote: resolve(&host, self.remote).await?, port: self.port };
        let waiting = |what: &str| {
            if !self.quiet {
                output::said(what);
            }
        };
        let mut connection = agent.connect_remote(&request, waiting).await?;
        match relay(&mut connection, tokio::io::stdin(), tokio::io::stdout()).await {
            Ok(()) => DONE,
            Err(Broken::Connection) => Err(connection.failure().await.into()),
            Err(Broken::Output(error)) => Err(error.into()),
            Err(Broken::Input(error)) => {
                let message = format!("failed to read standard input: {error}");
                let hint = "what was sent may be a part of it, so the connection was ended";
                Err(Problem::new(Code::SystemFailed, message).hint(hint).into())
            }
        }
    }
}

/// The name of the remote that was meant, as the agent knows it: the file may have been spoilt since it was read.
pub(crate) async fn resolve(host: &Host, remote: RemoteRef) -> Result<RemoteName, Problem> {
    let address = match remote {
        RemoteRef::Name(name) => return Ok(name),
        RemoteRef::Address(address) => address,
    };
    let remotes = host.status().await?.remotes;
    let known = remotes.into_iter().find(|remote| remote.address == address);
    known.map(|remote| remote.name).ok_or_else(|| {
        Problem::new(Code::NotThere, format!("no remote has the address {address}"))
            .hint("ormesh remote list shows the remotes; only these can be reached")
    })
}

/// How carrying bytes ended badly.
#[derive(Debug)]
enum Broken {
    /// The connection did; what the agent says of it is still to be read.
    Connection,
    /// Standard output takes no more.
    Output(io::Error),
    /// Standard input can't be read to its end: to pass on what has come as if it were all would be a lie.
    Input(io::Error),
}

/// Carries bytes until the remote has said all. The end of the input is passed on and does not end the connection.
async fn relay(
    connection: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut input: impl AsyncRead + Unpin,
    mut output: impl AsyncWrite + Unpin,
) -> Result<(), Broken> {
    let (mut from_remote, mut to_remote) = tokio::io::split(connection);
    let send = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            let count = input.read(&mut buffer).await.map_err(Broken::Input)?;
            if count == 0 {
                break;
            }
            // A remote that no longer listens may have said something before, which is still to be passed on.
            if to_remote.write_all(&buffer[..count]).await.is_err() {
                return Ok(());
            }
        }
        // The remote may still have much to say.
        let _ = to_remote.shutdown().await;
        Ok(())
    };
    let receive = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            match from_remote.read(&mut buffer).await.map_err(|_| Broken::Connection)? {
                0 => return Ok(()),
                count => output.write_all(&buffer[..count]).await.map_err(Broken::Output)?,
            }
            output.flush().await.map_err(Broken::Output)?;
        }
    };
    tokio::pin!(send, receive);
    tokio::select! {
        ended = &mut receive => ended,
        sent = &mut send => {
            sent?;
            receive.await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// What a disk that fails gives, or a directory.
    struct Unreadable;

    impl AsyncRead for Unreadable {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::IsADirectory.into()))
        }
    }

    #[tokio::test]
    async fn the_end_of_the_input_waits_for_the_reply() {
        let (mut near, mut far) = tokio::io::duplex(16);
        let remote = tokio::spawn(async move {
            let mut question = String::new();
            far.read_to_string(&mut question).await.unwrap();
            far.write_all(format!("{question}? yes").as_bytes()).await.unwrap();
        });
        let mut said = Vec::new();
        relay(&mut near, &b"are you there"[..], &mut said).await.unwrap();
        remote.await.unwrap();
        assert_eq!(said, b"are you there? yes");
    }

    #[tokio::test]
    async fn an_input_that_can_not_be_read_to_its_end_is_no_end() {
        let (mut near, mut far) = tokio::io::duplex(1000);
        let mut said = Vec::new();

        let outcome = relay(&mut near, b"half a requ".chain(Unreadable), &mut said).await;

        assert!(matches!(outcome, Err(Broken::Input(_))), "{outcome:?}");
        drop(near);
        let mut question = String::new();
        far.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "half a requ");
    }

    #[tokio::test]
    async fn the_remotes_end_does_not_wait_for_the_input() {
        let (mut near, mut far) = tokio::io::duplex(16);
        let (_open, never) = tokio::io::duplex(16);
        far.write_all(b"bye").await.unwrap();
        drop(far);
        let mut said = Vec::new();
        relay(&mut near, never, &mut said).await.unwrap();
        assert_eq!(said, b"bye");
    }
}
