//! Tests of `commands`: what is left in files and secret stores when hands, other commands and crashes come in between.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::super::bench::Both;
use super::clients::invite_text;
use super::*;
use crate::model::address::Port;
use crate::model::config::Client;
use crate::model::invite::InviteKey;
use crate::model::keys::{ClientKey, ClientPublicKey, Secret};
use crate::model::name::ClientName;
use crate::secrets::SecretId;
use crate::secrets::file::FileStore;
use crate::secrets::{SecretStore, Secrets, SecretsError, Stores};
use crate::store::files::{Change, Files, Ways};
use crate::store::private;

/// Files that take so many changes, and then none any more: the host has crashed.
#[derive(Debug)]
struct Crash {
    left: AtomicUsize,
}

#[async_trait]
impl Ways for Crash {
    async fn apart(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn before(&self, _path: &Path, _change: Change) -> io::Result<()> {
        let took = |left: usize| left.checked_sub(1);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, took);
        taken.map(drop).map_err(|_| io::ErrorKind::Other.into())
    }
}

fn commands(paths: &Paths, files: Files) -> Commands {
    let (store, world) = (ConfigStore::new(paths).unwrap(), World { files, ..World::real(paths) });
    store.start().unwrap();
    Commands::new(store, Arc::new(Vault::new(paths, &world)), world)
}

/// A host that has invited one client.
async fn inviting(dir: &Path) -> (Paths, Config, Client) {
    let paths = Paths::new(dir.join("config.toml"), dir.join("state")).unwrap();
    private::ensure_dir(&paths.state).unwrap();
    std::fs::write(&paths.config, "[agent]\nsecrets = \"file\"\n").unwrap();
    let name: ClientName = "laptop".parse().unwrap();
    let add = Request::add_client(name.clone());
    commands(&paths, Files::default()).carry_out(add).await.unwrap();
    let config = crate::store::load(&paths).unwrap();
    let client = config.clients[&name].clone();
    (paths, config, client)
}

#[tokio::test]
async fn what_is_taken_out_by_hand_keeps_its_keys_until_they_are_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _, Client { address, .. }) = inviting(dir.path()).await;
    let whole = std::fs::read_to_string(&paths.config).unwrap();
    let before = whole.split("[client.laptop]").next().unwrap();
    std::fs::write(&paths.config, format!("{before}[[export]]\ntarget = \"22\"\n")).unwrap();
    let key = paths.secrets().join(SecretId::Service(address).to_string());
    let agent = commands(&paths, Files::default());
    agent.changes.vault.doubts.set_aside(vec![SecretId::Service(address)], None).await.unwrap();

    // Neither this agent erases it, nor the next one.
    assert!(agent.changes.settle().await.is_empty());
    tokio::select! {
        biased;
        () = agent.changes.vault.store.until_failing() => panic!("the store works"),
        () = std::future::ready(()) => {}
    }
    let next = commands(&paths, Files::default());
    assert!(next.changes.settle().await.is_empty());
    assert!(key.exists());

    let pruned = async || match next.carry_out(Request::PruneSecrets).await.unwrap() {
        Response::Done { notes } => notes,
        _ => panic!("it is not an answer to that"),
    };
    assert_eq!(pruned().await, ["1 key that nothing needs any more was erased"]);
    assert!(!key.exists());
    assert_eq!(pruned().await, ["nothing superfluous was in the secret store"]);
}

/// Files between whose changes another command is quicker: when a key is noted, the remote has another.
#[derive(Debug)]
struct Replacing {
    config: std::path::PathBuf,
    by: std::sync::Mutex<Option<String>>,
}

