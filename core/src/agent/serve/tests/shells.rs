//! Tests of `serve` from a shell's end: over the agent's own socket, with its loop, and with another host.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::super::bench::{
    Host, WEBSITE, Website, address, client, during, port, service_key, soon, until,
};
use super::super::super::life::Life;
use super::*;
use crate::engine::OnionEngine as _;
use crate::engine::fake::{FakeEngine, Faults};
use crate::ipc::client::{Client, Greeted};
use crate::ipc::pieces::Pieces;
use crate::model::layer::LayerName;

struct Bench {
    host: Shells,
    life: Life,
    engine: Arc<FakeEngine>,
    website: Website,
}

/// An agent that serves its socket, with a remote that is up.
async fn bench(text: &str) -> Bench {
    let host = Host::new();
    let website = Website::on(&host.network).await;
    let (life, engine) = host.agent(text).await;
    let listener = Listener::bind(&host.paths.socket()).unwrap();
    tokio::spawn(Arc::clone(&life.server).run(listener));
    Bench { host: Shells(host), life, engine, website }
}

fn nc(number: u16) -> Request {
    Request::Connect { remote: "website".parse().unwrap(), port: port(number) }
}

/// A host whose agent is asked over its socket.
struct Shells(Host);

impl Shells {
    async fn shell(&self) -> Client {
        Greeted::connect(&self.0.paths.socket(), &self.0.paths.agent_pid())
            .await
            .unwrap()
            .unwrap()
            .understood()
            .unwrap()
    }

    async fn ask(&self, request: Request) -> Result<Response, Problem> {
        soon(self.shell().await.ask(&request)).await
    }

    /// As `ormesh nc` does; what it is told meanwhile is collected.
    async fn nc(
        &self,
        number: u16,
        told: &mut Vec<String>,
    ) -> Result<Pieces<transport::Connection>, Problem> {
        let shell = self.shell().await;
        soon(shell.connect_remote(&nc(number), |what| told.push(what.to_owned()))).await
    }

    async fn status(&self) -> Status {
        match self.ask(Request::Status).await {
            Ok(Response::Status(status)) => *status,
            _ => panic!("no status"),
        }
    }
}

/// Why a connection failed that had been made.
async fn failure(mut near: Pieces<transport::Connection>) -> Problem {
    assert!(soon(near.read_to_end(&mut Vec::new())).await.is_err(), "it ended in order");
    near.failure().await
}

#[tokio::test]
async fn an_agent_is_found_where_one_runs_and_nowhere_else() {
    let alone = Host::new();
    assert!(crate::agent::connect(&alone.paths).await.unwrap().is_none());
    let Bench { host, .. } = bench("").await;
    assert!(soon(crate::agent::connect(&host.0.paths)).await.unwrap().is_some());
}

