//! The life of an agent's parts: connects them, starts background tasks, and closes everything in order.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::commands::Commands;
use super::execute::Executor;
use super::known::Known;
use super::reconcile::Reconciler;
use super::remotes::Remotes;
use super::serve::Server;
use super::vault::Vault;
use super::wires::{About, Applied, AskAgain, Inputs, Outputs};
use super::world::World;
use crate::engine::OnionEngine;
use crate::forward::dialler::Dialler;
use crate::forward::gate::GateContext;
use crate::forward::reports::Reports;
use crate::model::onion::OnionAddress;
use crate::plan::derive::Process;
use crate::plan::{Observed, derive};
use crate::store::ConfigStore;
use crate::store::apart::all_done;
use crate::store::paths::Paths;

/// How long open sessions may go on when the agent ends.
const DRAIN: Duration = Duration::from_secs(2);
/// How long the agent's end waits for a disk.
const SAVE: Duration = Duration::from_secs(5);
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// See the file's sentence. Dropping it ends what it does by itself, and leaves the rest as it is: a crash.
pub(super) struct Life {
    /// Answers shells.
    pub(super) server: Arc<Server>,
    pub(super) reconciler: Reconciler,
    chores: Vec<AbortHandle>,
}

impl Life {
    /// Connects the rooms with each other, switches the engine on and begins the chores. The loop is [`Life::run`].
    pub(super) async fn begin(
        paths: &Paths,
        world: World,
        store: ConfigStore,
        vault: Arc<Vault>,
        engine: Arc<dyn OnionEngine>,
    ) -> Self {
        let (reconciler, server, first_streams) = wire(paths, world, store, vault, Arc::clone(&engine));
        engine.run(true).await;
        let server = Arc::new(server);
        let erasing = tokio::spawn(erase_used_keys(first_streams, Arc::clone(&server)));
        let settling = tokio::spawn({
            let server = Arc::clone(&server);
            async move { server.commands.changes.keep_settling().await }
        });
        let revoking = tokio::spawn({
            let server = Arc::clone(&server);
            async move { server.commands.clients.keep_revoking().await }
        });
        let by_hand = tokio::spawn({
            let server = Arc::clone(&server);
            async move { server.commands.changes.keep_setting_aside().await }
        });
        let chores = [erasing, settling, revoking, by_hand].map(|chore| chore.abort_handle()).into();
        Self { server, reconciler, chores }
    }

    /// Runs the loop until it is asked to stop.
    pub(super) async fn run(&mut self) {
        self.reconciler.run().await;
    }

    /// Takes no more connections. The chores end, too.
    pub(super) fn refuse(&self) {
        self.chores.iter().for_each(AbortHandle::abort);
        self.reconciler.executor.endpoints.refuse();
    }

    /// Waits a little for open sessions, or until `at_once`, and closes everything: nothing is accepted, then nothing is open, then nothing
    /// runs.
    pub(super) async fn end(&mut self, at_once: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = drained(&self.reconciler) => {}
            () = at_once => tracing::info!("asked to end at once: open sessions are cut off"),
        }
        let seen: Vec<_> = self.reconciler.executor.endpoints.last_seen().collect();
        self.reconciler.close_all().await;
        let saved =
            tokio::time::timeout(SAVE, self.reconciler.vault.clients.save_history(seen.into_iter())).await;
        if saved.is_err() {
            tracing::warn!("the disk does not answer: when clients were seen last is not written down");
        }
        if tokio::time::timeout(SAVE, all_done()).await.is_err() {
            tracing::warn!(
                "the disk does not answer: sockets are left behind, which the next agent replaces"
            );
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.chores.iter().for_each(AbortHandle::abort);
    }
}

