//! Tests of `fake`: what it does on demand.

use super::*;
use crate::engine::GateAddr;
use crate::engine::stream::Stream;

fn onion() -> OnionAddress {
    "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid".parse().unwrap()
}

async fn outcome(engine: &FakeEngine) -> Result<Stream, DialError> {
    engine.dial(&onion(), Port::RESPONDER, "a").await?.reply().await
}

#[tokio::test(start_paused = true)]
async fn faults_come_on_demand() {
    let engine = FakeNetwork::new().engine(Path::new("/nonexistent"));
    assert_eq!(outcome(&engine).await.unwrap_err(), DialError::NotReady);
    engine.run(true).await;
    assert_eq!(outcome(&engine).await.unwrap_err(), DialError::NotPublished);

    engine.set_faults(Faults { dial: Some(DialError::Gone), ..Faults::default() });
    assert_eq!(outcome(&engine).await.unwrap_err(), DialError::Gone);
    engine.set_faults(Faults { command: Some(EngineError::NotRunning), ..Faults::default() });
    assert_eq!(engine.has_client_key(&onion()).await, Err(EngineError::NotRunning));

    engine.set_faults(Faults { hang: true, ..Faults::default() });
    let attempt = engine.dial(&onion(), Port::RESPONDER, "b").await.unwrap();
    let mut reply = attempt.reply();
    let hangs = tokio::time::timeout(Duration::from_secs(1000), &mut reply).await.is_err();
    engine.lose();
    assert!(hangs);
    assert!(matches!(reply.await, Err(DialError::Broken(_))));
    assert_eq!(engine.dialled().last().unwrap().isolation, "b");
}

#[tokio::test(start_paused = true)]
async fn a_link_is_cut_or_falls_silent_and_a_service_goes_deaf() {
    let network = FakeNetwork::new();
    let (host, client) = (network.engine(Path::new("/host")), network.engine(Path::new("/client")));
    host.run(true).await;
    client.run(true).await;
    let key = ServiceKey::from_seed(&[2; 32].into());
    let client_key = ClientKey::from_bytes(&[1; 32]).unwrap();
    let ports = [(Port::RESPONDER, GateAddr::Unix("none".into()))].into();
    let service = ServiceSpec { address: key.address(), client: client_key.public(), ports };
    client.add_client_key(&key.address(), &client_key).await.unwrap();
    host.publish(&service, &key).await.unwrap();
    let met =
        async || client.dial(&key.address(), Port::RESPONDER, "a").await.unwrap().reply().await.unwrap_err();
    // There is nothing at its gate.
    assert_eq!(met().await, DialError::Failed);

    client.set_link(Link::Cut);
    assert_eq!(met().await, DialError::TimedOut);
    client.set_link(Link::Up);
    host.set_link(Link::Cut);
    assert_eq!((met().await, host.introductions()), (DialError::Gone, [(key.address(), 0)].into()));
    host.set_link(Link::Silent);
    assert!(tokio::time::timeout(Duration::from_secs(100), met()).await.is_err());
    host.set_link(Link::Up);
    host.deafen();
    assert_eq!((met().await, host.introductions()), (DialError::Gone, [(key.address(), 0)].into()));
    host.replace(&service, &key).await.unwrap();
    assert_eq!((met().await, host.introductions()), (DialError::Failed, [(key.address(), 3)].into()));
}

#[tokio::test]
async fn keys_can_be_forgotten() {
    let engine = FakeNetwork::new().engine(Path::new("/nonexistent"));
    engine.run(true).await;
    engine.add_client_key(&onion(), &ClientKey::from_bytes(&[1; 32]).unwrap()).await.unwrap();

    engine.forget_keys();

    assert_eq!(engine.has_client_key(&onion()).await, Ok(false));
}
