//! Makes the nodes' keys once and keeps them in a cache, since making them takes longer than starting the network.
//!
//! They are worth nothing outside loopback, and are kept private only because tor insists.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::network::Role;
use crate::process::data_dir;
use crate::system;
use crate::tools::Tools;

/// Every node of the network, by nickname.
pub(crate) const NODES: [(&str, Role); 6] = [
    ("a0", Role::Authority),
    ("a1", Role::Authority),
    ("a2", Role::Authority),
    ("r0", Role::Relay),
    ("r1", Role::Relay),
    ("r2", Role::Relay),
];

/// Lifetime of an authority's certificate.
const CERTIFICATE_MONTHS: &str = "12";

/// What must be left of it when a network starts.
const CERTIFICATE_MARGIN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Who a node is, read from its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// RSA identity, 40 hexadecimal digits.
    pub(crate) fingerprint: String,
    /// v3 identity of an authority, 40 hexadecimal digits.
    pub(crate) v3_identity: Option<String>,
}

/// Puts every node's keys into its data directory under `dir`, making them first when the cache has none that will last;
/// `now` is unix time in seconds. Returns the identities in the order of [`NODES`].
pub(crate) fn install(cache: &Path, tools: &Tools, dir: &Path, now: u64) -> Result<Vec<Identity>> {
    fs::create_dir_all(cache).with_context(|| format!("failed to create the cache: {}", cache.display()))?;
    // Held to the end: another process neither makes the same keys meanwhile nor replaces those being copied.
    let lock = File::create(cache.join("keys.lock")).context("failed to create the key cache's lock")?;
    lock.lock().context("failed to lock the key cache")?;

    let keys = cache.join("keys");
    let identities = match read_all(&keys, now) {
        Ok(identities) => identities,
        Err(_missing_or_old) => {
            make_all(cache, &keys, tools)?;
            read_all(&keys, now).context("failed to read the keys just made")?
        }
    };
    for (name, _) in NODES {
        let to = data_dir(&dir.join(name)).join("keys");
        create_private_dir(&to)?;
        for entry in fs::read_dir(keys.join(name).join("keys"))? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))
                .with_context(|| format!("failed to copy the keys of {name}"))?;
        }
    }
    Ok(identities)
}

fn read_all(keys: &Path, now: u64) -> Result<Vec<Identity>> {
    NODES.iter().map(|&(name, role)| read(&keys.join(name), role, now)).collect()
}

fn read(node: &Path, role: Role, now: u64) -> Result<Identity> {
    // tor writes it: "<nickname> <fingerprint>".
    let fingerprint = fs::read_to_string(node.join("fingerprint"))?;
    let fingerprint =
        fingerprint.split_whitespace().nth(1).context("the fingerprint file is malformed")?.to_owned();
    let v3_identity = match role {
        Role::Relay => None,
        Role::Authority => {
            let text = fs::read_to_string(node.join("keys").join("authority_certificate"))?;
            let expires = parse_time(field(&text, "dir-key-expires")?)?;
            ensure!(
                expires > now + CERTIFICATE_MARGIN.as_secs(),
                "the authority's certificate is about to expire"
            );
            Some(field(&text, "fingerprint")?.to_owned())
        }
    };
    Ok(Identity { fingerprint, v3_identity })
}

/// A value of the certificate (dir-spec, "Creating key certificates").
fn field<'a>(certificate: &'a str, key: &str) -> Result<&'a str> {
    certificate
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .with_context(|| format!("the authority's certificate has no {key}"))
}

