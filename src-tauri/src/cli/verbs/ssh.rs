//! `ormesh ssh`: ssh with this program as its dialer, so that nothing need be configured.

use std::process::Command;

use clap::Args;
use ormesh_core::model::edit::find;
use ormesh_core::model::name::RemoteName;
use ormesh_core::model::problem::{Code, Problem};

use crate::output::Outcome;
use crate::this_host::Host;
use crate::{args, this_binary};

#[derive(Args)]
pub(crate) struct Ssh {
    /// Which remote, and as whom if not by your own name there
    #[arg(value_name = "[USER@]REMOTE", value_parser = destination)]
    destination: Destination,
    /// Options and a command for ssh
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

#[derive(Clone)]
struct Destination {
    user: Option<String>,
    remote: RemoteName,
}

fn destination(text: &str) -> Result<Destination, Problem> {
    let (user, remote) = match text.rsplit_once('@') {
        Some((user, remote)) => (Some(user), remote),
        None => (None, text),
    };
    let user = match user {
        Some("") => {
            return Err(Problem::new(Code::BadArgument, "the user name is empty").hint("as in root@website"));
        }
        Some(user) if user.starts_with('-') => {
            return Err(Problem::new(Code::BadArgument, "a user name does not start with a hyphen")
                .hint("as in root@website"));
        }
        user => user.map(str::to_owned),
    };
    Ok(Destination { user, remote: args::remote_name(remote)? })
}

impl Ssh {
    pub(crate) async fn run(self) -> Outcome {
        let host = Host::from_env()?;
        let config = host.config()?;
        let address = find(&config.remotes, &self.destination.remote)?.address;
        // Without this, ssh would only report that its proxy ended.
        drop(host.agent().await?);
        let options = if self.args.iter().any(|arg| arg == "-q") { "-q " } else { "" };
        let proxy = this_binary::proxy_command(&this_binary::path()?.display().to_string(), options);
        let mut ssh = Command::new("ssh");
        ssh.args(arguments(&self.destination, &address.to_string(), &proxy)).args(&self.args);
        run(ssh)
    }
}

/// The remote's name stays ssh's host name, so that a `Host` stanza of the user's applies; its address is what known_hosts keeps.
fn arguments(destination: &Destination, address: &str, proxy: &str) -> Vec<String> {
    let mut args =
        vec!["-o".into(), format!("ProxyCommand={proxy}"), "-o".into(), format!("HostName={address}")];
    if let Some(user) = &destination.user {
        args.extend(["-l".into(), user.clone()]);
    }
    args.push(destination.remote.to_string());
    args
}

#[cfg(unix)]
fn run(mut ssh: Command) -> Outcome {
    use std::os::unix::process::CommandExt as _;
    // Only comes back when it failed.
    Err(not_found(&ssh.exec()).into())
}

#[cfg(not(unix))]
fn run(mut ssh: Command) -> Outcome {
    let status = ssh.status().map_err(|error| not_found(&error))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(std::process::ExitCode::from(code.unwrap_or(255)))
}

fn not_found(error: &std::io::Error) -> Problem {
    Problem::new(Code::SystemFailed, format!("failed to run ssh: {error}")).hint("install OpenSSH's client")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_dials_the_address_by_the_remotes_name() {
        let to = destination("root@website").unwrap();
        assert_eq!(
            arguments(&to, "x.onion", "\"/o\" nc %h %p"),
            ["-o", "ProxyCommand=\"/o\" nc %h %p", "-o", "HostName=x.onion", "-l", "root", "website"]
        );
        assert!(destination("@website").is_err());
        assert!(destination("-oProxyCommand=x@website").is_err());
        assert!(destination("-oProxyCommand=x").is_err());
    }
}
