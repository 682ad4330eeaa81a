//! What `export available` lists: what other programs of this machine listen on.

use std::net::TcpListener;

use serde_json::Value;

use crate::refused::Host;

#[test]
fn what_listens_here_is_listed_with_its_program_until_it_is_exported() {
    let host = Host::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listed = || {
        let all: Value = serde_json::from_str(&host.good(&["export", "available", "--json"])).unwrap();
        all.as_array().unwrap().iter().find(|one| one["port"] == address.port()).cloned()
    };

    let found = listed().expect("this program listens");
    assert_eq!(found["target"], address.to_string());
    assert!(found["program"].as_str().is_some_and(|name| name.starts_with("cli")), "{found}");
    let rows = host.good(&["export", "available"]);
    assert!(rows.lines().any(|row| row.contains(&address.to_string())), "{rows}");

    host.good(&["export", "add", &address.port().to_string()]);
    assert_eq!(listed(), None);
}
