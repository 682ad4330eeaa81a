//! Tests of `reconcile`: what the loop does about what it is told.

use super::super::bench::{
    Host, WEBSITE, Website, address, client, client_key, during, logged, port, service_key, soon, until,
};
use super::super::life::Life;
use super::*;
use crate::engine::ServiceSpec;
use crate::engine::fake::{FakeEngine, Faults};
use crate::ipc::{Request, Response};
use crate::model::address::ListenAddr;
use crate::model::keys::ServiceKey;
use crate::model::problem::Code;
use crate::model::status::RemoteState;
use crate::model::tor::DialError;
use crate::secrets::SecretId;

/// A client of this host, to whom it exports a port.
fn exporting() -> String {
    let client = client(1);
    format!(
        "[[export]]\ntarget = \"127.0.0.1:9\"\nport = 22\n\n[client.laptop]\naddress = \"{}\"\nkey = \"{}\"\n",
        client.address, client.key
    )
}

async fn keep_key(host: &Host, key: &ServiceKey) {
    let store = host.stores.files.secrets(crate::model::store_kind::StoreKind::File);
    store.set(SecretId::Service(key.address()), key.to_secret()).await.unwrap();
}

async fn status(life: &Life) -> impl AsyncFn() -> Status + use<> {
    let server = Arc::clone(&life.server);
    async move || match server.answer(Request::Status).await {
        Ok(Response::Status(status)) => *status,
        _ => panic!("no status"),
    }
}

/// Lets the time of timers pass at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn is_reachable(status: &Status) -> bool {
    matches!(status.remotes[0].state, Some(RemoteState::Reachable { .. }))
}

fn dials(engine: &FakeEngine) -> usize {
    engine.dialled().iter().filter(|dialled| dialled.address == address(WEBSITE)).count()
}

