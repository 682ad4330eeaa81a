//! `ORMESH_EXPORTS` and `ORMESH_CLIENTS`: a container's exports and clients, added at the first start that names them. Nothing is ever
//! removed because of them, and what a command has removed is not added again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::commands::Commands;
use crate::ipc::Request;
use crate::model::address::{Port, Target};
use crate::model::edit::Edit;
use crate::model::name::ClientName;
use crate::model::problem::{Code, Problem, catalogue};
use crate::plan::adopt::{self, Found};
use crate::plan::given;
use crate::store::paths::Paths;
use crate::store::{ConfigStore, atomic, private};

/// What the variables named at the last start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Named {
    exports: BTreeSet<String>,
    clients: BTreeSet<String>,
}

/// What the two variables say.
struct Variables {
    exports: String,
    clients: String,
}

impl Variables {
    fn from_env() -> Self {
        let var = |name| std::env::var(name).unwrap_or_default();
        Self { exports: var("ORMESH_EXPORTS"), clients: var("ORMESH_CLIENTS") }
    }

    fn named(&self) -> Named {
        let words = |entry: &str| entry.split_whitespace().collect::<Vec<_>>().join(" ");
        Named {
            exports: entries(&self.exports).map(words).collect(),
            clients: entries(&self.clients).map(str::to_owned).collect(),
        }
    }
}

/// The requests that a value of `ORMESH_EXPORTS` stands for: `TARGET [PORT]`, separated by semicolons.
fn exports(text: &str) -> Result<Vec<Edit>, Problem> {
    entries(text)
        .map(|entry| {
            let bad = |why: String| {
                Problem::new(Code::BadEnvironment, format!("ORMESH_EXPORTS can't be used: {why}"))
                    .hint("write as in ORMESH_EXPORTS=\"22;8080 80\"")
            };
            let mut words = entry.split_whitespace();
            let target: Target = words
                .next()
                .unwrap_or_default()
                .parse()
                .map_err(|error: crate::model::address::AddressError| bad(error.to_string()))?;
            let port: Option<Port> = words
                .next()
                .map(str::parse)
                .transpose()
                .map_err(|error: crate::model::address::AddressError| bad(error.to_string()))?;
            if words.next().is_some() {
                return Err(bad(format!("{entry:?} has more than a target and a port")));
            }
            if port.or(target.port()).is_none() {
                return Err(bad(format!("{target} needs a port under which clients reach it")));
            }
            Ok(Edit::AddExport { target, port, allow_lan: false, clients: None })
        })
        .collect()
}

/// The clients that a value of `ORMESH_CLIENTS` names, separated by semicolons.
fn clients(text: &str) -> Result<Vec<ClientName>, Problem> {
    let name = |entry: &str| {
        entry.parse().map_err(|error| {
            Problem::new(Code::BadEnvironment, format!("ORMESH_CLIENTS can't be used: {error}"))
                .hint("write as in ORMESH_CLIENTS=\"desktop;laptop\"")
        })
    };
    entries(text).map(name).collect()
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|entry| !entry.is_empty())
}

/// The file that an agent keeps beside a configuration that it can't write, in the state directory.
fn beside(given: &Paths) -> Paths {
    Paths { config: given.state.join("config.toml"), ..given.clone() }
}

/// Where what is in force is kept: the given configuration, or the one that an agent keeps beside it (see `writable`).
pub fn in_use(given: Paths) -> Paths {
    let own = beside(&given);
    let is_beside = own != given && is_kept(&own) && !private::can_create_in(given.config.parent());
    if is_beside { own } else { given }
}

/// Whether something is kept there. A file that was lost was there, as its last good copy tells.
fn is_kept(own: &Paths) -> bool {
    own.config.exists() || own.last_good().exists()
}

