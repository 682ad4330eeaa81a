//! Restarts: whatever ends, of either side, is back by itself, and connections that wait meanwhile succeed.

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use crate::support::{
    PATIENCE, banner, connected, echo, figure, first_line, hosts, is_online, open_echo, until,
};

const GREETING: &str = "220 here again";

#[test]
fn the_importers_agent_and_tor_come_back() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let (echo, mail) = (echo(), banner(GREETING));
    server.export(mail.addr, 25);
    let import = connected(&mut server, &mut laptop, echo.addr, 80);
    let mail_at = laptop.import("remote", 25);

    for _ in 0..2 {
        let mut session = open_echo(import);
        laptop.kill_tor();
        let begun = Instant::now();
        // The listener accepts, and what waits for tor is connected in the end: it has sent nothing that could be lost.
        assert_eq!(first_line(mail_at).unwrap(), GREETING);
        figure(
            "a connection made right after the importer's tor was killed",
            format!("{:?}", begun.elapsed()),
        );
        assert!(session.turn().is_err(), "a session cannot outlive tor");
    }

    laptop.stop();
    laptop.spawn_agent(&[]);
    let begun = Instant::now();
    until("the import listens", || TcpStream::connect(import).is_ok());
    figure("the importer's agent started, its import listens", format!("{:?}", begun.elapsed()));
    open_echo(import);
    figure("the importer's agent started, first echo", format!("{:?}", begun.elapsed()));

    laptop.kill_agent();
    laptop.spawn_agent(&[]);
    until("the import listens", || TcpStream::connect(import).is_ok());
    open_echo(import);
    laptop.wait_until("online", is_online);
    assert!(laptop.status().problems.is_empty(), "{:?}", laptop.status().problems);
}

#[test]
fn the_exporters_agent_and_tor_come_back() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    // It speaks first: a connection that waits has sent nothing, so it may be tried until it succeeds.
    let mail = banner(GREETING);
    let import = connected(&mut server, &mut laptop, mail.addr, 25);
    assert_eq!(first_line(import).unwrap(), GREETING);

    for _ in 0..2 {
        server.kill_tor();
        let begun = Instant::now();
        assert_eq!(first_line(import).unwrap(), GREETING, "the connection that waited");
        figure(
            "a connection made right after the exporter's tor was killed",
            format!("{:?}", begun.elapsed()),
        );
    }

    server.stop();
    let waiting = thread::spawn(move || first_line(import));
    server.spawn_agent(&[]);
    let begun = Instant::now();
    assert_eq!(waiting.join().unwrap().unwrap(), GREETING, "the connection that waited");
    figure("a connection made while the exporter's agent restarts", format!("{:?}", begun.elapsed()));

    server.kill_agent();
    let waiting = thread::spawn(move || first_line(import));
    server.spawn_agent(&[]);
    assert_eq!(waiting.join().unwrap().unwrap(), GREETING, "the connection that waited");
}

#[test]
fn an_answer_that_the_exporters_agent_cuts_off_by_ending_is_no_clean_end() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let mail = banner(GREETING);
    let import = connected(&mut server, &mut laptop, mail.addr, 25);
    let mut stream = TcpStream::connect(import).unwrap();
    let mut greeting = vec![0; GREETING.len() + 2];
    stream.read_exact(&mut greeting).unwrap();

    let begun = Instant::now();
    server.stop();

    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let end = stream.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(end, Err(io::ErrorKind::ConnectionReset));
    figure("the exporter's agent ended, its client's connection is reset", format!("{:?}", begun.elapsed()));
}