/// Connects the rooms with each other.
fn wire(
    paths: &Paths,
    world: World,
    store: ConfigStore,
    vault: Arc<Vault>,
    engine: Arc<dyn OnionEngine>,
) -> (Reconciler, Server, mpsc::UnboundedReceiver<OnionAddress>) {
    let (forgotten_tx, forgotten) = mpsc::unbounded_channel();
    let (gate_tx, gate_events) = mpsc::unbounded_channel();
    let (fetched_tx, fetched) = mpsc::unbounded_channel();
    let (asked_tx, questions) = mpsc::unbounded_channel();
    let (reports, reported) = Reports::new();
    let (first_tx, first_streams) = mpsc::unbounded_channel();
    let dialler = Dialler::new(Arc::clone(&engine), Arc::new(AskAgain(forgotten_tx)), reports);
    let context = GateContext::over(&paths.run, Arc::clone(&world.ports));
    let in_force = store.in_force();
    let status = watch::Sender::new(Arc::new(derive::at_rest(&in_force.borrow().config)));
    let applied = watch::Sender::new(Applied::default());
    let (paused, stop) = (watch::Sender::new(false), watch::Sender::new(false));
    let executor = Executor::new(
        Arc::clone(&engine),
        Arc::clone(&dialler),
        Arc::clone(&vault),
        context,
        world.calendar.clone(),
        gate_tx,
        fetched_tx,
    );
    let server = Server {
        commands: Commands::new(store.clone(), Arc::clone(&vault), world.clone()),
        store,
        calendar: world.calendar.clone(),
        dialler: Arc::clone(&dialler),
        guests: Arc::clone(&executor.endpoints.guests),
        prober: Arc::clone(&executor.prober),
        in_force: in_force.clone(),
        applied: applied.subscribe(),
        status: status.clone(),
        known: Known(asked_tx),
        paused: paused.clone(),
        stop: stop.clone(),
        followed: watch::Sender::new(None),
    };
    let engine_events = engine.events().unwrap_or_else(|| mpsc::unbounded_channel().1);
    let inputs = Inputs {
        config: in_force,
        paused: paused.subscribe(),
        stop: stop.subscribe(),
        engine_state: engine.state(),
        clock_warning: engine.clock_warning(),
        engine_events,
        gate_events,
        fetched,
        forgotten,
        store_answers: vault.store.answers(),
        expired: vault.clients.expired(),
        reported,
        questions,
    };
    let remotes = Remotes::new(Arc::clone(&dialler));
    let reconciler = Reconciler {
        engine,
        dialler,
        executor,
        vault,
        inputs,
        outputs: Outputs { status, applied, first_stream: first_tx },
        about: About {
            started: Instant::now(),
            calendar: world.calendar,
            process: Process { pid: std::process::id(), network: world.network },
        },
        standing: Vec::new(),
        looked: None,
        confirmed: None,
        observed: Observed::default(),
        waiting: Default::default(),
        rekeys: Default::default(),
        checks: Default::default(),
        remotes,
    };
    (reconciler, server, first_streams)
}

/// Erases a client's private key when the client has shown that it has it.
async fn erase_used_keys(mut first_streams: mpsc::UnboundedReceiver<OnionAddress>, server: Arc<Server>) {
    while let Some(address) = first_streams.recv().await {
        let config = Arc::clone(&server.in_force.borrow().config);
        server.commands.clients.first_seen(&config, &address, server.calendar.now()).await;
    }
}