#[async_trait]
impl Ways for Replacing {
    async fn apart(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn before(&self, path: &Path, _change: Change) -> io::Result<()> {
        if path == self.config {
            return Ok(());
        }
        let by = self.by.lock().unwrap().take();
        by.map_or(Ok(()), |text| std::fs::write(&self.config, text))
    }
}

#[tokio::test]
async fn a_remote_that_is_replaced_while_it_is_deleted_leaves_no_key_behind() {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::new(dir.path().join("config.toml"), dir.path().join("state")).unwrap();
    private::ensure_dir(&paths.state).unwrap();
    private::ensure_dir(&paths.secrets()).unwrap();
    let keys = [3, 4].map(|seed| ClientKey::from_bytes(&[seed; 32]).unwrap());
    let [old, new] = [0, 1].map(|at: usize| {
        format!(
            "[agent]\nsecrets = \"file\"\n\n[remote.server]\n\
             address = \"2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion\"\nkey = \"{}\"\n",
            keys[at].public()
        )
    });
    std::fs::write(&paths.config, old).unwrap();
    let files = keys.map(|key| {
        let file = paths.secrets().join(SecretId::Client(key.public()).to_string());
        std::fs::write(&file, "").unwrap();
        file
    });
    let by = std::sync::Mutex::new(Some(new));
    let racing = Files::over(Arc::new(Replacing { config: paths.config.clone(), by }));

    let notes = commands(&paths, racing).remotes.delete(&"server".parse().unwrap()).await.unwrap();

    assert!(notes.is_empty(), "{notes:?}");
    assert!(crate::store::load(&paths).unwrap().remotes.is_empty());
    assert!(files.iter().all(|file| !file.exists()), "a key is left, and nothing names it");
}

#[tokio::test]
async fn a_client_that_is_rotated_while_it_is_deleted_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _, old) = inviting(dir.path()).await;
    let before = std::fs::read_to_string(&paths.config).unwrap();
    let (name, rotate) = ("laptop".parse().unwrap(), |name| Request::RotateClient { name, key: None });
    alone(&paths, rotate("laptop".parse().unwrap())).await;
    let rotated = crate::store::load(&paths).unwrap().clients[&name].clone();
    let by = std::sync::Mutex::new(Some(std::fs::read_to_string(&paths.config).unwrap()));
    std::fs::write(&paths.config, before).unwrap();
    let racing = Files::over(Arc::new(Replacing { config: paths.config.clone(), by }));

    commands(&paths, racing).carry_out(Request::DeleteClient { name }).await.unwrap();

    assert_ne!(rotated.address, old.address);
    assert!(crate::store::load(&paths).unwrap().clients.is_empty(), "it said that it is deleted");
    assert!(!has_key(&paths, &old) && !has_key(&paths, &rotated));
}

#[tokio::test]
async fn a_client_that_first_comes_while_the_agent_ends_is_new_to_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, config, Client { address, key, .. }) = inviting(dir.path()).await;
    // Its session is open, and nobody was told of it any more.
    commands(&paths, Files::default()).changes.vault.clients.save_history([(address, 1)].into_iter()).await;

    let next = commands(&paths, Files::default());
    assert!(!next.changes.vault.clients.has_connected(&address), "its key stays for ever");
    next.clients.first_seen(&config, &address, 2).await;
    next.changes.vault.clients.save_history([(address, 3)].into_iter()).await;

    let last = commands(&paths, Files::default());
    assert_eq!(last.changes.vault.clients.last_seen(&address), Some(3));
    assert!(!paths.secrets().join(SecretId::Client(key).to_string()).exists());
}

#[tokio::test]
async fn a_used_key_is_erased_wherever_the_agent_crashes() {
    for left in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let (paths, config, Client { address, key, .. }) = inviting(dir.path()).await;

        let crash = Files::over(Arc::new(Crash { left: left.into() }));
        commands(&paths, crash).clients.first_seen(&config, &address, 1).await;

        let next = commands(&paths, Files::default());
        assert_eq!(next.changes.settle().await, Notes::new(), "after {left} changes");
        let is_there = paths.secrets().join(SecretId::Client(key).to_string()).exists();
        assert_ne!(next.changes.vault.clients.has_connected(&address), is_there, "after {left} changes");
        assert!(paths.secrets().join(SecretId::Service(address).to_string()).exists());
    }
}