/// Where an agent keeps its configuration when the environment adds to one that it can't write, as containers mount it: in the state
/// directory, merged at each start with what is given by then. Once it is there, it stays in use. What is wrong with what is given comes
/// with it: what was given before is in force then.
pub(super) fn writable(given: &Paths) -> Result<(Paths, Option<Problem>), Problem> {
    let asked = ["ORMESH_EXPORTS", "ORMESH_CLIENTS"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let own = beside(given);
    let is_there = is_kept(&own);
    if own == *given || !asked && !is_there || private::can_create_in(given.config.parent()) {
        return Ok((given.clone(), None));
    }
    tracing::info!(config = %own.config.display(), "the configuration is read-only; what is changed here is kept beside the state");
    let lost = take_in(given, &own, is_there)?;
    Ok((own, lost))
}

/// Merges what is given now with what was given before and what is kept beside it, and remembers what was given. Gives what is wrong with
/// what is given, if that was put aside.
fn take_in(given: &Paths, own: &Paths, is_there: bool) -> Result<Option<Problem>, Problem> {
    let copy = Paths { config: given.state.join("given.toml"), ..given.clone() };
    let before = ConfigStore::new(&copy)?.load_given().ok().flatten();
    let now = ConfigStore::new(given)?.load_given()?;
    let own_store = ConfigStore::new(own)?;
    // Its last good copy is in force, as status says, until a person has decided; it is merged at the start after that.
    let is_lost = |problem: &Problem| matches!(problem.code, Code::ConfigLost | Code::ConfigCut);
    if own_store.load().as_ref().is_err_and(is_lost) {
        return Ok(None);
    }
    let lost = match (&now, &before) {
        // Not there, which is no wish to take anything out; and nothing is lost where nothing ever was.
        (None, None) => return own_store.edit(|own| Ok(own.clone())).map(|_| None),
        (None, Some((_, good))) => adopt::judge(good, Found::Absent).err(),
        (Some((text, config)), Some((old, good))) => {
            let found = match text.trim().is_empty() {
                true => Found::Empty,
                false => Found::Config { config, is_cut: !text.ends_with('\n') && old.ends_with('\n') },
            };
            adopt::judge(good, found).err()
        }
        (Some(_), None) => None,
    };
    let lost = lost.map(|loss| catalogue::given_lost(&given.config, &loss));
    if let Some(problem) = &lost {
        tracing::warn!("{problem}");
    }
    let Some((text, base)) = now.filter(|_| lost.is_none()) else {
        return own_store.edit(|own| Ok(own.clone())).map(|_| lost);
    };
    let before = before.map_or_else(|| base.clone(), |(_, before)| before);
    own_store.edit(|own| Ok(if is_there { given::merge(&base, &before, own) } else { base.clone() }))?;
    // The very text that was merged: what has changed since is merged at the next start.
    atomic::replace(&copy.config, text.as_bytes()).map(|()| None).map_err(|error| {
        Problem::new(Code::FileFailed, format!("failed to write {}: {error}", copy.config.display()))
    })
}

/// Applies both variables. The invites are read by `ormesh client invite NAME`.
///
/// Errors: a malformed variable; an export that collides; a state directory that would not outlive a container.
pub(super) async fn apply(store: &ConfigStore, commands: &Commands) -> Result<(), Problem> {
    let variables = Variables::from_env();
    let is_ephemeral = std::env::var("ORMESH_EPHEMERAL").is_ok_and(|value| value == "1");
    let state = &store.paths().state;
    let names_clients = entries(&variables.clients).next().is_some();
    if would_be_lost(names_clients, is_ephemeral, private::is_ephemeral(state)) {
        let state = state.display();
        return Err(Problem::new(
            Code::StateNotKept,
            format!("{state} does not outlive this container, so every address would change at each start"),
        )
        .hint("mount a volume there (ORMESH_STATE), or set ORMESH_EPHEMERAL=1 if that is what you want"));
    }
    apply_these(store, commands, &variables).await
}

/// Whether clients would get keys that do not outlive the container, though nobody has said that this is meant.
fn would_be_lost(names_clients: bool, is_meant: bool, state_is_ephemeral: bool) -> bool {
    names_clients && !is_meant && state_is_ephemeral
}

/// Adds what is named for the first time. What was named at the last start was added then: where it is not there, a command has removed it.
async fn apply_these(store: &ConfigStore, commands: &Commands, variables: &Variables) -> Result<(), Problem> {
    // Both are read before anything is added.
    let (edits, names) = (exports(&variables.exports)?, clients(&variables.clients)?);
    let now = variables.named();
    let noted = named_before(store.paths());
    let before = noted.as_ref().unwrap_or(&now);
    for edit in edits {
        let Edit::AddExport { target, port, .. } = &edit else { continue };
        let Some(at) = port.or(target.port()) else { continue };
        let entry = |text: &&String| exports(text).is_ok_and(|edits| edits.contains(&edit));
        if !before.exports.iter().any(|text| entry(&text)) {
            commands.carry_out(Request::Edit(edit)).await?;
        } else if !store.load()?.exports.contains_key(&at) {
            tracing::info!("ORMESH_EXPORTS names port {at}, which was deleted or moved here: it stays so");
        }
    }
    for name in names {
        let is_there = store.load()?.clients.contains_key(&name);
        match before.clients.contains(name.as_str()) {
            _ if is_there => {}
            true => tracing::info!(
                "ORMESH_CLIENTS names {name}, which was deleted or renamed here: it stays so; ormesh client add {name} makes one"
            ),
            false => {
                let add = Request::add_client(name);
                commands.carry_out(add).await?;
            }
        }
    }
    if noted.as_ref() != Some(&now) {
        let bytes = serde_json::to_vec(&now).expect("lists of texts have a JSON form");
        if let Err(error) = atomic::replace(&named_file(store.paths()), &bytes) {
            tracing::warn!(%error, "failed to note what the environment names: what is deleted may be made again");
        }
    }
    Ok(())
}

fn named_file(paths: &Paths) -> PathBuf {
    paths.state.join("environment.json")
}

/// What was named at the last start. None where the note can't be read: it may have named all that is named now, and nobody is let in again
/// for that.
fn named_before(paths: &Paths) -> Option<Named> {
    let path = named_file(paths);
    let read = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Named::default()),
        Err(error) => Err(error.to_string()),
    };
    read.inspect_err(|error| {
        tracing::warn!(path = %path.display(), error, "what the environment named before can't be read: nothing is added by it at this start");
    })
    .ok()
}

