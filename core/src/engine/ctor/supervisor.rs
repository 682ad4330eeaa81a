//! Keeps one tor running: finds it, starts it, authenticates, watches it, and starts it again when it ends. It alone sets the state.
//!
//! Services and keys are left to the commands in `mod`; after an end they are gone, which [`EngineEvent::Lost`] tells once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::batch::Batch;
use super::control::{self, Control, ControlError, Events};
use super::events::{self, TorEvent};
use super::process::{self, Process};
use super::progress::Progress;
use super::shared::{Link, Shared, lock};
use super::torrc::{self, Entrances, TorSettings};
use super::{auth, commands, pulse, system, transports};
use crate::engine::{EngineEvent, EngineState};
use crate::store::apart::apart;
use crate::store::private;

/// From start to an authenticated control connection. tor itself waits five seconds for a lock; a cold disk takes its time too.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// Between looks at a control socket that is not there yet.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Between two looks whether tor's directory and socket are still there.
const LOOK_AT_GROUND: Duration = Duration::from_secs(5);
/// For the lock of a tor that is ending: one whose owner was killed needs some milliseconds.
const LOCK_DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks for a tor that was not found, or was too old; a command has it looked for at once.
const LOOK_FOR_TOR: Duration = Duration::from_secs(10);
/// Commands may come in numbers, and each look may start a program.
const LOOKS_APART: Duration = Duration::from_millis(500);
/// Ends in a row by tor's own fault and before it was ready, after which its caches are suspected.
const SUSPECT_AFTER: u32 = 2;

/// The hint for what nobody need do anything about.
const AGAIN: &str = "it is started again by itself";

/// What the engine is wanted to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Want {
    pub(super) on: bool,
    /// Counts the times it was said, so that saying it again is heard.
    pub(super) times: u64,
}

/// How one run of tor ended.
enum End {
    /// It was asked to.
    Asked,
    Failed(Failure),
}

struct Failure {
    why: String,
    hint: String,
    /// There is no tor to start: it is looked for again, and at once when `run(true)` is said.
    is_missing: bool,
    ready_for: Option<Duration>,
    /// tor ended, by its own fault and not somebody's signal.
    own_fault: bool,
}

impl Failure {
    fn new(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { why: why.into(), hint: hint.into(), is_missing: false, ready_for: None, own_fault: false }
    }
}

/// Runs until the engine is dropped.
pub(super) async fn supervise(shared: Arc<Shared>, mut want: watch::Receiver<Want>) {
    let mut backoff = Backoff::default();
    let mut own_faults = 0;
    let mut said_again = want.clone();
    loop {
        let wanted = *want.borrow_and_update();
        if want.has_changed().is_err() {
            return;
        }
        if !wanted.on {
            shared.set_state(EngineState::Stopped);
            shared.idle.send_replace(true);
            backoff = Backoff::default();
            if want.changed().await.is_err() {
                return;
            }
            continue;
        }
        shared.idle.send_replace(false);
        let failure = match run_once(&shared, &mut want).await {
            End::Asked => continue,
            End::Failed(failure) => failure,
        };
        own_faults = match (failure.own_fault, failure.ready_for) {
            (true, None) => own_faults + 1,
            _ => 0,
        };
        if own_faults >= SUSPECT_AFTER || (own_faults > 0 && names_a_cache(&failure.why)) {
            let data_dir = shared.settings.data_dir.clone();
            let moved = apart(move || process::quarantine(&data_dir)).await;
            tracing::warn!(?moved, "tor ends before it is ready; its caches were put aside");
            own_faults = 0;
        }
        let wait = if failure.is_missing { LOOK_FOR_TOR } else { backoff.after(failure.ready_for) };
        let is_news =
            !matches!(&*shared.state.borrow(), EngineState::Failed { why, .. } if *why == failure.why);
        if is_news {
            tracing::warn!(why = %failure.why, retry_in = ?wait, "tor failed");
        }
        let retry_in = Some(wait);
        let Failure { why, hint, is_missing, .. } = failure;
        shared.set_state(EngineState::Failed { why, hint, is_missing, retry_in });
        let due = async {
            if is_missing {
                tokio::time::sleep(LOOKS_APART).await;
                // Any word is a reason to look again; without anyone to say one, `unwanted` ends.
                let _ =
                    tokio::time::timeout(wait, said_again.wait_for(|now| now.times != wanted.times)).await;
            } else {
                tokio::time::sleep(wait).await;
            }
        };
        tokio::select! {
            () = due => {}
            () = unwanted(&mut want) => {}
        }
    }
}

