//! Starts and stops the agent process: its lock, its signals and its log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::commands::Commands;
use super::environment;
use super::follow_tor;
use super::life::Life;
use super::places::{finder, var};
use super::serve::Server;
use super::signals::{Asked, Signals};
use super::vault::Vault;
use super::world::World;
use crate::engine::OnionEngine;
use crate::engine::ctor::{CTor, TorSettings};
use crate::ipc::transport::{self, Listener};
use crate::model::config::Config;
use crate::model::problem::{Code, Problem, catalogue};
use crate::store::lock::{self, Lock};
use crate::store::paths::Paths;
use crate::store::watch::FileWatch;
use crate::store::{ConfigStore, private};

/// How often the lock of an agent is tried before another one is taken to run: commands hold it for a moment to see whether it is held.
const LOOKS: usize = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Between two tries for the lock of an agent that stands by.
const STAND_BY: Duration = Duration::from_secs(1);

/// How an agent runs, besides its configuration.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Take a tor that is older than the oldest safe one: for private networks.
    pub allow_old_tor: bool,
    /// The program that becomes tor when asked (see [`CTor::set_launcher`]).
    pub launcher: Option<PathBuf>,
}

/// Runs an agent until it is asked to stop: by a signal that ends, or by [`crate::ipc::Request::Stop`].
///
/// Errors: another agent runs on this state directory (under systemd it is waited for instead); a configuration that can't be read at
/// start; directories that are not private.
pub async fn run(paths: Paths, options: RunOptions) -> Result<(), Problem> {
    private::harden_process();
    private::raise_open_files();
    private::ensure_dir(&paths.state)?;
    private::ensure_dir(&paths.run)?;
    let mut signals = Signals::new()?;
    // systemd says so.
    let is_service = std::env::var_os("INVOCATION_ID").is_some();
    let Some(lock) = take_lock(&paths, &mut signals, is_service).await? else { return Ok(()) };
    let _ = std::fs::write(paths.agent_pid(), std::process::id().to_string());

    let (paths, lost) = environment::writable(&paths)?;
    let store = ConfigStore::new(&paths)?;
    store.set_given(lost);
    private::ensure_parent(&paths.config)?;
    // Watched before it is read, so that no change falls in between.
    let watch = FileWatch::start(store.clone())?;
    store.start()?;
    let world = World::real(&paths);
    let vault = Arc::new(Vault::new(&paths, &world));
    if store.in_force().borrow().problem.is_none() {
        let commands = Commands::new(store.clone(), Arc::clone(&vault), world.clone());
        environment::apply(&store, &commands).await?;
    }
    let config = Arc::clone(&store.in_force().borrow().config);
    if let Some(note) = secrets_note(&config) {
        tracing::info!("{note}");
    }

    let tor = CTor::new(tor_settings(&paths)?, finder(&config, options.allow_old_tor));
    tor.set_bridges(config.agent.bridges.clone());
    if let Some(launcher) = options.launcher.clone() {
        tor.set_launcher(launcher);
    }
    let engine: Arc<dyn OnionEngine> = Arc::clone(&tor) as _;
    let listener = Listener::bind(&paths.socket()).map_err(|error| {
        Problem::new(
            Code::FileFailed,
            format!("failed to listen for commands at {}: {error}", paths.socket().display()),
        )
    })?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "the agent starts");
    let mut life = Life::begin(&paths, world, store, vault, engine).await;
    let server = Arc::clone(&life.server);
    let serving = tokio::spawn(Arc::clone(&server).run(listener));
    let choosing = tokio::spawn(follow_tor::follow(
        tor,
        server.in_force.clone(),
        Arc::clone(&server.dialler),
        server.followed.clone(),
        options.allow_old_tor,
    ));
    let mut stopped = server.stop.subscribe();
    let stop = server.stop.clone();
    // Apart from what waits for signals: a disk may keep it waiting.
    let reload_asked = Arc::new(Notify::new());
    let reloading = tokio::spawn({
        let (reload_asked, server) = (Arc::clone(&reload_asked), Arc::clone(&server));
        async move {
            loop {
                reload_asked.notified().await;
                reload(&server).await;
            }
        }
    });
    let asked = tokio::spawn(async move {
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Reload => reload_asked.notify_one(),
                    Asked::End => {
                        tracing::info!("asked to end by a signal");
                        break;
                    }
                },
                () = async { drop(stopped.wait_for(|stop| *stop).await) } => {
                    tracing::info!("asked to end by a command");
                    break;
                }
            }
        }
        stop.send_replace(true);
        signals
    });
    life.run().await;

    // From here on nothing is accepted, then nothing is open, then nothing runs.
    drop(watch);
    reloading.abort();
    choosing.abort();
    life.refuse();
    let mut signals = asked.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    life.end(signals.end()).await;
    serving.abort();
    let _ = std::fs::remove_file(paths.socket());
    let _ = std::fs::remove_file(paths.agent_pid());
    tracing::info!("the agent has ended");
    drop(lock);
    Ok(())
}