/// Waits until no session is open, or as long as they may take.
async fn drained(reconciler: &Reconciler) {
    let deadline = Instant::now() + DRAIN;
    while reconciler.executor.endpoints.open_sessions() > 0 && Instant::now() < deadline {
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineState;
    use crate::engine::fake::{FakeEngine, FakeNetwork};
    use crate::forward::import::{ImportListener, ImportSpec};
    use crate::ipc::{Request, Response};
    use crate::model::address::{ListenAddr, Port};
    use crate::model::config::{HalfClose, Users};
    use crate::model::edit::Edit;
    use crate::model::keys::ServiceKey;
    use crate::model::problem::Code;
    use crate::store::private;

    fn address_of(seed: u8) -> OnionAddress {
        ServiceKey::from_seed(&zeroize::Zeroizing::new([seed; 32])).address()
    }

    /// An agent at its beginning. Its loop does not run.
    async fn begun(dir: &std::path::Path) -> (Life, Arc<FakeEngine>) {
        let paths = Paths::new(dir.join("config.toml"), dir.join("state")).unwrap();
        private::ensure_dir(&paths.state).unwrap();
        private::ensure_dir(&paths.run).unwrap();
        let (store, world) = (ConfigStore::new(&paths).unwrap(), World::real(&paths));
        store.start().unwrap();
        let vault = Arc::new(Vault::new(&paths, &world));
        let engine = FakeNetwork::new().engine(&paths.run);
        let life = Life::begin(&paths, world, store, vault, Arc::clone(&engine) as _).await;
        (life, engine)
    }

    #[tokio::test]
    async fn a_pause_ends_though_the_configuration_changes_at_the_same_moment() {
        let dir = tempfile::tempdir().unwrap();
        let (mut life, engine) = begun(dir.path()).await;
        let server = Arc::clone(&life.server);
        let mut state = engine.state();
        let told = async {
            server.answer(Request::Pause).await.unwrap();
            assert_eq!(*state.borrow(), EngineState::Stopped);
            // The loop finds both when it is its turn.
            let change = |config: &crate::model::config::Config| {
                let mut config = config.clone();
                config.agent.max_sessions += 1;
                Ok(config)
            };
            server.store.edit(change).unwrap();
            server.paused.send_replace(false);
            let ready = state.wait_for(EngineState::is_ready);
            tokio::time::timeout(Duration::from_secs(30), ready).await.is_ok()
        };
        tokio::select! {
            biased;
            () = life.run() => panic!("nobody has stopped it"),
            is_on = told => assert!(is_on, "tor was not started again"),
        }
    }

    #[tokio::test]
    async fn nothing_is_said_to_be_done_before_the_loop_has_come_to_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("config.toml"),
            "[[export]]\ntarget = \"127.0.0.1:22\"\n\n[client.laptop]\n\
             address = \"2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion\"\n\
             key = \"BEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQ\"\n",
        )
        .unwrap();
        let (life, _engine) = begun(dir.path()).await;
        let (server, port) = (&life.server, Port::new(22).unwrap());
        let client = server.in_force.borrow().config.clients.values().next().unwrap().address;
        let standing = Applied { paused: false, up: [client].into(), ..Applied::default() };
        life.reconciler.outputs.applied.send_replace(standing.clone());
        // Ten seconds each, else.
        tokio::time::pause();

        let add = Edit::AddExport {
            target: "127.0.0.1:80".parse().unwrap(),
            port: None,
            allow_lan: false,
            clients: None,
        };
        let Ok(Response::Done { notes }) = server.answer(Request::Edit(add)).await else {
            panic!("not added")
        };
        assert!(notes.iter().any(|note| note.contains("has not come to this change yet")), "{notes:?}");
        let narrow = Edit::SetExport { port, clients: Some(["laptop".parse().unwrap()].into()) };
        for (request, code) in [
            (Request::Edit(narrow), Code::AgentBehind),
            (Request::Edit(Edit::DeleteExport { port }), Code::AgentBehind),
            (Request::Pause, Code::AgentBehind),
            (Request::DeleteClient { name: "laptop".parse().unwrap() }, Code::ServiceNotDown),
        ] {
            let answer = server.answer(request).await;
            let Err(problem) = answer else { panic!("said to be done: {code}") };
            assert_eq!(problem.code, code, "{problem}");
            assert!(problem.message.contains("not") && problem.hint.len() > 10, "{problem:?}");
        }
        life.reconciler.outputs.applied.send_replace(Applied { paused: true, ..standing });
        let Ok(Response::Done { notes }) = server.answer(Request::Resume).await else {
            panic!("not resumed")
        };
        assert!(notes.iter().any(|note| note.contains("has not come")), "{notes:?}");
    }

    #[tokio::test]
    async fn who_asks_something_has_a_tor_that_failed_tried_again_but_not_while_paused_or_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let (life, engine) = begun(dir.path()).await;
        let server = &life.server;
        let state = engine.state();
        let is_on = || state.borrow().is_ready();
        assert!(is_on());

        // A question that does not wait for the loop, and all that it changes is set back.
        for (paused, stop, tried) in [(false, false, true), (true, false, false), (false, true, false)] {
            server.paused.send_replace(paused);
            server.stop.send_replace(stop);
            engine.lose();
            assert!(matches!(*state.borrow(), EngineState::Failed { .. }));
            server.answer(Request::Stop).await.unwrap();
            assert_eq!(is_on(), tried, "paused: {paused}, at the end: {stop}");
        }
    }
    #[tokio::test]
    async fn the_end_knows_of_a_connection_that_is_open_on_one_side_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (mut life, _engine) = begun(dir.path()).await;
        let (listen, address) = (ListenAddr::Tcp(([127, 0, 0, 1], 0).into()), address_of(1));
        let spec = ImportSpec {
            listen: listen.clone(),
            remote: "website".parse().unwrap(),
            address,
            port: Port::new(22).unwrap(),
            half_close: HalfClose::Hold,
            users: Users::All,
            by: crate::forward::reach::By::Plain,
        };
        let import = ImportListener::open(spec, Arc::clone(&life.reconciler.dialler)).await.unwrap();
        let (at, groups) = (import.tcp_addr().unwrap(), import.groups());
        let endpoints = &mut life.reconciler.executor.endpoints;
        endpoints.listeners.insert(listen.clone(), import);
        assert_eq!(endpoints.open_sessions(), 0);
        assert_eq!((endpoints.groups(&address), endpoints.groups(&address_of(2))), (groups, Vec::new()));

        let app = tokio::net::TcpStream::connect(at).await.unwrap();
        let until = async |open: u64| {
            while endpoints.open_sessions() != open {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), until(1)).await.unwrap();
        assert_eq!(endpoints.import_traffic()[&listen].sessions, 1);
        drop(app);
        // Elsewhere it is not told, and the attempt goes on.
        if cfg!(target_os = "linux") {
            tokio::time::timeout(Duration::from_secs(30), until(0)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_end_waits_for_nothing_where_nothing_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let (life, _engine) = begun(dir.path()).await;
        tokio::time::pause();
        let began = Instant::now();
        drained(&life.reconciler).await;
        assert_eq!(Instant::now(), began);
    }

    #[tokio::test]
    async fn an_agent_that_ends_takes_no_change_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let (life, _engine) = begun(dir.path()).await;
        life.server.stop.send_replace(true);
        let request = Request::Edit(Edit::DeleteExport { port: Port::new(22).unwrap() });
        assert_eq!(life.server.answer(request).await.map(drop).unwrap_err().code, Code::AgentEnding);
    }
}
