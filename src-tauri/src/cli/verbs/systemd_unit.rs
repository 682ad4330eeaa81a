//! `ormesh agent systemd-unit`: a unit file for this binary, to be redirected into its place.

use std::path::PathBuf;

use clap::Args;

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
        let binary = self.binary.map_or_else(this_binary::path, Ok)?;
        let binary = this_binary::exec_start(&binary.display().to_string());
        match self.system {
            true => {
                output::print(&system_unit(&binary))?;
                output::hint(
                    "save it as /etc/systemd/system/ormesh.service, then: systemctl daemon-reload && systemctl enable --now ormesh",
                );
            }
            false => {
                output::print(&user_unit(&binary))?;
                output::hint(
                    "save it as ~/.config/systemd/user/ormesh.service, then: systemctl --user daemon-reload && systemctl --user \
                     enable --now ormesh; `loginctl enable-linger` starts it without a login",
                );
            }
        }
        DONE
    }
}

fn user_unit(binary: &str) -> String {
    format!(
        "[Unit]
Description=ormesh - onion-routed mesh

[Service]
ExecStart={binary} agent run
ExecReload=/bin/kill -HUP $MAINPID
Restart=always

[Install]
WantedBy=default.target
"
    )
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
    #[test]
    fn the_user_unit_is_the_promised_one() {
        assert_eq!(
            super::user_unit("/usr/bin/ormesh"),
            "[Unit]\nDescription=ormesh - onion-routed mesh\n\n[Service]\nExecStart=/usr/bin/ormesh agent run\n\
             ExecReload=/bin/kill -HUP $MAINPID\n\
             Restart=always\n\n[Install]\nWantedBy=default.target\n"
        );
    }
}