#[cfg(test)]
mod tests {
    use super::super::bench::Host;
    use super::*;

    #[test]
    fn exports_are_targets_with_ports() {
        let edits = exports(" 22; 8080 80 ;").unwrap();
        let [
            Edit::AddExport { target: ssh, port: None, .. },
            Edit::AddExport { target: web, port: Some(port), .. },
        ] = edits.as_slice()
        else {
            panic!("{edits:?}");
        };
        assert_eq!(
            (ssh.to_string().as_str(), web.to_string().as_str(), port.get()),
            ("127.0.0.1:22", "127.0.0.1:8080", 80)
        );
        assert_eq!(exports("unix:/run/web.sock 80").unwrap().len(), 1);
        for bad in ["x", "22 0", "22 80 90", "22,80", "22;unix:/run/web.sock"] {
            assert_eq!(exports(bad).unwrap_err().code, Code::BadEnvironment, "{bad:?}");
        }
    }

    #[test]
    fn keys_of_clients_are_made_where_they_last_or_need_not() {
        assert!(would_be_lost(true, false, true));
        assert!(!would_be_lost(false, false, true), "no client is named");
        assert!(!would_be_lost(true, true, true), "it is meant so");
        assert!(!would_be_lost(true, false, false), "it lasts");
    }

    #[test]
    fn clients_are_names() {
        assert_eq!(clients("desktop;laptop; ").unwrap().len(), 2);
        assert!(clients("1st").is_err());
    }

    const WHOLE: &str = "[[export]]\ntarget = \"22\"\n\n[[export]]\ntarget = \"80\"\n";