/// Whether the store has the key of this client's service.
fn has_key(paths: &Paths, client: &Client) -> bool {
    paths.secrets().join(SecretId::Service(client.address).to_string()).exists()
}

async fn alone(paths: &Paths, request: Request) {
    Commands::local(paths).unwrap().carry_out_alone(request).await.unwrap();
}

#[tokio::test]
async fn what_is_taken_out_by_hand_while_no_agent_runs_is_pruned_too() {
    let export = |port: &str| {
        let target = format!("127.0.0.1:{port}").parse().unwrap();
        Request::Edit(Edit::AddExport { target, port: None, allow_lan: false, clients: None })
    };
    for is_edited in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (paths, _, client) = inviting(dir.path()).await;
        alone(&paths, export("22")).await;
        let whole = std::fs::read_to_string(&paths.config).unwrap();
        let start = whole.find("[client.laptop]").unwrap();
        let end = whole[start + 1..].find('[').map_or(whole.len(), |next| start + 1 + next);
        std::fs::write(&paths.config, format!("{}{}", &whole[..start], &whole[end..])).unwrap();
        if is_edited {
            alone(&paths, export("80")).await;
        }
        assert!(has_key(&paths, &client));

        alone(&paths, Request::PruneSecrets).await;
        assert!(!has_key(&paths, &client), "after an edit: {is_edited}");
    }
}

#[tokio::test]
async fn a_loss_that_is_accepted_leaves_no_key_that_can_not_be_pruned() {
    for lost in [None, Some(""), Some("version = 1\n")] {
        for is_agents in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let (paths, config, client) = inviting(dir.path()).await;
            let agent = commands(&paths, Files::default());
            match lost {
                None => std::fs::remove_file(&paths.config).unwrap(),
                Some(text) => std::fs::write(&paths.config, text).unwrap(),
            }
            match is_agents {
                false => alone(&paths, Request::AcceptConfig).await,
                true => drop(agent.carry_out_alone(Request::AcceptConfig).await.unwrap()),
            }
            assert!(has_key(&paths, &client));
            let accepted = crate::store::load(&paths).unwrap();
            assert!(accepted.clients.is_empty() && accepted.instance == config.instance);

            alone(&paths, Request::PruneSecrets).await;
            assert!(!has_key(&paths, &client), "{lost:?}, by an agent: {is_agents}");
        }
    }
}

#[tokio::test]
async fn another_store_that_a_hand_names_meanwhile_leaves_no_key_in_the_one_of_before() {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::new(dir.path().join("config.toml"), dir.path().join("state")).unwrap();
    private::ensure_dir(&paths.state).unwrap();
    std::fs::write(&paths.config, "[agent]\nsecrets = \"file\"\n").unwrap();
    let by = std::sync::Mutex::new(Some("[agent]\nsecrets = \"os-keyring\"\n".to_owned()));
    let files = Files::over(Arc::new(Replacing { config: paths.config.clone(), by }));
    let stores = Arc::new(Both::default());
    let world = World { files, stores: Arc::clone(&stores) as Arc<dyn Stores>, ..World::real(&paths) };
    let vault = Arc::new(Vault::new(&paths, &world));
    let commands = Commands::new(ConfigStore::new(&paths).unwrap(), Arc::clone(&vault), world);
    let add = |name: &str| {
        let name = name.parse().unwrap();
        commands.carry_out(Request::add_client(name))
    };

    // It is named between the look at the file and the change of it.
    assert_eq!(add("laptop").await.map(drop).unwrap_err().code, Code::ConfigBusy);
    assert_eq!((stores.files.ids(), stores.keyring.ids()), (vec![], vec![]));

    // Or while the store of before is locked, and has a key yet that is to be erased.
    add("laptop").await.unwrap();
    stores.keyring.set_locked(true);
    let delete = Request::DeleteClient { name: "laptop".parse().unwrap() };
    commands.carry_out(delete).await.unwrap();
    let text = std::fs::read_to_string(&paths.config).unwrap();
    std::fs::write(&paths.config, text.replace("os-keyring", "file")).unwrap();
    assert!(!commands.changes.is_failing().await, "the store in use works");
    let left = commands.changes.settle().await;
    assert!(left.iter().any(|note| note.contains("in os-keyring, which was used before")), "{left:?}");
    assert!(vault.store.problem().is_none(), "it is no trouble of the store in use");
    assert_eq!(commands.secrets_status().await.unwrap().also_in, Some(StoreKind::OsKeyring));
    stores.keyring.set_locked(false);
    assert_eq!(commands.changes.settle().await, Notes::new());
    assert_eq!((stores.files.ids(), stores.keyring.ids()), (vec![], vec![]));
}

