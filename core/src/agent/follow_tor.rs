//! Restarts tor when the configuration names another tor program or other bridges, because tor's settings are never changed while it runs.
//! A restart ends sessions, so it first checks whether anything would be different.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::places::finder;
use crate::engine::ctor::{CTor, NotFound};
use crate::engine::{EngineState, OnionEngine as _};
use crate::forward::dialler::Dialler;
use crate::forward::reports::Reports;
use crate::model::config::Config;
use crate::model::status::TorStatus;
use crate::plan::health::Report;
use crate::store::InForce;
use crate::store::apart::apart;

/// How far it has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Followed {
    /// The generation of the configuration that was looked at.
    pub(super) generation: u64,
    /// What follows from what changed in it, one sentence each.
    pub(super) notes: Vec<String>,
}

/// What a look for tor has come to.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    /// Whether tor must be restarted.
    restart: bool,
    notes: Vec<String>,
}

/// Returns when the configuration is watched no more.
pub(super) async fn follow(
    tor: Arc<CTor>,
    mut in_force: watch::Receiver<InForce>,
    dialler: Arc<Dialler>,
    followed: watch::Sender<Option<Followed>>,
    allow_old: bool,
) {
    let settings = |config: &Config| (config.agent.tor_path.clone(), config.agent.bridges.clone());
    let (generation, mut before) = {
        let now = in_force.borrow_and_update();
        (now.generation, settings(&now.config))
    };
    followed.send_replace(Some(Followed { generation, notes: Vec::new() }));
    while in_force.changed().await.is_ok() {
        let now = in_force.borrow_and_update().clone();
        let wanted = settings(&now.config);
        let tell = |notes| {
            followed.send_replace(Some(Followed { generation: now.generation, notes }));
        };
        if wanted == before {
            tell(Vec::new());
            continue;
        }
        let other_bridges = wanted.1 != before.1;
        before = wanted;
        tor.set_finder(finder(&now.config, allow_old));
        tor.set_bridges(now.config.agent.bridges.clone());
        let found = tor.look().await;
        let is_running =
            |state: &EngineState| !matches!(state, EngineState::Stopped | EngineState::Failed { .. });
        let running = tor.info().filter(|_| is_running(&tor.state().borrow()));
        let verdict = judge(running.as_ref(), &found, is_same(running.as_ref(), &found).await, other_bridges);
        tracing::info!(restart = verdict.restart, "another tor, or other bridges, were configured");
        tell(verdict.notes);
        let is_paused = *tor.state().borrow() == EngineState::Stopped;
        if verdict.restart || is_tried_anew(running.is_some(), is_paused) {
            tor.run(false).await;
            tor.run(true).await;
        } else if let Some(running) = running {
            told(&tor, dialler.reports(), running, &found);
        }
    }
}

/// Waits at most so long until a generation was looked at, and gives what follows from it. Nothing where nobody looks.
pub(super) async fn notes(
    mut followed: watch::Receiver<Option<Followed>>,
    generation: u64,
    at_most: Duration,
) -> Vec<String> {
    let come = followed
        .wait_for(|followed| followed.as_ref().is_none_or(|followed| followed.generation >= generation));
    let come = tokio::time::timeout(at_most, come).await;
    let followed = come.ok().and_then(Result::ok).and_then(|followed| followed.clone());
    followed.map_or_else(Vec::new, |followed| followed.notes)
}

fn judge(
    running: Option<&TorStatus>,
    found: &Result<TorStatus, NotFound>,
    is_same: bool,
    other_bridges: bool,
) -> Verdict {
    let passed_over = match found {
        Ok(found) => found.passed_over.clone(),
        Err(none) => Some(none.why.clone()),
    };
    // With no tor to be found the one that runs goes on, unless it enters the network by another way than is wanted.
    let restart = running.is_some() && (other_bridges || found.is_ok() && !is_same);
    let goes_on = running.filter(|_| !restart);
    let taken = goes_on.or(found.as_ref().ok());
    let notes = passed_over.into_iter().map(|why| match taken {
        Some(tor) => format!("{why}; tor {} at {} is used", tor.version, tor.path.display()),
        None => why,
    });
    let restarts = restart.then(|| "tor is started anew for that, which ends open sessions".to_owned());
    Verdict { restart, notes: notes.chain(restarts).collect() }
}

/// Whether a tor that does not run is tried with the new settings at once: it failed, or waits to be tried again.
fn is_tried_anew(runs: bool, is_paused: bool) -> bool {
    !runs && !is_paused
}

/// Whether what was found is the program that runs, by whatever path.
async fn is_same(running: Option<&TorStatus>, found: &Result<TorStatus, NotFound>) -> bool {
    let (Some(running), Ok(found)) = (running, found) else { return false };
    let (a, b) = (running.path.clone(), found.path.clone());
    apart(move || a == b || real(&a).is_some_and(|a| real(&b) == Some(a))).await
}

fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

