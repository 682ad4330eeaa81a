//! What takes an edit back: an edit that makes again what the configuration said before. Pure.
//!
//! What erases keys has none: a client that was revoked, or a remote that was deleted, comes back by a new invite only.

use ormesh_core::model::address::ListenAddr;
use ormesh_core::model::config::Config;
use ormesh_core::model::edit::Edit;

/// The edit after which this one might not have been; none where there is no such one.
pub(super) fn of(edit: &Edit, before: &Config) -> Option<Edit> {
    match edit {
        Edit::DeleteExport { port } => {
            let export = before.exports.get(port)?.clone();
            Some(Edit::AddExport {
                target: export.target,
                port: Some(*port),
                allow_lan: export.allow_lan,
                clients: export.clients,
            })
        }
        Edit::SetExport { port, .. } => {
            let clients = before.exports.get(port)?.clients.clone();
            Some(Edit::SetExport { port: *port, clients })
        }
        Edit::DeleteImport { listen, .. } => {
            let (listen, remote, _, import) = before.imports().find(|(other, ..)| *other == listen)?;
            Some(Edit::AddImport {
                remote: remote.clone(),
                remote_port: import.remote_port,
                listen: listen.clone(),
                half_close: import.half_close,
                users: Some(import.users),
                session: Some(import.session),
                hold: Some(import.hold),
            })
        }
        Edit::AddImport { remote, listen, .. } => {
            let was_there = before.imports().any(|(other, ..)| other == listen);
            (!was_there).then(|| Edit::DeleteImport { remote: Some(remote.clone()), listen: listen.clone() })
        }
        Edit::MoveExport { port, to, .. } => {
            let export = before.exports.get(port)?.clone();
            Some(Edit::MoveExport {
                port: to.unwrap_or(*port),
                to: Some(*port),
                target: Some(export.target),
                allow_lan: export.allow_lan,
            })
        }
        Edit::RenameClient { name, to } => Some(Edit::RenameClient { name: to.clone(), to: name.clone() }),
        Edit::RenameRemote { name, to } => Some(Edit::RenameRemote { name: to.clone(), to: name.clone() }),
        // What it has set, and nothing that somebody may have set since.
        Edit::SetImport { listen, to, half_close, users, session, hold } => {
            let (.., import) = before.imports().find(|(other, ..)| *other == listen)?;
            let is_other_kind = to.as_ref().is_some_and(|to| is_socket(to) != is_socket(listen));
            Some(Edit::SetImport {
                listen: to.clone().unwrap_or_else(|| listen.clone()),
                to: Some(listen.clone()),
                half_close: half_close.map(|_| import.half_close),
                users: (users.is_some() || is_other_kind).then_some(import.users),
                session: session.map(|_| import.session),
                hold: hold.map(|_| import.hold),
            })
        }
        Edit::AddExport { .. } | Edit::SetClient { .. } | Edit::Set(_) => None,
    }
}

/// Whether it has a mode, which says who may connect.
fn is_socket(listen: &ListenAddr) -> bool {
    matches!(listen, ListenAddr::Unix(_))
}

#[cfg(test)]
mod tests {
    use ormesh_core::model::config::{Export, Import, InstanceId, Remote};
    use ormesh_core::model::edit;

    use super::*;

    fn config() -> Config {
        let mut config = Config::new(InstanceId::from_random([0; 10]));
        let export =
            Export { target: "192.168.1.10:80".parse().unwrap(), allow_lan: true, clients: Some([].into()) };
        config.exports.insert("80".parse().unwrap(), export);
        let import = Import {
            remote_port: "22".parse().unwrap(),
            half_close: ormesh_core::model::config::HalfClose::Pass,
            users: ormesh_core::model::config::Users::Me,
            session: ormesh_core::model::hold::Session::Off,
            hold: "2h".parse().unwrap(),
        };
        let remote = Remote {
            address: "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion".parse().unwrap(),
            key: "BEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQSCIJBEEQ".parse().unwrap(),
            expires: None,
            ports: [].into(),
            plain_tor: false,
            imports: [("127.0.0.1:10022".parse().unwrap(), import)].into(),
        };
        config.remotes.insert("home".parse().unwrap(), remote);
        config
    }

    #[test]
    fn what_was_taken_away_is_there_again_as_it_was() {
        let before = config();
        for edit in [
            Edit::DeleteExport { port: "80".parse().unwrap() },
            Edit::SetExport { port: "80".parse().unwrap(), clients: None },
            Edit::DeleteImport { remote: None, listen: "127.0.0.1:10022".parse().unwrap() },
        ] {
            let undo = of(&edit, &before).expect("it can be taken back");
            let after = edit::apply(&before, &edit).unwrap();
            assert_ne!(after, before);
            assert_eq!(edit::apply(&after, &undo).unwrap(), before, "{edit:?}");
        }
    }

    #[test]
    fn of_an_import_what_was_set_is_as_it_was_and_what_was_set_since_stays() {
        use ormesh_core::model::config::{HalfClose, Users};
        use ormesh_core::model::hold::Session;
        let before = config();
        let listen: ListenAddr = "127.0.0.1:10022".parse().unwrap();
        let set = |listen: &ListenAddr, to: Option<&str>| Edit::SetImport {
            listen: listen.clone(),
            to: to.map(|to| to.parse().unwrap()),
            half_close: None,
            users: None,
            session: None,
            hold: None,
        };
        let with = |change: fn(&mut Import)| {
            let mut config = before.clone();
            let remote = config.remotes.values_mut().next().unwrap();
            change(remote.imports.get_mut(&listen).unwrap());
            config
        };
        let all = Edit::SetImport {
            listen: listen.clone(),
            to: None,
            half_close: Some(HalfClose::Hold),
            users: Some(Users::All),
            session: Some(Session::On),
            hold: Some("1h".parse().unwrap()),
        };
        for edit in [all, set(&listen, Some("127.0.0.1:10023")), set(&listen, Some("unix:/tmp/s"))] {
            let undo = of(&edit, &before).expect("it can be taken back");
            assert_eq!(
                edit::apply(&edit::apply(&before, &edit).unwrap(), &undo).unwrap(),
                before,
                "{edit:?}"
            );
        }
        // Another shell has changed the rest since.
        let moved = set(&listen, Some("127.0.0.1:10023"));
        let undo = of(&moved, &before).unwrap();
        for other in [
            with(|import| import.hold = "3h".parse().unwrap()),
            with(|import| import.session = Session::On),
            with(|import| import.half_close = HalfClose::Hold),
            with(|import| import.users = Users::All),
        ] {
            assert_eq!(edit::apply(&edit::apply(&other, &moved).unwrap(), &undo).unwrap(), other);
        }
    }

    #[test]
    fn what_was_not_there_is_not_put_back() {
        assert_eq!(of(&Edit::DeleteExport { port: "22".parse().unwrap() }, &config()), None);
    }
}
