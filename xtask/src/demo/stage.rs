//! The stage of the demo: a network, two hosts and what they have to offer. It is set before the play and cleared after it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use support::{Sshd, family, is_running};

use super::backend::{self, Page};
use super::host::Host;
use super::screen;
use super::timings::Timings;
use crate::setup::Tools;
use crate::tornet::Tornet;
use crate::workspace::Workspace;
use crate::{process, say};

/// What the demo was asked to be.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    /// Over the public Tor network rather than a private one.
    pub(crate) live: bool,
    /// Stay up before the revocation, to be played with.
    pub(crate) keep: bool,
    /// Build ormesh with optimisations.
    pub(crate) release: bool,
}

/// Everything that is up while the play runs. Dropping it ends all of it.
pub(super) struct Stage {
    // In the order in which they are ended.
    pub(super) laptop: Host,
    pub(super) server: Host,
    pub(super) sshd: Sshd,
    pub(super) page: Page,
    network: Option<Tornet>,
    dir: tempfile::TempDir,
}

impl Stage {
    /// Brings up the network, the two things worth exporting, and two hosts whose agents don't run yet.
    pub(super) fn set(
        workspace: &Workspace,
        tools: &Tools,
        ormesh: &Path,
        options: Options,
        timings: &mut Timings,
    ) -> Result<Stage> {
        say::heading(if options.live {
            "the public Tor network"
        } else {
            "a private Tor network, on loopback"
        });
        let network = if options.live {
            say::note("nothing to bring up");
            None
        } else {
            let start = Instant::now();
            let network = screen::ticking(|| Tornet::start(workspace, tools))?;
            timings.add("private Tor network up", start.elapsed());
            say::outcome(true, &format!("3 authorities and 3 relays, {}", say::span(start.elapsed())));
            Some(network)
        };

        // Directly under /tmp, whatever TMPDIR is: paths of Unix sockets must stay under 108 bytes.
        let dir = tempfile::Builder::new().prefix("ormesh-demo-").tempdir_in("/tmp")?;
        say::heading("a web server and an sshd, on loopback");
        let page = Page::serve();
        say::note(&format!("a web page at 127.0.0.1:{}", page.port()));
        let sshd = backend::sshd(tools, &dir.path().join("sshd"));
        say::note(&format!(
            "sshd at 127.0.0.1:{}, with a host key and a login key of its own",
            sshd.addr.port()
        ));
        if rustix::process::geteuid().is_root() {
            say::note("run as root, sshd wants the directory /run/sshd: it is there now");
        }

        let torrc = network.as_ref().map(Tornet::client_torrc);
        let host = |name, colour| Host::new(name, colour, ormesh, tools, torrc.as_deref());
        // As the page that is played calls them.
        let server = host("server", say::Colour::Green)?;
        let laptop = host("my-MacBook", say::Colour::Magenta)?;
        Ok(Stage { laptop, server, sshd, page, network, dir })
    }

    /// Ends everything, makes sure of it, and gives how many processes there were.
    pub(super) fn clear(mut self) -> Result<usize> {
        let mut started = Vec::new();
        for id in
            [self.laptop.agent_id(), self.server.agent_id(), Some(self.sshd.pid())].into_iter().flatten()
        {
            started.extend(family(id));
        }
        if let Some(network) = &self.network {
            started.extend(family(network.id()));
        }
        started.extend(self.laptop.ended_ids());
        started.extend(self.server.ended_ids());
        started.sort_unstable();
        started.dedup();
        self.laptop.end();
        self.server.end();
        drop(self.sshd);
        if let Some(network) = self.network.take() {
            network.end();
        }
        self.dir.close().context("failed to remove the demo's directory")?;
        process::wait_for("all processes to end", Duration::from_secs(20), || {
            Ok(started.iter().all(|id| !is_running(*id)).then_some(()))
        })?;
        Ok(started.len())
    }

    pub(super) fn print_logs(&self) {
        for host in [&self.server, &self.laptop] {
            say::heading(&format!("the end of {}'s log", host.name()));
            println!("{}", host.log_tail(40));
        }
    }
}