#[tokio::test]
async fn a_store_that_is_gone_for_good_is_given_up_by_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _, laptop) = inviting(dir.path()).await;
    let stores = Arc::new(Both::default());
    stores.keyring.set_locked(true);
    let world = World { stores: Arc::clone(&stores) as Arc<dyn Stores>, ..World::real(&paths) };
    let vault = Arc::new(Vault::new(&paths, &world));
    let commands = Commands::new(ConfigStore::new(&paths).unwrap(), Arc::clone(&vault), world);
    vault.doubts.begin(&ids_of(&laptop), Some(StoreKind::OsKeyring)).await.unwrap();
    commands.carry_out(Request::DeleteClient { name: "laptop".parse().unwrap() }).await.unwrap();
    assert!(!commands.changes.settle().await.is_empty());
    let status = commands.secrets_status().await.unwrap();
    assert_eq!((status.also_in, status.in_doubt), (Some(StoreKind::OsKeyring), 2));

    let forget = |store| commands.carry_out(Request::ForgetStore { store });
    assert_eq!(forget(StoreKind::File).await.map(drop).unwrap_err().code, Code::NotAllowed, "it is in use");
    let Ok(Response::Done { notes }) = forget(StoreKind::OsKeyring).await else { panic!("not given up") };
    assert_eq!(notes, ["keys that are left in os-keyring are not erased any more"]);
    let status = commands.secrets_status().await.unwrap();
    assert_eq!((status.also_in, status.in_doubt), (None, 0));
    assert_eq!(forget(StoreKind::OsKeyring).await.map(drop).unwrap_err().code, Code::NotThere);
}

/// Files on a disk that is full.
struct Full(FileStore);

impl SecretStore for Full {
    fn get(&mut self, id: &SecretId) -> Result<Secret, SecretsError> {
        self.0.get(id)
    }
    fn set(&mut self, _id: &SecretId, _secret: &Secret) -> Result<(), SecretsError> {
        self.probe()
    }
    fn delete(&mut self, id: &SecretId) -> Result<(), SecretsError> {
        self.0.delete(id)
    }
    fn probe(&mut self) -> Result<(), SecretsError> {
        Err(SecretsError::Full("no space left on device".into()))
    }
}

struct FullDisk(std::path::PathBuf);

impl Stores for FullDisk {
    fn open(&self, kind: StoreKind, _instance: &str) -> Secrets {
        let dir = self.0.clone();
        Secrets::over(kind, move || Box::new(Full(FileStore::new(&dir))))
    }
    fn preferred(&self) -> Result<Option<StoreKind>, Problem> {
        Ok(None)
    }
}

#[tokio::test]
async fn keys_on_a_full_disk_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, ..) = inviting(dir.path()).await;
    let world = World { stores: Arc::new(FullDisk(paths.secrets())), ..World::real(&paths) };
    let vault = Arc::new(Vault::local(&paths, &world));
    let status = Commands::new(ConfigStore::new(&paths).unwrap(), vault, world).secrets_status().await;
    let SecretsStatus { usable, problem, found, needed, .. } = status.unwrap();
    assert_eq!((usable, problem.unwrap().code), (false, Code::StoreFull));
    assert_eq!((found, needed), (2, 2));
}

