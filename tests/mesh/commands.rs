//! The commands that need two agents: ping, nc, the SOCKS front, wait, and status with all its states.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{
    ORMESH, PATIENCE, echo, free_address, hosts, is_connected, open_echo, refusal, socks_dial, until,
};

#[test]
fn commands_reach_a_remote_and_tell_of_it() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    server.export(echo.addr, 80);
    // Granted, and nothing listens behind it.
    server.export(free_address(), 81);
    laptop.add_remote("remote", &server.invite("client", &[]));
    let address = laptop.good(&["remote", "show", "remote"]).trim().to_owned();
    let import = laptop.import("remote", 80);
    assert_eq!(laptop.ormesh(&["ping", "remote"]).code, 3, "no agent runs");
    server.spawn_agent(&[]);
    laptop.spawn_agent(&[]);

    server.good(&["wait", "--timeout", "120"]);
    laptop.good(&["wait", "--timeout", "120"]);
    laptop.wait_until("the remote is reached", is_connected("remote"));

    // ping
    let pong = laptop.good(&["ping", "remote", "--count", "2"]);
    assert_eq!(pong.lines().filter(|line| line.contains("round trip")).count(), 2, "{pong}");
    let pong = laptop.good(&["ping", &address, "80", "--count", "1"]);
    assert!(pong.contains("port 80 open"), "{pong}");
    let told = laptop.good(&["ping", "remote", "80", "--count", "1", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["remote"], &told["seq"]), (&"remote".into(), &1.into()));
    assert!(told["answer"]["connect"].is_u64() && told["answer"]["ports"][0]["port"].is_u64(), "{told}");
    let told = laptop.ormesh(&["ping", "remote", "81", "--count", "1", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert!(told["problem"]["code"].is_string() && told["answer"].is_null(), "{told}");
    let closed = laptop.ormesh(&["ping", "remote", "81", "--count", "1"]);
    assert_eq!(closed.code, 4, "{closed:?}");
    let missing = laptop.ormesh(&["ping", "remote", "82", "--count", "1"]);
    assert_eq!(missing.code, 4, "{missing:?}");

    // nc, by name and by address
    for remote in ["remote", &address] {
        let mut nc = laptop.command(ORMESH);
        let mut nc =
            nc.args(["nc", remote, "80"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut heard = [0; 5];
        nc.stdin.as_mut().unwrap().write_all(b"hello").unwrap();
        nc.stdout.as_mut().unwrap().read_exact(&mut heard).unwrap();
        assert_eq!(heard, *b"hello");
        nc.kill().unwrap();
        nc.wait().unwrap();
    }

    // The SOCKS front, by name and by address, and nobody else through it.
    for host in ["remote", "REMOTE.onion", &address, &address.to_uppercase()] {
        let known = host != "REMOTE.onion";
        match known {
            true => {
                let mut stream = socks_dial(laptop.socks(), host, 80).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut heard = [0; 5];
                stream.write_all(b"hello").unwrap();
                stream.read_exact(&mut heard).unwrap();
                assert_eq!(heard, *b"hello", "{host}");
            }
            false => assert_eq!(refusal(laptop.socks(), host, 80), 2, "{host}"),
        }
    }
    assert_eq!(refusal(laptop.socks(), "remote", 82), 5);
    for stranger in
        ["example.com", "127.0.0.1", "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion"]
    {
        assert_eq!(refusal(laptop.socks(), stranger, 80), 2, "{stranger}");
    }

    // status, followed while a session comes and goes
    let mut watch = server.command(ORMESH);
    let mut watch = watch.args(["status", "--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let before = next();
    assert_eq!(before["version"], 2);
    let session = open_echo(import);
    let connected = until("the session is shown", || {
        let status = next();
        (status["clients"][0]["sessions"] == 1).then_some(status)
    });
    assert_eq!(connected["clients"][0]["state"]["is"], "connected");
    let yaml: Value = serde_saphyr::from_str(&server.good(&["status"])).unwrap();
    assert_eq!(yaml["agent"]["state"], "online");
    assert!(yaml["agent"]["tor"].as_str().unwrap().starts_with("0.4."), "{yaml}");
    assert_eq!(yaml["service"]["export"].as_array().unwrap().len(), 2);
    assert_eq!(yaml["service"]["clients"][0]["state"], "connected");
    assert_eq!(yaml["service"]["clients"][0]["sessions"], 1);
    let yaml: Value = serde_saphyr::from_str(&laptop.good(&["status"])).unwrap();
    assert!(yaml["remotes"][0]["state"].as_str().unwrap().starts_with("reachable ("), "{yaml}");
    assert_eq!(yaml["remotes"][0]["imports"][0]["local-addr"], import.to_string());
    assert_eq!(yaml["remotes"][0]["imports"][0]["state"], "listening");
    drop(session);
    until("the session's end is shown", || (next()["clients"][0]["sessions"] == 0).then_some(()));

    // The end of an agent ends who follows it, and the other side says what is wrong.
    server.stop();
    assert_eq!(watch.wait().unwrap().code(), Some(3));
    assert_eq!(server.ormesh(&["wait", "--timeout", "0"]).code, 3);

    // What a remote that has gone keeps from being ready is waited for, unless less is asked for.
    until("the remote is known to be gone", || {
        laptop.ormesh(&["ping", "remote", "--count", "1"]);
        let state = &laptop.json_status()["remotes"][0]["state"]["is"];
        (state == "unreachable").then_some(())
    });
    let ran = laptop.ormesh(&["wait", "--timeout", "1"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("remote remote is unreachable ("), "{ran:?}");
    laptop.good(&["wait", "--timeout", "1", "--for", "online", "--for", "clients"]);
    assert_eq!(laptop.ormesh(&["wait", "--timeout", "0", "--for", "imports"]).code, 3);
}
