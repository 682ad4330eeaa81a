//! The invariants, checked after every effect against the simulated world and a model of its own, never against what the program reports.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::ground::Ground;
use super::keyrings::Keyrings;
use super::paper::{Paper, RESPONDER};
use super::sockets::Sockets;
use super::tor::short;
use crate::engine::ServiceSpec;
use crate::engine::fake::{FakeEngine, FakeNetwork};
use crate::engine::{EngineState, GateAddr, OnionEngine as _};
use crate::model::keys::ClientPublicKey;
use crate::model::onion::OnionAddress;
use crate::model::problem::{Problem, Subject};
use crate::model::status::{AgentState, ClientState, ImportState, RemoteState, Status};
use crate::model::store_kind::StoreKind;
use crate::plan::health::{NETWORK_LIFE, REMOTE_LIFE};
use crate::secrets::SecretId;
use crate::store::history;
use crate::store::paths::Paths;

/// How long access may go on that no file grants any more: one Step that hangs holds up the next, and there are few.
const GRACE: Duration = Duration::from_secs(70);
/// The same for what ends by the date, which is looked at every minute.
const DATE_GRACE: Duration = Duration::from_secs(140);
/// How much later than it is a state may be told.
const LATE: Duration = Duration::from_secs(1);

/// What is there of the world while a life lasts.
pub(super) struct Scene {
    pub(super) network: FakeNetwork,
    pub(super) tor: Arc<FakeEngine>,
    pub(super) peers: BTreeSet<OnionAddress>,
}

/// The model.
#[derive(Default)]
struct Model {
    text: Option<String>,
    paper: Paper,
    /// Whether a hand has spoilt the file, so that the last good one is in force.
    is_spoilt: bool,
    /// Which state of the files, and which hour, it is read from; what is said above and below stands until one of these changes.
    read: Option<(u64, u64)>,
    /// The ports of each service that are granted.
    granted: BTreeSet<(OnionAddress, u16)>,
    /// When each one that is not granted was granted last.
    ended: BTreeMap<(OnionAddress, u16), Duration>,
    /// When this was looked at last.
    looked: Duration,
    /// The state of files and stores in which the secrets were found to be right.
    right: Option<(u64, u64)>,
    keys: BTreeMap<OnionAddress, BTreeSet<ClientPublicKey>>,
    ports: BTreeSet<u16>,
    /// The gates that these services and ports can have, by name.
    gates: BTreeMap<String, (OnionAddress, u16)>,
    journal: (Vec<u8>, BTreeSet<SecretId>),
    /// Services that must not be reachable from a time on, for ever.
    gone: BTreeMap<OnionAddress, Duration>,
    /// Clients that somebody has given, or tried to give, another name.
    renamed: BTreeSet<OnionAddress>,
    paused: Option<Duration>,
    /// Clients whose access the agent has said to be over, by their service, and the end that it had: over, whatever the clock says.
    over: BTreeMap<OnionAddress, u64>,
    /// The latest time of day that there ever was.
    latest: u64,
    /// When the calendar last jumped: a date may be looked at late after it.
    jumped: Duration,
    /// What can't be held against the program: keys whose deletion a full disk kept from being noted.
    excused: BTreeSet<SecretId>,
    /// When tor was not ready last.
    unready: Duration,
    /// Since when this host has no network.
    outage: Option<Duration>,
    /// How often somebody asked for a client's keys, or all that are not needed, to be erased, or for all to be moved.
    prunes: u64,
}

/// See the file's sentence.
pub(super) struct Truths {
    ground: Arc<Ground>,
    sockets: Arc<Sockets>,
    keyrings: Arc<Keyrings>,
    paths: Paths,
    scene: Mutex<Option<Scene>>,
    model: Mutex<Model>,
}

/// The name of a service's gate, as ARCHITECTURE has it: the same each time.
fn gate_name(address: &OnionAddress, port: u16) -> String {
    let hash = Sha256::new().chain_update(address.public_key()).chain_update(port.to_be_bytes()).finalize();
    format!("g-{}", data_encoding::HEXLOWER.encode(&hash[..6]))
}

