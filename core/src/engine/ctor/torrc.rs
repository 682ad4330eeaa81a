//! Writes tor's configuration, as text (pure). It is complete before tor starts and never changed afterwards: SETCONF and a reload
//! would drop the client keys that tor holds in memory.

use std::path::{Component, Path, PathBuf};

use crate::model::bridge::{Bridge, Transport};

/// Where a tor lives, and on which network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorSettings {
    /// tor's DataDirectory, for this tor alone. Made when missing; refused when others can enter it.
    pub data_dir: PathBuf,
    /// Where tor's sockets and the gates are, and tor's working directory. On Unix at most [`MAX_RUN_DIR`] bytes.
    pub run_dir: PathBuf,
    /// Configuration lines of a private Tor network, put first; none for the real one.
    pub network_lines: Option<String>,
    /// Keeps tor off every network (`DisableNetwork`): tests of supervision need none.
    pub disable_network: bool,
}

/// How tor enters the network, when not by its public relays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entrances {
    pub(super) bridges: Vec<Bridge>,
    /// The programs that the bridges' transports are done by.
    pub(super) plugins: Vec<Plugin>,
}

/// A program that tor starts, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plugin {
    pub(super) program: PathBuf,
    pub(super) transports: Vec<Transport>,
}

/// The longest run directory, in bytes: tor's sockets and the gates in it must fit `sun_path` (104 bytes on macOS).
pub const MAX_RUN_DIR: usize = 80;

/// Why no configuration can be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TorrcError {
    /// tor reads its configuration by lines; a quoted string has no form for these.
    #[error("the path {0:?} holds a control character or is not UTF-8")]
    Path(PathBuf),
    #[error("the path {0:?} is not absolute")]
    Relative(PathBuf),
    #[error("the run directory {0:?} is longer than {MAX_RUN_DIR} bytes")]
    RunDir(PathBuf),
    #[error("the private network's configuration holds a control character")]
    Network,
    /// tor splits that line at spaces and knows no quotes in it.
    #[error(
        "the path {0:?} of a transport's program is one that tor can't be told: it is relative, or holds a space or #"
    )]
    Program(PathBuf),
}

/// The whole configuration. `listeners` are the lines of tor's own sockets, which each system has otherwise; `owner` is the process
/// without which tor must not go on.
pub(super) fn torrc(
    settings: &TorSettings,
    listeners: Vec<String>,
    entrances: &Entrances,
    owner: u32,
) -> Result<String, TorrcError> {
    // Where there are no sockets in it, no length is too much.
    if cfg!(unix) && settings.run_dir.as_os_str().len() > MAX_RUN_DIR {
        return Err(TorrcError::RunDir(settings.run_dir.clone()));
    }
    let mut lines = Vec::new();
    if let Some(network) = &settings.network_lines {
        if network.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            return Err(TorrcError::Network);
        }
        lines.extend(network.lines().map(str::to_owned));
    }
    lines.push(format!("DataDirectory {}", told(settings, &settings.data_dir)?));
    lines.push(format!("CookieAuthFile {}", told(settings, &cookie_file(settings))?));
    lines.extend(listeners);
    lines.extend(ALWAYS.iter().map(|&line| line.to_owned()));
    lines.extend(entrance_lines(entrances)?);
    if settings.disable_network {
        lines.push("DisableNetwork 1".to_owned());
    }
    lines.push(format!("__OwningControllerProcess {owner}"));
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// The bridges, and leave to start what they need.
fn entrance_lines(entrances: &Entrances) -> Result<Vec<String>, TorrcError> {
    let mut lines = Vec::new();
    for Plugin { program, transports } in &entrances.plugins {
        let path = plain(program).ok_or_else(|| TorrcError::Program(program.clone()))?;
        let names: Vec<_> = transports.iter().map(|transport| transport.as_str()).collect();
        lines.push(format!("ClientTransportPlugin {} exec {path}", names.join(",")));
    }
    if entrances.plugins.is_empty() {
        // Without a transport there is no program for tor to run.
        lines.push("NoExec 1".to_owned());
    }
    if !entrances.bridges.is_empty() {
        lines.push("UseBridges 1".to_owned());
        lines.extend(entrances.bridges.iter().map(|bridge| format!("Bridge {bridge}")));
    }
    Ok(lines)
}

/// A path that tor reads as one word and whole.
pub(super) fn plain(path: &Path) -> Option<&str> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '#' || c == '"';
    path.to_str().filter(|text| path.is_absolute() && !text.chars().any(odd))
}

