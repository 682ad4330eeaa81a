//! The agent's socket before strangers, garbage, floods and other versions: refused before anything is parsed, and its owner is served.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::thread;

use ormesh_core::ipc::{Hello, PROTOCOL};

use crate::alone::{alone, refused, socket, start};
use crate::support::{Host, ORMESH, PATIENCE, until};

fn connect(host: &Host) -> UnixStream {
    let stream = UnixStream::connect(socket(host)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn frame(json: &str) -> Vec<u8> {
    [&u32::try_from(json.len()).unwrap().to_be_bytes(), json.as_bytes()].concat()
}

/// What is said by the agent until it ends the connection. That it resets one is an end, too.
fn rest(mut stream: UnixStream) -> Vec<u8> {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => {
            panic!("the connection stays open: {error}")
        }
        _ => heard,
    }
}

/// What a command of this version says first.
fn hello() -> String {
    serde_json::to_string(&Hello::ours()).unwrap()
}

/// What one of the next version says.
fn next_hello() -> String {
    serde_json::to_string(&Hello { protocol: PROTOCOL + 1, version: "9.9.9".to_owned() }).unwrap()
}

#[test]
fn garbage_and_oversized_frames_end_their_connection_alone() {
    let mut host = alone();
    start(&mut host);
    let greeted = frame(&hello());
    // Said so, a request is heard and answered.
    let mut stream = connect(&host);
    stream.write_all(&[greeted.clone(), frame(r#""status""#)].concat()).unwrap();
    assert!(String::from_utf8_lossy(&rest(stream)).contains(r#"{"status":{"#), "no answer");
    let oversized = u32::MAX.to_be_bytes().to_vec();
    let unknown = [greeted.clone(), frame(r#"{"format-disk":{}}"#)].concat();
    let deep = frame(&("[".repeat(100_000) + &"]".repeat(100_000)));
    let secret = [greeted.clone(), frame(r#"{"edit":"SECRET-CANARY"}"#)].concat();
    for bytes in [
        oversized.clone(),
        [greeted.clone(), oversized].concat(),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0; 100_000],
        vec![0xff; 100_000],
        deep.clone(),
        [greeted.clone(), deep].concat(),
        unknown,
        secret,
    ] {
        let mut stream = connect(&host);
        // It may be refused before all of it is written.
        let _ = stream.write_all(&bytes);
        let heard = rest(stream);
        assert!(heard.is_empty() || heard.ends_with(b"}"), "{heard:?}");
        assert!(!heard.windows(8).any(|part| part == b"Response"), "{heard:?}");
        assert_eq!(host.status().agent.map(|agent| agent.pid), Some(host.agent_pid()));
    }
    assert!(!host.log().contains("SECRET-CANARY") && !host.log().contains("panicked"), "{}", host.log_tail());
}

/// The memory that a process has asked for, touched or not: what is only resident would not show a claim. The stacks of its threads, of
/// 2 MiB each, are left out: under load it starts more of them.
fn claimed_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    number("VmData:").saturating_sub(number("Threads:") * 2048)
}

#[test]
fn a_length_alone_claims_no_memory() {
    let mut host = alone();
    start(&mut host);
    let before = claimed_kib(host.agent_pid());
    let claims: Vec<_> = (0..1000)
        .map(|_| {
            let mut stream = connect(&host);
            stream.write_all(&(256_u32 * 1024).to_be_bytes()).unwrap();
            stream.write_all(b"{").unwrap();
            stream
        })
        .collect();
    host.status();
    let grown = claimed_kib(host.agent_pid()).saturating_sub(before);
    drop(claims);
    // All the claims together would be 250 MiB. What it may grow by is the heaps of threads that it starts meanwhile.
    assert!(grown < 100 * 1024, "grew by {grown} KiB");
}

#[test]
fn a_thousand_idle_connections_keep_nobody_out_and_do_not_stay() {
    let mut host = alone();
    start(&mut host);
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", host.agent_pid())).unwrap().count();
    let before = descriptors();
    let idle: Vec<_> = (0..1000).map(|_| connect(&host)).collect();
    // Where that takes long, the first ones are dropped before the last ones come.
    idle[0].set_nonblocking(true).unwrap();
    let are_dropped = || matches!((&idle[0]).read(&mut [0]), Ok(0));
    until("all were accepted", || descriptors() >= before + 1000 || are_dropped());
    idle[0].set_nonblocking(false).unwrap();

    assert!(host.status().agent.is_some());
    host.good(&["export", "add", "22"]);

    until("the idle ones were dropped", || descriptors() <= before + 5);
    for stream in idle {
        assert_eq!(rest(stream), b"");
    }
}

/// Asks as a command of the next version would, by the very bytes, and gives what is said after the greeting.
fn asked_by_the_next_version(host: &Host, request: &str) -> String {
    let mut stream = connect(host);
    stream.write_all(&frame(r#"{"protocol":999,"version":"9.9.9","more":true}"#)).unwrap();
    let _ = stream.write_all(&frame(request));
    let heard = rest(stream);
    let length = u32::from_be_bytes(heard[..4].try_into().unwrap());
    let (hello, answer) = heard[4..].split_at(length.try_into().unwrap());
    let hello = String::from_utf8_lossy(hello);
    assert!(hello.contains(&format!("\"protocol\":{PROTOCOL},")), "{hello}");
    String::from_utf8_lossy(answer.get(4..).unwrap_or_default()).into_owned()
}

#[test]
fn a_command_of_another_version_is_told_ours_and_can_stop_the_agent_and_nothing_else() {
    let mut host = alone();
    start(&mut host);
    for request in [r#""status""#, r#""pause""#, r#"{"client-token":{"name":"a","format":"ormesh"}}"#] {
        assert_eq!(asked_by_the_next_version(&host, request), "", "{request}");
    }
    assert!(host.status().agent.is_some(), "it was stopped");

    // These bytes are for ever: a command of any version ends an agent of any other by them.
    assert_eq!(asked_by_the_next_version(&host, r#""stop""#), r#"{"done":{"notes":[]}}"#);
    assert!(host.ended().success(), "it was not ended in order");
}

#[test]
fn an_agent_of_another_version_is_named_with_what_to_do() {
    let host = alone();
    let run = socket(&host).parent().unwrap().to_owned();
    fs::create_dir_all(&run).unwrap();
    let listener = UnixListener::bind(socket(&host)).unwrap();
    for (said, words) in [
        (frame(&next_hello()), "9.9.9"),
        (frame(r#"{"motd":"hello"}"#), "agent"),
        (vec![0xff; 64], "agent"),
        (Vec::new(), "agent"),
    ] {
        let before = fs::read(host.config()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                stream.write_all(&said).unwrap();
                let _ = stream.read(&mut [0; 1000]);
            });
            let (sentence, hint) = refused(&host.ormesh(&["export", "add", "22"]), 3);
            assert!(sentence.contains(words) && !hint.is_empty(), "{sentence}\n{hint}");
            if words == "9.9.9" {
                assert!(hint.contains("agent stop") || hint.contains("restart"), "{hint}");
            }
        });
        assert_eq!(fs::read(host.config()).unwrap(), before, "it went past the agent");
    }
}

/// Stands in an agent's place, of this protocol and this very release: says hello to each who connects, and answers a request if it
/// takes any. Ends, as its socket does, once it has answered.
fn stands_in(host: &Host, protocol: u32, answer: Option<&'static str>) -> thread::JoinHandle<String> {
    let path = socket(host);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let hello = Hello { protocol, ..Hello::ours() };
    thread::spawn(move || {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            let mut read = || {
                let mut length = [0; 4];
                stream.read_exact(&mut length).ok()?;
                let mut text = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
                stream.read_exact(&mut text).ok()?;
                stream.write_all(&frame(&serde_json::to_string(&hello).unwrap())).ok()?;
                answer?;
                stream.read_exact(&mut length).ok()?;
                let mut asked = vec![0; u32::from_be_bytes(length).try_into().unwrap()];
                stream.read_exact(&mut asked).ok()?;
                String::from_utf8(asked).ok()
            };
            if let (Some(asked), Some(answer)) = (read(), answer) {
                fs::remove_file(&path).unwrap();
                let _ = stream.write_all(&frame(answer));
                return asked;
            }
        }
    })
}

#[test]
fn an_agent_of_any_later_version_is_stopped_and_an_older_one_is_named_by_its_process() {
    let host = alone();
    // As one before it took anything from another version.
    let _older = stands_in(&host, PROTOCOL - 1, None);
    let (sentence, hint) = refused(&host.ormesh(&["status"]), 3);
    let version = Hello::ours().version;
    for words in
        ["older", &format!("{version} (protocol {})", PROTOCOL - 1), &format!("(protocol {PROTOCOL})")]
    {
        assert!(sentence.contains(words), "{sentence}");
    }
    assert!(hint.contains("`ormesh agent stop`"), "{hint}");

    let (sentence, hint) = refused(&host.ormesh(&["agent", "stop"]), 3);
    assert!(sentence.contains("older"), "{sentence}");
    assert!(!hint.contains("agent stop"), "it hints at itself: {hint}");
    assert!(hint.contains(&format!("`kill {}`", std::process::id())), "{hint}");

    let newer = stands_in(&host, PROTOCOL + 1, Some(r#"{"done":{"notes":[],"more":1}}"#));
    let ran = host.ormesh(&["agent", "stop"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(newer.join().unwrap(), r#""stop""#);
}

#[test]
fn another_user_is_refused_even_where_the_directories_stand_open() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: nobody else's program can be run");
        return;
    }
    let mut host = alone();
    start(&mut host);
    let program = host.home().join("ormesh");
    fs::copy(ORMESH, &program).unwrap();
    let state = host.state();
    let ask = || {
        let mut command = host.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command.args(["agent", "stop"]).env_remove("ORMESH_LOG").stdin(Stdio::null()).output().unwrap()
    };
    let open = |mode| {
        for path in [host.home(), &state, socket(&host).parent().unwrap(), &socket(&host), &program] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    fs::set_permissions(host.home(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!ask().status.success(), "the directories let it in");

    open(0o777);
    let ran = ask();

    assert!(!ran.status.success(), "{ran:?}");
    until("it was noticed", || host.log().contains("refused a connection from another user"));
    open(0o700);
    assert!(host.status().agent.is_some(), "it was stopped by a stranger");
}