fn differ<T: Debug + PartialEq>(what: &str, is: &T, should: &T) -> Result<(), String> {
    if is == should { Ok(()) } else { Err(format!("{what} are {is:?} and should be {should:?}")) }
}

impl Truths {
    pub(super) fn new(
        ground: &Arc<Ground>,
        sockets: &Arc<Sockets>,
        keyrings: &Arc<Keyrings>,
        paths: &Paths,
    ) -> Arc<Self> {
        Arc::new(Self {
            ground: Arc::clone(ground),
            sockets: Arc::clone(sockets),
            keyrings: Arc::clone(keyrings),
            paths: paths.clone(),
            scene: Mutex::default(),
            model: Mutex::default(),
        })
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scene(&self) -> MutexGuard<'_, Option<Scene>> {
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A life begins, or none goes on.
    pub(super) fn set_scene(&self, scene: Option<Scene>) {
        *self.scene() = scene;
        let mut model = self.model();
        (model.paused, model.outage) = (None, None);
    }

    /// What the file says, as far as it was good.
    pub(super) fn paper(&self) -> Paper {
        self.read();
        self.model().paper.clone()
    }

    /// A hand spoils the file, or mends it.
    pub(super) fn spoil(&self, is_spoilt: bool) {
        self.read();
        let mut model = self.model();
        (model.is_spoilt, model.read, model.right) = (is_spoilt, None, None);
        drop(model);
        // One that is to be spoilt is so a moment later.
        if !is_spoilt {
            self.read();
        }
    }

    /// A person has confirmed the spoilt file as it is: what was noted nowhere else may be left in either store.
    pub(super) fn accept(&self) {
        self.take_accepted(&mut self.model());
        self.read();
    }

    fn take_accepted(&self, model: &mut Model) {
        if !std::mem::take(&mut model.is_spoilt) {
            return;
        }
        let clients = model.paper.clients.values();
        let of_clients = clients
            .flat_map(|client| [SecretId::Service(client.address), SecretId::Client(client.key)])
            .collect::<Vec<_>>();
        let remotes = model.paper.remotes.values().map(|remote| remote.key);
        let keys: Vec<_> = remotes.chain(model.paper.requests.values().copied()).collect();
        model.excused.extend(of_clients);
        model.excused.extend(keys.into_iter().map(SecretId::Client));
        // Nothing says any more in which store the rest was.
        for kind in [StoreKind::File, StoreKind::OsKeyring] {
            model.excused.extend(self.keyrings.ids(kind));
        }
        (model.read, model.right) = (None, None);
    }

    pub(super) fn is_spoilt(&self) -> bool {
        self.model().is_spoilt
    }

    /// A client was told to be out: from `after` from now on its service is not reachable any more, for ever.
    pub(super) fn gone(&self, address: OnionAddress, is_answered: bool) {
        let at = self.ground.now() + if is_answered { Duration::ZERO } else { GRACE };
        let mut model = self.model();
        let old = model.gone.entry(address).or_insert(at);
        *old = (*old).min(at);
    }

    /// Somebody gives a client another name: what another command says under the old one may be about another client.
    pub(super) fn renames(&self, address: OnionAddress) {
        self.model().renamed.insert(address);
    }

    /// Whether somebody did.
    pub(super) fn was_renamed(&self, address: &OnionAddress) -> bool {
        self.model().renamed.contains(address)
    }

    /// Whether it was.
    pub(super) fn is_gone(&self, address: &OnionAddress) -> bool {
        self.model().gone.contains_key(address)
    }

    /// Whether the journal says of one of these that it is in doubt.
    pub(super) fn is_in_doubt(&self, ids: &[SecretId]) -> bool {
        let doubtful = self.journal("in_doubt");
        ids.iter().any(|id| doubtful.contains(id))
    }

    /// A part of what the journal says.
    fn journal(&self, part: &str) -> BTreeSet<SecretId> {
        let journal = std::fs::read(self.paths.state.join("journal.json")).unwrap_or_default();
        let journal: serde_json::Value = serde_json::from_slice(&journal).unwrap_or_default();
        serde_json::from_value(journal[part].clone()).unwrap_or_default()
    }

    /// Somebody asks for keys to be erased, or to be moved.
    pub(super) fn pruned(&self) {
        self.model().prunes += 1;
    }

    pub(super) fn prunes(&self) -> u64 {
        self.model().prunes
    }

    /// While the disk was full these could not be noted.
    pub(super) fn excuse(&self, ids: impl IntoIterator<Item = SecretId>) {
        self.model().excused.extend(ids);
    }

    /// One more, for a while; false where it can't be held against the program anyway.
    pub(super) fn excuse_anew(&self, id: SecretId) -> bool {
        self.model().excused.insert(id)
    }

    /// From now on the program has had the time to note these.
    pub(super) fn excuse_no_more(&self, ids: &[SecretId]) {
        let mut model = self.model();
        model.excused.retain(|id| !ids.contains(id));
        model.right = None;
    }

    pub(super) fn pause(&self, is_paused: bool) {
        self.model().paused = is_paused.then(|| self.ground.now());
    }

    fn learn_time(&self) {
        let unix = self.ground.unix();
        let mut model = self.model();
        model.latest = model.latest.max(unix);
    }

    /// Somebody gives a client its end anew.
    pub(super) fn renewed(&self, address: &OnionAddress) {
        let mut model = self.model();
        model.over.remove(address);
        model.read = None;
    }

    /// What was told, and not noted on disk before the agent ended, is not known to the next one.
    pub(super) fn forget_unnoted(&self) {
        let entries = std::fs::read_dir(&self.paths.state).into_iter().flatten().flatten();
        let names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let mut model = self.model();
        model
            .over
            .retain(|address, _| names.iter().any(|name| name.starts_with(&format!("expired-{address}"))));
        model.read = None;
    }

    /// This host's network goes away, or comes back.
    pub(super) fn outage(&self, is_one: bool) {
        self.model().outage = is_one.then(|| self.ground.now());
    }

    pub(super) fn jumped(&self) {
        // Before the clock is set, and once more when it was.
        self.learn_time();
        self.model().jumped = self.ground.now();
    }

    fn config(&self) -> PathBuf {
        self.paths.config.clone()
    }

    /// Takes in what the file says now.
    fn read(&self) {
        let (now, unix) = (self.ground.now(), self.ground.unix());
        self.learn_time();
        // Access ends with a day, so with an hour.
        let state = (self.ground.changes(), unix / 3600);
        let mut model = self.model();
        let last = std::mem::replace(&mut model.looked, now);
        if model.read.replace(state) == Some(state) {
            return;
        }
        let text = std::fs::read_to_string(self.config()).unwrap_or_default();
        // The copy is of what is in force: a spoilt file is that once it is confirmed or restored, before whoever did that is answered.
        if model.is_spoilt && std::fs::read_to_string(self.paths.last_good()).is_ok_and(|good| good == text) {
            match model.text.as_ref() == Some(&text) {
                true => model.is_spoilt = false,
                false => self.take_accepted(&mut model),
            }
            model.read = Some(state);
        }
        if !model.is_spoilt && model.text.as_ref() != Some(&text) {
            if let Some(paper) = Paper::read(&text) {
                model.paper = paper;
            }
            model.text = Some(text);
            let clients: Vec<_> =
                model.paper.clients.values().map(|client| (client.address, client.key)).collect();
            for (address, key) in clients {
                model.keys.entry(address).or_default().insert(key);
            }
            let ports: Vec<u16> = model.paper.exports.keys().copied().chain([RESPONDER]).collect();
            model.ports.extend(ports);
            let Model { keys, ports, gates, .. } = &mut *model;
            if keys.len() * ports.len() > gates.len() {
                let all = keys.keys().flat_map(|address| ports.iter().map(|port| (*address, *port)));
                gates.extend(all.map(|(address, port)| (gate_name(&address, port), (address, port))));
            }
        }
        let mut services = model.paper.services(unix);
        let Model { paper, over, .. } = &mut *model;
        // Until another end is given. Who is taken out may come back.
        over.retain(|address, ends| paper.client_at(address).is_none_or(|client| client.ends == Some(*ends)));
        services.retain(|address, _| !over.contains_key(address));
        let granted =
            services.iter().flat_map(|(address, (_, ports))| ports.iter().map(|port| (*address, *port)));
        let before = std::mem::replace(&mut model.granted, granted.collect());
        let Model { granted, ended, .. } = &mut *model;
        ended.extend(before.difference(granted).map(|place| (*place, last)));
    }

    /// What tor has of this host.
    pub(super) fn published(&self) -> Vec<ServiceSpec> {
        let scene = self.scene();
        let Some(scene) = &*scene else { return Vec::new() };
        let mut services = scene.network.services();
        services.retain(|service| !scene.peers.contains(&service.address));
        services
    }

    /// The gates that are open, by what they belong to.
    fn open_gates(&self) -> Result<BTreeSet<(OnionAddress, u16)>, String> {
        let model = self.model();
        let open = self.sockets.gates(&self.paths.run);
        open.iter()
            .map(|name| model.gates.get(name).copied().ok_or(format!("gate {name} is nobody's")))
            .collect()
    }

    /// What must hold at any moment.
    pub(super) fn look(&self) {
        if let Err(why) = self.judge().and_then(|()| self.judge_secrets()) {
            self.ground.fail(&why);
        }
    }

    fn judge(&self) -> Result<(), String> {
        self.read();
        let (published, gates) = (self.published(), self.open_gates()?);
        let now = self.ground.now();
        let state = self.scene().as_ref().map(|scene| scene.tor.state().borrow().clone());
        let mut model = self.model();
        if state != Some(EngineState::Ready) {
            model.unready = now;
        }
        for service in &published {
            let known = model.keys.get(&service.address);
            if known.is_none_or(|keys| !keys.contains(&service.client)) {
                return Err(format!("{} is published for a key that no file names", short(&service.address)));
            }
        }
        let grace = if now < model.jumped + DATE_GRACE { DATE_GRACE } else { GRACE };
        for (address, port) in &gates {
            let name = short(address);
            let is_published = published.iter().any(|service| service.address == *address);
            if model.gone.get(address).is_some_and(|gone| *gone <= now) {
                return Err(format!("the gate {port} of {name} is open, and it was cut off"));
            }
            let place = (*address, *port);
            if model.granted.contains(&place) {
                continue;
            }
            let granted = model.ended.get(&place).copied().unwrap_or_default();
            if granted + grace < now {
                let since = (now - granted).as_secs();
                return Err(format!(
                    "the gate {port} of {name} is open, granted by nobody for {since} s ({is_published})"
                ));
            }
        }
        if let Some(paused) = model.paused
            && paused + GRACE < now
        {
            let is_open = !gates.is_empty() || !published.is_empty() || !self.sockets.listening().is_empty();
            if is_open || state != Some(EngineState::Stopped) {
                return Err(format!("paused, and open: {gates:?} {:?} {state:?}", self.sockets.listening()));
            }
        }
        Ok(())
    }

    /// Configuration and secrets agree, or the journal says how they will.
    fn judge_secrets(&self) -> Result<(), String> {
        let mut model = self.model();
        let state = (self.ground.changes(), self.keyrings.changes());
        if model.right == Some(state) {
            return Ok(());
        }
        let journal = std::fs::read(self.paths.state.join("journal.json")).unwrap_or_default();
        if journal != model.journal.0 {
            let value: serde_json::Value = serde_json::from_slice(&journal).unwrap_or_default();
            let ids = |value: &serde_json::Value| -> BTreeSet<SecretId> {
                serde_json::from_value(value.clone()).unwrap_or_default()
            };
            let all = [&value["in_doubt"], &value["moving"]["ids"], &value["set_aside"]];
            let noted = all.into_iter().flat_map(ids).collect();
            model.journal = (journal, noted);
        }
        let noted = &model.journal.1;
        let paper = &model.paper;
        let clients = paper.clients.values();
        let services = clients.clone().map(|client| SecretId::Service(client.address));
        let keys = paper.remotes.values().map(|remote| remote.key).chain(paper.requests.values().copied());
        let needed: BTreeSet<SecretId> = services.chain(keys.map(SecretId::Client)).collect();
        // The keys of invites are there until the client has connected.
        let invites = clients.filter(|client| !client.requested).map(|client| SecretId::Client(client.key));
        let may_be: BTreeSet<SecretId> = needed.iter().copied().chain(invites).collect();
        let store = match paper.store.as_deref() {
            Some("file") => StoreKind::File,
            _ => StoreKind::OsKeyring,
        };
        let has = self.keyrings.ids(store);
        if let Some(missing) = needed.difference(&has).next() {
            return Err(format!("{missing} is needed, and not in {store}"));
        }
        for kind in [StoreKind::File, StoreKind::OsKeyring] {
            let in_place = |id: &&SecretId| {
                kind == store && may_be.contains(id) || noted.contains(id) || model.excused.contains(id)
            };
            if let Some(left) = self.keyrings.ids(kind).iter().find(|id| !in_place(id)) {
                return Err(format!("{left} is in {kind}, is not needed, and no journal says so"));
            }
        }
        model.right = Some(state);
        Ok(())
    }

    /// Nothing that a status says is more than what is.
    pub(super) fn judge_status(&self, status: &Status) {
        if let Err(why) = self.status(status) {
            self.ground.fail(&why);
        }
    }

    fn status(&self, status: &Status) -> Result<(), String> {
        let (published, gates) = (self.published(), self.open_gates()?);
        let (now, mut model) = (self.ground.now(), self.model());
        // tor's end is told by an event, which may be on its way.
        let is_steady = model.unready + LATE < now;
        for client in &status.clients {
            let ends = model.paper.client_at(&client.address).and_then(|client| client.ends);
            if client.state == Some(ClientState::Expired)
                && let Some(ends) = ends
            {
                if model.latest.max(self.ground.unix()) < ends {
                    return Err(format!("{} is said to be over, and never was", client.name));
                }
                if model.over.insert(client.address, ends).is_none() {
                    model.read = None;
                }
            }
            if client.state == Some(ClientState::Reachable) && is_steady {
                let service = published.iter().find(|service| service.address == client.address);
                let Some(service) = service else {
                    return Err(format!("{} is said to be reachable, and is not published", client.name));
                };
                if service.ports.keys().any(|port| !gates.contains(&(client.address, port.get()))) {
                    return Err(format!("{} is said to be reachable through a closed gate", client.name));
                }
            }
        }
        let listening = self.sockets.listening();
        for import in status.remotes.iter().flat_map(|remote| &remote.imports) {
            let is_open = listening.contains(&import.listen.to_string());
            match &import.state {
                Some(ImportState::Listening | ImportState::Degraded | ImportState::NotExported { .. })
                    if !is_open =>
                {
                    return Err(format!("{} is said to listen, and does not", import.listen));
                }
                Some(ImportState::Blocked { why }) if why.is_empty() => {
                    return Err(format!("{} is blocked without a reason", import.listen));
                }
                _ => {}
            }
        }
        let state = status.agent.as_ref().map(|agent| agent.state.clone());
        if state == Some(AgentState::Online) && !is_steady && model.unready == now {
            return Err("the agent is said to be online, and tor is not ready".to_owned());
        }
        let Some(outage) = model.outage.filter(|outage| now > *outage + NETWORK_LIFE + LATE) else {
            return Ok(());
        };
        let away = (now - outage).as_secs();
        if let Some(agent) = &status.agent
            && agent.state == AgentState::Online
            && agent.unconfirmed.is_none()
        {
            return Err(format!(
                "the network has been away for {away} s, and the agent is said to be online"
            ));
        }
        if now > outage + REMOTE_LIFE + LATE {
            for remote in &status.remotes {
                if matches!(remote.state, Some(RemoteState::Reachable { .. })) && remote.unconfirmed.is_none()
                {
                    return Err(format!(
                        "the network has been away for {away} s, and {} is said to be reachable",
                        remote.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// All is as it is wanted: for when nothing has gone wrong for a while.
    pub(super) fn judge_calm(&self, status: &Status) -> Result<(), String> {
        self.read();
        let (published, gates) = (self.published(), self.open_gates()?);
        self.status(status)?;
        let mut wanted = self.model().paper.services(self.ground.unix());
        wanted.retain(|address, _| !self.model().over.contains_key(address));
        let should: BTreeMap<_, _> =
            wanted.iter().map(|(address, service)| (*address, service.clone())).collect();
        let is: BTreeMap<OnionAddress, (ClientPublicKey, BTreeSet<u16>)> = published
            .iter()
            .map(|service| {
                let ports = service.ports.keys().map(|port| port.get()).collect();
                (service.address, (service.client, ports))
            })
            .collect();
        differ("the services", &is, &should)?;
        let introductions = self.scene().as_ref().map(|scene| scene.tor.introductions()).unwrap_or_default();
        if let Some((deaf, _)) = introductions.iter().find(|(_, number)| **number == 0) {
            return Err(format!("no introduction point of {} stands", short(deaf)));
        }
        for service in &published {
            for (port, gate) in &service.ports {
                differ(
                    "the gates that tor was told",
                    gate,
                    &GateAddr::Unix(gate_name(&service.address, port.get()).into()),
                )?;
            }
        }
        let should: BTreeSet<_> = wanted
            .iter()
            .flat_map(|(address, (_, ports))| ports.iter().map(|port| (*address, *port)))
            .collect();
        differ("the gates", &gates, &should)?;
        let paper = self.model().paper.clone();
        let is: BTreeSet<String> = self.sockets.listening().into_iter().collect();
        differ("the listeners", &is, &paper.listeners())?;
        let states: Vec<_> = status
            .clients
            .iter()
            .filter(|client| wanted.contains_key(&client.address))
            .filter(|client| !matches!(client.state, Some(ClientState::Reachable | ClientState::Connected)))
            .collect();
        if !states.is_empty() {
            return Err(format!("all is calm, and status says {states:?}"));
        }
        let imports = status.remotes.iter().flat_map(|remote| &remote.imports);
        for import in imports {
            let listens = matches!(
                import.state,
                Some(ImportState::Listening | ImportState::Degraded | ImportState::NotExported { .. })
            );
            if !listens {
                return Err(format!("all is calm, and status says {import:?}"));
            }
        }
        for remote in &status.remotes {
            if !matches!(remote.state, Some(RemoteState::Reachable { .. })) {
                return Err(format!("all is calm, and status says of {}: {:?}", remote.name, remote.state));
            }
        }
        // That a backend was not there is no fault of the agent's.
        let is_backends = |problem: &&Problem| matches!(problem.subject, Some(Subject::Export(_)));
        differ(
            "the problems",
            &status.problems.iter().filter(|problem| !is_backends(problem)).collect(),
            &Vec::new(),
        )?;
        self.judge_store(&paper)
    }

    /// The store has what is needed, and nothing else but what another hand took out of the file.
    fn judge_store(&self, paper: &Paper) -> Result<(), String> {
        let seen = std::fs::read(self.paths.state.join(history::FILE)).unwrap_or_default();
        let seen: BTreeMap<OnionAddress, serde_json::Value> =
            serde_json::from_slice(&seen).unwrap_or_default();
        let mut should = BTreeSet::new();
        for client in paper.clients.values() {
            should.insert(SecretId::Service(client.address));
            if !client.requested && !seen.contains_key(&client.address) {
                should.insert(SecretId::Client(client.key));
            }
        }
        should.extend(paper.remotes.values().map(|remote| SecretId::Client(remote.key)));
        should.extend(paper.requests.values().map(|key| SecretId::Client(*key)));
        let mut has: BTreeSet<SecretId> = self
            .keyrings
            .ids(StoreKind::OsKeyring)
            .union(&self.keyrings.ids(StoreKind::File))
            .copied()
            .collect();
        let aside = self.journal("set_aside");
        has.retain(|id| should.contains(id) || !(self.model().excused.contains(id) || aside.contains(id)));
        differ("the secrets", &has, &should)
    }

    /// Nothing is left of an agent that has ended.
    pub(super) fn judge_end(&self) {
        let open = (self.published(), self.open_gates(), self.sockets.listening());
        if !(open.0.is_empty() && open.1 == Ok(BTreeSet::new()) && open.2.is_empty()) {
            self.ground.fail(&format!("the agent has ended, and this is open: {open:?}"));
        }
    }
}
