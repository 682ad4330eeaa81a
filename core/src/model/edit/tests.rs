//! Tests of `edit`.

use super::*;

#[test]
fn what_is_cleared_stays_apart_from_what_is_left_alone_when_an_edit_crosses() {
    let name: ClientName = "a".parse().unwrap();
    for ports in [None, Some(None), Some(Some(BTreeSet::new()))] {
        for expires in [None, Some(None), Some(Some(Day::from_epoch_days(20_000)))] {
            let edit = Edit::SetClient { name: name.clone(), ports: ports.clone(), expires };

            let text = serde_json::to_string(&edit).unwrap();

            assert_eq!(serde_json::from_str::<Edit>(&text).unwrap(), edit, "{text}");
        }
    }
}

#[test]
fn settings_are_checked_however_they_come() {
    let config = furnished();
    for (setting, hint) in
        [(Setting::TorPath(Some("bin/tor".into())), "/usr/bin/tor"), (Setting::MaxSessions(0), "by default")]
    {
        let refused = apply(&config, &Edit::Set(setting)).unwrap_err();
        assert_eq!(refused.code, Code::NotAllowed);
        assert!(refused.hint.contains(hint), "{}", refused.hint);
    }
    let path = Some(std::env::temp_dir().join("tor"));
    let parsed = |value: &str| Setting::parse("agent.tor-path", value).map_err(|problem| problem.code);
    assert_eq!(parsed("bin/tor"), Err(Code::BadSetting));
    assert_eq!(parsed(""), Ok(Setting::TorPath(None)));
    assert_eq!(parsed(path.as_ref().unwrap().to_str().unwrap()), Ok(Setting::TorPath(path.clone())));
    let absolute = Edit::Set(Setting::TorPath(path.clone()));
    assert_eq!(apply(&config, &absolute).unwrap().agent.tor_path, path);
}

/// A host with two clients, of which one is named everywhere, and a remote with two imports.
fn furnished() -> Config {
    let address = |number: u8| {
        crate::model::keys::ServiceKey::from_seed(&zeroize::Zeroizing::new([number; 32])).address()
    };
    let key = |number: u8| crate::model::keys::ClientKey::from_bytes(&[number; 32]).unwrap().public();
    let text = format!(
        "[[export]]\ntarget = \"22\"\n\n[[export]]\ntarget = \"3000\"\nport = 80\nclients = [\"ann\", \"gone\"]\n\n\
         [client.ann]\naddress = \"{}\"\nkey = \"{}\"\nports = [22, 80]\nexpires = \"2030-01-02\"\n\n\
         [client.bob]\naddress = \"{}\"\nkey = \"{}\"\n\n\
         [remote.home]\naddress = \"{}\"\nkey = \"{}\"\n\n\
         [request.studio]\nkey = \"{}\"\n",
        address(1),
        key(1),
        address(2),
        key(2),
        address(3),
        key(3),
        key(4),
    );
    let mut config =
        super::super::config::parse(&text, &super::super::config::InstanceId::from_random([0; 10])).unwrap();
    for (listen, users) in [("127.0.0.1:5000", Users::Me), ("127.0.0.1:5001", Users::All)] {
        let (session, hold) = (Session::Off, "2h".parse().unwrap());
        let remote_port = "22".parse().unwrap();
        let import = Import { remote_port, half_close: HalfClose::Pass, users, session, hold };
        config
            .remotes
            .get_mut(&"home".parse().unwrap())
            .unwrap()
            .imports
            .insert(listen.parse().unwrap(), import);
    }
    config
}

fn code(config: &Config, edit: &Edit) -> Option<Code> {
    apply(config, edit).err().map(|problem| {
        assert!(!problem.hint.is_empty(), "{problem}");
        problem.code
    })
}

