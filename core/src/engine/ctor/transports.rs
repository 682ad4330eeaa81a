//! Finds the programs of pluggable transports, which disguise connections to bridges. tor starts and stops them.

use std::path::{Path, PathBuf};

use super::find::{Finder, NotFound};
use super::system;
use super::torrc::{self, Entrances, Plugin};
use crate::model::bridge::{self, Bridge, Transport};

/// What a transport is done by, the better one first: lyrebird goes on where obfs4proxy has ended, and does all of them by now.
fn programs(transport: Transport) -> &'static [&'static str] {
    match transport {
        Transport::Obfs4 | Transport::MeekLite => &["lyrebird", "obfs4proxy"],
        Transport::Webtunnel => &["webtunnel-client", "lyrebird"],
        Transport::Snowflake => &["snowflake-client", "lyrebird"],
    }
}

/// What to install for it, as Debian calls it where it has it.
fn package(transport: Transport) -> &'static str {
    match transport {
        Transport::Obfs4 | Transport::MeekLite => "obfs4proxy",
        Transport::Webtunnel => "webtunnel-client or lyrebird",
        Transport::Snowflake => "snowflake-client",
    }
}

/// Finds what these bridges need, beside ormesh or in `PATH`.
pub(super) fn entrances(finder: &Finder, bridges: Vec<Bridge>) -> Result<Entrances, NotFound> {
    let mut plugins: Vec<Plugin> = Vec::new();
    for transport in bridge::transports(&bridges) {
        let program = program(finder, transport)?;
        tracing::info!(%transport, program = %program.display(), "the transport's program was found");
        match plugins.iter_mut().find(|plugin| plugin.program == program) {
            Some(plugin) => plugin.transports.push(transport),
            None => plugins.push(Plugin { program, transports: vec![transport] }),
        }
    }
    if !bridges.is_empty() {
        tracing::info!(bridges = bridges.len(), "tor enters the network by bridges");
    }
    bridges.iter().for_each(|bridge| tracing::debug!(%bridge, "one of them"));
    Ok(Entrances { bridges, plugins })
}

/// Whether all that these bridges need is there; nothing is started.
pub fn check(finder: &Finder, bridges: &[Bridge]) -> Result<(), NotFound> {
    bridge::transports(bridges).into_iter().try_for_each(|transport| program(finder, transport).map(drop))
}

fn program(finder: &Finder, transport: Transport) -> Result<PathBuf, NotFound> {
    let names = programs(transport);
    // A relative entry would make the working directory decide which program runs.
    let path = finder.path.iter().flat_map(std::env::split_paths).filter(|dir| dir.is_absolute());
    let dirs: Vec<PathBuf> = finder.beside.iter().cloned().chain(path).collect();
    let named = |name: &&str| format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let candidates = names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(named(name))));
    let there: Vec<PathBuf> = candidates.filter(|path| system::is_program(path)).collect();
    match (there.iter().find(|path| torrc::plain(path).is_some()), there.first()) {
        (Some(path), _) => Ok(path.clone()),
        (None, Some(path)) => Err(unspeakable(transport, path)),
        (None, None) => Err(NotFound {
            why: format!(
                "the program for {transport} bridges was not found: no {} beside ormesh or in PATH",
                names.join(" or ")
            ),
            hint: format!("install {}; tor is started by itself then", package(transport)),
        }),
    }
}

fn unspeakable(transport: Transport, path: &Path) -> NotFound {
    NotFound {
        why: format!(
            "the program for {transport} bridges, {}, can't be used: tor takes no space in its path",
            path.display()
        ),
        hint: "put it, or a link to it, in a directory of PATH without a space".to_owned(),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn install(dir: &Path, name: &str, mode: u32) -> PathBuf {
        std::fs::create_dir_all(dir).unwrap();
        let path = dir.join(name);
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn bridges(transports: &[&str]) -> Vec<Bridge> {
        let line = |name: &&str| format!("{name} 192.0.2.3:443 0123456789ABCDEF0123456789ABCDEF01234567");
        transports.iter().map(|name| line(name).trim_start().parse().unwrap()).collect()
    }

    #[test]
    fn one_program_may_do_several_transports_and_plain_bridges_need_none() {
        let dir = tempfile::tempdir().unwrap();
        let (beside, in_path) = (dir.path().join("beside"), dir.path().join("path"));
        let obfs4proxy = install(&beside, "obfs4proxy", 0o755);
        let snowflake = install(&in_path, "snowflake-client", 0o755);
        install(&in_path, "lyrebird", 0o644);
        let finder =
            Finder { beside: Some(beside), path: Some(in_path.into_os_string()), ..Finder::default() };

        let found = entrances(&finder, bridges(&["obfs4", "snowflake", "", "meek_lite", "obfs4"])).unwrap();
        let plain = entrances(&finder, bridges(&[""])).unwrap();

        assert_eq!(
            found.plugins,
            [
                Plugin { program: obfs4proxy, transports: vec![Transport::Obfs4, Transport::MeekLite] },
                Plugin { program: snowflake, transports: vec![Transport::Snowflake] },
            ]
        );
        assert_eq!((plain.bridges.len(), plain.plugins.len()), (1, 0));
    }

    #[test]
    fn a_program_that_is_missing_or_can_not_be_named_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let spaced = dir.path().join("a b");
        install(&spaced, "lyrebird", 0o755);

        let missing = entrances(&Finder::default(), bridges(&["webtunnel"])).unwrap_err();
        let finder = Finder { beside: Some(spaced), ..Finder::default() };
        let unspeakable = entrances(&finder, bridges(&["obfs4"])).unwrap_err();

        assert!(
            missing.why.contains("no webtunnel-client or lyrebird beside ormesh or in PATH"),
            "{missing:?}"
        );
        assert!(missing.hint.contains("install webtunnel-client"), "{missing:?}");
        assert!(unspeakable.why.contains("no space in its path"), "{unspeakable:?}");
    }
}