/// Returns once tor is not wanted any more, or nobody is left to want it. Cancel-safe.
async fn unwanted(want: &mut watch::Receiver<Want>) {
    // An error means that the engine was dropped.
    let _ = want.wait_for(|want| !want.on).await;
}

/// Whether a reason that tor gave names one of the files it can do without.
fn names_a_cache(why: &str) -> bool {
    ["cached-", "unverified-", "state file", "/state\"", "/state "].iter().any(|name| why.contains(name))
}

async fn run_once(shared: &Shared, want: &mut watch::Receiver<Want>) -> End {
    if matches!(*shared.state.borrow(), EngineState::Stopped) {
        shared.set_state(EngineState::Starting);
    }
    let finder = shared.finder();
    let info = tokio::select! {
        found = finder.find() => match found {
            Ok(info) => info,
            Err(missing) => {
                let failure = Failure { is_missing: true, ..Failure::new(missing.why, missing.hint) };
                return End::Failed(failure);
            }
        },
        () = unwanted(want) => return End::Asked,
    };
    tracing::info!(version = %info.version, path = %info.path.display(), found = %info.found, "tor was found");
    let binary = info.path.clone();
    shared.set_info(info);
    let bridges = shared.bridges();
    let entrances = match apart(move || transports::entrances(&finder, bridges)).await {
        Ok(entrances) => entrances,
        Err(missing) => return End::Failed(Failure::new(missing.why, missing.hint)),
    };
    let torrc = tokio::select! {
        prepared = prepare(&shared.settings, &entrances) => match prepared {
            Ok(torrc) => torrc,
            Err(failure) => return End::Failed(failure),
        },
        () = unwanted(want) => return End::Asked,
    };
    let launcher = lock(&shared.launcher).clone();
    let mut process = match Process::spawn(&binary, &torrc, &shared.settings, launcher.as_deref()) {
        Ok(process) => process,
        Err(error) => {
            let why = format!("tor could not be started: {error}");
            return End::Failed(Failure::new(why, "see whether the file may be executed"));
        }
    };
    *lock(&shared.process) = process.id();
    shared.set_state(EngineState::Starting);
    let connected = tokio::select! {
        connected = tokio::time::timeout(START_DEADLINE, connect(&shared.settings)) => {
            connected.unwrap_or(Err(ControlError::Closed))
        }
        status = process.wait() => return End::Failed(ended(&mut process, status).await),
        () = unwanted(want) => {
            process.stop(false).await;
            return End::Asked;
        }
    };
    match connected {
        Ok(live) => watch_over(shared, want, process, live).await,
        Err(error) => End::Failed(broken(process, &error).await),
    }
}

