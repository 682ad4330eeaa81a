//! A mesh of a host on Windows and one on Linux, each way.

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::Instant;

use support::{
    PATIENCE, Signal, echo, ended, figure, hosts, http, is_connected, is_kept_out, is_reachable, open_echo,
    reaches, send, talk, until,
};

use crate::host::Windows;

const PAGE: &str = "a page from the other side";

#[test]
fn windows_exports_to_linux() {
    let mut server = Windows::on_the_network("server");
    let [mut laptop] = hosts(["laptop"]);
    let (page, echoing) = (http(PAGE), echo());
    server.export(page.addr, 80);
    server.export(echoing.addr, 81);
    server.start();
    laptop.start();
    laptop.add_remote("server", &server.invite("laptop"));
    let (web, echo_import) = (laptop.import("server", 80), laptop.import("server", 81));
    server.wait_until("the client can reach it", is_reachable("laptop"));
    laptop.wait_until("the remote is reached", is_connected("server"));

    let got = String::from_utf8(talk(web, b"GET / HTTP/1.0\r\n\r\n").unwrap()).unwrap();
    assert!(got.ends_with(PAGE), "{got}");

    let tor = until("the agent has a tor", || server.tor_pid());
    send(tor, Signal::KILL);
    reaches(echo_import);

    let mut session = open_echo(echo_import);
    session.turn().unwrap();
    let begun = Instant::now();
    server.good(&["client", "delete", "laptop"]);
    assert!(ended(session.stream(), PATIENCE), "a session of the revoked client goes on");
    figure("Windows: a revoked client's session ended after", format!("{:?}", begun.elapsed()));
    assert!(is_kept_out(echo_import));
}

#[test]
fn windows_imports_from_linux() {
    let [mut server] = hosts(["server"]);
    let mut laptop = Windows::on_the_network("laptop");
    let (page, echoing) = (http(PAGE), echo());
    server.export(page.addr, 80);
    server.export(echoing.addr, 81);
    server.start();
    laptop.start();
    laptop.add_remote("server", &server.invite("laptop", &[]));
    let web = laptop.import("server", 80);
    server.wait_until("the client can reach it", is_reachable("laptop"));
    laptop.wait_until("the remote is reached", is_connected("server"));
    let got = String::from_utf8(talk(web, b"GET / HTTP/1.0\r\n\r\n").unwrap()).unwrap();
    assert!(got.ends_with(PAGE), "{got}");

    // Added while it runs.
    let echo_import = laptop.import("server", 81);
    open_echo(echo_import).turn().unwrap();
    // By the file, too.
    let text = std::fs::read_to_string(laptop.config()).unwrap();
    std::fs::write(laptop.config(), text.replace(&web.to_string(), &support::free_address().to_string()))
        .unwrap();
    until("the import has moved", || std::net::TcpStream::connect(web).is_err());

    // The end of standard input crosses the pipe, and what the server says then comes back whole.
    let nc = laptop.ormesh_reading(&["nc", "server", "80"], b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(nc.code, 0, "{}", nc.stderr);
    assert!(nc.stdout.ends_with(PAGE), "{}", nc.stdout);

    // A session by nc ends when its client is revoked.
    let mut command = laptop.command(crate::host::program("ormesh.exe"));
    command.args(["nc", "server", "81"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut nc = command.spawn().unwrap();
    let mut input = nc.stdin.take().unwrap();
    input.write_all(b"hello").unwrap();
    let mut back = [0; 5];
    nc.stdout.as_mut().unwrap().read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
    server.good(&["client", "delete", "laptop"]);
    until("nc ends", || nc.try_wait().unwrap());
    assert!(is_kept_out(echo_import));
}