/// Every line is one of tor(1) and each is there for a reason.
const ALWAYS: &[&str] = &[
    "CookieAuthentication 1",
    "ClientOnly 1",
    // The supervisor reads it.
    "Log notice stdout",
    // Onion addresses and relays stay out of the log.
    "SafeLogging 1",
    // Seconds since a circuit was last joined after which no stream joins it any more: a remote stays warm for this long.
    "MaxCircuitDirtiness 7200",
    // The default of 32 stalls when many services are published (their introduction circuits).
    "MaxClientCircuitsPending 1024",
    // A host that only imports must answer its first connection after a day at once.
    "DormantTimeoutEnabled 0",
    "DormantCanceledByStartup 1",
];

/// The flags of the SOCKS listener; the defaults beside them include IsolateSOCKSAuth, which the dialler builds upon.
pub(super) const SOCKS_FLAGS: &str = "OnionTrafficOnly ExtendedErrors";

/// Where tor puts the control port's cookie.
pub(super) fn cookie_file(settings: &TorSettings) -> PathBuf {
    settings.data_dir.join("control_auth_cookie")
}

/// How tor is told of a file of ours. On Windows it reads paths in the system's code page, which has not all characters: there it is
/// told the way from its working directory, where that is plain ASCII.
pub(super) fn told(settings: &TorSettings, path: &Path) -> Result<String, TorrcError> {
    match plain_way(&settings.run_dir, path).filter(|_| cfg!(windows)) {
        Some(way) => Ok(quote_text(&way)),
        None => quote(path),
    }
}

/// The way from one directory to a path, if it is plain ASCII; with slashes, which every system takes.
fn plain_way(from: &Path, to: &Path) -> Option<String> {
    if !from.is_absolute() || !to.is_absolute() {
        return None;
    }
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
    let named = |part: &Component<'_>| matches!(part, Component::Normal(_));
    let (up, down) = (from.get(shared..)?, to.get(shared..)?);
    // Without anything shared they may be on different drives.
    if shared == 0 || down.is_empty() || !up.iter().chain(down).all(named) {
        return None;
    }
    let down: Option<Vec<_>> = down.iter().map(|part| part.as_os_str().to_str()).collect();
    let way = "../".repeat(up.len()) + &down?.join("/");
    (way.is_ascii() && !way.chars().any(char::is_control)).then_some(way)
}

/// A path as a quoted C string (tor(1), "Configuration file format"), so that spaces and `#` stay part of it.
pub(super) fn quote(path: &Path) -> Result<String, TorrcError> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or_else(|| TorrcError::Path(path.to_owned()))?;
    if !path.is_absolute() {
        return Err(TorrcError::Relative(path.to_owned()));
    }
    Ok(quote_text(text))
}

/// A Unix socket to listen on, and its flags. tor unquotes the value and then the path in it: quoted but once, a `#` would start a comment.
#[cfg(unix)]
pub(super) fn unix_listener(option: &str, socket: &Path, flags: &str) -> Result<String, TorrcError> {
    let value = format!("unix:{} {flags}", quote(socket)?);
    Ok(format!("{option} {}", quote_text(value.trim_end())))
}