/// The tor that runs goes on: says what is known by now of where it, and another, was looked for.
fn told(tor: &CTor, reports: &Reports, running: TorStatus, found: &Result<TorStatus, NotFound>) {
    let now = match found {
        Ok(found) => found.clone(),
        Err(none) => TorStatus { passed_over: Some(none.why.clone()), ..running },
    };
    tor.know(now.clone());
    reports.tell(Report::Tor(now));
}

#[cfg(test)]
mod tests {
    use super::super::bench::{Host, soon};
    use super::*;
    use crate::engine::ctor::TorSettings;

    fn tor(path: &str, passed_over: Option<&str>) -> TorStatus {
        TorStatus {
            version: "0.4.9.11".into(),
            path: path.into(),
            found: "PATH".into(),
            passed_over: passed_over.map(str::to_owned),
        }
    }

    #[test]
    fn tor_is_started_anew_for_another_program_or_other_bridges_and_for_nothing_else() {
        let running = tor("/usr/bin/tor", None);
        let none = || Err(NotFound { why: "/x could not be run".into(), hint: String::new() });
        let (same, other) = (Ok(tor("/usr/bin/tor", Some("/x is not tor"))), Ok(tor("/opt/tor", None)));
        for (running, found, is_same, other_bridges, restart, said) in [
            (
                Some(&running),
                &same,
                true,
                false,
                false,
                &["/x is not tor; tor 0.4.9.11 at /usr/bin/tor is used"][..],
            ),
            (Some(&running), &same, true, true, true, &["/x is not tor", "ends open sessions"]),
            (Some(&running), &other, false, false, true, &["ends open sessions"]),
            (
                Some(&running),
                &none(),
                false,
                false,
                false,
                &["/x could not be run; tor 0.4.9.11 at /usr/bin/tor"],
            ),
            // It goes on by a way that is not wanted any more.
            (Some(&running), &none(), false, true, true, &["/x could not be run", "ends open sessions"]),
            (None, &none(), false, false, false, &["/x could not be run"]),
            (None, &other, false, true, false, &[]),
        ] {
            let verdict = judge(running, found, is_same, other_bridges);
            assert_eq!(verdict.restart, restart, "{found:?} {other_bridges}");
            assert_eq!(verdict.notes.len(), said.len(), "{verdict:?}");
            for (note, said) in verdict.notes.iter().zip(said) {
                assert!(note.contains(said), "{note}");
            }
        }
    }

    #[test]
    fn a_tor_that_failed_is_tried_with_the_new_settings_at_once_but_not_while_paused() {
        assert!(is_tried_anew(false, false));
        assert!(!is_tried_anew(false, true));
        assert!(!is_tried_anew(true, false));
    }

    #[tokio::test(start_paused = true)]
    async fn what_follows_of_a_configuration_is_told_when_it_was_looked_at_or_one_after_it() {
        let one = Followed { generation: 3, notes: vec!["tor is started anew".into()] };
        let followed = watch::Sender::new(Some(one));
        let at_most = Duration::from_secs(10);
        for (generation, told) in [(2, 1), (3, 1), (4, 0)] {
            assert_eq!(notes(followed.subscribe(), generation, at_most).await.len(), told, "{generation}");
        }
        followed.send_replace(None);
        assert_eq!(notes(followed.subscribe(), 1, at_most).await.len(), 0, "nobody looks");
    }

    #[tokio::test]
    async fn a_program_is_the_same_by_whatever_path_it_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        for name in ["tor", "bin/other"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let running = tor(&path("tor"), None);
        let found = async |path: &str| is_same(Some(&running), &Ok(tor(path, None))).await;

        assert!(found(&path("tor")).await);
        assert!(found(&path("bin/../tor")).await);
        assert!(!found(&path("bin/other")).await);
        assert!(!found(&path("gone")).await);
        // A program that was replaced, and one whose directory went, are what they were by name.
        let gone = tor(&path("gone"), None);
        assert!(is_same(Some(&gone), &Ok(tor(&path("gone"), None))).await);
        assert!(!is_same(None, &Ok(tor(&path("tor"), None))).await);
    }

    #[tokio::test]
    async fn each_configuration_is_looked_at() {
        let host = Host::new();
        let (life, _engine) = host.agent("").await;
        let server = &life.server;
        let settings = TorSettings {
            data_dir: host.paths.tor(),
            run_dir: host.paths.run.clone(),
            network_lines: None,
            disable_network: true,
        };
        let tor = CTor::new(settings, finder(&server.in_force.borrow().config, false));
        let (in_force, dialler) = (server.in_force.clone(), Arc::clone(&server.dialler));
        let following = tokio::spawn(follow(tor, in_force, dialler, server.followed.clone(), false));
        let mut followed = server.followed.subscribe();
        soon(followed.wait_for(Option::is_some)).await.unwrap();

        let gone = host.dir.path().join("gone");
        let name = |config: &Config| {
            let mut config = config.clone();
            config.agent.tor_path = Some(gone.clone());
            Ok(config)
        };
        server.store.edit(name).unwrap();
        let generation = server.in_force.borrow().generation;
        let is_it =
            |followed: &Option<Followed>| followed.as_ref().is_some_and(|one| one.generation == generation);
        soon(followed.wait_for(is_it)).await.unwrap();
        following.abort();
    }
}
