//! Access that ends on a day: taken away with its sessions, kept out, and given back without new keys.

use std::fs;

use ormesh_core::model::status::{ClientState, Status};

use crate::support::{
    PATIENCE, connected, echo, ended, hosts, is_kept_out, is_reachable, open_echo, reaches, until,
};

#[test]
fn an_expired_client_is_out_until_it_is_given_another_day() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    let import = connected(&mut server, &mut laptop, echo.addr, 80);
    server.good(&["client", "set", "client", "--expires", "2099-12-31"]);
    let session = open_echo(import);
    let past = server.ormesh(&["client", "set", "client", "--expires", "2020-01-01"]);
    assert_eq!(past.code, 2, "{past:?}");

    // As if the day had come: by hand, since no command takes a day that is over.
    let config = fs::read_to_string(server.config()).unwrap();
    assert!(config.contains("2099-12-31"));
    fs::write(server.config(), config.replace("2099-12-31", "2020-01-01")).unwrap();
    server.wait_until("expired", is_expired);

    assert!(ended(session.stream(), PATIENCE), "the session of an expired client goes on");
    until("the session ends at the server", || echo.open() == 0);
    assert!(is_kept_out(import), "an expired client connects");
    server.stop();
    server.start();
    server.wait_until("expired still", is_expired);
    assert_eq!(echo.accepted(), 1);

    server.good(&["client", "set", "client", "--expires", "30d"]);
    server.wait_until("reachable again", is_reachable("client"));
    reaches(import).turn().expect("the same keys work again");
}

fn is_expired(status: &Status) -> bool {
    status.clients[0].state == Some(ClientState::Expired)
}
