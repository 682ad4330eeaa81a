//! What the packages are made of: the editions, and all that goes into them.

use std::path::PathBuf;

use super::programs::Programs;
use super::tor::Sidecar;

/// Who answers for the packages, as both formats want it.
pub(super) const MAINTAINER: &str = "The ormesh authors <packages@ormesh.org>";

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
