//! `ormesh remote ssh-config`: a stanza that works with what this machine has.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ormesh_core::model::config::DEFAULT_SOCKS;
use ormesh_core::model::edit::find;
use ormesh_core::model::problem::{Code, Problem};
use ormesh_core::model::status::AgentState;

use super::nc::resolve;
use crate::args::{self, RemoteRef};
use crate::this_host::Host;
use crate::{output, this_binary};

/// How long a `nc` may take to print its help.
const NC_DEADLINE: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct SshConfig {
    /// Which remote, by its name or its onion address
    #[arg(value_name = "REMOTE", value_parser = args::remote_ref)]
    remote: RemoteRef,
    /// What ssh dials by: `nc` through the agent's SOCKS address, or `ormesh nc`. Left out, nc if the one found here can
    #[arg(long, value_enum)]
    proxy: Option<Proxy>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Proxy {
    /// `nc -X 5`, as OpenBSD's and macOS's have it
    Nc,
    /// This program
    Ormesh,
}

impl SshConfig {
    pub(crate) async fn run(self, host: &Host) -> anyhow::Result<()> {
        let name = resolve(host, self.remote).await?;
        let config = host.config()?;
        let address = find(&config.remotes, &name)?.address;
        let command = match (self.proxy, config.agent.socks_addr) {
            (Some(Proxy::Nc), None) => {
                return Err(Problem::new(Code::SocksOff, "nc needs the agent's SOCKS address, which is off")
                    .hint("ormesh config set agent.socks-addr 127.0.0.1:9250, or use --proxy ormesh")
                    .into());
            }
            (Some(Proxy::Nc), Some(socks)) => nc_command(socks),
            (None, Some(socks)) if is_ours(host, socks).await && nc_speaks_socks() => nc_command(socks),
            (Some(Proxy::Ormesh) | None, _) => {
                this_binary::proxy_command(&this_binary::path()?.display().to_string(), "")
            }
        };
        output::print(&stanza(&name.to_string(), &command, &address.to_string()))?;
        Ok(())
    }
}

/// Whether our agent listens there, as far as is known: another user's may have been first.
async fn is_ours(host: &Host, socks: SocketAddr) -> bool {
    match host.status().await.ok().and_then(|status| status.agent) {
        Some(agent) => agent.state == AgentState::Paused || agent.socks == Some(socks),
        None => true,
    }
}

fn stanza(name: &str, command: &str, address: &str) -> String {
    format!("Host {name}\n  ProxyCommand {command}\n  Hostname {address}\n")
}

fn nc_command(socks: SocketAddr) -> String {
    let reached = match socks {
        DEFAULT_SOCKS => "localhost:9250".to_owned(),
        socks if socks.ip().is_unspecified() => format!("localhost:{}", socks.port()),
        socks => socks.to_string(),
    };
    format!("nc -X 5 -x {reached} %h %p")
}

/// Whether the `nc` in the path can dial through a SOCKS server. One that does not say so in time can't.
fn nc_speaks_socks() -> bool {
    let child = Command::new("nc")
        .arg("-h")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(child) = child else { return false };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(Ok(said)) = receiver.recv_timeout(NC_DEADLINE) else { return false };
    let help = [said.stdout, said.stderr].concat();
    help_has_socks(&String::from_utf8_lossy(&help))
}

/// Reads the help of a `nc`: OpenBSD's and macOS's have `-X` for the proxy's protocol. Ncat calls it `--proxy-type`, GNU's and the
/// traditional one have none, and in some of them `-x` means something else.
fn help_has_socks(help: &str) -> bool {
    help.contains("[-X proxy_protocol]") || help.lines().any(|line| line.trim_start().starts_with("-X proto"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENBSD: &str = "OpenBSD netcat (Debian patchlevel 1.219-1)
usage: nc [-46CDdFhklNnrStUuvZz] [-I length] [-i interval] [-M ttl]
\t  [-m minttl] [-O length] [-P proxy_username] [-p source_port]
\t  [-q seconds] [-s sourceaddr] [-T keyword] [-V rtable] [-W recvlimit]
\t  [-w timeout] [-X proxy_protocol] [-x proxy_address[:port]]
\t  [destination] [port]
\tCommand Summary:
\t\t-X proto\tProxy protocol: \"4\", \"5\" (SOCKS) or \"connect\"
\t\t-x addr[:port]\tSpecify proxy address and port
";
    const MACOS: &str =
        "usage: nc [-46AacCDdEFhklMnOortUuvz] [-K tc] [-b boundif] [-i interval] [-p source_port]
\t  [-s source_ip_address] [-w timeout] [-X proxy_version]
\t  [-x proxy_address[:port]] [hostname] [port[s]]
\tCommand Summary:
\t\t-X proto\tProxy protocol: \"4\", \"5\" (SOCKS) or \"connect\"
";
    const NCAT: &str = "Ncat 7.93 ( https://nmap.org/ncat )
Usage: ncat [options] [hostname] [port]
  -x, --hex-dump <filename>  Dump session data as hex to a file
      --proxy <addr[:port]>  Specify address of host to proxy through
      --proxy-type <type>    Specify proxy type (\"http\", \"socks4\", \"socks5\")
";
    const GNU: &str = "GNU netcat 0.7.1, a rewrite of the famous networking tool.
Options:
  -x, --hexdump              hexdump incoming and outgoing traffic
";
    const TRADITIONAL: &str = "[v1.10-47]
connect to somewhere:\tnc [-options] hostname port[s] [ports] ...
options:
\t-x\t\t\tset hex dump
";

    #[test]
    fn only_a_nc_with_a_proxy_protocol_will_do() {
        for (help, can) in
            [(OPENBSD, true), (MACOS, true), (NCAT, false), (GNU, false), (TRADITIONAL, false), ("", false)]
        {
            assert_eq!(help_has_socks(help), can, "{help}");
        }
    }

    #[test]
    fn the_stanza_names_the_socks_address_in_use() {
        assert_eq!(
            stanza("website", &nc_command(DEFAULT_SOCKS), "x.onion"),
            "Host website\n  ProxyCommand nc -X 5 -x localhost:9250 %h %p\n  Hostname x.onion\n"
        );
        assert_eq!(nc_command("127.0.0.1:9999".parse().unwrap()), "nc -X 5 -x 127.0.0.1:9999 %h %p");
        assert_eq!(nc_command("0.0.0.0:9999".parse().unwrap()), "nc -X 5 -x localhost:9999 %h %p");
        assert_eq!(nc_command("[::1]:9250".parse().unwrap()), "nc -X 5 -x [::1]:9250 %h %p");
    }
}