/// Takes the agent's lock. A service stands by until the lock is free; elsewhere the error names the holder. None if asked to stop.
async fn take_lock(paths: &Paths, signals: &mut Signals, is_service: bool) -> Result<Option<Lock>, Problem> {
    let mut said = false;
    let mut looks = 0;
    loop {
        let taken = lock::try_lock(&paths.agent_lock())
            .map_err(|error| catalogue::cannot_lock(&paths.agent_lock(), &error))?;
        if let Some(lock) = taken {
            return Ok(Some(lock));
        }
        looks += 1;
        if looks < LOOKS {
            tokio::time::sleep(LOOK_AGAIN).await;
            continue;
        }
        let pid = std::fs::read_to_string(paths.agent_pid()).ok();
        let holder = pid
            .as_ref()
            .map_or_else(|| "another process".to_owned(), |pid| format!("process {}", pid.trim()));
        if !is_service {
            let kill = pid.and_then(|pid| pid.trim().parse().ok());
            let kill = kill.map_or_else(String::new, |pid| format!(", or {}", transport::ended_by(pid)));
            return Err(Problem::new(Code::AgentRuns, format!("an agent runs already: {holder}")).hint(
                format!("`ormesh agent stop` ends it{kill}; a second agent needs a state directory of its own (ORMESH_STATE)"),
            ));
        }
        if !said {
            tracing::info!("an agent runs already ({holder}); standing by until it ends");
            said = true;
        }
        tokio::select! {
            () = tokio::time::sleep(STAND_BY) => {}
            () = signals.end() => return Ok(None),
        }
    }
}

fn secrets_note(config: &Config) -> Option<String> {
    config.agent.secrets.map(|kind| format!("secrets are kept in: {kind}"))
}

fn tor_settings(paths: &Paths) -> Result<TorSettings, Problem> {
    let network_lines = var("ORMESH_TOR_NETWORK").map(|path| {
        std::fs::read_to_string(&path).map_err(|error| {
            Problem::new(
                Code::BadEnvironment,
                format!("failed to read ORMESH_TOR_NETWORK {}: {error}", path.display()),
            )
        })
    });
    Ok(TorSettings {
        data_dir: paths.tor(),
        run_dir: paths.run.clone(),
        network_lines: network_lines.transpose()?,
        disable_network: false,
    })
}

/// Reads the configuration again and says in the log what was read.
async fn reload(server: &Server) {
    if server.store.is_being_written() {
        tracing::info!(
            "asked to read the configuration again, which is being written: it is read when that is done"
        );
        return;
    }
    let before = server.in_force.borrow().generation;
    let generation = server.reload().await;
    let in_force = server.in_force.borrow();
    let config = &in_force.config;
    tracing::info!(
        changed = generation != before,
        in_force = in_force.problem.is_none(),
        exports = config.exports.len(),
        clients = config.clients.len(),
        remotes = config.remotes.len(),
        "asked to read the configuration again"
    );
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::bench::Host;
    use super::*;

    #[tokio::test]
    async fn the_second_agent_is_told_of_the_first_one() {
        let host = Host::new();
        let mut signals = Signals::new().unwrap();
        let first = take_lock(&host.paths, &mut signals, false).await.unwrap();
        assert!(first.is_some());
        std::fs::write(host.paths.agent_pid(), "4711\n").unwrap();

        let second = take_lock(&host.paths, &mut signals, false).await.map(drop).unwrap_err();
        assert_eq!(second.code, Code::AgentRuns);
        assert!(second.message.ends_with("process 4711") && second.hint.contains("4711"), "{second}");

        drop(first);
        assert!(take_lock(&host.paths, &mut signals, false).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn who_is_asked_to_reads_the_configuration_again() {
        let host = Host::new();
        let (life, _engine) = host.agent("").await;
        let text = std::fs::read_to_string(&host.paths.config).unwrap();
        std::fs::write(&host.paths.config, format!("[[export]]\ntarget = \"127.0.0.1:80\"\n{text}")).unwrap();
        reload(&life.server).await;
        assert_eq!(life.server.in_force.borrow().config.exports.len(), 1);
    }

    #[test]
    fn the_log_says_where_secrets_are_kept_once_that_was_chosen() {
        let mut config = super::super::bench::config("");
        assert_eq!(secrets_note(&config).as_deref(), Some("secrets are kept in: file"));
        config.agent.secrets = None;
        assert_eq!(secrets_note(&config), None);
    }
}
