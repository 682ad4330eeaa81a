//! The play: each command as a person would type it, its real output, and a check that it did what it should.

use std::fs;
use std::io::{BufRead, BufReader, IsTerminal, Read, stdin};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use support::{Page, family, free_address, resident_kib};

use super::host::Host;
use super::probe;
use super::stage::{Options, Stage};
use super::timings::Timings;
use crate::setup::Tools;
use crate::{process, say};

/// The client's name in the README's transcript, and that of its host.
const CLIENT: &str = "my-MacBook";

/// The remote's name there.
const REMOTE: &str = "website";

/// Plays everything.
///
/// # Errors
///
/// At the first command or check that fails.
pub(super) fn play(stage: &mut Stage, tools: &Tools, options: Options, timings: &mut Timings) -> Result<()> {
    // The public network takes longer to meet, and now and then a circuit fails.
    let (wait, limit) =
        if options.live { ("600", Duration::from_secs(180)) } else { ("120", Duration::from_secs(60)) };

    say::heading("the README's first five minutes, typed on both hosts");
    // Both hosts are on one machine, so one of them at least can't have the usual SOCKS port.
    for host in [&stage.server, &stage.laptop] {
        host.ormesh(&["config", "set", "agent.socks-addr", &host.socks_address()])?;
    }
    let page = Page::first_five_minutes()
        .offering(stage.sshd.addr.port(), stage.page.port())
        .here("127.0.0.1:10022", free_address())
        .here("localhost:9250", stage.laptop.socks_address());
    page.play(|typed| match typed.on {
        CLIENT => stage.laptop.typed(typed).map_err(Failed),
        _ => stage.server.typed(typed).map_err(Failed),
    })
    .map_err(|Failed(error)| error)?;
    let import = free_address();
    stage.laptop.ormesh(&["import", "add", REMOTE, "80", &import.to_string()])?;
    let address = stage.laptop.ormesh(&["remote", "show", REMOTE])?.trim().to_owned();

    say::heading("the agents run");
    let start = Instant::now();
    stage.server.start_agent()?;
    stage.server.ormesh(&["wait", "--timeout", wait])?;
    timings.add("server: agent started, service published", start.elapsed());
    let start = Instant::now();
    stage.laptop.start_agent()?;
    stage.laptop.ormesh(&["wait", "--timeout", wait])?;
    timings.add(&format!("{CLIENT}: agent started, remote reachable"), start.elapsed());

    say::heading("a page through the import");
    let start = Instant::now();
    let body = fetch(&stage.laptop, import, limit)?;
    timings.add("first page through the import", start.elapsed());
    ensure!(body == stage.page.text(), "expected the server's page, got: {body}");
    let start = Instant::now();
    probe::get(import, limit)?;
    timings.add("the same page again", start.elapsed());

    say::heading("a login by ssh");
    for proxy in ["nc", "ormesh"] {
        let start = Instant::now();
        login(stage, tools, proxy, &address)?;
        timings.add(&format!("ssh login and a command (--proxy {proxy})"), start.elapsed());
    }

    say::heading("an edit applies at once");
    let second = free_address();
    let start = Instant::now();
    stage.laptop.ormesh(&["import", "add", REMOTE, "80", &second.to_string()])?;
    process::wait_for("the new import to listen", Duration::from_secs(10), || {
        Ok(probe::listens(second).then_some(()))
    })?;
    timings.add("an edit, from the command to its effect", start.elapsed());
    ensure!(probe::get(second, limit)? == stage.page.text(), "expected the page through the second import");
    stage.laptop.ormesh(&["status"])?;
    let status = stage.server.ormesh(&["status"])?;
    ensure!(status.contains("last-seen"), "expected the client to have been seen");
    weigh(stage, timings);

    if options.keep {
        keep(stage, tools, import)?;
    }

    say::heading("the server revokes the client");
    let session = Session::open(import, limit)?;
    say::note("a session is open through the import");
    let start = Instant::now();
    stage.server.ormesh(&["client", "delete", CLIENT])?;
    process::wait_for("the open session to end", Duration::from_secs(30), || {
        Ok(session.has_ended().then_some(()))
    })?;
    timings.add("revocation, from the command to the session's end", start.elapsed());
    say::outcome(true, "the session has ended");
    match fetch(&stage.laptop, import, limit) {
        Ok(body) => bail!("the revoked client still got a page: {body}"),
        Err(_) => say::outcome(true, "no page: the client is out"),
    }
    // It must be out because it was revoked, not because something died.
    stage.laptop.check_agent()?;
    stage.server.check_agent()?;
    ensure!(
        probe::get(SocketAddr::from((Ipv4Addr::LOCALHOST, stage.page.port())), limit)? == stage.page.text(),
        "expected the page to be served still"
    );
    let status = stage.server.ormesh(&["status"])?;
    ensure!(!status.contains(CLIENT), "expected no client in the status");
    stage.laptop.ormesh(&["status"])?;

    say::heading("the end");
    stage.laptop.stop_agent()?;
    stage.server.stop_agent()
}