fn quote_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// With this system's listeners.
    fn torrc(settings: &TorSettings, entrances: &Entrances, owner: u32) -> Result<String, TorrcError> {
        let listeners = super::super::system::listeners(settings)?;
        super::torrc(settings, listeners, entrances, owner)
    }

    fn settings() -> TorSettings {
        TorSettings {
            data_dir: "/home/me/.local/state/ormesh/tor".into(),
            run_dir: "/run/user/1000/ormesh".into(),
            network_lines: None,
            disable_network: false,
        }
    }

    #[test]
    fn the_configuration_is_this_one() {
        insta::assert_snapshot!(torrc(&settings(), &Entrances::default(), 4711).unwrap(), @r#"
        DataDirectory "/home/me/.local/state/ormesh/tor"
        CookieAuthFile "/home/me/.local/state/ormesh/tor/control_auth_cookie"
        ControlPort "unix:\"/run/user/1000/ormesh/tor-control\""
        SocksPort "unix:\"/run/user/1000/ormesh/tor-socks\" OnionTrafficOnly ExtendedErrors"
        CookieAuthentication 1
        ClientOnly 1
        Log notice stdout
        SafeLogging 1
        MaxCircuitDirtiness 7200
        MaxClientCircuitsPending 1024
        DormantTimeoutEnabled 0
        DormantCanceledByStartup 1
        NoExec 1
        __OwningControllerProcess 4711
        "#);
    }

    fn entrances(plugins: Vec<Plugin>) -> Entrances {
        let bridge = |line: &str| line.parse().unwrap();
        let bridges = vec![
            bridge("obfs4 192.0.2.3:443 0123456789ABCDEF0123456789ABCDEF01234567 cert=AbC+/d== iat-mode=0"),
            bridge("[2001:db8::3]:9001 0123456789ABCDEF0123456789ABCDEF01234567"),
        ];
        Entrances { bridges, plugins }
    }

    #[test]
    fn bridges_come_with_the_programs_that_they_need_and_no_others() {
        let plugin = Plugin {
            program: "/usr/bin/obfs4proxy".into(),
            transports: vec![Transport::Obfs4, Transport::MeekLite],
        };

        let text = torrc(&settings(), &entrances(vec![plugin]), 4711).unwrap();
        let plain = torrc(&settings(), &entrances(Vec::new()), 4711).unwrap();

        let (_, lines) = text.split_once("DormantCanceledByStartup 1\n").unwrap();
        insta::assert_snapshot!(lines, @r"
        ClientTransportPlugin obfs4,meek_lite exec /usr/bin/obfs4proxy
        UseBridges 1
        Bridge obfs4 192.0.2.3:443 0123456789ABCDEF0123456789ABCDEF01234567 cert=AbC+/d== iat-mode=0
        Bridge [2001:db8::3]:9001 0123456789ABCDEF0123456789ABCDEF01234567
        __OwningControllerProcess 4711
        ");
        assert!(plain.contains("\nNoExec 1\nUseBridges 1\n"), "{plain}");
    }

    #[test]
    fn a_program_that_tor_would_read_otherwise_is_refused() {
        for bad in ["obfs4proxy", "/a b/obfs4proxy", "/a#b", "/a\nb", "/a\"b"] {
            let plugin = Plugin { program: bad.into(), transports: vec![Transport::Obfs4] };

            let error = torrc(&settings(), &entrances(vec![plugin]), 1);

            assert_eq!(error, Err(TorrcError::Program(bad.into())));
        }
    }

    #[test]
    fn a_private_network_comes_first() {
        let network_lines = Some("TestingTorNetwork 1\nDirAuthority a\n".to_owned());

        let text = torrc(
            &TorSettings { network_lines, disable_network: true, ..settings() },
            &Entrances::default(),
            1,
        )
        .unwrap();

        assert!(text.starts_with("TestingTorNetwork 1\nDirAuthority a\nDataDirectory "), "{text}");
        assert!(text.contains("\nDisableNetwork 1\n"), "{text}");
    }

    #[test]
    fn spaces_quotes_and_backslashes_stay_in_a_path() {
        assert_eq!(quote(Path::new(r#"/a b/"c"\d#"#)), Ok(r#""/a b/\"c\"\\d#""#.to_owned()));
    }

    #[test]
    fn the_way_from_the_run_directory_leaves_out_what_a_code_page_lacks() {
        let way = |from: &str, to: &str| plain_way(Path::new(from), Path::new(to));

        let home = "/Users/Jürgen Żółć";
        assert_eq!(
            way(&format!("{home}/run"), &format!("{home}/tor/torrc")).as_deref(),
            Some("../tor/torrc")
        );
        assert_eq!(way("/a/run", "/a/run/port").as_deref(), Some("port"));
        assert_eq!(way("/a/b/run", "/a/c d").as_deref(), Some("../../c d"));
        assert_eq!(way("/a/run", "/a/tör"), None);
        assert_eq!(way("/a/run", "/a/run"), None);
        assert_eq!(way("a/run", "/a/tor"), None);
    }

    #[test]
    fn nothing_in_a_path_can_start_a_line() {
        for bad in ["/a\nb", "/a\rb", "/a\0b", "/a\u{85}b"] {
            assert_eq!(quote(Path::new(bad)), Err(TorrcError::Path(bad.into())));
            let settings = TorSettings { run_dir: bad.into(), ..settings() };
            assert!(
                matches!(torrc(&settings, &Entrances::default(), 1), Err(TorrcError::Path(_))),
                "{bad:?}"
            );
        }
        assert_eq!(quote(Path::new("a")), Err(TorrcError::Relative("a".into())));
    }

    #[cfg(unix)]
    #[test]
    fn an_over_long_run_directory_is_refused() {
        let run_dir = PathBuf::from(format!("/{}", "x".repeat(MAX_RUN_DIR)));

        let error = torrc(&TorSettings { run_dir: run_dir.clone(), ..settings() }, &Entrances::default(), 1);

        assert_eq!(error, Err(TorrcError::RunDir(run_dir)));
    }

    #[test]
    fn a_private_network_brings_no_carriage_return() {
        let network_lines = Some("TestingTorNetwork 1\r\n".to_owned());

        assert_eq!(
            torrc(&TorSettings { network_lines, ..settings() }, &Entrances::default(), 1),
            Err(TorrcError::Network)
        );
    }
}
