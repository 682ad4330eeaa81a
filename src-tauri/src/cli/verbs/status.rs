//! `ormesh status`: the whole state as YAML or JSON, once or as it changes.

use std::io::{self, IsTerminal as _};

use ormesh_core::model::status;
use ormesh_core::model::status_yaml::to_yaml;

use crate::output::{self, DONE, Outcome};
use crate::this_host::Host;

/// Clears the terminal and goes to its top (ECMA-48 ED and CUP).
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(clap::Args)]
pub(crate) struct Status {
    /// Print JSON; with --watch, one document a line
    #[arg(long)]
    json: bool,
    /// Follow the agent: print the state again at each change
    #[arg(long, short)]
    watch: bool,
}

impl Status {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        if self.watch {
            return self.follow(&host).await;
        }
        let status = host.status().await?;
        match self.json {
            true => output::json(&status)?,
            false => output::print(&to_yaml(&status))?,
        }
        let nothing = status.agent.is_none()
            && status.exports.is_empty()
            && status.clients.is_empty()
            && status.remotes.is_empty()
            && status.requests.is_empty();
        match (nothing, &status.agent) {
            _ if self.json => {}
            (true, _) => output::hint(
                "nothing is set up yet; `ormesh export add 22` offers ssh, `ormesh remote add NAME` takes an invite",
            ),
            (false, None) => {
                output::hint("no agent runs, so nothing is shared or reached; ormesh agent run starts one")
            }
            (false, Some(_)) => {}
        }
        DONE
    }

    async fn follow(self, host: &Host) -> Outcome {
        let mut watch = host.agent().await?.watch().await?;
        let terminal = io::stdout().is_terminal();
        let mut shown: Option<status::Status> = None;
        loop {
            let status = watch.next().await?;
            // On a terminal the clock goes on.
            if terminal && !self.json || shown.as_ref().is_none_or(|shown| !is_same(shown, &status)) {
                output::print(&self.document(&status, terminal, shown.is_none())?)?;
                shown = Some(status);
            }
        }
    }

    /// One state of many: redrawn on a terminal, a line of JSON or a document of a YAML stream otherwise.
    fn document(&self, status: &status::Status, terminal: bool, first: bool) -> anyhow::Result<String> {
        Ok(match (self.json, terminal, first) {
            (true, ..) => serde_json::to_string(status)? + "\n",
            (false, true, _) => format!("{CLEAR}{}", to_yaml(status)),
            (false, false, true) => to_yaml(status),
            (false, false, false) => format!("---\n{}", to_yaml(status)),
        })
    }
}

/// Whether two states differ in nothing but how long the agent has run, which is no change.
fn is_same(a: &status::Status, b: &status::Status) -> bool {
    let timeless = |status: &status::Status| {
        let mut status = status.clone();
        if let Some(agent) = &mut status.agent {
            agent.uptime = 0;
        }
        status
    };
    timeless(a) == timeless(b)
}
