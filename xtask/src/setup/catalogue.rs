//! Which tools the cache holds and which Debian packages they come from.

/// A program that the cache offers.
pub(super) struct Tool {
    /// What it is run as.
    pub(super) name: &'static str,
    /// Where its package has it.
    pub(super) program: &'static str,
    /// What it takes to run it from elsewhere than `/`.
    pub(super) kind: Kind,
    /// Whether the commands also need it where there are no Debian packages.
    pub(super) everywhere: bool,
}

/// What a tool needs besides its libraries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Plain,
    /// To run as root: the directory `/run/sshd`, a user `sshd`, an account that is not locked.
    Sshd,
    /// The bus's configuration; and its children must not inherit the cache's libraries.
    DbusSession,
}

/// Every tool. An unpacked one is preferred to one that the machine has: its version is known.
pub(super) const TOOLS: [Tool; 15] = [
    tool("tor", "usr/bin/tor", Kind::Plain, true),
    tool("tor-gencert", "usr/bin/tor-gencert", Kind::Plain, true),
    tool("sshd", "usr/sbin/sshd", Kind::Sshd, true),
    tool("ssh", "usr/bin/ssh", Kind::Plain, true),
    tool("ssh-keygen", "usr/bin/ssh-keygen", Kind::Plain, true),
    tool("scp", "usr/bin/scp", Kind::Plain, false),
    tool("sftp", "usr/bin/sftp", Kind::Plain, false),
    tool("nc", "bin/nc.openbsd", Kind::Plain, true),
    tool("socat", "usr/bin/socat", Kind::Plain, false),
    tool("dbus-daemon", "usr/bin/dbus-daemon", Kind::Plain, false),
    tool("dbus-run-session", "usr/bin/dbus-run-session", Kind::DbusSession, false),
    tool("gnome-keyring-daemon", "usr/bin/gnome-keyring-daemon", Kind::Plain, false),
    tool("secret-tool", "usr/bin/secret-tool", Kind::Plain, false),
    tool("strace", "usr/bin/strace", Kind::Plain, false),
    tool("obfs4proxy", "usr/bin/obfs4proxy", Kind::Plain, false),
];

const fn tool(name: &'static str, program: &'static str, kind: Kind, everywhere: bool) -> Tool {
    Tool { name, program, kind, everywhere }
}

/// The packages that hold the tools: always unpacked, whatever the machine has.
pub(super) const PACKAGES: [&str; 13] = [
    "tor",
    "openssh-server",
    "openssh-sftp-server",
    "openssh-client",
    "netcat-openbsd",
    "socat",
    "dbus-daemon",
    "dbus-session-bus-common",
    "gnome-keyring",
    "libsecret-tools",
    "strace",
    "obfs4proxy",
    // Shows sshd a user of its own where /etc/passwd has none.
    "libnss-wrapper",
];

/// What apt is asked to resolve: the packages above, but for gnome-keyring only the libraries its daemon links.
/// Its other dependencies are a password prompt and with it GTK, ten times the size of everything else.
pub(super) const RESOLVED: [&str; 16] = [
    "tor",
    "openssh-server",
    "openssh-client",
    "netcat-openbsd",
    "socat",
    "dbus-daemon",
    "dbus-session-bus-common",
    "libsecret-tools",
    "strace",
    "obfs4proxy",
    "libnss-wrapper",
    "libgck-1-0",
    "libgcr-base-3-1",
    "libgcrypt20",
    "libglib2.0-0",
    "libsystemd0",
];

/// Packages that are not unpacked even if apt would bring them up to date: a C library must match the machine's
/// loader, and a running system has them.
pub(super) const LEFT_OUT: [&str; 4] = ["libc6", "libc-bin", "libgcc-s1", "gcc-12-base"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_tool_is_named_once() {
        let names: BTreeSet<_> = TOOLS.iter().map(|tool| tool.name).collect();

        assert_eq!(names.len(), TOOLS.len());
    }
}