/// Files of which each use is counted.
#[derive(Debug, Default)]
struct Counted(AtomicUsize);

#[async_trait]
impl Ways for Counted {
    async fn apart(&self, work: Box<dyn FnOnce() + Send>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        work();
    }

    fn before(&self, _path: &Path, _change: Change) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_can_not_be_settled_is_tried_ever_less_often() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, ..) = inviting(dir.path()).await;
    let files = Arc::new(Counted::default());
    let commands = commands(&paths, Files::over(Arc::clone(&files) as Arc<dyn Ways>));
    std::fs::write(&paths.config, "nonsense").unwrap();
    tokio::time::pause();
    let mut settling = pin!(commands.changes.keep_settling());
    let mut of_three_minutes = async || {
        let before = files.0.load(Ordering::Relaxed);
        let _ = tokio::time::timeout(Duration::from_secs(180), &mut settling).await;
        files.0.load(Ordering::Relaxed) - before
    };
    let (first, next) = (of_three_minutes().await, of_three_minutes().await);
    assert!(next > 0, "it is not tried again");
    assert!(next < first, "{first} uses of files in three minutes, then {next}");
}

/// The invite, and what was said with it.
fn invite_in(answer: Result<Response, Problem>) -> (String, Notes) {
    match answer {
        Ok(Response::Invite { text, notes }) => (text.expose().to_owned(), notes),
        Ok(_) => panic!("it is not an answer to that"),
        Err(problem) => panic!("{problem}"),
    }
}

#[tokio::test]
async fn of_two_who_rotate_a_client_at_once_both_have_the_invite_that_works() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _, Client { address, .. }) = inviting(dir.path()).await;
    // What is asked of files is done at once: each command has looked at the client before either may change it.
    let files = Files::over(Arc::new(Crash { left: AtomicUsize::new(usize::MAX) }));
    let world = World { files: files.clone(), ..World::real(&paths) };
    let store = ConfigStore::over(&paths, files, crate::model::config::InstanceId::from_random([7; 10]));
    let agent = Commands::new(store, Arc::new(Vault::new(&paths, &world)), world);
    let name: ClientName = "laptop".parse().unwrap();
    let both = async |keys: [Option<ClientPublicKey>; 2]| {
        let held = agent.changes.vault.change().await.unwrap();
        let [first, second] = keys.map(|key| Request::RotateClient { name: name.clone(), key });
        tokio::join!(agent.carry_out(first), agent.carry_out(second), async { drop(held) })
    };
    let (first, second, ()) = both([None, None]).await;
    // Which of them comes first is not known: their keys are read by a thread.
    let ((first, told), (second, notes)) = (invite_in(first), invite_in(second));
    assert!(first == second, "one of the invites is dead");
    assert!(
        told.iter().chain(&notes).any(|note| note.contains("another command has given laptop new keys")),
        "{told:?}, {notes:?}"
    );
    let client = &crate::store::load(&paths).unwrap().clients[&name];
    assert!(client.address != address && second == *invite_text_of(&agent, client).await);

    let key = ClientKey::from_bytes(&[7; 32]).unwrap().public();
    let (first, second, ()) = both([None, Some(key)]).await;
    let ((Ok(_), Err(refused)) | (Err(refused), Ok(_))) = (first, second) else {
        panic!("one has got nothing, and nobody said so")
    };
    assert_eq!(refused.code, Code::ConfigBusy, "{refused}");
    let (_, notes) =
        invite_in(agent.carry_out(Request::RotateClient { name: name.clone(), key: None }).await);
    assert_eq!(notes, Notes::new(), "one alone");
}

/// The invite that is shown of a client.
async fn invite_text_of(agent: &Commands, client: &Client) -> Zeroizing<String> {
    let config = agent.changes.load().await.unwrap();
    invite_text(client, InviteKey::Private(agent.changes.client_key(&config, client.key).await.unwrap()))
}

