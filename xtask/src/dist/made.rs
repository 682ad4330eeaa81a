//! What the packages are made of: the editions, and all that goes into them.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::programs::Programs;
use super::tor::Sidecar;

/// Who answers for packages that nobody was named for. Nothing can be sent there (RFC 2606 §2).
const NOBODY: &str = "nobody in particular <packages@ormesh.invalid>";

/// Who answers for the packages, as both formats want it: whom the environment names.
///
/// # Errors
///
/// When it is no name with an address; or, for a `release`, when nobody is named.
pub(super) fn maintainer(named: Option<String>, release: bool) -> Result<String> {
    let Some(named) = named.filter(|named| !named.is_empty()) else {
        if release {
            bail!(
                "failed to make a release: nobody answers for its packages\n\
                 hint: set ORMESH_MAINTAINER, as in 'Name <address@example.org>'"
            );
        }
        return Ok(NOBODY.to_owned());
    };
    let parts = named.strip_suffix('>').and_then(|rest| rest.split_once(" <"));
    let is_good = |(name, address): &(&str, &str)| {
        let plain = |text: &str| {
            !text.is_empty() && !text.contains(['<', '>']) && !text.chars().any(char::is_control)
        };
        let host = address.split_once('@').map(|(_, host)| host);
        plain(name)
            && plain(address)
            && host.is_some_and(|host| !host.is_empty() && !host.ends_with(".invalid"))
    };
    if parts.as_ref().is_none_or(|parts| !is_good(parts)) {
        bail!(
            "failed to read ORMESH_MAINTAINER: {named:?} is not a name and an address, as in 'Name <address@example.org>'"
        );
    }
    Ok(named)
}

/// Which of the programs a package has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edition {
    /// The desktop app, and the command with it.
    App,
    /// The command alone, for machines without a display.
    Command,
}

impl Edition {
    pub(super) fn package(self) -> &'static str {
        match self {
            Edition::App => "ormesh",
            Edition::Command => "ormesh-cli",
        }
    }

    pub(super) fn programs(self) -> &'static [&'static str] {
        match self {
            Edition::App => &["ormesh", "ormesh-tor", "ormesh-desktop"],
            Edition::Command => &["ormesh", "ormesh-tor"],
        }
    }

    /// One line, lower case, without a full stop (Debian policy §3.4.1).
    pub(super) fn summary(self) -> &'static str {
        match self {
            Edition::App => "private mesh of hosts over Tor: desktop app and command",
            Edition::Command => "private mesh of hosts over Tor: command",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Edition::App => {
                "One host exports local ports to named clients; another imports them to\n\
                 local addresses, with the invite it was given. Every export is an onion\n\
                 service that only its client can find and reach: no port forwarding, no\n\
                 account, no central server.\n\n\
                 This package has the desktop app, the command, and a tor of their own.\n\
                 For servers there is ormesh-cli, which needs no graphical libraries."
            }
            Edition::Command => {
                "One host exports local ports to named clients; another imports them to\n\
                 local addresses, with the invite it was given. Every export is an onion\n\
                 service that only its client can find and reach: no port forwarding, no\n\
                 account, no central server.\n\n\
                 This package has the command and a tor of its own, and needs no graphical\n\
                 libraries. The package ormesh has the desktop app as well."
            }
        }
    }
}

/// All that goes into packages.
pub(super) struct Made {
    pub(super) root: PathBuf,
    pub(super) version: String,
    pub(super) homepage: String,
    /// Who answers for the packages.
    pub(super) maintainer: String,
    /// The commit's time, in seconds since 1970-01-01 UTC (reproducible-builds.org, SOURCE_DATE_EPOCH).
    pub(super) epoch: u64,
    pub(super) programs: Programs,
    pub(super) sidecar: Sidecar,
    /// The licences of the libraries in the programs, one file.
    pub(super) credits: PathBuf,
}

impl Made {
    /// The version as dpkg and rpm order it: `0.2.0~rc.1` comes before `0.2.0`.
    pub(super) fn package_version(&self) -> String {
        self.version.replace('-', "~")
    }

    /// A file that only packages have.
    pub(super) fn packaging(&self, name: &str) -> PathBuf {
        self.root.join("packaging").join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_somebody_who_answers_for_it() {
        let named = |text: &str, release| maintainer(Some(text.to_owned()), release);

        assert!(maintainer(None, false).is_ok_and(|nobody| nobody.ends_with(".invalid>")));
        assert!(maintainer(None, true).is_err());
        assert!(named("", true).is_err());
        assert_eq!(named("Ada L <ada@example.org>", true).ok().as_deref(), Some("Ada L <ada@example.org>"));
        for bad in ["Ada", "<ada@example.org>", "Ada <ada>", "Ada <a@b>\nDepends: x", NOBODY] {
            assert!(named(bad, true).is_err() && named(bad, false).is_err(), "{bad:?}");
        }
    }
}
