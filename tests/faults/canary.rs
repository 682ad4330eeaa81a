//! Canary keys: the private keys of a whole life together, sought in everything that is logged, shown, kept or told to other programs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

use crate::alone::files;
use crate::support::{Host, ORMESH, children, echo, hosts, is_reachable, reaches, until};

/// A private key in one of its forms.
struct Needle {
    what: String,
    bytes: Vec<u8>,
}

/// A private key, in the forms that it could be written in.
fn forms(name: &str, key: &[u8]) -> Vec<Needle> {
    // The last character of 32 bytes depends on what follows, as in a whole key's base64; that of 30 bytes does not.
    let start = &key[..30];
    let base32 = BASE32_NOPAD.encode(start);
    let texts = [
        base32.to_ascii_lowercase(),
        base32,
        BASE64.encode(start),
        BASE64URL_NOPAD.encode(start),
        HEXLOWER.encode(key),
        HEXUPPER.encode(key),
        // As `{:?}` prints bytes.
        format!("{:?}", &key[..8]).trim_matches(['[', ']']).to_owned(),
    ];
    let needle = |bytes: Vec<u8>| Needle { what: name.to_owned(), bytes };
    texts.into_iter().map(|text| needle(text.into_bytes())).chain([needle(key.to_vec())]).collect()
}

/// The keys in a host's store.
fn needles(host: &Host) -> Vec<Needle> {
    let stored = files(&host.secrets());
    assert!(!stored.is_empty());
    stored
        .into_iter()
        .flat_map(|(path, line)| {
            let key = BASE64.decode(line.trim_ascii()).unwrap();
            assert!(key.len() >= 32, "{}: no key", path.display());
            // Of an expanded key the first half is the secret scalar.
            forms(&path.file_name().unwrap().to_string_lossy(), &key[..32])
        })
        .collect()
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle)
}

/// Everything that a host shows or leaves, but its store: files, what its processes were started with, what its commands print.
fn haystacks(host: &Host) -> Vec<(String, Vec<u8>)> {
    let outside = |path: &PathBuf| !path.starts_with(host.secrets());
    let mut all: Vec<_> = files(host.home())
        .into_iter()
        .filter(|(path, _)| outside(path))
        .map(|(path, bytes)| (path.display().to_string(), bytes))
        .collect();
    let agent = host.agent_pid();
    for pid in children(agent).into_iter().chain([agent]) {
        for file in ["cmdline", "environ", "comm"] {
            let path = format!("/proc/{pid}/{file}");
            // An agent that can't be looked into tells nobody anything.
            all.extend(fs::read(&path).ok().map(|bytes| (path, bytes)));
        }
    }
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["client", "list"],
        &["remote", "list"],
        &["secrets", "status", "--json"],
        &["client", "show", "laptop"],
        &["remote", "show", "server"],
        &["config", "check"],
        &["export", "add", "ormesh1qqqq"],
        &["remote", "add", "x", "-"],
    ] {
        let ran =
            host.command(ORMESH).args(args).env("ORMESH_LOG", "trace").stdin(Stdio::null()).output().unwrap();
        all.push((format!("{args:?}"), [ran.stdout, ran.stderr].concat()));
    }
    all
}

