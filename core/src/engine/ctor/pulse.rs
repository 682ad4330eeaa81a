//! Carries out what `plan::vigil` asks for: questions to the running tor, each with a deadline, and small circuits that show whether the
//! network works. Results are sent to the listeners of the engine.

// It reads what tor says: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, timeout};

use super::batch::Batch;
use super::control::Control;
use super::moves::Moves;
use super::reply::Reply;
use super::shared::{Shared, lock};
use super::{commands, sentences, survey};
use crate::engine::EngineError;
use crate::plan::sleep::Sleep;
use crate::plan::vigil::{Begun, Look, Task};

/// tor answers in milliseconds. One that has said nothing at all for so long stands still.
const SILENCE: Duration = Duration::from_secs(5);
/// We look at the time this often while we wait.
const SLICE: Duration = Duration::from_secs(1);

/// Goes on until tor stands still.
pub(super) async fn keep(shared: &Shared, control: &Control) {
    let mut sleep = Sleep::default();
    let mut moves = Moves::watch();
    // Whether tor tells of circuits.
    let mut hears_circuits = false;
    loop {
        if hears_circuits && !shared.vigil().is_probing() {
            hears_circuits = false;
            if ask(control, Batch::one(commands::SET_EVENTS)).await.is_err() {
                return;
            }
        }
        if shared.vigil().take_fell() {
            shared.tell_introductions_fell();
        }
        if shared.vigil().take_deserted() {
            shared.tell_introductions_deserted();
        }
        let task = {
            let (mut vigil, now) = (shared.vigil(), shared.now());
            let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            if sleep.ended(now, unix) {
                vigil.woke(now);
            }
            let task = vigil.task(now);
            if let Task::Wait(due) = task {
                sleep.due(due);
            }
            let bridges = shared.bridges().len();
            shared.set_offline(vigil.offline(now).map(|why| sentences::offline(why, bridges)));
            task
        };
        let answered = match task {
            Task::Look => look(shared, control).await,
            Task::Probe(relay) => {
                hears_circuits = true;
                probe(shared, control, &commands::probe(&relay)).await
            }
            Task::Close(circuit) => {
                let close = commands::close_circuit(commands::CircuitId(circuit));
                ask(control, Batch::one(&close)).await.map(drop)
            }
            Task::Wait(until) => {
                let due = async {
                    match until {
                        Some(until) => tokio::time::sleep_until(shared.moment(until)).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = due => {}
                    () = shared.stirred() => {}
                    () = moves.next() => shared.vigil().moved(shared.now()),
                }
                Ok(())
            }
        };
        match answered {
            Ok(()) => {}
            Err(Silent) => return,
        }
    }
}

/// tor says nothing any more.
struct Silent;

/// Asks; none where tor has ended, or could not answer.
async fn ask(control: &Control, batch: Batch) -> Result<Option<Vec<Reply>>, Silent> {
    let asked = Instant::now();
    let mut answer = std::pin::pin!(control.ask(batch, "tell how it stands"));
    let mut waited = Duration::ZERO;
    loop {
        let began = Instant::now();
        match timeout(SLICE, &mut answer).await {
            Ok(Ok(replies)) => return Ok(Some(replies)),
            Ok(Err(EngineError::TimedOut(..))) => return Err(Silent),
            // The supervisor sees its end, too.
            Ok(Err(_)) => {
                tokio::time::sleep(SLICE).await;
                return Ok(None);
            }
            // Where we were stopped ourselves, or the machine was, that time is not tor's.
            Err(_) if began.elapsed() < 2 * SLICE => waited += began.elapsed(),
            Err(_) => {}
        }
        if waited >= SILENCE && control.heard() <= asked {
            return Err(Silent);
        }
    }
}

async fn look(shared: &Shared, control: &Control) -> Result<(), Silent> {
    shared.vigil().looks(shared.now());
    let services = lock(&shared.uploads).addresses();
    let mut batch = Batch::one("GETINFO orconn-status");
    batch.push("GETINFO circuit-status");
    let replies = ask(control, batch).await?.unwrap_or_default();
    let [links, circuits] = replies.as_slice() else { return Ok(()) };
    if !links.is_ok() || !circuits.is_ok() {
        return Ok(());
    }
    let (links, circuits) = (links.lines.join("\r\n"), circuits.lines.join("\r\n"));
    let introductions = survey::introductions_of(&circuits, &services);
    let look = Look {
        relays: survey::relays(&links),
        built: survey::circuits(&circuits, |state| state == "BUILT"),
        under_way: survey::circuits(&circuits, |state| {
            matches!(state, "LAUNCHED" | "EXTENDED" | "GUARD_WAIT")
        }),
        circuits: survey::paths(&circuits),
        lacks_introduction: introductions.values().any(|number| *number == 0),
    };
    shared.tell_introductions(introductions);
    shared.learn(|vigil, now| vigil.found(&look, now));
    Ok(())
}

async fn probe(shared: &Shared, control: &Control, command: &str) -> Result<(), Silent> {
    let mut batch = Batch::one(commands::SET_EVENTS_PROBING);
    batch.push(command);
    let replies = ask(control, batch).await?.unwrap_or_default();
    let begun = replies.last().map_or(Begun::Unanswered, commands::begun);
    shared.learn(|vigil, now| vigil.began(begun, now));
    Ok(())
}