/// Says in plain words what a play without an error has shown.
pub(super) fn print_proof(options: Options) {
    let network = if options.live { "the public Tor network" } else { "a Tor network of our own" };
    println!(
        "  Two hosts that knew of each other only by one invite met over {network}, with no open port, account or\n  \
         central server. A web page and an sshd, both bound to loopback, were used from the other host: through a\n  \
         local address, and by plain ssh with the stanza that ormesh printed, by nc and by ormesh's own dialler.\n  \
         An edit took effect without a restart. Deleting the client ended its open session and kept it out."
    );
}

/// Why the page was not played to its end.
struct Failed(anyhow::Error);

impl From<String> for Failed {
    fn from(difference: String) -> Failed {
        Failed(anyhow::Error::msg(difference).context("failed to play the README: it shows something else"))
    }
}

/// Fetches the page, by curl if the machine has it.
fn fetch(host: &Host, from: SocketAddr, limit: Duration) -> Result<String> {
    let url = format!("http://{from}/");
    if process::find("curl").is_none() {
        host.prompt(&format!("# no curl on this machine; xtask itself fetches {url}"));
        let body = probe::get(from, limit)?;
        super::screen::output(&body);
        return Ok(body);
    }
    let seconds = limit.as_secs().to_string();
    let mut curl = host.command("curl");
    // Without the user's own settings and proxies.
    curl.args(["--disable", "--noproxy", "*", "--silent", "--show-error", "--max-time", &seconds, &url]);
    host.other(&format!("curl {url}"), &mut curl)
}

/// Writes the printed stanza to a configuration of ssh's and logs in with it.
fn login(stage: &Stage, tools: &Tools, proxy: &str, address: &str) -> Result<()> {
    let stanza = stage.laptop.ormesh(&["remote", "ssh-config", REMOTE, "--proxy", proxy])?;
    let config = write_ssh_config(stage, &stanza, proxy, address)?;
    let mut ssh = stage.laptop.command(tools.path("ssh"));
    ssh.arg("-F").arg(&config).args(["-o", "BatchMode=yes", REMOTE, "echo hello from $(hostname)"]);
    let typed = format!("ssh -F {} {REMOTE} 'echo hello from $(hostname)'", config.display());
    let said = stage.laptop.other(&typed, &mut ssh)?;
    ensure!(said.starts_with("hello from "), "expected a greeting from the server");
    Ok(())
}

fn write_ssh_config(stage: &Stage, stanza: &str, proxy: &str, address: &str) -> Result<PathBuf> {
    let config = stage.laptop.dir().join(format!("ssh_config.{proxy}"));
    // After the stanza as printed: what a person has in ~/.ssh, here of the demo's own.
    let text = format!("{}\n{}", stanza.trim_end(), stage.sshd.stanza_lines(address));
    fs::write(&config, text).with_context(|| format!("failed to write: {}", config.display()))?;
    say::note("written to ssh's configuration, followed by the demo's own key and known host");
    Ok(config)
}

/// Notes the memory of both agents and their tors.
fn weigh(stage: &Stage, timings: &mut Timings) {
    for host in [&stage.server, &stage.laptop] {
        let Some(id) = host.agent_id() else { continue };
        timings.add_size(&format!("{}: memory of the agent", host.name()), resident_kib(id));
        let children: u64 = family(id).iter().skip(1).map(|id| resident_kib(*id)).sum();
        timings.add_size(&format!("{}: memory of its tor", host.name()), children);
    }
}

/// Leaves all as it is until Enter; Ctrl-C ends the demo.
fn keep(stage: &Stage, tools: &Tools, import: SocketAddr) -> Result<()> {
    say::heading("yours to play with");
    for host in [&stage.server, &stage.laptop] {
        println!("\n# a shell on the {0}: paste these, then use ormesh as the {0} would", host.name());
        println!("{}", host.exports());
    }
    println!("\n# the page:   http://{import}/");
    println!(
        "# a login:    {} -F {}/ssh_config.ormesh {REMOTE}",
        tools.path("ssh").display(),
        stage.laptop.dir().display()
    );
    println!("\nEnter goes on to the revocation and the end; Ctrl-C ends all now.");
    let pressed = Arc::new(AtomicBool::new(false));
    if stdin().is_terminal() {
        let pressed = Arc::clone(&pressed);
        // It may wait for ever; the process's end is its end.
        thread::spawn(move || {
            let _ = stdin().lock().read_line(&mut String::new());
            pressed.store(true, Ordering::SeqCst);
        });
    }
    process::wait_for("Enter", Duration::MAX, || Ok(pressed.load(Ordering::SeqCst).then_some(())))
}

/// A connection through the import that stays open until someone ends it.
struct Session {
    ended: Arc<AtomicBool>,
}

impl Session {
    /// Opens it and waits for its first byte.
    fn open(address: SocketAddr, limit: Duration) -> Result<Session> {
        let mut stream = BufReader::new(probe::open(address, "/hold", limit)?);
        let mut line = String::new();
        while line != "stay\n" {
            line.clear();
            if stream.read_line(&mut line).context("failed to open a session")? == 0 {
                bail!("failed to open a session: it ended at once");
            }
        }
        stream.get_ref().set_read_timeout(None).context("failed to open a session")?;
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        thread::spawn(move || {
            // End of file and a reset both end it.
            while matches!(stream.read(&mut [0]), Ok(1)) {}
            seen.store(true, Ordering::SeqCst);
        });
        Ok(Session { ended })
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}