#[tokio::test]
async fn a_client_that_is_added_again_with_the_same_key_has_its_invite_and_with_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, ..) = inviting(dir.path()).await;
    let key = |number: u8| Some(ClientKey::from_bytes(&[number; 32]).unwrap().public());
    let add = async |name: &str, key| {
        let add = Request::AddClient { name: name.parse().unwrap(), ports: None, expires: None, key };
        commands(&paths, Files::default()).carry_out(add).await
    };
    assert!(matches!(add("nas", key(1)).await, Ok(Response::Invite { .. })));
    assert!(matches!(add("nas", key(1)).await, Ok(Response::Invite { .. })));
    for (name, key) in [("nas", key(2)), ("nas", None), ("laptop", key(1))] {
        let refused = add(name, key).await.map(drop).unwrap_err();
        assert!(refused.message.contains("with another key"), "{name}: {refused}");
    }
    assert!(matches!(add("laptop", None).await, Ok(Response::Invite { .. })));
}

#[tokio::test]
async fn a_client_that_is_added_again_has_its_invite_unless_other_terms_are_given() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, ..) = inviting(dir.path()).await;
    let ports = |numbers: &[u16]| Some(numbers.iter().map(|number| Port::new(*number).unwrap()).collect());
    let add = async |name: &str, ports, expires| {
        let add = Request::AddClient { name: name.parse().unwrap(), ports, expires, key: None };
        let added = commands(&paths, Files::default()).carry_out(add).await;
        added.map(|response| assert!(matches!(response, Response::Invite { .. }))).map_err(|why| why.message)
    };
    for target in ["22", "80"] {
        let target = target.parse().unwrap();
        let export = Edit::AddExport { target, port: None, allow_lan: false, clients: None };
        commands(&paths, Files::default()).carry_out(Request::Edit(export)).await.unwrap();
    }
    // Not over for long.
    let [first, second] = [50_020, 50_021].map(Day::from_epoch_days);
    add("nas", ports(&[22, 80]), Some(first)).await.unwrap();
    let made = crate::store::load(&paths).unwrap().clients[&"nas".parse().unwrap()].clone();
    assert_eq!((&made.ports, made.expires), (&ports(&[22, 80]), Some(first)));

    for (ports, expires, is_same) in [
        (None, None, true),
        (ports(&[22, 80]), None, true),
        (None, Some(first), true),
        (ports(&[22, 80]), Some(first), true),
        (ports(&[22]), None, false),
        (None, Some(second), false),
        (ports(&[22, 80]), Some(second), false),
        (ports(&[]), Some(first), false),
    ] {
        let answer = add("nas", ports.clone(), expires).await;
        assert_eq!(answer.is_ok(), is_same, "{ports:?} {expires:?} {answer:?}");
        assert!(answer.err().is_none_or(|why| why.contains("with other ports or another expiry")));
        assert_eq!(crate::store::load(&paths).unwrap().clients[&"nas".parse().unwrap()], made);
    }
    // One without terms has others than one who is given some.
    assert!(add("laptop", ports(&[22]), None).await.is_err());
    assert!(add("laptop", None, Some(first)).await.is_err());
}

/// A host that has invited laptop and desktop, and the commands of one for whom, once it has begun, a text stands in the file.
async fn inviting_two(dir: &Path, meanwhile: impl Fn(&Config) -> Config) -> (Paths, Commands, [Client; 2]) {
    let (paths, _, laptop) = inviting(dir).await;
    alone(&paths, Request::add_client("desktop".parse().unwrap())).await;
    let config = crate::store::load(&paths).unwrap();
    let desktop = config.clients[&"desktop".parse().unwrap()].clone();
    let mut document = Default::default();
    crate::model::config::write(&mut document, &meanwhile(&config));
    let by = std::sync::Mutex::new(Some(document.to_string()));
    let racing = Files::over(Arc::new(Replacing { config: paths.config.clone(), by }));
    let commands = commands(&paths, racing);
    (paths, commands, [laptop, desktop])
}

