//! Tests of `serve`: what shells are told, and that it waits until it is so.

#[cfg(unix)]
mod shells;

use super::*;

#[test]
fn what_keeps_a_remote_from_being_reached_has_its_code_and_what_helps() {
    let remote: RemoteName = "nas".parse().unwrap();
    let cases = [
        (DialError::KeyRefused, Code::RemoteKeyRefused, "ormesh remote add nas --replace"),
        (DialError::KeyMissing, Code::RemoteKeyMissing, "see whether the host is up"),
        (
            DialError::PortNotExported("80".parse().unwrap()),
            Code::PortNotGranted,
            "ask its owner to export it",
        ),
        (DialError::PortNotExported(Port::RESPONDER), Code::PortNotGranted, "ask its owner to export one"),
        (DialError::NotReady, Code::TorNotConnected, "ormesh wait"),
        (DialError::Code(7), Code::DialFailed, "see whether the host is up"),
        (DialError::Gone, Code::RemoteUnreachable, "see whether the host is up"),
    ];
    for (error, code, hint) in cases {
        let problem = cannot_reach(&remote, &ConnectError::Dial(error));
        assert_eq!(problem.id(), (code, Some(&problem::Subject::Remote(remote.clone()))));
        assert!(problem.hint.contains(hint), "{code}: {}", problem.hint);
        assert!(!problem.message.contains("port 1 "), "nobody exports it: {}", problem.message);
    }
    let left = cannot_reach(&remote, &ConnectError::AppGone);
    assert_eq!(left.code, Code::RemoteUnreachable);
}

#[test]
fn a_change_that_takes_something_away_is_waited_for() {
    let port = Port::RESPONDER;
    let address = || "127.0.0.1:9250".parse().unwrap();
    let takes = [
        Request::Edit(Edit::DeleteExport { port }),
        Request::Edit(Edit::SetExport { port, clients: None }),
        Request::Edit(Edit::SetClient { name: "ann".parse().unwrap(), ports: None, expires: None }),
        Request::Edit(Edit::DeleteImport { remote: None, listen: "127.0.0.1:80".parse().unwrap() }),
        Request::Edit(Edit::Set(Setting::SocksAddr(Some(address())))),
        Request::DeleteRemote { name: "nas".parse().unwrap() },
        Request::AcceptConfig,
        Request::RestoreConfig,
    ];
    let target = "127.0.0.1:80".parse().unwrap();
    let gives = [
        Request::Edit(Edit::AddExport { target, port: None, allow_lan: false, clients: None }),
        Request::Edit(Edit::Set(Setting::MaxSessions(7))),
        Request::RequestRemote { name: "nas".parse().unwrap() },
        Request::Status,
    ];
    assert!(takes.iter().all(takes_away));
    assert!(!gives.iter().any(takes_away));
}