    /// What is in force beside a given configuration after each start, with these given one after another and 22 limited by a command.
    fn exports_after(starts: &[Option<&str>]) -> Vec<Vec<(u16, bool)>> {
        let dir = tempfile::tempdir().unwrap();
        let given = Paths::new(dir.path().join("given/config.toml"), dir.path().join("state")).unwrap();
        private::ensure_dir(&given.state).unwrap();
        private::ensure_dir(given.config.parent().unwrap()).unwrap();
        let own = beside(&given);
        let mut seen = Vec::new();
        for start in starts {
            match start {
                Some(text) => std::fs::write(&given.config, text).unwrap(),
                None => std::fs::remove_file(&given.config).unwrap(),
            }
            let lost = take_in(&given, &own, is_kept(&own)).unwrap();
            let is_whole = |text: &str| text == WHOLE || text.ends_with("\"22\"\n");
            assert_eq!(lost.is_some(), !start.is_some_and(is_whole));
            let store = ConfigStore::new(&own).unwrap();
            if seen.is_empty() {
                let limited = |config: &crate::model::config::Config| {
                    let mut config = config.clone();
                    let export = config.exports.get_mut(&Port::new(22).unwrap()).unwrap();
                    export.clients = Some(Default::default());
                    Ok(config)
                };
                store.edit(limited).unwrap();
            }
            let config = store.load_given().unwrap().unwrap().1;
            let exports = config.exports.iter();
            seen.push(exports.map(|(port, export)| (port.get(), export.clients.is_some())).collect());
        }
        seen
    }

    #[test]
    fn a_given_configuration_that_is_lost_at_one_start_takes_nothing_away_and_opens_nothing_at_the_next() {
        let limited = vec![(22, true), (80, false)];
        let cut = WHOLE.strip_suffix("[[export]]\ntarget = \"80\"\n").unwrap().trim_end();
        for lost in [None, Some(""), Some("version = 1\n"), Some(cut)] {
            let seen = exports_after(&[Some(WHOLE), lost, Some(WHOLE)]);
            assert_eq!(seen, [limited.clone(), limited.clone(), limited.clone()], "{lost:?}");
        }
        // What is taken out of a whole one goes.
        let seen = exports_after(&[Some(WHOLE), Some("[[export]]\ntarget = \"22\"\n")]);
        assert_eq!(seen[1], [(22, true)]);
    }

    #[tokio::test]
    async fn what_a_start_has_added_and_a_command_deleted_is_not_added_by_the_next() {
        let host = Host::new();
        std::fs::write(&host.paths.config, "[agent]\nsecrets = \"file\"\n").unwrap();
        let store = ConfigStore::new(&host.paths).unwrap();
        store.start().unwrap();
        let commands = Commands::new(ConfigStore::new(&host.paths).unwrap(), host.vault(), host.world());
        let start = async |exports: &str, clients: &str| {
            let variables = Variables { exports: exports.to_owned(), clients: clients.to_owned() };
            apply_these(&store, &commands, &variables).await.unwrap();
            let config = store.load().unwrap();
            let ports: Vec<_> = config.exports.keys().map(|port| port.get()).collect();
            (ports, config.clients.keys().map(ToString::to_string).collect::<Vec<_>>())
        };
        let all = || (vec![22, 80], vec!["laptop".to_owned(), "phone".to_owned()]);
        assert_eq!(start("22; 80", "laptop; phone").await, all());

        let phone: ClientName = "phone".parse().unwrap();
        commands.carry_out(Request::DeleteClient { name: phone }).await.unwrap();
        let port = Port::new(80).unwrap();
        commands.carry_out(Request::Edit(Edit::DeleteExport { port })).await.unwrap();
        let left = (vec![22], vec!["laptop".to_owned()]);
        assert_eq!(start("22; 80", "laptop; phone").await, left);

        // What can't be read may have named all that is named now.
        std::fs::write(named_file(&host.paths), "{").unwrap();
        assert_eq!(start("22; 80", "laptop; phone").await, left);
        // One that was taken out and is named anew is wanted again.
        assert_eq!(start("22", "laptop").await, left);
        assert_eq!(start("22; 80", "laptop; phone").await, all());
    }
}