#[test]
fn no_private_key_is_found_outside_the_store() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let echo = echo();
    server.export(echo.addr, 80);
    let trace = [("ORMESH_LOG", "trace")];
    server.start_with(&trace);
    laptop.start_with(&trace);
    let invite = server.invite("laptop", &[]);
    let mut keys = needles(&server);
    keys.push(Needle { what: "the invite".into(), bytes: invite.clone().into_bytes() });
    laptop.add_remote("server", &invite);
    keys.extend(needles(&laptop));
    // An invite that is spoilt in its last character: what is said of it must not repeat it.
    let spoilt = format!("{}{}", &invite[..invite.len() - 1], if invite.ends_with('q') { 'p' } else { 'q' });
    let refusal = laptop.ormesh_reading(&["remote", "add", "other", "-"], &spoilt);
    assert_eq!(refusal.code, 2, "{refusal:?}");
    let import = laptop.import("server", 80);
    server.wait_until("the service is published", is_reachable("laptop"));
    drop(reaches(import));
    laptop.kill_tor();
    drop(reaches(import));
    // More of a life: another client, rotated and revoked while all runs.
    server.invite("phone", &[]);
    keys.extend(needles(&server));
    server.good(&["client", "rotate", "phone"]);
    keys.extend(needles(&server));
    server.good(&["client", "delete", "phone"]);

    for host in [&server, &laptop] {
        let found: Vec<_> = haystacks(host)
            .iter()
            .chain([&("the refusal".to_owned(), refusal.stderr.clone().into_bytes())])
            .flat_map(|(place, bytes)| {
                keys.iter()
                    .filter(|key| holds(bytes, &key.bytes))
                    .map(move |key| format!("{} in {place}", key.what))
            })
            .collect();
        assert!(found.is_empty(), "{found:#?}");
    }
    assert!(server.log().contains("TRACE") || server.log().contains("DEBUG"), "nothing was logged");
    // What is sought would be found: the store and the invite have it.
    let first = &keys[0];
    assert!(keys.iter().any(|key| {
        key.what == first.what
            && files(&server.secrets())
                .iter()
                .chain(&files(&laptop.secrets()))
                .any(|(_, bytes)| holds(bytes, &key.bytes))
    }));
}

#[test]
fn the_agent_can_not_be_looked_into() {
    let host = crate::alone::alone();
    let program = host.home().join("ormesh");
    fs::copy(ORMESH, &program).unwrap();
    // As a user without root's rights: root may look into anything.
    let (user, mut as_user) = (rustix::process::geteuid(), vec![]);
    let user = if user.is_root() {
        as_user = vec!["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        assert!(
            host.command("chown").args(["-R", "65534:65534"]).arg(host.home()).status().unwrap().success()
        );
        65534
    } else {
        user.as_raw()
    };
    let run = |program: &str, args: &[&str]| {
        let words: Vec<&str> = as_user.iter().copied().chain([program]).chain(args.iter().copied()).collect();
        let mut command = host.command(words[0]);
        command.args(&words[1..]).env("ORMESH_TOR_NETWORK", host.home().join("no-network.torrc"));
        command.env_remove("ORMESH_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    };
    let agent = run(program.to_str().unwrap(), &["agent", "run"]).spawn().unwrap();
    let pid = agent.id();
    let _agent = crate::lifecycle::Further::from(agent);
    until("it answers", || {
        let status = run(program.to_str().unwrap(), &["status", "--json"]).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&status.stdout)
            .is_ok_and(|status| !status["agent"].is_null())
    });

    // The kernel gives what is in /proc of a process that may not be dumped to root (proc(5), "/proc/pid").
    let owner = |file: &str| fs::metadata(format!("/proc/{pid}/{file}")).unwrap().uid();
    assert_eq!(owner(""), user, "it runs as another user");
    assert_eq!((owner("environ"), owner("mem")), (0, 0), "its own user may look into it");
    let read = |of: &str| run("cat", &[&format!("/proc/{of}/environ")]).output().unwrap().status.success();
    assert!(read("self"), "a process of that user can be looked into");
    assert!(!read(&pid.to_string()), "its environment was read");
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let limits: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(limits, ["0", "0"], "{core}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Umask:\t0077\n"), "what it makes is open to others: {status}");
}

#[test]
fn a_key_is_found_in_whatever_holds_it() {
    let key: Vec<u8> = (100..164).collect();
    let needles = forms("a key", &key[..32]);
    let invite_like = [b"x".to_vec(), key[..32].to_vec(), b"y".to_vec()].concat();
    for text in [
        BASE64.encode(&key),
        BASE64URL_NOPAD.encode(&key),
        BASE32_NOPAD.encode(&key),
        BASE64.encode(&key[..32]),
        BASE32_NOPAD.encode(&key[..32]).to_ascii_lowercase(),
        HEXLOWER.encode(&key),
        format!("{key:?}"),
    ] {
        let said = format!("ADD_ONION ED25519-V3:{text} Port=80");
        assert!(needles.iter().any(|needle| holds(said.as_bytes(), &needle.bytes)), "{said}");
    }
    assert!(needles.iter().any(|needle| holds(&invite_like, &needle.bytes)));
}
