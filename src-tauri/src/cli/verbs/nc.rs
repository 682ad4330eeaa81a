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
            let count = input.read(&mut buffer).await?;
            if count == 0 {
                break;
            }
            to_remote.write_all(&buffer[..count]).await?;
        }
        to_remote.shutdown().await?;
        // The remote may still have much to say.
        std::future::pending::<io::Result<()>>().await
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
        // The remote no longer listens; what it said before is still to be passed on.
        _ = &mut send => receive.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