/// Gives the name of a client or remote to another one.
fn renamed(config: &Config, names: &[(&str, &str)]) -> Config {
    names.iter().fold(config.clone(), |config, (name, to)| {
        let client = Edit::RenameClient { name: name.parse().unwrap(), to: to.parse().unwrap() };
        let remote = Edit::RenameRemote { name: name.parse().unwrap(), to: to.parse().unwrap() };
        edit::apply(&config, &client).or_else(|_| edit::apply(&config, &remote)).unwrap()
    })
}

#[tokio::test]
async fn a_late_deletion_leaves_alone_who_has_the_name_by_then() {
    let dir = tempfile::tempdir().unwrap();
    // The other deletion was quicker, and then somebody else got the name.
    let meanwhile = |config: &Config| {
        let mut config = config.clone();
        config.clients.remove(&"laptop".parse().unwrap());
        renamed(&config, &[("desktop", "laptop")])
    };
    let (paths, commands, [laptop, desktop]) = inviting_two(dir.path(), meanwhile).await;

    commands.carry_out(Request::DeleteClient { name: "laptop".parse().unwrap() }).await.unwrap();
    commands.changes.settle().await;

    let config = crate::store::load(&paths).unwrap();
    assert!(config.client_at(&laptop.address).is_none());
    assert!(config.client_at(&desktop.address).is_some(), "nobody has deleted it");
    assert!(has_key(&paths, &desktop));
}

#[tokio::test]
async fn one_who_is_renamed_while_it_is_rotated_has_the_new_keys_and_who_has_its_name_keeps_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let meanwhile = |config: &Config| renamed(config, &[("laptop", "old"), ("desktop", "laptop")]);
    let (paths, commands, [laptop, desktop]) = inviting_two(dir.path(), meanwhile).await;

    let rotated =
        commands.carry_out(Request::RotateClient { name: "laptop".parse().unwrap(), key: None }).await;

    let config = crate::store::load(&paths).unwrap();
    let new = &config.clients[&"old".parse().unwrap()];
    assert_eq!(invite_in(rotated).0, *invite_text_of(&commands, new).await);
    assert!(
        config.client_at(&laptop.address).is_none() && !has_key(&paths, &laptop),
        "its invite still works"
    );
    assert_eq!(config.clients[&"laptop".parse().unwrap()], desktop);
    assert!(has_key(&paths, &desktop) && has_key(&paths, new));
}

#[tokio::test]
async fn who_got_the_name_before_a_rotation_had_its_turn_is_not_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, commands, [laptop, desktop]) = inviting_two(dir.path(), Config::clone).await;
    let held = commands.changes.vault.change().await.unwrap();
    let rotate = commands.carry_out(Request::RotateClient { name: "laptop".parse().unwrap(), key: None });
    let rename = async {
        // It has looked at the file by now, and waits.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let gone = |config: &Config| {
            let mut config = config.clone();
            config.clients.remove(&"laptop".parse().unwrap());
            Ok(renamed(&config, &[("desktop", "laptop")]))
        };
        commands.changes.edit(gone).await.unwrap();
        drop(held);
    };
    let (rotated, ()) = tokio::join!(rotate, rename);

    assert_eq!(rotated.map(drop).unwrap_err().code, Code::ConfigBusy);
    let config = crate::store::load(&paths).unwrap();
    assert!(config.client_at(&desktop.address).is_some() && config.client_at(&laptop.address).is_none());
}

/// A host with two remotes, by their keys' numbers, each with an import; and an invite of a third.
fn with_remotes(dir: &Path, keys: [u8; 2]) -> (Paths, Config, Confidential) {
    use super::super::bench::{address, client_key};
    let paths = Paths::new(dir.join("config.toml"), dir.join("state")).unwrap();
    private::ensure_dir(&paths.state).unwrap();
    private::ensure_dir(&paths.secrets()).unwrap();
    let mut text = "[agent]\nsecrets = \"file\"\n".to_owned();
    for (at, (name, key)) in (1u8..).zip(["web", "db"].into_iter().zip(keys)) {
        let key = client_key(key).public();
        text += &format!(
            "\n[remote.{name}]\naddress = \"{}\"\nkey = \"{key}\"\n\n\
             [[remote.{name}.import]]\nremote-port = 22\nlisten = \"127.0.0.1:{}\"\n",
            address(at),
            7000 + u16::from(at),
        );
        std::fs::write(paths.secrets().join(SecretId::Client(key).to_string()), "").unwrap();
    }
    std::fs::write(&paths.config, text).unwrap();
    let config = crate::store::load(&paths).unwrap();
    let client = Client::new(address(9), client_key(9).public());
    let invite = Confidential::new(invite_text(&client, InviteKey::Private(client_key(9))));
    (paths, config, invite)
}

