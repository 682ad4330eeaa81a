//! The transcript of the README with all of it running: what was typed on two hosts ends in a page and a login.

use std::fs;
use std::time::Instant;

use crate::support::{
    Host, ORMESH, Page, Sshd, figure, free_address, hosts, http, is_connected, is_reachable, resident_kib,
    talk,
};

const PAGE: &str = "hello from the website\n";

#[test]
fn what_the_transcript_promises_works_to_the_end() {
    let [mut server, mut laptop] = hosts(["server", "my-MacBook"]);
    let sshd = Sshd::start(&server.home().join("sshd"));
    let website = http(PAGE);

    let ssh_at = free_address();
    let page = Page::first_five_minutes()
        .offering(sshd.addr.port(), website.addr.port())
        .here("127.0.0.1:10022", ssh_at)
        .here("localhost:9250", laptop.socks());
    let played: Result<(), String> = page.play(|typed| {
        Ok(match typed.on {
            "server" => server.shell(typed.line),
            "my-MacBook" => laptop.shell(typed.line),
            other => panic!("a host {other}"),
        })
    });
    played.unwrap_or_else(|error| panic!("{error}"));
    let address = server.status().clients[0].address.to_string();
    let page_at = laptop.import("website", 80);

    server.start();
    server.wait_until("the service is published", is_reachable("my-MacBook"));
    laptop.start();
    laptop.wait_until("the remote is reached", is_connected("website"));
    let begun = Instant::now();
    let reply = talk(page_at, b"GET / HTTP/1.1\r\nHost: website\r\n\r\n").unwrap();
    figure("first page through an import, both online", format!("{:?}", begun.elapsed()));
    assert!(String::from_utf8(reply).unwrap().ends_with(PAGE));

    let greeting = crate::support::first_line(ssh_at).unwrap();
    assert!(greeting.starts_with("SSH-2.0-"), "{greeting}");
    for proxy in ["nc", "ormesh"] {
        let stanza = laptop.good(&["remote", "ssh-config", "website", "--proxy", proxy]);
        let expected = match proxy {
            "nc" => format!("nc -X 5 -x {} %h %p", laptop.socks()),
            _ => format!("{ORMESH} nc %h %p"),
        };
        assert_eq!(
            stanza.replace('"', ""),
            format!("Host website\n  ProxyCommand {expected}\n  Hostname {address}\n")
        );
        assert_eq!(login(&laptop, &sshd, &stanza, &address), "logged in\n", "by {proxy}");
    }
    figure("resident memory of an exporter's agent, KiB", resident_kib(server.agent_pid()));
    figure("resident memory of an importer's agent, KiB", resident_kib(laptop.agent_pid()));
}

/// What a command prints that ssh runs on `website`.
fn login(laptop: &Host, sshd: &Sshd, stanza: &str, address: &str) -> String {
    let config = laptop.home().join("ssh_config");
    fs::write(&config, stanza.to_owned() + &sshd.stanza_lines(address)).unwrap();
    let mut ssh = laptop.command("ssh");
    let ran = ssh.arg("-F").arg(&config).args(["website", "echo logged in"]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}
