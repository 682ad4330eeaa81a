//! `ormesh ping`: asks a remote how it is, again and again, as ping(8) does.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use ormesh_core::ipc::{Pong, Request, Response};
use ormesh_core::model::address::Port;
use ormesh_core::model::name::RemoteName;
use ormesh_core::model::problem::{Problem, catalogue};
use ormesh_core::model::status::RemoteState;
use serde::Serialize;

use crate::args::{self, RemoteRef};
use crate::output::{self, DONE, Outcome};
use crate::this_host::Host;

use super::nc::resolve;

/// Between an answer and the next question: a circuit through Tor is not to be flooded.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Ping {
    /// Which remote, by its name or its onion address
    #[arg(value_parser = args::remote_ref)]
    remote: RemoteRef,
    /// Ask whether this port can be reached, too
    #[arg(value_parser = args::port, allow_negative_numbers = true)]
    port: Option<Port>,
    /// How often; 0 goes on until it is interrupted
    #[arg(long, short, value_name = "N", value_parser = args::number, default_value = "4", allow_negative_numbers = true)]
    count: u32,
    /// Print a line of JSON for each attempt
    #[arg(long)]
    json: bool,
}

/// One attempt, as `--json` prints it.
#[derive(Serialize)]
struct Attempt<'a> {
    remote: &'a RemoteName,
    seq: u32,
    #[serde(flatten)]
    outcome: Told<'a>,
}

/// What came of an attempt.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Told<'a> {
    Answer(&'a Pong),
    Problem(&'a Problem),
}

/// What became of the attempts so far.
#[derive(Default)]
struct Tally {
    sent: u32,
    good: u32,
    last: Option<Problem>,
}

impl Ping {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        // One that can't be asked at all is no attempt.
        drop(host.agent().await?);
        let remote = resolve(&host, self.remote.clone()).await?;
        let mut tally = Tally::default();
        let interrupted = tokio::select! {
            ended = self.attempts(&host, &remote, &mut tally) => { ended?; false }
            _ = tokio::signal::ctrl_c() => true,
        };
        output::always_said(format!("{remote}: {} of {} answered", tally.good, tally.sent));
        match tally.last {
            // 128 and the signal's number, as a shell reports a command that it ended.
            _ if interrupted => Ok(ExitCode::from(130)),
            Some(problem) if tally.good == 0 => Err(problem.into()),
            _ => DONE,
        }
    }

    async fn attempts(&self, host: &Host, remote: &RemoteName, tally: &mut Tally) -> anyhow::Result<()> {
        while self.count == 0 || tally.sent < self.count {
            if tally.sent > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            tally.sent += 1;
            if let Some(why) = lost(host, remote).await {
                output::said(format!("{remote}: seq={} is on its way; {why}", tally.sent));
            }
            match host.ask(Request::Ping { remote: remote.clone(), port: self.port }).await {
                Ok(Response::Pong(pong)) => {
                    tally.good += 1;
                    self.tell(remote, tally.sent, Told::Answer(&pong))?;
                }
                Ok(_) => return Err(catalogue::unexpected_answer().into()),
                Err(problem) => {
                    self.tell(remote, tally.sent, Told::Problem(&problem))?;
                    let known = known(host, remote).await?;
                    tally.last = Some(problem);
                    if !known {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

impl Ping {
    fn tell(&self, remote: &RemoteName, seq: u32, outcome: Told<'_>) -> anyhow::Result<()> {
        let line = match &outcome {
            _ if self.json => serde_json::to_string(&Attempt { remote, seq, outcome })?,
            Told::Answer(pong) => format!("{remote}: seq={seq} {}", describe(pong, self.port)),
            Told::Problem(problem) => format!("{remote}: seq={seq} {problem}"),
        };
        Ok(output::line(&line)?)
    }
}

/// What is known against it, where it was not reached at the last attempt.
async fn lost(host: &Host, remote: &RemoteName) -> Option<String> {
    let status = host.status().await.ok()?;
    let known = status.remotes.into_iter().find(|known| known.name == *remote)?;
    match known.state? {
        RemoteState::Unreachable { why } => Some(format!("at the last attempt: {why}")),
        _ => None,
    }
}

/// Whether there is such a remote: one that isn't there is asked once.
async fn known(host: &Host, remote: &RemoteName) -> Result<bool, Problem> {
    Ok(host.status().await?.remotes.iter().any(|known| known.name == *remote))
}

fn describe(pong: &Pong, port: Option<Port>) -> String {
    let mut text = format!("connected in {} ms", pong.connect);
    if let Some(round_trip) = pong.round_trip {
        text.push_str(&format!(", round trip {round_trip} ms"));
    }
    if let Some(port) = port {
        let state = match pong.ports.iter().find(|told| told.port == port).map(|told| told.open) {
            Some(true) => "open",
            Some(false) => "granted, but nothing accepts connections there",
            // Only a host that runs ormesh can tell.
            None if pong.round_trip.is_some() => "not granted",
            None => "open",
        };
        text.push_str(&format!(", port {port} {state}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use ormesh_core::ipc::PortTold;

    use super::*;

    #[test]
    fn an_answer_is_one_line() {
        let address = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion".parse().unwrap();
        let port = Port::new(22);
        let mut pong = Pong {
            address,
            connect: 812,
            round_trip: Some(340),
            ports: vec![PortTold { port: port.unwrap(), open: true }],
        };
        assert_eq!(describe(&pong, port), "connected in 812 ms, round trip 340 ms, port 22 open");
        assert!(describe(&pong, Port::new(80)).ends_with("port 80 not granted"));
        pong.round_trip = None;
        assert_eq!(describe(&pong, None), "connected in 812 ms");
    }
}
