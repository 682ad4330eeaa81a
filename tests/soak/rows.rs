//! The rows: what is done to the mesh, for how long, and by when it must be said and healed.

use std::thread;
use std::time::Duration;

use ormesh_core::model::status::Status;

use crate::figures::Figures;
use crate::mesh::Mesh;
use crate::moved;
use crate::support::{Signal, is_running, send};

/// How long a fault lasts that has a length.
const LASTS: Duration = Duration::from_secs(40);

/// How long a host sleeps.
const SLEEPS: Duration = Duration::from_secs(120);

/// A row of the table.
pub(crate) struct Row {
    /// How it is named on the command line.
    pub(crate) name: &'static str,
    /// What is done.
    pub(crate) fault: Fault,
    /// Until the end whose fault it is must say so, in seconds.
    pub(crate) said: Option<u64>,
    /// Until a new connection must work in 95 of 100 cases, in seconds.
    pub(crate) healed: u64,
    /// Until it must in each.
    pub(crate) healed_most: u64,
}

/// What is done to a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The network of these ends is cut.
    Cut(&'static [usize]),
    /// The network of these ends is silent.
    Silent(&'static [usize]),
    /// The connections of this end lead nowhere, and new ones work; nobody says so.
    Stranded(usize),
    /// The host of this end gets another address.
    Moved(usize),
    /// Every relay is killed, and started again.
    Relays,
    /// The tor of an end is killed.
    Killed(usize),
    /// The tor of an end stands still, for ever.
    Wedged(usize),
    /// The host of an end stands still, and its connections are cut meanwhile.
    Asleep(usize),
}

const EXPORTER: usize = 0;
const IMPORTER: usize = 1;

/// All that there are.
pub(crate) const ROWS: &[Row] = &[
    Row { name: "cut-exporter", fault: Fault::Cut(&[EXPORTER]), said: Some(5), healed: 30, healed_most: 30 },
    Row {
        name: "cut-both",
        fault: Fault::Cut(&[EXPORTER, IMPORTER]),
        said: Some(5),
        healed: 30,
        healed_most: 30,
    },
    Row { name: "cut-importer", fault: Fault::Cut(&[IMPORTER]), said: Some(5), healed: 30, healed_most: 30 },
    Row {
        name: "silent-exporter",
        fault: Fault::Silent(&[EXPORTER]),
        said: Some(15),
        healed: 30,
        healed_most: 30,
    },
    Row {
        name: "silent-importer",
        fault: Fault::Silent(&[IMPORTER]),
        said: Some(15),
        healed: 30,
        healed_most: 30,
    },
    Row {
        name: "silent-both",
        fault: Fault::Silent(&[EXPORTER, IMPORTER]),
        said: Some(15),
        healed: 30,
        healed_most: 30,
    },
    Row {
        name: "stranded-exporter",
        fault: Fault::Stranded(EXPORTER),
        said: None,
        healed: 30,
        healed_most: 30,
    },
    Row {
        name: "stranded-importer",
        fault: Fault::Stranded(IMPORTER),
        said: None,
        healed: 30,
        healed_most: 30,
    },
    Row { name: "moved-exporter", fault: Fault::Moved(EXPORTER), said: Some(5), healed: 30, healed_most: 30 },
    Row { name: "moved-importer", fault: Fault::Moved(IMPORTER), said: Some(5), healed: 30, healed_most: 30 },
    Row { name: "relays-gone", fault: Fault::Relays, said: Some(5), healed: 30, healed_most: 30 },
    Row {
        name: "tor-killed-exporter",
        fault: Fault::Killed(EXPORTER),
        said: None,
        healed: 15,
        healed_most: 30,
    },
    Row {
        name: "tor-killed-importer",
        fault: Fault::Killed(IMPORTER),
        said: None,
        healed: 5,
        healed_most: 30,
    },
    Row {
        name: "tor-wedged-exporter",
        fault: Fault::Wedged(EXPORTER),
        said: Some(15),
        healed: 45,
        healed_most: 45,
    },
    Row {
        name: "tor-wedged-importer",
        fault: Fault::Wedged(IMPORTER),
        said: None,
        healed: 15,
        healed_most: 15,
    },
    Row { name: "asleep-exporter", fault: Fault::Asleep(EXPORTER), said: None, healed: 10, healed_most: 10 },
    Row { name: "asleep-importer", fault: Fault::Asleep(IMPORTER), said: None, healed: 10, healed_most: 10 },
];

/// Between two of these: a tor that ends again within ten seconds of its start waits longer for the next.
const RESTS: Duration = Duration::from_secs(12);

/// How often a fault is played in a round where 95 of 100 are judged apart from each.
const OFTEN: usize = 10;

impl Row {
    /// How often it is played in a round.
    pub(crate) fn times(&self) -> usize {
        if self.healed < self.healed_most { OFTEN } else { 1 }
    }

    /// What is waited before it is played again.
    pub(crate) fn rests(&self) -> Duration {
        if self.times() > 1 { RESTS } else { Duration::ZERO }
    }

    /// Plays it once. `relays` kills the network's relays, or starts them.
    pub(crate) fn play(&self, mesh: &Mesh, relays: &mut dyn FnMut(bool), patience: Duration) -> Figures {
        if self.said.is_some() {
            mesh.wait_until_well();
        }
        match self.fault {
            Fault::Cut(ends) => {
                ends.iter().for_each(|end| mesh.uplinks[*end].cut());
                let said = mesh.watched(|| thread::sleep(LASTS));
                ends.iter().for_each(|end| mesh.uplinks[*end].restore());
                Figures::new(said, mesh.works_after(patience))
            }
            Fault::Silent(ends) => {
                ends.iter().for_each(|end| mesh.uplinks[*end].silence());
                let said = mesh.watched(|| thread::sleep(LASTS));
                ends.iter().for_each(|end| mesh.uplinks[*end].restore());
                Figures::new(said, mesh.works_after(patience))
            }
            Fault::Stranded(end) => {
                mesh.uplinks[end].strand();
                Figures::new([None; 2], mesh.works_after(patience))
            }
            Fault::Moved(end) => moved::play(&mesh.network, end, patience),
            Fault::Relays => {
                relays(false);
                let said = mesh.watched(|| thread::sleep(LASTS));
                relays(true);
                Figures::new(said, mesh.works_after(patience))
            }
            Fault::Killed(end) => {
                [&mesh.exporter, &mesh.importer][end].kill_tor();
                Figures::new([None; 2], mesh.works_after(patience))
            }
            Fault::Wedged(end) => {
                let host = [&mesh.exporter, &mesh.importer][end];
                let tor = host.tor_pid();
                send(tor, Signal::STOP);
                let mut healed = None;
                let said = mesh.watched(|| healed = mesh.works_after(patience));
                if is_running(tor) {
                    send(tor, Signal::CONT);
                }
                Figures::new(said, healed)
            }
            Fault::Asleep(end) => {
                let host = [&mesh.exporter, &mesh.importer][end];
                let family = [host.agent_pid(), host.tor_pid()];
                family.iter().for_each(|pid| send(*pid, Signal::STOP));
                mesh.uplinks[end].cut();
                thread::sleep(SLEEPS);
                mesh.uplinks[end].restore();
                family.iter().for_each(|pid| send(*pid, Signal::CONT));
                Figures::new([None; 2], mesh.works_after(patience))
            }
        }
    }

    /// When the end whose fault it is said so; of both, the later one.
    pub(crate) fn said(&self, figures: &Figures) -> Option<Duration> {
        let of = |ends: &[usize]| {
            ends.iter().map(|end| figures.said[*end]).collect::<Option<Vec<_>>>()?.into_iter().max()
        };
        match self.fault {
            Fault::Cut(ends) | Fault::Silent(ends) => of(ends),
            Fault::Relays => of(&[EXPORTER, IMPORTER]),
            Fault::Stranded(end)
            | Fault::Moved(end)
            | Fault::Killed(end)
            | Fault::Wedged(end)
            | Fault::Asleep(end) => of(&[end]),
        }
    }
}

/// Waits until both ends say that all is well again.
pub(crate) fn calm(mesh: &Mesh) {
    let is_well = |status: &Status| {
        let remotes = status.remotes.iter().all(|remote| {
            matches!(remote.state, Some(ormesh_core::model::status::RemoteState::Reachable { .. }))
        });
        crate::support::is_online(status) && remotes && status.problems.is_empty()
    };
    mesh.importer.wait_until("the importer is well again", is_well);
    mesh.exporter.wait_until("the exporter is well again", crate::support::is_reachable("client"));
}