#[test]
fn another_name_changes_nothing_else_and_lets_in_nobody_who_was_not() {
    let config = furnished();
    let client =
        |name: &str, to: &str| Edit::RenameClient { name: name.parse().unwrap(), to: to.parse().unwrap() };
    let (ann, new): (ClientName, ClientName) = ("ann".parse().unwrap(), "Ann".parse().unwrap());

    let renamed = apply(&config, &client("ann", "Ann")).unwrap();

    assert_eq!(renamed.clients[&new], config.clients[&ann], "case alone is another name for the same one");
    assert!(!renamed.clients.contains_key(&ann));
    assert_eq!(
        renamed.granted_ports(&new, &renamed.clients[&new]),
        config.granted_ports(&ann, &config.clients[&ann])
    );
    assert_eq!(apply(&renamed, &client("Ann", "ann")).unwrap(), config);
    assert_eq!(apply(&config, &client("ann", "ann")).unwrap(), config);
    // The name that is left over in an export's list is not bob's.
    let bob = apply(&config, &client("bob", "gone")).unwrap();
    let gone: ClientName = "gone".parse().unwrap();
    assert!(!bob.exports[&"80".parse().unwrap()].is_for(&gone));
    assert_eq!(code(&config, &client("ann", "bob")), Some(Code::AlreadyThere));
    assert_eq!(code(&config, &client("ann", "BOB")), Some(Code::AlreadyThere));
    assert_eq!(code(&config, &client("nobody", "x")), Some(Code::NotThere));

    let remote =
        |name: &str, to: &str| Edit::RenameRemote { name: name.parse().unwrap(), to: to.parse().unwrap() };
    let renamed = apply(&config, &remote("home", "house")).unwrap();
    assert_eq!(renamed.remotes[&"house".parse().unwrap()], config.remotes[&"home".parse().unwrap()]);
    assert_eq!(renamed.remotes.len(), 1);
    assert_eq!(apply(&renamed, &remote("house", "home")).unwrap(), config);
    let renamed = apply(&config, &remote("studio", "attic")).unwrap();
    assert_eq!(renamed.requests[&"attic".parse().unwrap()], config.requests[&"studio".parse().unwrap()]);
    assert_eq!(code(&config, &remote("home", "STUDIO")), Some(Code::AlreadyThere));
    assert_eq!(code(&config, &remote("home", "localhost")), Some(Code::NotAllowed));
    assert_eq!(code(&config, &remote("nobody", "x")), Some(Code::NotThere));
}

#[test]
fn an_import_moves_with_all_that_it_is_and_only_to_where_there_is_room() {
    let config = furnished();
    let set = |listen: &str, to: Option<&str>, users| Edit::SetImport {
        listen: listen.parse().unwrap(),
        to: to.map(|to| to.parse().unwrap()),
        half_close: None,
        users,
        session: None,
        hold: None,
    };
    let imports = |config: &Config| {
        config.imports().map(|(listen, _, _, import)| (listen.to_string(), *import)).collect::<Vec<_>>()
    };
    let (mine, ours) = (imports(&config)[0].1, imports(&config)[1].1);

    let moved = apply(&config, &set("127.0.0.1:5000", Some("0.0.0.0:6000"), None)).unwrap();
    assert_eq!(imports(&moved), [("0.0.0.0:6000".to_owned(), mine), ("127.0.0.1:5001".to_owned(), ours)]);
    // To an address that only its own old one overlaps.
    let wide = apply(&config, &set("127.0.0.1:5000", Some("0.0.0.0:5000"), None)).unwrap();
    assert_eq!(imports(&wide)[0], ("0.0.0.0:5000".to_owned(), mine));
    let opened = apply(&config, &set("127.0.0.1:5000", None, Some(Users::All))).unwrap();
    assert_eq!(imports(&opened)[0].1, Import { users: Users::All, ..mine });
    let socket = apply(&config, &set("127.0.0.1:5000", Some("unix:/tmp/s"), None)).unwrap();
    assert_eq!(imports(&socket)[1].1.users, Users::All, "its mode says who may connect");
    let back = |users| imports(&apply(&socket, &set("unix:/tmp/s", Some("127.0.0.1:5000"), users)).unwrap());
    assert_eq!(back(None)[0].1.users, Users::Me, "it is not opened by the way");
    assert_eq!(back(Some(Users::All))[0].1.users, Users::All);

    for (to, refused) in [("127.0.0.1:5001", Code::AddressTaken), ("127.0.0.1:9250", Code::AddressTaken)] {
        assert_eq!(code(&config, &set("127.0.0.1:5000", Some(to), None)), Some(refused), "{to}");
    }
    assert_eq!(
        code(&config, &set("127.0.0.1:5000", Some("unix:/tmp/s"), Some(Users::Me))),
        Some(Code::NotAllowed)
    );
    assert_eq!(code(&config, &set("127.0.0.1:1", Some("127.0.0.1:2"), None)), Some(Code::NotThere));
}

