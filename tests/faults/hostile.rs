//! A tor that follows a script, under whole agents: its control port goes mad or belongs to a stranger, its SOCKS port answers slowly, with
//! garbage or with any code, its events are lost. Rows 18 and 19 of the table of what must hold.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ormesh_core::model::problem::Code;

use crate::alone::{invite_of_nobody, problems, wait_for_no_problem, wait_for_words};
use crate::support::{
    FakeTor, Host, ORMESH, Server, echo, is_connected, is_online, is_reachable, open_echo, resident_kib,
    serve, until,
};

/// Plays the tor of one host.
#[test]
#[ignore = "started by the other tests, as a process of its own"]
fn plays_tor() {
    FakeTor::play();
}

/// More than an agent holds that does little.
const FAR_TOO_MUCH: u64 = 200 * 1024;

/// Proves nothing.
const STRANGER: &str = "AUTHCHALLENGE: say 250 AUTHCHALLENGE \
    SERVERHASH=0000000000000000000000000000000000000000000000000000000000000000 \
    SERVERNONCE=0000000000000000000000000000000000000000000000000000000000000000\\r\\n";

/// A host whose tor follows a script, on the network of the first host's directory.
fn scripted(network: Option<&Host>) -> (Host, FakeTor) {
    let mut host = Host::new();
    let network = network.unwrap_or(&host).home().join("network");
    let tor = FakeTor::new(&host.home().join("fake"), &network, "hostile::plays_tor");
    host.set("ORMESH_TOR", tor.program());
    host.set("ORMESH_LOG", "debug");
    host.good(&["config", "set", "agent.socks-addr", &host.socks().to_string()]);
    (host, tor)
}

/// An exporter of these ports, all with a server behind them that says one line back, and an importer that has reached it. With the lines that
/// the server has heard.
fn two(ports: &[u16]) -> ([(Host, FakeTor); 2], Server, Arc<AtomicUsize>) {
    let (mut exporter, its_tor) = scripted(None);
    let (mut importer, tor) = scripted(Some(&exporter));
    // It ends by itself, since a side alone is not closed through Tor.
    let lines = Arc::new(AtomicUsize::new(0));
    let heard = Arc::clone(&lines);
    let server = serve(move |mut stream| {
        let mut line = String::new();
        if BufReader::new(&stream).read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            heard.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(line.as_bytes());
        }
    });
    for port in ports {
        exporter.export(server.addr, *port);
    }
    importer.add_remote("remote", &exporter.invite("client", &[]));
    exporter.start();
    exporter.wait_until("the client's service is published", is_reachable("client"));
    importer.start();
    importer.wait_until("the remote is reached", is_connected("remote"));
    ([(exporter, its_tor), (importer, tor)], server, lines)
}

