//! `ORMESH_EXPORTS` and `ORMESH_CLIENTS`: what a container is told by its environment, applied once at start. Adds, never removes.

use super::commands::Commands;
use crate::ipc::Request;
use crate::model::address::{Port, Target};
use crate::model::edit::Edit;
use crate::model::name::ClientName;
use crate::model::problem::{Code, Problem};
use crate::plan::given;
use crate::store::paths::Paths;
use crate::store::{ConfigStore, atomic, private};

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
    let is_beside = own != given && own.config.exists() && !private::can_create_in(given.config.parent());
    if is_beside { own } else { given }
}

/// Where an agent keeps its configuration when the environment adds to one that it can't write, as containers mount it: in the state
/// directory, merged at each start with what is given by then. Once it is there, it stays in use.
pub(super) fn writable(given: &Paths) -> Result<Paths, Problem> {
    let asked = ["ORMESH_EXPORTS", "ORMESH_CLIENTS"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let own = beside(given);
    let is_there = own.config.exists();
    if own == *given || !asked && !is_there || private::can_create_in(given.config.parent()) {
        return Ok(given.clone());
    }
    tracing::info!(config = %own.config.display(), "the configuration is read-only; what is changed here is kept beside the state");
    // Whatever an earlier one had.
    let given_store = ConfigStore::new(given)?;
    let base = given_store.load_given()?;
    let own_store = ConfigStore::new(&own)?;
    if !given_store.exists() {
        // Not there, which is no wish to take anything out.
        own_store.edit(|own| Ok(if is_there { own.clone() } else { base }))?;
        return Ok(own);
    }
    let copy = Paths { config: given.state.join("given.toml"), ..given.clone() };
    let copy_store = ConfigStore::new(&copy)?;
    let before = match copy_store.exists() {
        true => copy_store.load_given().unwrap_or_else(|_| base.clone()),
        false => base.clone(),
    };
    own_store.edit(|own| Ok(if is_there { given::merge(&base, &before, own) } else { base }))?;
    let text = std::fs::read(&given.config).unwrap_or_default();
    atomic::replace(&copy.config, &text).map_err(|error| {
        Problem::new(Code::FileFailed, format!("failed to write {}: {error}", copy.config.display()))
    })?;
    Ok(own)
}

/// Applies both variables. The invites are read by `ormesh client invite NAME`.
///
/// Errors: a malformed variable; an export that collides; a state directory that would not outlive a container.
pub(super) async fn apply(store: &ConfigStore, commands: &Commands) -> Result<(), Problem> {
    let var = |name| std::env::var(name).unwrap_or_default();
    let (exports, clients) = (exports(&var("ORMESH_EXPORTS"))?, clients(&var("ORMESH_CLIENTS"))?);
    if !clients.is_empty() && var("ORMESH_EPHEMERAL") != "1" && private::is_ephemeral(&store.paths().state) {
        let state = store.paths().state.display();
        return Err(Problem::new(
            Code::StateNotKept,
            format!("{state} does not outlive this container, so every address would change at each start"),
        )
        .hint("mount a volume there (ORMESH_STATE), or set ORMESH_EPHEMERAL=1 if that is what you want"));
    }
    for edit in exports {
        commands.carry_out(Request::Edit(edit)).await?;
    }
    for name in clients {
        if !store.load()?.clients.contains_key(&name) {
            commands
                .carry_out(Request::AddClient { name, ports: None, expires: None, request: None })
                .await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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
        for bad in ["x", "22 0", "22 80 90", "22,80"] {
            assert_eq!(exports(bad).unwrap_err().code, Code::BadEnvironment, "{bad:?}");
        }
    }

    #[test]
    fn clients_are_names() {
        assert_eq!(clients("desktop;laptop; ").unwrap().len(), 2);
        assert!(clients("1st").is_err());
    }
}