/// `YYYY-MM-DD HH:MM:SS` in UTC, as directory documents write it, to unix time; days by the civil calendar's 400-year eras.
fn parse_time(text: &str) -> Result<u64> {
    let numbers: Vec<u64> = text.split(['-', ' ', ':']).map(str::parse).collect::<Result<_, _>>()?;
    let &[year, month @ 1..=12, day @ 1..=31, hour, minute, second] = numbers.as_slice() else {
        bail!("failed to read a time: {text:?}");
    };
    ensure!(year >= 1970, "failed to read a time: {text:?}");
    // A year that begins in March puts the leap day last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days_to_1970 = 719_468;
    Ok((days - days_to_1970) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn make_all(cache: &Path, keys: &Path, tools: &Tools) -> Result<()> {
    let fresh = cache.join("keys.new");
    remove_dir(&fresh)?;
    // The authorities' RSA keys take seconds each, and a processor each.
    thread::scope(|scope| {
        let makers: Vec<_> = NODES
            .iter()
            .map(|&(name, role)| {
                let node = fresh.join(name);
                scope.spawn(move || {
                    make(&node, name, role, tools).with_context(|| format!("failed to make keys of {name}"))
                })
            })
            .collect();
        makers.into_iter().try_for_each(|maker| maker.join().expect("making keys does not panic"))
    })?;
    remove_dir(keys)?;
    fs::rename(&fresh, keys).context("failed to put the keys into the cache")
}

fn make(node: &Path, name: &str, role: Role, tools: &Tools) -> Result<()> {
    create_private_dir(&node.join("keys"))?;
    let empty = node.join("torrc");
    fs::write(&empty, "")?;
    run(
        Command::new(&tools.tor)
            .args(["--defaults-torrc", "/dev/null", "--list-fingerprint", "-f"])
            .arg(&empty)
            .args(["--ORPort", "9001", "--SocksPort", "0", "--Nickname", name, "--DataDirectory"])
            .arg(node),
        "",
    )?;
    match role {
        Role::Relay => Ok(()),
        Role::Authority => {
            // The passphrase guards the identity key's file, which nobody reads again.
            run(
                Command::new(&tools.tor_gencert)
                    .args(["--create-identity-key", "-m", CERTIFICATE_MONTHS, "--passphrase-fd", "0"])
                    .current_dir(node.join("keys")),
                "tornet\n",
            )?;
            fs::remove_file(node.join("keys").join("authority_identity_key"))
                .context("failed to remove the identity key")
        }
    }
}

fn run(command: &mut Command, input: &str) -> Result<()> {
    let program = PathBuf::from(command.get_program());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {}", program.display()))?;
    // Taken and so closed here. A program that ended without reading says why below.
    let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{} ended ({})\n{}{}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Creates a directory for keys; tor refuses one that others can read.
pub(crate) fn create_private_dir(path: &Path) -> Result<()> {
    system::create_private_dir(path).with_context(|| format!("failed to create {}", path.display()))
}

/// Removes a directory and all in it, if it is there.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_times_become_unix_time() {
        assert_eq!(parse_time("1970-01-01 00:00:00").unwrap(), 0);
        assert_eq!(parse_time("2000-02-29 12:00:01").unwrap(), 951_825_601);
        assert_eq!(parse_time("2026-11-22 00:00:00").unwrap(), 1_795_305_600);
        assert!(parse_time("2026-13-22 00:00:00").is_err());
        assert!(parse_time("soon").is_err());
    }

    #[test]
    fn keys_near_their_end_are_not_read() {
        let cache = tempfile::tempdir().unwrap();
        let keys = cache.path().join("keys");
        fs::create_dir_all(&keys).unwrap();
        fs::write(cache.path().join("fingerprint"), "a0 ABCD\n").unwrap();
        fs::write(
            keys.join("authority_certificate"),
            "dir-key-certificate-version 3\nfingerprint EF01\ndir-key-expires 2027-01-31 00:00:00\n",
        )
        .unwrap();
        let expires = parse_time("2027-01-31 00:00:00").unwrap();
        let margin = CERTIFICATE_MARGIN.as_secs();

        let long_before = read(cache.path(), Role::Authority, expires - margin - 1).unwrap();
        let shortly_before = read(cache.path(), Role::Authority, expires - margin);

        assert_eq!(
            long_before,
            Identity { fingerprint: "ABCD".to_owned(), v3_identity: Some("EF01".to_owned()) }
        );
        assert!(shortly_before.is_err());
    }
}