#[tokio::test]
async fn a_remote_that_got_the_name_meanwhile_is_neither_replaced_nor_deleted() {
    for is_deletion in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (paths, config, invite) = with_remotes(dir.path(), [1, 2]);
        let names = [("web", "old"), ("db", "web")];
        let mut document = Default::default();
        crate::model::config::write(&mut document, &renamed(&config, &names));
        let by = std::sync::Mutex::new(Some(document.to_string()));
        let racing = Files::over(Arc::new(Replacing { config: paths.config.clone(), by }));
        let commands = commands(&paths, racing);
        let name = "web".parse().unwrap();
        let request = match is_deletion {
            true => Request::DeleteRemote { name },
            false => Request::AddRemote { name, invite, replace: true },
        };

        let answer = commands.carry_out(request).await.map(drop).map_err(|problem| problem.code);

        let [web, db] = ["web", "db"].map(|name| config.remotes[&name.parse().unwrap()].clone());
        let left = crate::store::load(&paths).unwrap();
        let is_there = |key| paths.secrets().join(SecretId::Client(key).to_string()).exists();
        assert_eq!(left.remotes[&"web".parse().unwrap()], db, "it only has that name");
        assert!(is_there(db.key));
        assert_eq!(left.remote_at(&web.address).is_some(), !is_deletion);
        assert_eq!(is_there(web.key), !is_deletion);
        assert_eq!(answer, if is_deletion { Ok(()) } else { Err(Code::ConfigBusy) });
        assert!(
            !is_there(super::super::bench::client_key(9).public()),
            "a key is left, and nothing names it"
        );
    }
}

#[tokio::test]
async fn one_of_two_remotes_with_the_same_key_goes_with_its_imports_and_the_key_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, config, _) = with_remotes(dir.path(), [1, 1]);

    let notes = commands(&paths, Files::default()).remotes.delete(&"web".parse().unwrap()).await.unwrap();

    assert_eq!(notes, ["its import at 127.0.0.1:7001 is gone, too"]);
    let left = crate::store::load(&paths).unwrap();
    assert!(left.remotes.keys().map(ToString::to_string).eq(["db"]));
    let key = config.remotes[&"db".parse().unwrap()].key;
    assert!(paths.secrets().join(SecretId::Client(key).to_string()).exists());
}

#[tokio::test]
async fn an_invite_that_is_over_is_told_from_one_that_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _, invite) = with_remotes(dir.path(), [1, 2]);
    let client = Client::new(super::super::bench::address(9), super::super::bench::client_key(9).public());
    let past = Client { expires: Some(Day::from_epoch_days(20_000)), ..client };
    let over = invite_text(&past, InviteKey::Private(super::super::bench::client_key(9)));
    let cut = Zeroizing::new(invite.expose()[..40].to_owned());
    let commands = commands(&paths, Files::default());
    for (text, expected) in [(over, Code::InviteExpired), (cut, Code::BadInvite)] {
        let add = Request::AddRemote {
            name: "nas".parse().unwrap(),
            invite: Confidential::new(text),
            replace: false,
        };
        assert_eq!(commands.carry_out(add).await.map(drop).unwrap_err().code, expected);
    }
    let add = Request::AddRemote { name: "nas".parse().unwrap(), invite, replace: false };
    commands.carry_out(add).await.unwrap();
}
