//! Finds the tor to run: the first of four places that has a new enough one. `process` starts it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::system;
use crate::model::status::TorStatus;
use crate::store::apart::apart;

/// The oldest tor that may be used: 0.4.9.11 mends a rendezvous point that impersonates the service (tor issue 41297) and crashes by
/// crafted descriptors (41295), and the network refuses 0.4.8.
pub const MINIMUM: Version = Version { numbers: [0, 4, 9, 11], released: true };

/// From starting `tor --version` to its answer: a cold disk may take seconds.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);

/// More than any `tor --version` says.
const VERSION_OUTPUT: u64 = 16 * 1024;

/// The two places that a person names.
const ENV: &str = "ORMESH_TOR";
const SETTING: &str = "agent.tor-path";

/// Where to look for tor, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finder {
    /// The value of the environment variable `ORMESH_TOR`.
    pub env: Option<PathBuf>,
    /// The configuration's `agent.tor-path`.
    pub config: Option<PathBuf>,
    /// The directory of the running program, where packages put a tor of their own, `ormesh-tor`.
    pub beside: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
    /// Takes a tor older than [`MINIMUM`]: for private networks only.
    pub allow_old: bool,
}

/// A version of tor. Compares as tor's version-spec does, as far as that is needed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    numbers: [u32; 4],
    /// False for an alpha, beta or release candidate.
    released: bool,
}

/// Why no tor can be started, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFound {
    /// Why, in a sentence.
    pub why: String,
    /// What to do.
    pub hint: String,
}

impl Finder {
    /// Takes the first place that holds a tor new enough. It is run, to tell its version, and not started.
    pub async fn find(&self) -> Result<TorStatus, NotFound> {
        let (mut problems, mut named) = (Vec::new(), Vec::new());
        let finder = self.clone();
        for (path, found) in apart(move || finder.candidates()).await {
            match self.try_one(&path).await {
                Ok(version) => {
                    for problem in &problems {
                        tracing::warn!(%problem, taken = %path.display(), "another tor was passed over");
                    }
                    return Ok(TorStatus {
                        version: version.to_string(),
                        path,
                        found: why(found, &problems),
                        passed_over: (!named.is_empty()).then(|| named.join("; ")),
                    });
                }
                Err(problem) => {
                    let problem = format!("{problem} (from {found})");
                    // Whoever named one expects that one to run.
                    named.extend([ENV, SETTING].contains(&found).then(|| problem.clone()));
                    problems.push(problem);
                }
            }
        }
        if problems.is_empty() {
            return Err(NotFound {
                why: "tor was not found: neither ORMESH_TOR, agent.tor-path, beside ormesh nor in PATH"
                    .to_owned(),
                hint: format!(
                    "install tor {MINIMUM} or newer, or set agent.tor-path; it is found by itself then"
                ),
            });
        }
        Err(NotFound {
            why: problems.join("; "),
            hint: format!(
                "install tor {MINIMUM} or newer, or set agent.tor-path to one; it is found by itself then"
            ),
        })
    }

    /// Places that were named are candidates even when nothing is there, so that a person hears of a typing error.
    fn candidates(&self) -> Vec<(PathBuf, &'static str)> {
        let mut places = Vec::new();
        places.extend(self.env.iter().map(|path| (path.clone(), ENV)));
        places.extend(self.config.iter().map(|path| (path.clone(), SETTING)));
        let sidecar = format!("ormesh-tor{}", std::env::consts::EXE_SUFFIX);
        let sidecar = self.beside.iter().map(|dir| dir.join(&sidecar)).filter(|path| path.is_file());
        places.extend(sidecar.map(|path| (path, "beside ormesh")));
        if let Some(path) = &self.path {
            let name = format!("tor{}", std::env::consts::EXE_SUFFIX);
            // A relative entry would make the working directory decide which program runs.
            let dirs = std::env::split_paths(path).filter(|dir| dir.is_absolute());
            places.extend(
                dirs.map(|dir| dir.join(&name)).filter(|path| path.is_file()).map(|path| (path, "PATH")),
            );
        }
        places
    }

    async fn try_one(&self, path: &Path) -> Result<Version, String> {
        let shown = path.display();
        if !path.is_absolute() {
            return Err(format!("{shown} is not an absolute path"));
        }
        let output = match tokio::time::timeout(VERSION_DEADLINE, version_output(path)).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(format!("{shown} could not be run: {error}")),
            Err(_) => return Err(format!("{shown} did not tell its version in time")),
        };
        let Some(version) = parse_version(&output) else {
            return Err(format!("{shown} did not tell its version: it is not tor, or a broken one"));
        };
        if version < MINIMUM && !self.allow_old {
            return Err(format!("{shown} is tor {version}, and {MINIMUM} is the oldest that is safe"));
        }
        Ok(version)
    }
}

/// Where a tor was found, and why not in a place before that.
fn why(found: &str, problems: &[String]) -> String {
    match problems {
        [] => found.to_owned(),
        problems => format!("{found}; passed over: {}", problems.join("; ")),
    }
}

async fn version_output(path: &Path) -> std::io::Result<String> {
    let mut command = Command::new(path);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    system::clean(&mut command);
    // Starting a program waits for the file system that has it.
    let mut child = apart(move || command.kill_on_drop(true).spawn()).await?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(VERSION_OUTPUT).read_to_end(&mut output).await?;
    }
    child.wait().await?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// Reads `Tor version 0.4.9.11.` or `Tor version 0.4.9.1-alpha-dev (git-…).`
