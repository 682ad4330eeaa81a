//! `ORMESH_EXPORTS` and `ORMESH_CLIENTS`: what a container is told by its environment, applied once at start. Adds, never removes.

use super::commands::Commands;
use crate::ipc::Request;
use crate::model::address::{Port, Target};
use crate::model::config::{Client, Config};
use crate::model::edit::Edit;
use crate::model::name::ClientName;
use crate::model::problem::{Code, Problem};
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

/// Where an agent keeps its configuration when the environment adds to one that it can't write, as containers mount it: in the state
/// directory, made anew from the given one at each start, with the clients that the environment has added before.
pub(super) fn writable(given: &Paths) -> Result<Paths, Problem> {
    let asked = ["ORMESH_EXPORTS", "ORMESH_CLIENTS"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if !asked || private::can_create_in(given.config.parent()) {
        return Ok(given.clone());
    }
    let own = Paths { config: given.state.join("config.toml"), ..given.clone() };
    tracing::info!(config = %own.config.display(), "the configuration is read-only; what the environment adds is kept beside the state");
    // Whatever an earlier one had.
    let given_store = ConfigStore::new(given)?;
    let base = given_store.load_given()?;
    let copy = Paths { config: given.state.join("given.toml"), ..given.clone() };
    if !given_store.exists() {
        // Not there, which is no wish to take anybody out.
        ConfigStore::new(&own)?.edit(|own| Ok(joined(&base, &base, own)))?;
        return Ok(own);
    }
    let before = ConfigStore::new(&copy)?.load_given().unwrap_or_else(|_| base.clone());
    ConfigStore::new(&own)?.edit(|own| Ok(joined(&base, &before, own)))?;
    let text = std::fs::read(&given.config).unwrap_or_default();
    atomic::replace(&copy.config, &text).map_err(|error| {
        Problem::new(Code::FileFailed, format!("failed to write {}: {error}", copy.config.display()))
    })?;
    Ok(own)
}

/// The given configuration with the instance, the store and the further clients of our own: those that the environment has added. A client
/// that was in what was given `before`, at the last start, and is given no more is out.
fn joined(given: &Config, before: &Config, own: &Config) -> Config {
    let has = |config: &Config, client: &Client| {
        config.clients.values().any(|other| other.address == client.address)
    };
    let mut config = given.clone();
    config.instance = own.instance.clone();
    config.agent.secrets = own.agent.secrets.or(given.agent.secrets);
    let added = own.clients.iter().filter(|(_, client)| !has(before, client) || has(given, client));
    for (name, client) in added {
        config.clients.entry(name.clone()).or_insert_with(|| client.clone());
    }
    config
}

/// Applies both variables. The invites are read by `ormesh client token NAME`.
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
    use crate::model::config::InstanceId;
    use crate::model::keys::{ClientKey, ServiceKey};

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
    fn a_client_that_is_given_no_more_is_out_and_one_that_the_environment_added_stays() {
        let client = |number| Client {
            address: ServiceKey::from_seed(&zeroize::Zeroizing::new([number; 32])).address(),
            key: ClientKey::from_bytes(&[number; 32]).unwrap().public(),
            ports: None,
            expires: None,
            requested: false,
        };
        let with = |clients: &[(&str, u8)]| {
            let mut config = Config::new(InstanceId::from_random([7; 10]));
            config.clients = clients.iter().map(|(name, n)| (name.parse().unwrap(), client(*n))).collect();
            config
        };
        let names =
            |config: Config| config.clients.into_keys().map(|name| name.to_string()).collect::<Vec<_>>();
        let (given, before) = (with(&[("y", 2)]), with(&[("x", 1), ("y", 2)]));
        let own = with(&[("x", 1), ("y", 2), ("added", 3)]);

        assert_eq!(names(joined(&given, &before, &own)), ["added", "y"]);
        assert_eq!(names(joined(&before, &before, &own)), ["added", "x", "y"]);
        // With no copy of what was given before.
        assert_eq!(names(joined(&given, &given, &own)), ["added", "x", "y"]);
    }

    #[test]
    fn clients_are_names() {
        assert_eq!(clients("desktop;laptop; ").unwrap().len(), 2);
        assert!(clients("1st").is_err());
    }
}
