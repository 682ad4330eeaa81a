//! The invariants, checked after every effect against the simulated world and a model of its own, never against what the program reports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ground::Ground;
use super::keyrings::Keyrings;
use super::model::{Model, Want};
use super::paper::Paper;
use super::sockets::Sockets;
use super::told::{There, differ};
use super::tor::short;
use crate::engine::fake::{FakeEngine, FakeNetwork};
use crate::engine::{EngineState, OnionEngine as _, ServiceSpec};
use crate::model::onion::OnionAddress;
use crate::model::status::Status;
use crate::model::store_kind::StoreKind;
use crate::secrets::SecretId;
use crate::store::history;
use crate::store::paths::Paths;

/// How long access may go on that no file grants any more: one Step that hangs holds up the next, and there are few.
const GRACE: Duration = Duration::from_secs(70);
/// The same for what ends by the date, which is looked at every minute.
const DATE_GRACE: Duration = Duration::from_secs(140);

/// What is there of the world while a life lasts.
pub(super) struct Scene {
    pub(super) network: FakeNetwork,
    pub(super) tor: Arc<FakeEngine>,
    pub(super) peers: BTreeSet<OnionAddress>,
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

/// A command that is under way.
pub(super) struct Wanting<'a> {
    truths: &'a Truths,
    number: u64,
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.truths.model().wanting.retain(|want| want.number != self.number);
    }
}

/// A rename that is under way.
pub(super) struct Renaming<'a> {
    truths: &'a Truths,
    address: OnionAddress,
    to: String,
}

impl Drop for Renaming<'_> {
    fn drop(&mut self) {
        let mut model = self.truths.model();
        model.renames += 1;
        let at = model.renames;
        model.renamed.insert(self.address, at);
        let this = model.renaming.iter().position(|(address, to)| *address == self.address && *to == self.to);
        if let Some(this) = this {
            model.renaming.remove(this);
        }
    }
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
        self.means_all();
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
        let all: Vec<_> = model.paper.clients.values().map(|client| client.address).collect();
        model.meant.extend(all);
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

    /// Somebody gives a client another name, until what this gives is dropped: what another command says under the old one meanwhile may be
    /// about another client.
    pub(super) fn renames(&self, address: OnionAddress, to: &str) -> Renaming<'_> {
        let mut model = self.model();
        model.renames += 1;
        let at = model.renames;
        model.renamed.insert(address, at);
        model.renaming.push((address, to.to_owned()));
        if model.wanting.iter().any(|want| want.is_late && want.name == to) {
            model.meant.insert(address);
        }
        Renaming { truths: self, address, to: to.to_owned() }
    }

    /// How many renames have begun or ended.
    pub(super) fn renames_so_far(&self) -> u64 {
        self.model().renames
    }

    /// Whether a client was being renamed at any time since there were so many.
    pub(super) fn was_renamed(&self, address: &OnionAddress, since: u64) -> bool {
        let model = self.model();
        let is_under_way = model.renaming.iter().any(|(other, _)| other == address);
        is_under_way || model.renamed.get(address).is_some_and(|at| *at > since)
    }

    /// A command wants a client to be gone, or to have other keys, until what this gives is dropped.
    pub(super) fn wants(&self, name: &str, is_late: bool) -> Wanting<'_> {
        self.means(name);
        let mut model = self.model();
        model.wants += 1;
        let number = model.wants;
        let there = model.paper.clients.values().map(|client| client.address).collect();
        model.wanting.push(Want { number, name: name.to_owned(), there, is_late });
        Wanting { truths: self, number }
    }

    /// Somebody wants a client to be gone, or to have other keys. One that is just getting its name may be meant by the time it is looked at.
    pub(super) fn means(&self, name: &str) {
        let mut model = self.model();
        let holder = model.paper.clients.get(name).map(|client| client.address);
        let coming: Vec<_> =
            model.renaming.iter().filter(|(_, to)| to == name).map(|(address, _)| *address).collect();
        model.meant.extend(holder.into_iter().chain(coming));
    }

    /// A hand changes the file, and whoever is in it may be gone then.
    pub(super) fn means_all(&self) {
        let mut model = self.model();
        let all: Vec<_> = model.paper.clients.values().map(|client| client.address).collect();
        model.meant.extend(all);
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
        model.take(text, unix, last);
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
        if let Some(lost) = self.model().lost.take() {
            return Err(lost);
        }
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
        if let Err(why) = self.there().and_then(|there| there.judge(&mut self.model(), status)) {
            self.ground.fail(&why);
        }
    }

    fn there(&self) -> Result<There, String> {
        let introductions = self.scene().as_ref().map(|scene| scene.tor.introductions()).unwrap_or_default();
        Ok(There {
            published: self.published(),
            gates: self.open_gates()?,
            listening: self.sockets.listening().into_iter().collect(),
            introductions,
            now: self.ground.now(),
            unix: self.ground.unix(),
        })
    }

    /// All is as it is wanted: for when nothing has gone wrong for a while.
    pub(super) fn judge_calm(&self, status: &Status) -> Result<(), String> {
        self.read();
        self.there()?.judge_calm(&mut self.model(), status)?;
        let paper = self.model().paper.clone();
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