/// `ormesh nc` to a port, which says this and closes its side.
fn nc(host: &Host, port: u16, says: &str) -> Output {
    let mut command = host.command(ORMESH);
    command.args(["nc", "remote", &port.to_string()]).env_remove("ORMESH_LOG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have ended already.
    let _ = child.stdin.take().unwrap().write_all(says.as_bytes());
    child.wait_with_output().unwrap()
}

/// `ormesh nc` to each of these ports at once.
fn ask_all(host: &Host, ports: &[u16]) -> Vec<Output> {
    thread::scope(|scope| {
        let asking: Vec<_> =
            ports.iter().map(|port| scope.spawn(move || nc(host, *port, "hello\n"))).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    })
}

#[test]
fn a_tor_whose_control_port_is_hostile_is_replaced_until_it_is_not() {
    let (mut host, tor) = scripted(None);
    host.export(echo().addr, 80);
    host.invite("client", &[]);
    host.add_remote("web", &invite_of_nobody());
    for (script, words) in [
        ("connected: close", "control connection was closed"),
        ("connected: say 250 OK\\r\\n", "not the control protocol"),
        ("any: say 250 \\xff\\xfe\\r\\n", "not the control protocol"),
        ("any: say HTTP/1.1 400 Bad Request\\r\\n\\r\\n", "not the control protocol"),
        ("any: endless 2", "not the control protocol"),
        ("PROTOCOLINFO: usual 30; close", "control connection was closed"),
        ("PROTOCOLINFO: endless 250-x\\r\\n", "not the control protocol"),
        ("SETEVENTS: usual 3; close", "control connection was closed"),
        ("GETINFO status/bootstrap-phase: usual 40; close", "control connection was closed"),
        ("ADD_ONION: usual 20; close", "tor"),
        ("ADD_ONION: endless 250-x\\r\\n", "tor"),
        ("ADD_ONION: endless 650 HS_DESC x\\r\\n", "tor"),
        ("ONION_CLIENT_AUTH_ADD: say 250 \\xff\\r\\n", "tor"),
        ("ONION_CLIENT_AUTH_ADD: say 250 OK\\r\\n250 OK\\r\\n250 OK\\r\\n", "tor"),
    ] {
        tor.script(script);
        let before = tor.starts();
        host.start();
        until(&format!("it is replaced: {script}"), || tor.starts() >= before + 2);
        let said = until(&format!("{words} is said: {script}"), || {
            let failed =
                problems(&host).into_iter().filter(|problem| problem["code"] == Code::TorFailed.as_str());
            let mut said = failed.filter_map(|problem| problem["message"].as_str().map(str::to_owned));
            said.find(|said| said.contains(words))
        });
        println!("{script}: {said}");
        host.good(&["export", "add", "22"]);
        host.good(&["export", "delete", "22"]);
        let memory = resident_kib(host.agent_pid());
        assert!(memory < FAR_TOO_MUCH, "{script}: {memory} KiB");

        tor.script("");
        host.wait_until("it is online", is_online);
        host.wait_until("the client's service is published", is_reachable("client"));
        wait_for_no_problem(&host, Code::TorFailed);
        host.stop();
    }
}

#[test]
fn a_stranger_in_tors_place_is_told_nothing_and_said() {
    let (mut host, tor) = scripted(None);
    host.export(echo().addr, 80);
    host.invite("client", &[]);
    tor.script(STRANGER);
    host.start();

    wait_for_words(&host, "not the tor that was started");
    until("it is replaced", || tor.starts() >= 3);

    let verbs = tor.heard();
    let told = |line: &&String| !line.starts_with("PROTOCOLINFO ") && !line.starts_with("AUTHCHALLENGE ");
    assert_eq!(verbs.iter().find(told), None);
    tor.script("");
    host.wait_until("the client's service is published", is_reachable("client"));
}

#[test]
fn a_control_port_that_speaks_byte_by_byte_is_understood() {
    let (mut exporter, its_tor) = scripted(None);
    let (mut importer, tor) = scripted(Some(&exporter));
    for tor in [&its_tor, &tor] {
        tor.script("any: slowly 1; usual");
    }
    let import = crate::support::connected(&mut exporter, &mut importer, echo().addr, 80);
    open_echo(import);
    assert_eq!((its_tor.starts(), tor.starts()), (1, 1));
}

/// A code of SOCKS' reply, and where all attempts are answered by it what is said and how many there are; none where they go on.
const CODES: [(u8, Option<(&str, usize)>); 14] = [
    (0x01, Some(("refused at the other end", 3))),
    (0x02, Some(("tor answered with code 0x02", 3))),
    (0x03, Some(("tor answered with code 0x03", 3))),
    (0x05, Some(("does not export port", 1))),
    (0x06, None),
    (0x08, Some(("tor answered with code 0x08", 3))),
    (0xf0, None),
    (0xf1, None),
    (0xf2, None),
    (0xf3, None),
    (0xf4, Some(("key for it is missing", 2))),
    (0xf5, Some(("refused the key", 1))),
    (0xf6, Some(("malformed", 1))),
    (0xf7, None),
];

/// An attempt that is late on a machine with much to do has others beside it.
const BESIDE: usize = 2;

#[test]
fn each_code_of_socks_has_its_sentence_and_its_retry() {
    let ports: Vec<u16> = (2000..).take(CODES.len()).collect();
    let ([_exporter, (importer, tor)], server, _) = two(&ports);
    let mut script = String::new();
    for (port, (code, end)) in ports.iter().zip(CODES) {
        // Those that go on would do so for a minute.
        let often = if end.is_none() { "first 2 " } else { "" };
        writeln!(script, "{often}socks {port}: refuse {code:x}").unwrap();
    }
    tor.script(&script);

    let ended = ask_all(&importer, &ports);

    for ((port, ended), (code, end)) in ports.iter().zip(&ended).zip(CODES) {
        let tries = tor.heard().iter().filter(|line| line.ends_with(&format!(".onion:{port}"))).count();
        let said = String::from_utf8_lossy(&ended.stderr);
        println!("{code:#04x}: {tries} attempts; {said}");
        match end {
            Some((words, most)) => {
                assert!(said.contains(words), "{code:#04x}: {said}");
                assert!(!ended.status.success() && ended.stdout.is_empty(), "{code:#04x}: {ended:?}");
                assert!((most..=most + BESIDE).contains(&tries), "{code:#04x}: {tries} attempts");
            }
            None => {
                assert_eq!(ended.stdout, b"hello\n", "{code:#04x}: {ended:?}");
                assert!((3..=3 + BESIDE).contains(&tries), "{code:#04x}: {tries} attempts");
            }
        }
    }
    println!("{} connections reached the server", server.accepted());
}

#[test]
fn a_broken_slow_or_foreign_answer_of_socks_is_tried_again_and_nothing_is_sent_twice() {
    let whole = 14;
    let ports: Vec<u16> = (2000..=2000 + whole + 5).collect();
    let ([_exporter, (importer, tor)], server, lines) = two(&ports);
    let mut script = String::new();
    for (port, bytes) in (2000..).zip(0..whole) {
        writeln!(script, "first 1 socks {port}: accept {bytes}; close").unwrap();
    }
    let [foreign, slow, hangs, silent, junk] = [0, 1, 2, 3, 4].map(|number| 2000 + whole + number);
    writeln!(script, "first 1 socks {foreign}: say HTTP/1.1 400 Bad Request\\r\\n\\r\\n; close").unwrap();
    writeln!(script, "socks {slow}: slowly 20; usual").unwrap();
    writeln!(script, "first 1 socks {hangs}: hang").unwrap();
    writeln!(script, "first 1 socks {silent}: accept 9; hang").unwrap();
    writeln!(script, "socks {junk}: accept; say \\xff\\x00junk; close").unwrap();
    tor.script(&script);

    let ended = ask_all(&importer, &ports);

    for (port, ended) in ports.iter().zip(&ended) {
        // What comes after tor's word is the other end's.
        let heard: &[u8] = if *port == junk { b"\xff\0junk" } else { b"hello\n" };
        assert_eq!(ended.stdout, heard, "{port}: {ended:?}");
        assert!(ended.status.success(), "{port}: {ended:?}");
    }
    let lines = lines.load(Ordering::SeqCst);
    assert_eq!(lines, ports.len() - 1, "each line once, but the one that tor did not carry");
    println!("{} connections reached the server", server.accepted());
}
