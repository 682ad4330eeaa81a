//! `ormesh agent systemd-unit`: a unit file for this binary, to be redirected into its place.

use std::path::PathBuf;

use clap::Args;
use ormesh_core::model::problem::{Code, Problem};

use crate::output::{self, DONE, Outcome};
use crate::this_binary;

#[derive(Args)]
pub(crate) struct SystemdUnit {
    /// For your own user's services (the default)
    #[arg(long)]
    user: bool,
    /// For the whole machine, as a user of its own with no rights but to listen
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// Where the program will be, for packages, which are made elsewhere
    #[arg(long, hide = true, value_name = "PATH")]
    binary: Option<PathBuf>,
}

impl SystemdUnit {
    pub(crate) fn run(self) -> Outcome {
        if !cfg!(target_os = "linux") && self.binary.is_none() {
            let problem = Problem::new(Code::BadArgument, "this system has no systemd");
            return Err(problem.hint(elsewhere()).into());
        }
        // A package is made for everyone, wherever that is done.
        let own = if self.binary.is_some() { Vec::new() } else { own_environment() };
        let binary = self.binary.map_or_else(this_binary::path, Ok)?;
        let binary = this_binary::exec_start(&binary.display().to_string());
        match self.system {
            true => {
                output::print(&system_unit(&binary))?;
                let left_out: Vec<_> = own.iter().map(|(name, _)| *name).collect();
                if !left_out.is_empty() {
                    output::notes([format!(
                        "{} of your own environment are not in it: this service keeps its files in /var/lib/ormesh",
                        left_out.join(", ")
                    )]);
                }
                output::hint(
                    "save it as /etc/systemd/system/ormesh.service, then: systemctl daemon-reload && systemctl enable --now ormesh",
                );
            }
            false => {
                output::print(&user_unit(&binary, &own))?;
                output::hint(
                    "save it as ~/.config/systemd/user/ormesh.service, then: systemctl --user daemon-reload && systemctl --user \
                     enable --now ormesh; `loginctl enable-linger` starts it without a login",
                );
            }
        }
        DONE
    }
}

/// What starts an agent at login where there is no systemd.
fn elsewhere() -> &'static str {
    match cfg!(windows) {
        true => {
            "the desktop app starts the agent at login (Settings); without it, put a shortcut to `ormesh agent run` into shell:startup"
        }
        false => "the desktop app starts the agent at login (Settings)",
    }
}

/// The variables that say which files and which tor an agent uses, as they are set here: the service is to use the same.
fn own_environment() -> Vec<(&'static str, String)> {
    let set = |name| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        let is_path = name != "ORMESH_SECRETS";
        let absolute =
            is_path.then(|| std::path::absolute(&value).ok()?.to_str().map(str::to_owned)).flatten();
        Some((name, absolute.unwrap_or(value)))
    };
    ["ORMESH_CONFIG", "ORMESH_STATE", "ORMESH_SECRETS", "ORMESH_TOR", "ORMESH_TOR_NETWORK"]
        .into_iter()
        .filter_map(set)
        .collect()
}

fn user_unit(binary: &str, own: &[(&str, String)]) -> String {
    let line = |(name, value): &(&str, String)| format!("Environment={}\n", assignment(name, value));
    let environment: String = own.iter().map(line).collect();
    format!(
        "[Unit]
Description=ormesh - onion-routed mesh

[Service]
ExecStart={binary} agent run
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
LimitNOFILE=65536
{environment}
[Install]
WantedBy=default.target
"
    )
}

/// A variable and its value in `Environment=` (systemd.exec(5)): words as in a command, with specifiers.
fn assignment(name: &str, value: &str) -> String {
    this_binary::exec_start(&format!("{name}={value}"))
}

/// The service has its own user, sees no home, may write to its state alone, and keeps one capability: to listen below port 1024.
fn system_unit(binary: &str) -> String {
    format!(
        "[Unit]
Description=ormesh - onion-routed mesh
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={binary} agent run
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=2
KillMode=mixed
DynamicUser=yes
User=ormesh
StateDirectory=ormesh
StateDirectoryMode=0700
RuntimeDirectory=ormesh
RuntimeDirectoryMode=0700
UMask=0077
Environment=ORMESH_CONFIG=%S/ormesh/config.toml ORMESH_STATE=%S/ormesh ORMESH_SECRETS=file
LimitNOFILE=65536
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_unit_is_the_promised_one() {
        let unit = |environment: &str| {
            format!(
                "[Unit]\nDescription=ormesh - onion-routed mesh\n\n[Service]\nExecStart=/usr/bin/ormesh agent run\n\
                 ExecReload=/bin/kill -HUP $MAINPID\n\
                 Restart=always\nLimitNOFILE=65536\n{environment}\n[Install]\nWantedBy=default.target\n"
            )
        };
        assert_eq!(user_unit("/usr/bin/ormesh", &[]), unit(""));
        let own = [("ORMESH_CONFIG", "/srv/o.toml".to_owned()), ("ORMESH_STATE", "/a 100%/\"b\\".to_owned())];
        assert_eq!(
            user_unit("/usr/bin/ormesh", &own),
            unit(
                "Environment=\"ORMESH_CONFIG=/srv/o.toml\"\n\
                 Environment=\"ORMESH_STATE=/a 100%%/\\\"b\\\\\"\n"
            )
        );
    }
}