#[tokio::test]
async fn a_service_that_lets_a_stranger_in_is_taken_down_and_stays_down() {
    let host = Host::new();
    keep_key(&host, &service_key(1)).await;
    let (mut life, engine) = host.agent(&exporting()).await;
    engine.set_faults(Faults { asks_no_key: true, ..Faults::default() });
    let status = status(&life).await;
    during(&mut life, async {
        loop {
            let problems = status().await.problems;
            if problems.iter().any(|problem| problem.code == Code::ServiceOpen) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        until(|| host.network.services().is_empty()).await;
        pass(Duration::from_secs(40)).await;
        status().await;
        assert_eq!(host.network.services(), []);
    })
    .await;
}

#[tokio::test]
async fn a_word_of_a_stranger_that_nobody_sent_is_not_taken() {
    let host = Host::new();
    let (mut life, _engine) = host.agent(&exporting()).await;
    let reconciler = &mut life.reconciler;
    reconciler.take_report(Report::StrangerLetIn(address(1)), Duration::ZERO);
    assert!(!reconciler.observed.health.is_open(&address(1)), "no check is under way");

    reconciler.checks.begin(&reconciler.engine, reconciler.dialler.reports(), address(1));
    reconciler.observed.keys.insert(address(1), client_key(1).public());
    reconciler.take_report(Report::StrangerLetIn(address(1)), Duration::ZERO);
    assert!(!reconciler.observed.health.is_open(&address(1)), "this host holds the key itself");

    reconciler.observed.keys.clear();
    reconciler.checks.begin(&reconciler.engine, reconciler.dialler.reports(), address(1));
    let said = logged(|| reconciler.take_report(Report::StrangerLetIn(address(1)), Duration::ZERO));
    assert!(reconciler.observed.health.is_open(&address(1)));
    assert!(said.iter().any(|line| line.contains("let a stranger in")), "{said:?}");
}

#[tokio::test]
async fn sockets_that_are_gone_are_made_again() {
    let host = Host::new();
    let (mut life, _engine) = host.agent("").await;
    let gone = [
        Socket::Gate(address(1), port(22)),
        Socket::Listener(ListenAddr::Unix(host.dir.path().join("import"))),
    ];
    let said = logged(|| life.reconciler.take_gone(gone.clone().into()));
    assert!(said.len() == 2 && said.iter().all(|line| line.contains("was removed or replaced")), "{said:?}");
    let again = logged(|| life.reconciler.take_gone([gone[0].clone()].into()));
    assert!(again.is_empty(), "{again:?}");
    assert_eq!(life.reconciler.observed.gone, gone.into());
}

#[tokio::test]
async fn when_a_client_was_seen_last_is_what_its_sessions_say_and_before_them_the_history() {
    let host = Host::new();
    host.vault().clients.saw(address(1), 5).await;
    let (mut life, _engine) = host.agent(&exporting()).await;
    let status = status(&life).await;
    during(&mut life, async { assert_eq!(status().await.clients[0].last_seen, Some(5)) }).await;
    let reconciler = &life.reconciler;
    assert_eq!(reconciler.seen(&address(1)), Some((address(1), 5)));
    assert_eq!(reconciler.seen(&address(2)), None);
    let told = |address| reconciler.client(&address).to_string();
    assert!(told(address(1)).contains("laptop"), "{}", told(address(1)));
    assert_eq!(reconciler.client_name(&address(1)), "laptop");
    assert_eq!(reconciler.client_name(&address(2)), address(2).to_string());
}

#[tokio::test]
async fn a_remote_that_is_back_is_found_as_soon_as_anybody_is_reached() {
    let host = Host::new();
    let website = Website::on(&host.network).await;
    let (mut life, engine) = host.agent("").await;
    let status = status(&life).await;
    let dialler = Arc::clone(&life.reconciler.dialler);
    during(&mut life, async {
        while !is_reachable(&status().await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let remote = address(WEBSITE);
        let report = |outcome| {
            let (took, warm) = (Duration::ZERO, false);
            dialler.reports().tell(Report::Dialled { remote, outcome, took, warm });
        };
        let before = dials(&engine);
        report(Err(DialError::NotPublished));
        until(|| dials(&engine) > before).await;
        while !is_reachable(&status().await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    drop(website);
}

#[tokio::test]
async fn with_a_new_tor_all_is_given_and_tried_again() {
    let host = Host::new();
    keep_key(&host, &service_key(1)).await;
    let website = Website::on(&host.network).await;
    let (mut life, engine) = host.agent(&exporting()).await;
    let ours = || host.network.services().iter().any(|ServiceSpec { address: of, .. }| *of == address(1));
    during(&mut life, async {
        until(|| ours() && dials(&engine) > 0).await;
        let before = dials(&engine);
        engine.lose();
        assert!(!ours());
        engine.recover();
        until(|| ours() && dials(&engine) > before).await;
    })
    .await;
    drop(website);
}

#[tokio::test]
async fn while_somebody_looks_network_and_remotes_are_proven_again_and_else_not() {
    let host = Host::new();
    let website = Website::on(&host.network).await;
    let (mut life, engine) = host.agent("").await;
    let (server, status) = (Arc::clone(&life.server), status(&life).await);
    let proven = async || {
        let look = |view: &View<'_>, _: &[Problem]| {
            (view.observed.health.network().map(|known| known.proven), view.now)
        };
        server.known.ask(look).await.unwrap()
    };
    during(&mut life, async {
        while !is_reachable(&status().await) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        soon(async { while proven().await.0.is_none() {} }).await;
        // A question is a look, so the first one after a long time finds an old proof, and the next a new one.
        pass(Duration::from_secs(40)).await;
        let before = dials(&engine);
        let (old, now) = proven().await;
        assert!(now - old.unwrap() > Duration::from_secs(30), "nobody looked, and it was proven");
        soon(async {
            loop {
                let (new, now) = proven().await;
                if now - new.unwrap() <= TICK {
                    break;
                }
            }
        })
        .await;
        until(|| dials(&engine) > before).await;
    })
    .await;
    drop(website);
}

#[tokio::test]
async fn no_status_is_made_while_nobody_looks() {
    let host = Host::new();
    let (mut life, _engine) = host.agent("").await;
    let made = |life: &Life| Arc::clone(&life.reconciler.outputs.status.borrow());
    let before = made(&life);
    life.reconciler.reconcile().await;
    assert!(Arc::ptr_eq(&before, &made(&life)));

    let mut looking = life.reconciler.outputs.status.subscribe();
    life.reconciler.reconcile().await;
    assert!(!Arc::ptr_eq(&before, &made(&life)));
    assert!(looking.has_changed().unwrap());
    looking.borrow_and_update();
    tokio::time::pause();
    life.reconciler.reconcile().await;
    looking.borrow_and_update();
    life.reconciler.reconcile().await;
    assert!(!looking.has_changed().unwrap(), "it is told what it knows");
}

#[tokio::test]
async fn what_nobody_looks_at_and_a_host_that_is_paused_are_not_confirmed() {
    let host = Host::new();
    let (mut life, _engine) = host.agent("").await;
    life.reconciler.reconcile().await;
    assert_eq!(life.reconciler.confirmed, None);
    let _looking = life.reconciler.outputs.status.subscribe();
    life.server.paused.send_replace(true);
    life.reconciler.reconcile().await;
    assert_eq!(life.reconciler.confirmed, None);
    life.server.paused.send_replace(false);
    life.reconciler.reconcile().await;
    assert!(life.reconciler.confirmed.is_some());
}

#[tokio::test]
async fn somebody_looks_who_watches_or_has_just_asked() {
    let host = Host::new();
    let (mut life, _engine) = host.agent("").await;
    let reconciler = &mut life.reconciler;
    assert!(!reconciler.is_watched());
    let watch = reconciler.outputs.status.subscribe();
    assert!(reconciler.is_watched());
    drop(watch);
    assert!(!reconciler.is_watched());
    tokio::time::pause();
    reconciler.looked = Some(reconciler.now());
    assert!(reconciler.is_watched());
    tokio::time::advance(LOOK).await;
    assert!(!reconciler.is_watched());
}