/// Sees that tor will find what it needs, and nothing that misleads us; writes its configuration.
async fn prepare(settings: &TorSettings, entrances: &Entrances) -> Result<PathBuf, Failure> {
    let text = system::listeners(settings)
        .and_then(|listeners| torrc::torrc(settings, listeners, entrances, std::process::id()))
        .map_err(|error| Failure::new(error.to_string(), "choose other directories"))?;
    system::enough_descriptors().map_err(|(why, hint)| Failure::new(why, hint))?;
    for dir in [settings.data_dir.clone(), settings.run_dir.clone()] {
        let made = apart(move || private::ensure_dir(&dir)).await;
        made.map_err(|problem| Failure::new(problem.message, problem.hint))?;
    }
    let deadline = Instant::now() + LOCK_DEADLINE;
    loop {
        let data_dir = settings.data_dir.clone();
        if apart(move || system::is_unlocked(&data_dir)).await {
            break;
        }
        if Instant::now() > deadline {
            let why = format!("another tor uses {}", settings.data_dir.display());
            return Err(Failure::new(why, "stop the other agent, or the tor that it left"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let path = settings.data_dir.join("torrc");
    let (settings, place) = (settings.clone(), path.clone());
    let written = move || system::clear_stale(&settings).and_then(|()| write_private(&place, &text));
    apart(written).await.map_err(|error| {
        Failure::new(format!("failed to write {}: {error}", path.display()), "see whether the disk is full")
    })?;
    Ok(path)
}

/// Only tor reads it, at its start; a torn one is written again with the next start. The directory is private.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
}

/// A tor that answers, owned.
struct Live {
    control: Control,
    events: Events,
    progress: Progress,
    socks: system::SocksAddr,
    ground: Option<system::Ground>,
}

async fn connect(settings: &TorSettings) -> Result<Live, ControlError> {
    let stream = loop {
        match system::connect_control(settings).await {
            Ok(stream) => break stream,
            // Not there yet; should tor end, the caller sees it.
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    };
    let (control, events) = control::open(stream);
    let handshake = async {
        auth::authenticate(&control, &torrc::cookie_file(settings)).await?;
        control.tell(commands::TAKE_OWNERSHIP, "end with its owner").await?;
        control.expect_events();
        control.tell(commands::SET_EVENTS, "tell of events").await?;
        // After the subscription, so that no progress falls between.
        let phase = control.get_info("status/bootstrap-phase").await?;
        let phase =
            events::parse_phase(&phase).ok_or(ControlError::Protocol("an unknown bootstrap phase"))?;
        let socks = system::socks_addr(settings, &control).await;
        let socks = socks.ok_or(ControlError::Protocol("no SOCKS listener"))?;
        Ok((Progress::new(phase), socks))
    };
    match handshake.await {
        Ok((progress, socks)) => {
            let looked_at = settings.clone();
            let ground = apart(move || system::ground(&looked_at)).await;
            Ok(Live { control, events, progress, socks, ground })
        }
        // The connection's own end says more than the command that it cut off.
        Err(ControlError::Refused(crate::engine::EngineError::NotRunning)) => Err(events.reason()),
        Err(error) => Err(error),
    }
}

/// What may happen to a tor that runs.
enum Tick {
    Event(Result<Vec<String>, ControlError>),
    Ended(io::Result<ExitStatus>),
    Unwanted,
    /// It does not answer, or was given up for this reason.
    Stuck(Option<&'static str>),
}

async fn watch_over(
    shared: &Shared,
    want: &mut watch::Receiver<Want>,
    mut process: Process,
    live: Live,
) -> End {
    let Live { control, mut events, mut progress, socks, ground } = live;
    let mut ready_since = None;
    let mut missing = pin!(missing(&shared.settings, ground));
    let mut pulse = pin!(pulse::keep(shared, &control));
    let mut offline = shared.offline.subscribe();
    shared.set_link(Some(Link { control: control.clone(), socks, was_ready: false }));
    let end = loop {
        shared.set_clock_warning(progress.clock_warning());
        let state = match (progress.state(shared.bridges().len()), &*offline.borrow_and_update()) {
            (EngineState::Ready, Some(why)) => EngineState::Offline { why: why.clone() },
            (state, _) => state,
        };
        if state.is_ready() && ready_since.is_none() {
            ready_since = Some(Instant::now());
            shared.link_is_ready();
        }
        shared.set_state(state);
        let tick = tokio::select! {
            event = events.next() => Tick::Event(event),
            status = process.wait() => Tick::Ended(status),
            () = unwanted(want) => Tick::Unwanted,
            why = control.stuck() => Tick::Stuck(why),
            why = &mut missing => Tick::Stuck(Some(why)),
            () = &mut pulse => Tick::Stuck(None),
            Ok(()) = offline.changed() => continue,
        };
        match tick {
            Tick::Event(Ok(lines)) => match events::parse(&lines) {
                Some(TorEvent::Descriptor { address, action }) => shared.note_descriptor(address, action),
                Some(TorEvent::StreamMade { stream, number }) => {
                    shared.ends.made(stream, number);
                    continue;
                }
                Some(TorEvent::StreamEnded { stream, end }) => {
                    shared.ends.ended(stream, end);
                    continue;
                }
                Some(TorEvent::Link(link)) => {
                    shared.stir(|vigil, now| vigil.link(link, now));
                    continue;
                }
                Some(TorEvent::Refused(circuit)) => {
                    shared.learn(|vigil, now| vigil.refused(circuit, now));
                    continue;
                }
                Some(event) => progress.note(&event),
                None => continue,
            },
            other => break other,
        }
    };
    // All at once: nothing goes to this tor any more, nobody takes it for ready, and what it held is lost. Why it ended takes a moment.
    shared.set_link(None);
    shared.set_clock_warning(None);
    shared.set_state(match end {
        Tick::Unwanted => EngineState::Stopped,
        _ => EngineState::Failed {
            why: "tor has ended".to_owned(),
            hint: AGAIN.to_owned(),
            is_missing: false,
            retry_in: Some(Duration::ZERO),
        },
    });
    shared.tell(EngineEvent::Lost);
    let ready_for = ready_since.map(|since| since.elapsed());
    match end {
        Tick::Unwanted => {
            // It answers, or it does not and is killed.
            let asked = control.ask(Batch::one(commands::HALT), "end");
            let _ = tokio::time::timeout(Duration::from_millis(500), asked).await;
            drop(events);
            process.stop(true).await;
            End::Asked
        }
        Tick::Ended(status) => {
            let failure = ended(&mut process, status).await;
            End::Failed(Failure { ready_for, ..failure })
        }
        Tick::Event(Err(ControlError::Closed)) => {
            // Most likely it is ending: then its own words are the reason.
            drop(events);
            let failure = match tokio::time::timeout(Duration::from_secs(1), process.wait()).await {
                Ok(status) => ended(&mut process, status).await,
                Err(_) => broken(process, &ControlError::Closed).await,
            };
            End::Failed(Failure { ready_for, ..failure })
        }
        Tick::Event(Err(error)) => {
            drop(events);
            End::Failed(Failure { ready_for, ..broken(process, &error).await })
        }
        Tick::Stuck(Some(why)) => {
            drop(events);
            process.stop(true).await;
            End::Failed(Failure { ready_for, ..Failure::new(format!("tor was stopped: {why}"), AGAIN) })
        }
        Tick::Event(Ok(_)) | Tick::Stuck(None) => {
            drop(events);
            process.kill().await;
            let why = "tor did not answer any more and was stopped";
            End::Failed(Failure { ready_for, ..Failure::new(why, AGAIN) })
        }
    }
}

/// Returns once something in the file system is gone that a tor that runs can't do without, and says what.
async fn missing(settings: &TorSettings, ground: Option<system::Ground>) -> &'static str {
    let Some(ground) = ground else { return std::future::pending().await };
    loop {
        tokio::time::sleep(LOOK_AT_GROUND).await;
        let settings = settings.clone();
        if let Some(why) = apart(move || ground.missing(&settings)).await {
            return why;
        }
    }
}

/// Why tor ended by itself.
async fn ended(process: &mut Process, status: io::Result<ExitStatus>) -> Failure {
    let own_fault = status.as_ref().is_ok_and(|status| system::is_own_fault(*status));
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let why = match process.reason().await {
        Some(reason) => format!("tor ended ({status}): {reason}"),
        None => format!("tor ended ({status})"),
    };
    Failure { own_fault, ..Failure::new(why, AGAIN) }
}

/// Ends a tor with which nothing can be said any more.
async fn broken(process: Process, error: &ControlError) -> Failure {
    process.stop(false).await;
    Failure::new(format!("tor was stopped: {error}"), AGAIN)
}
