//! The configuration file saved in place over ormesh itself: what writes it is carried by what it configures.

use std::fs::{self, File};
use std::process::Stdio;

use crate::support::{Host, Sshd, connected, echo, free_port, hosts, open_echo, until};

/// A stanza by which the laptop's ssh reaches the server through its SOCKS front.
fn ssh_config(laptop: &Host, sshd: &Sshd) -> std::path::PathBuf {
    let stanza = laptop.good(&["remote", "ssh-config", "remote"]);
    let onion = laptop.good(&["remote", "show", "remote"]);
    let path = laptop.home().join("ssh_config");
    fs::write(&path, format!("{stanza}{}", sshd.stanza_lines(onion.trim()))).unwrap();
    path
}

#[test]
fn a_file_saved_in_place_over_ssh_through_ormesh_arrives_whole() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let sshd = Sshd::start(&server.home().join("sshd"));
    let other = echo();
    server.export(other.addr, 81);
    connected(&mut server, &mut laptop, sshd.addr, 22);
    let mut untouched = open_echo(laptop.import("remote", 81));
    let config = ssh_config(&laptop, &sshd);
    let place = server.config();
    for (round, way) in ["cat", "sftp", "cat", "sftp"].into_iter().enumerate() {
        // A comment of many pages, so that it comes in many pieces.
        let port = free_port();
        let text = fs::read_to_string(&place).unwrap();
        let new =
            format!("{text}# {}\n[[export]]\ntarget = \"127.0.0.1:{port}\"\n", "filler ".repeat(40_000));
        let local = laptop.home().join("new.toml");
        fs::write(&local, &new).unwrap();

        let ran = match way {
            "cat" => {
                let mut ssh = laptop.command("ssh");
                ssh.arg("-F").arg(&config).args(["remote", &format!("cat > {}", place.display())]);
                ssh.stdin(Stdio::from(File::open(&local).unwrap())).output().unwrap()
            }
            _ => {
                let batch = laptop.home().join("batch");
                fs::write(&batch, format!("put {} {}\n", local.display(), place.display())).unwrap();
                let mut sftp = laptop.command("sftp");
                sftp.arg("-F").arg(&config).arg("-b").arg(&batch).arg("remote").output().unwrap()
            }
        };
        assert!(ran.status.success(), "round {round}, {way}: {ran:?}");
        assert_eq!(fs::read_to_string(&place).unwrap(), new, "round {round}, {way}");
        until("it is in force", || server.status().exports.iter().any(|export| export.port.get() == port));
        untouched.turn().expect("a session goes on");
        fs::write(&place, &text).unwrap();
        until("the old one is in force", || server.status().exports.len() == 2);
    }
    untouched.turn().expect("a session goes on");
}