fn parse_version(output: &str) -> Option<Version> {
    let rest = output.lines().find_map(|line| line.strip_prefix("Tor version "))?;
    let word = rest.split_whitespace().next()?.trim_end_matches('.');
    let (numbers, tag) = word.split_once('-').unwrap_or((word, ""));
    let mut parsed = [0; 4];
    let mut parts = numbers.split('.');
    for number in &mut parsed {
        *number = parts.next()?.parse().ok()?;
    }
    if parts.next().is_some() {
        return None;
    }
    let released = !["alpha", "beta", "rc"].iter().any(|early| tag.starts_with(early));
    Some(Version { numbers: parsed, released })
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.numbers;
        write!(f, "{a}.{b}.{c}.{d}{}", if self.released { "" } else { " (a test version)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let version =
            |text: &str| parse_version(&format!("Tor version {text}\nThis build of Tor …\n")).unwrap();

        assert_eq!(version("0.4.9.11."), MINIMUM);
        assert_eq!(version("0.4.9.11-dev (git-abcdef)."), MINIMUM);
        assert!(version("0.4.9.12.") > MINIMUM);
        assert!(version("0.5.0.1-alpha.") > MINIMUM);
        assert!(version("0.4.9.11-rc.") < MINIMUM);
        assert!(version("0.4.8.99.") < MINIMUM);
        for bad in ["", "Tor version", "Tor version 0.4.9", "Tor version 0.4.9.x", "Tor version 1.2.3.4.5"] {
            assert_eq!(parse_version(bad), None, "{bad}");
        }
    }

    #[cfg(unix)]
    mod with_programs {
        use super::*;
        use std::os::unix::fs::PermissionsExt as _;

        /// A program that says it is this version of tor.
        fn program(dir: &Path, name: &str, version: &str) -> PathBuf {
            std::fs::create_dir_all(dir).unwrap();
            let path = dir.join(name);
            std::fs::write(&path, format!("#!/bin/sh\necho 'Tor version {version}.'\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        }

        #[tokio::test]
        async fn places_are_tried_in_order_and_old_ones_passed_over() {
            let dir = tempfile::tempdir().unwrap();
            let (beside, path_dir) = (dir.path().join("beside"), dir.path().join("path"));
            let old = program(dir.path(), "old", "0.4.8.13");
            let config = program(dir.path(), "config", "0.4.9.12");
            let sidecar = program(&beside, "ormesh-tor", "0.4.9.13");
            let in_path = program(&path_dir, "tor", "0.4.9.14");
            let mut finder = Finder {
                env: Some(old),
                config: Some(config.clone()),
                beside: Some(beside),
                path: Some(path_dir.into()),
                allow_old: false,
            };

            let mut found = Vec::new();
            found.push(finder.find().await.unwrap());
            finder.config = Some(dir.path().join("missing"));
            found.push(finder.find().await.unwrap());
            finder.beside = None;
            found.push(finder.find().await.unwrap());
            finder.allow_old = true;
            found.push(finder.find().await.unwrap());

            let place = |info: &TorStatus| info.found.split(';').next().unwrap().to_owned();
            let places: Vec<_> = found.iter().map(|info| (place(info), info.version.as_str())).collect();
            assert_eq!(
                places.iter().map(|(place, version)| (place.as_str(), *version)).collect::<Vec<_>>(),
                [
                    ("agent.tor-path", "0.4.9.12"),
                    ("beside ormesh", "0.4.9.13"),
                    ("PATH", "0.4.9.14"),
                    ("ORMESH_TOR", "0.4.8.13")
                ]
            );
            assert_eq!([&found[0].path, &found[1].path, &found[2].path], [&config, &sidecar, &in_path]);
            let passed_over = "; passed over: ";
            assert!(found[0].found.contains(passed_over) && found[0].found.ends_with("(from ORMESH_TOR)"));
            assert!(!found[3].found.contains(passed_over));
            // What was named, and is not run.
            let named = |info: &TorStatus| info.passed_over.as_ref().map(|why| why.matches("(from ").count());
            assert_eq!(found.iter().map(named).collect::<Vec<_>>(), [Some(1), Some(2), Some(2), None]);
        }

        #[tokio::test]
        async fn what_is_wrong_is_said() {
            let dir = tempfile::tempdir().unwrap();
            let old = program(dir.path(), "old", "0.4.8.13");

            let none = Finder::default().find().await.unwrap_err();
            let too_old = Finder { env: Some(old), ..Finder::default() }.find().await.unwrap_err();
            let missing =
                Finder { config: Some(dir.path().join("x")), ..Finder::default() }.find().await.unwrap_err();
            let other =
                Finder { config: Some("/bin/true".into()), ..Finder::default() }.find().await.unwrap_err();

            assert!(none.why.contains("tor was not found"), "{none:?}");
            assert!(too_old.why.contains("is tor 0.4.8.13, and 0.4.9.11 is the oldest"), "{too_old:?}");
            assert!(missing.why.contains("could not be run"), "{missing:?}");
            assert!(other.why.contains("not tor"), "{other:?}");
        }
    }
}