#[test]
fn what_becomes_of_an_imports_connections_is_changed_one_by_one() {
    let config = furnished();
    let set = |half_close, session, hold: Option<&str>| {
        let listen = "127.0.0.1:5000".parse().unwrap();
        let hold = hold.map(|hold| hold.parse().unwrap());
        let edit = Edit::SetImport { listen, to: None, half_close, users: None, session, hold };
        apply(&config, &edit).unwrap().imports().next().map(|(_, _, _, import)| *import).unwrap()
    };
    let mine = set(None, None, None);
    assert_eq!(mine, *config.imports().next().unwrap().3);
    assert_eq!(set(Some(HalfClose::Hold), None, None), Import { half_close: HalfClose::Hold, ..mine });
    assert_eq!(set(None, Some(Session::On), None), Import { session: Session::On, ..mine });
    assert_eq!(set(None, None, Some("1h")), Import { hold: "1h".parse().unwrap(), ..mine });
}

#[test]
fn an_export_moves_with_those_who_may_reach_it() {
    let config = furnished();
    let port = |port: &str| port.parse::<Port>().unwrap();
    let to = |from: &str, to: Option<&str>, target: Option<&str>, allow_lan| Edit::MoveExport {
        port: port(from),
        to: to.map(port),
        target: target.map(|target| target.parse().unwrap()),
        allow_lan,
    };
    let ann: ClientName = "ann".parse().unwrap();

    let moved = apply(&config, &to("80", Some("8080"), None, false)).unwrap();
    assert_eq!(moved.exports[&port("8080")], config.exports[&port("80")]);
    assert_eq!(moved.granted_ports(&ann, &moved.clients[&ann]), [port("22"), port("8080")].into());
    assert_eq!(apply(&moved, &to("8080", Some("80"), None, false)).unwrap(), config);
    // A port that a client has left over from an export that was deleted.
    let mut left = apply(&config, &Edit::DeleteExport { port: port("80") }).unwrap();
    left = apply(&left, &to("22", Some("80"), None, false)).unwrap();
    assert_eq!(left.granted_ports(&ann, &left.clients[&ann]), [port("80")].into(), "it was given 22");
    let bob: ClientName = "bob".parse().unwrap();
    let only_80 =
        Edit::SetClient { name: bob.clone(), ports: Some(Some([port("80")].into())), expires: None };
    left = apply(&config, &only_80).unwrap();
    left = apply(&left, &Edit::DeleteExport { port: port("80") }).unwrap();
    left = apply(&left, &to("22", Some("80"), None, false)).unwrap();
    assert_eq!(left.granted_ports(&bob, &left.clients[&bob]), [].into(), "it was never given 22");
    let elsewhere = apply(&config, &to("80", None, Some("192.168.1.10:80"), true)).unwrap();
    let export = &elsewhere.exports[&port("80")];
    assert_eq!((export.target.to_string().as_str(), export.allow_lan), ("192.168.1.10:80", true));
    assert_eq!(export.clients, config.exports[&port("80")].clients);
    let back = apply(&elsewhere, &to("80", None, Some("3000"), true)).unwrap();
    assert_eq!(back, config, "on this host nothing need be allowed");

    assert_eq!(code(&config, &to("80", Some("22"), None, false)), Some(Code::AlreadyThere));
    assert_eq!(code(&config, &to("80", Some("1"), None, false)), Some(Code::ReservedPort));
    assert_eq!(code(&config, &to("80", None, Some("192.168.1.10:80"), false)), Some(Code::NotOnThisHost));
    assert_eq!(code(&config, &to("81", Some("82"), None, false)), Some(Code::NotThere));
}
