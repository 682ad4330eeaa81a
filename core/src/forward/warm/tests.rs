//! Tests of `warm`: what is asked of whom.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::engine::DialError;
use crate::forward::reports::Reports;
use crate::forward::testing::{Act, Keys, NOW, Script, onion, soon};

#[tokio::test(start_paused = true)]
async fn an_ormesh_peer_gets_a_circuit_that_counts_as_warm() {
    let (engine, mut peers) = Script::new([], Act::Accept(NOW));
    let (reports, mut reported) = Reports::new();
    let dialler = Dialler::new(Arc::clone(&engine) as _, Arc::new(Keys::default()), reports);
    tokio::spawn(async move {
        let mut peer = peers.recv().await.unwrap();
        assert_eq!(peer.port, Port::RESPONDER);
        while peer.stream.read_u8().await.unwrap() != b'\n' {}
        peer.stream.write_all(b"{\"ormesh\":1,\"echo\":\"ormesh\"}\n").await.unwrap();
    });

    soon(warm(&dialler, &onion(), "g", Peer::Ormesh)).await.unwrap();

    assert!(dialler.is_warm(&onion(), "g"));
    let mut next = || reported.try_recv().unwrap().1;
    assert!(matches!(next(), Report::Dialled { outcome: Ok(()), warm: false, .. }));
    assert!(matches!(next(), Report::Answered { .. }));
    assert_eq!(*engine.fetched.lock().unwrap(), 1);
}

/// Each fetch would close the introduction circuits that tor builds for the next group.
#[tokio::test(start_paused = true)]
async fn a_remote_that_was_just_reached_is_not_looked_for_again_for_each_import() {
    let (engine, mut peers) = Script::new([], Act::Accept(NOW));
    let dialler = Dialler::new(Arc::clone(&engine) as _, Arc::new(Keys::default()), Reports::nowhere());
    tokio::spawn(async move {
        while let Some(mut peer) = peers.recv().await {
            while peer.stream.read_u8().await.unwrap() != b'\n' {}
            peer.stream.write_all(b"{\"ormesh\":1,\"echo\":\"ormesh\"}\n").await.unwrap();
        }
    });

    for group in ["a", "b", "c"] {
        soon(warm(&dialler, &onion(), group, Peer::Ormesh)).await.unwrap();
    }

    assert_eq!((engine.dials().len(), *engine.fetched.lock().unwrap()), (3, 1));
}

#[tokio::test]
async fn a_plain_tor_peer_is_not_dialled() {
    let (engine, _peers) = Script::new([], Act::Accept(NOW));
    let dialler = Dialler::new(Arc::clone(&engine) as _, Arc::new(Keys::default()), Reports::nowhere());

    warm(&dialler, &onion(), "g", Peer::PlainTor).await.unwrap();

    assert_eq!((engine.dials().len(), *engine.fetched.lock().unwrap()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_refuses_is_reported_as_such() {
    let (engine, _peers) = Script::new([], Act::Fail(NOW, DialError::KeyRefused));
    let (reports, mut reported) = Reports::new();
    let dialler = Dialler::new(engine, Arc::new(Keys::default()), reports);

    let error = soon(warm(&dialler, &onion(), "g", Peer::Ormesh)).await.unwrap_err();

    assert!(matches!(error, WarmError::Connect(ConnectError::Dial(DialError::KeyRefused))));
    let told = reported.try_recv().unwrap().1;
    assert!(matches!(told, Report::Dialled { outcome: Err(DialError::KeyRefused), .. }), "{told:?}");
}