#[tokio::test]
async fn nc_carries_bytes_both_ways_and_their_end() {
    let Bench { host, mut life, website, .. } = bench("").await;
    let guests = Arc::clone(&life.server.guests);
    during(&mut life, async {
        let mut near = host.nc(22, &mut Vec::new()).await.unwrap();
        assert_eq!(guests.open(), 1);
        near.write_all(b"hello").await.unwrap();
        let (mut far, _) = website.backend.accept().await.unwrap();
        let mut heard = [0; 5];
        far.read_exact(&mut heard).await.unwrap();
        far.write_all(b"good-bye").await.unwrap();
        drop(far);
        let mut heard = Vec::new();
        near.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"good-bye");
        until(|| guests.open() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn nc_is_told_why_the_far_side_ends_it_without_a_byte() {
    let Bench { host, mut life, mut website, .. } = bench("").await;
    during(&mut life, async {
        let near = host.nc(22, &mut Vec::new()).await.unwrap();
        // A server that takes it and says nothing has ended it in order.
        drop(website.backend.accept().await.unwrap());
        let mut near = near;
        near.read_to_end(&mut Vec::new()).await.unwrap();

        website.sessions.set_cap(0);
        let full = failure(host.nc(22, &mut Vec::new()).await.unwrap()).await;
        assert_eq!(full.code, Code::FullThere);
        website.sessions.set_cap(100);

        let addr = website.backend.local_addr().unwrap();
        website.backend = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // What was found out of the backend before is believed for some seconds.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::time::resume();
        let closed = failure(host.nc(22, &mut Vec::new()).await.unwrap()).await;
        assert_eq!(closed.code, Code::NoBackendThere, "{addr}: {closed}");
    })
    .await;
}

#[tokio::test]
async fn nc_is_refused_where_there_is_no_way() {
    let Bench { host, mut life, website: _up, .. } = bench("").await;
    during(&mut life, async {
        let refused = async |number| host.nc(number, &mut Vec::new()).await.map(drop).unwrap_err();
        assert_eq!(refused(80).await.code, Code::PortNotGranted);
        let unknown = Request::Connect { remote: "nas".parse().unwrap(), port: port(22) };
        let unknown = host.ask(unknown).await.map(drop).unwrap_err();
        assert!(unknown.message.contains("nas"), "{unknown}");

        host.ask(Request::Pause).await.unwrap();
        assert_eq!(refused(22).await.code, Code::AgentPaused);
        let ping = Request::Ping { remote: "website".parse().unwrap(), port: None };
        assert_eq!(host.ask(ping).await.map(drop).unwrap_err().code, Code::AgentPaused);
        host.ask(Request::Resume).await.unwrap();
        host.nc(22, &mut Vec::new()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn nc_is_told_once_what_it_waits_for_and_leaves_nothing_when_it_gives_up() {
    let Bench { host, mut life, engine, website: _up } = bench("").await;
    let guests = Arc::clone(&life.server.guests);
    during(&mut life, async {
        drop(host.nc(22, &mut Vec::new()).await.unwrap());
        until(|| guests.open() == 0).await;
        engine.pretend(EngineState::Starting);
        let mut told = Vec::new();
        let ready = async {
            until(|| guests.open() == 1).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            engine.pretend(EngineState::Ready);
        };
        let (near, ()) = tokio::join!(host.nc(22, &mut told), ready);
        near.unwrap();
        assert_eq!(told, ["waiting for tor to start"]);

        engine.set_faults(Faults { hang: true, ..Faults::default() });
        let told = std::sync::Mutex::new(Vec::new());
        let slow = async {
            let tell = |what: &str| told.lock().unwrap().push(what.to_owned());
            let _ = host.shell().await.connect_remote(&nc(22), tell).await;
        };
        let began = Instant::now();
        tokio::select! {
            () = slow => panic!("it hangs"),
            () = until(|| !told.lock().unwrap().is_empty()) => {}
        }
        assert!(began.elapsed() >= SLOW, "it is not slow yet");
        assert_eq!(told.into_inner().unwrap(), ["waiting for website: a way through Tor is being built"]);
        until(|| guests.open() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_ping_finds_the_port_that_is_there_full_or_without_a_server() {
    let Bench { host, mut life, website, .. } = bench("").await;
    let (server, sessions) = (Arc::clone(&life.server), Arc::clone(&website.sessions));
    during(&mut life, async move {
        let ping = async |number: Option<u16>| {
            let port = number.map(port);
            host.ask(Request::Ping { remote: "website".parse().unwrap(), port }).await.map(
                |pong| match pong {
                    Response::Pong(pong) => pong,
                    _ => panic!("no answer to a ping"),
                },
            )
        };
        let pong = ping(None).await.unwrap();
        assert_eq!(pong.address, address(WEBSITE));
        assert!(pong.round_trip.is_some());
        assert_eq!(pong.ports, [PortTold { port: port(22), open: true }]);
        assert_eq!(ping(Some(22)).await.unwrap().ports, pong.ports);
        assert_eq!(ping(Some(80)).await.unwrap_err().code, Code::PortNotGranted);

        sessions.set_cap(0);
        assert_eq!(ping(Some(22)).await.unwrap_err().code, Code::FullThere);
        assert!(ping(None).await.is_ok(), "it is there");
        sessions.set_cap(100);

        drop(website.backend);
        tokio::time::pause();
        // Until nobody says any more that it was full, and the backend is asked anew.
        tokio::time::advance(Duration::from_secs(20)).await;
        tokio::time::resume();
        assert_eq!(ping(Some(22)).await.unwrap_err().code, Code::NoBackendThere);

        let plain = |config: &crate::model::config::Config| {
            let mut config = config.clone();
            config.remotes.get_mut(&"website".parse().unwrap()).unwrap().plain_tor = true;
            Ok(config)
        };
        server.store.edit(plain).unwrap();
        assert_eq!(ping(None).await.unwrap_err().code, Code::PlainTor);
        let pong = ping(Some(22)).await.unwrap();
        assert_eq!((pong.round_trip, pong.ports), (None, vec![]));
    })
    .await;
}

#[tokio::test]
async fn status_is_confirmed_before_it_is_shown_where_that_takes_a_moment() {
    let Bench { host, mut life, engine, website: _up } = bench("").await;
    during(&mut life, async {
        host.ask(Request::Ping { remote: "website".parse().unwrap(), port: None }).await.unwrap();
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(20)).await;
        tokio::time::resume();
        let status = host.status().await;
        assert_eq!(status.agent.unwrap().unconfirmed, None);
        assert_eq!(status.remotes[0].unconfirmed, None);

        // Where it can't be, that is shown after a moment.
        engine.set_faults(Faults { hang: true, ..Faults::default() });
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(20)).await;
        tokio::time::resume();
        let began = Instant::now();
        let status = host.status().await;
        assert!(status.remotes[0].unconfirmed.is_some_and(|age| age >= 20), "{:?}", status.remotes[0]);
        assert!(began.elapsed() >= CONFIRM, "it was given no time");
    })
    .await;
}

#[tokio::test]
async fn who_watches_is_told_now_and_at_each_change() {
    let Bench { host, mut life, website: _up, .. } = bench("").await;
    during(&mut life, async {
        let mut watch = host.shell().await.watch().await.unwrap();
        assert!(watch.next().await.unwrap().exports.is_empty());
        let target = "127.0.0.1:80".parse().unwrap();
        let add = Edit::AddExport { target, port: None, allow_lan: false, clients: None };
        host.ask(Request::Edit(add)).await.unwrap();
        while watch.next().await.unwrap().exports.is_empty() {}
    })
    .await;
}

#[tokio::test]
async fn an_import_that_can_not_listen_yet_is_accepted_and_that_is_said() {
    let Bench { host, mut life, website: _up, .. } = bench("").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    during(&mut life, async {
        let import = |listen: std::net::SocketAddr| {
            Request::Edit(Edit::AddImport {
                remote: "website".parse().unwrap(),
                remote_port: port(22),
                listen: crate::model::address::ListenAddr::Tcp(listen),
                half_close: Default::default(),
                users: None,
                session: None,
                hold: None,
            })
        };
        let listen = taken.local_addr().unwrap();
        let Ok(Response::Done { notes }) = host.ask(import(listen)).await else { panic!("refused") };
        let said =
            |note: &String| note.contains(": it is tried again by itself; ") && note.contains("another port");
        assert!(notes.iter().any(said), "{notes:?}");
        let Ok(Response::Layers(layers)) = host.ask(Request::Doctor { remote: None }).await else {
            panic!("no layers")
        };
        assert!(!layers.is_empty());
        let unknown = Request::Doctor { remote: Some("nas".parse().unwrap()) };
        assert!(host.ask(unknown).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn doctor_tries_the_remotes_it_is_asked_about() {
    let other = crate::agent::bench::client(7);
    let text = format!("[remote.away]\naddress = \"{}\"\nkey = \"{}\"\n", other.address, other.key);
    let Bench { host, mut life, website: _up, .. } = bench(&text).await;
    during(&mut life, async {
        for (asked, names) in [(None, &["away", "website"][..]), (Some("website"), &["website"])] {
            let remote = asked.map(|name| name.parse().unwrap());
            let Ok(Response::Layers(layers)) = host.ask(Request::Doctor { remote }).await else {
                panic!("no layers")
            };
            let of = |name: &str, layer: LayerName| {
                let found =
                    layers.iter().find(|one| one.layer == layer && one.remote == Some(name.parse().unwrap()));
                found.map(|layer| layer.ok)
            };
            let met: Vec<_> =
                ["away", "website"].iter().map(|name| of(name, LayerName::Rendezvous)).collect();
            let expected = match names {
                [_, _] => [Some(Some(false)), Some(Some(true))],
                _ => [None, Some(Some(true))],
            };
            assert_eq!(met, expected, "{layers:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn doctor_finds_the_exports_behind_which_nothing_listens() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let open = server.local_addr().unwrap();
    let export = |target| format!("[[export]]\ntarget = \"{target}\"\n");
    for (text, is_missed) in [(export(open), false), (export(open) + &export(closed), true)] {
        let Bench { host, mut life, website: _up, .. } = bench(&text).await;
        during(&mut life, async {
            let Ok(Response::Layers(layers)) = host.ask(Request::Doctor { remote: None }).await else {
                panic!("no layers")
            };
            let says = |target: std::net::SocketAddr| {
                layers.iter().any(|layer| layer.sentence.contains(&target.to_string()))
            };
            assert_eq!((says(open), says(closed)), (false, is_missed), "{layers:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_is_out_when_it_is_said_to_be_and_though_the_file_can_not_be_changed() {
    for is_spoilt in [false, true] {
        let client = client(1);
        let (address, key) = (client.address, client.key);
        let text = format!(
            "[[export]]\ntarget = \"127.0.0.1:9\"\nport = 22\n\n[client.laptop]\naddress = \"{address}\"\nkey = \"{key}\"\n"
        );
        let Bench { host, mut life, website: _up, .. } = bench(&text).await;
        let store = host.0.stores.files.secrets(crate::model::store_kind::StoreKind::File);
        store.set(crate::secrets::SecretId::Service(address), service_key(1).to_secret()).await.unwrap();
        let is_up = || host.0.network.services().iter().any(|service| service.address == address);
        let server = Arc::clone(&life.server);
        during(&mut life, async {
            until(is_up).await;
            if is_spoilt {
                let text = std::fs::read_to_string(&host.0.paths.config).unwrap();
                std::fs::write(&host.0.paths.config, format!("{text}\nnonsense")).unwrap();
            }
            let deleted = host.ask(Request::DeleteClient { name: "laptop".parse().unwrap() }).await;

            assert!(!is_up(), "it was said to be out");
            assert!(server.in_force.borrow().config.clients.is_empty());
            match is_spoilt {
                false => assert!(matches!(deleted, Ok(Response::Done { .. }))),
                true => {
                    let problem = deleted.map(drop).unwrap_err();
                    assert!(problem.message.starts_with("laptop is cut off, but "), "{problem}");
                    assert!(problem.hint.contains("also tries again by itself"), "{}", problem.hint);
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn how_many_connections_end_with_a_client_is_said() {
    let backend = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, target) = (client(1), backend.local_addr().unwrap());
    let text = format!(
        "[[export]]\ntarget = \"{target}\"\nport = 22\n\n[client.laptop]\naddress = \"{}\"\nkey = \"{}\"\n",
        client.address, client.key
    );
    let Bench { host, mut life, website: _up, .. } = bench(&text).await;
    let store = host.0.stores.files.secrets(crate::model::store_kind::StoreKind::File);
    store.set(crate::secrets::SecretId::Service(client.address), service_key(1).to_secret()).await.unwrap();
    let gate = || {
        let services = host.0.network.services();
        services.iter().find(|service| service.address == client.address)?.ports.get(&port(22)).cloned()
    };
    during(&mut life, async {
        until(|| gate().is_some()).await;
        let Some(crate::engine::GateAddr::Unix(name)) = gate() else { panic!("not a Unix socket") };
        // As tor does: from the run directory.
        let _far = tokio::net::UnixStream::connect(host.0.paths.run.join(name)).await.unwrap();
        backend.accept().await.unwrap();
        let delete = Request::DeleteClient { name: "laptop".parse().unwrap() };
        let Ok(Response::Done { notes }) = host.ask(delete).await else { panic!("not deleted") };
        assert!(notes.iter().any(|note| note == "1 open connection of it was ended"), "{notes:?}");
    })
    .await;
}

#[tokio::test]
async fn a_key_that_tor_has_forgotten_is_given_to_it_again_for_who_needs_it() {
    let Bench { host, mut life, engine, website: _up } = bench("").await;
    during(&mut life, async {
        host.nc(22, &mut Vec::new()).await.unwrap();
        engine.forget_keys();
        host.nc(22, &mut Vec::new()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn of_a_remote_that_is_deleted_tor_keeps_no_key() {
    let Bench { host, mut life, engine, website: _up } = bench("").await;
    during(&mut life, async {
        host.nc(22, &mut Vec::new()).await.unwrap();
        host.ask(Request::DeleteRemote { name: "website".parse().unwrap() }).await.unwrap();
        assert_eq!(engine.has_client_key(&address(WEBSITE)).await, Ok(false));
        assert_eq!(host.0.stores.files.ids(), []);
    })
    .await;
}

#[tokio::test]
async fn a_file_that_was_changed_is_in_force_after_a_reload_and_a_bad_one_is_not() {
    let Bench { host, life, website: _up, .. } = bench("").await;
    let (server, before) = (&life.server, life.server.in_force.borrow().generation);
    let text = std::fs::read_to_string(&host.0.paths.config).unwrap();
    std::fs::write(&host.0.paths.config, format!("[[export]]\ntarget = \"127.0.0.1:80\"\n{text}")).unwrap();
    assert_eq!(server.reload().await, before + 1);
    assert_eq!(server.in_force.borrow().config.exports.len(), 1);
    std::fs::write(&host.0.paths.config, "nonsense").unwrap();
    assert_eq!(server.reload().await, before + 1);
    assert_eq!(server.in_force.borrow().config.exports.len(), 1);
}
