//! The pipe by which shells and agent talk: another program that has its name is told nothing, and a hostile one harms nobody.

use std::io::Read as _;
use std::process::Stdio;

use support::until;

use crate::host::{Windows, wine};

/// A program that takes a pipe's name and prints every byte that it hears.
const IMPOSTOR: &str = "impostor.exe";
/// A program that sends a frame of 4 GiB to a pipe, and ends when the pipe is closed to it.
const HOSTILE: &str = "hostile.exe";

fn helper(name: &str) -> std::path::PathBuf {
    std::path::Path::new(&crate::named("ORMESH_WINDOWS_HELPERS")).join(name)
}

/// The name of a host's pipe, which its agent's log does not tell: a shell that can't reach it does.
fn pipe_of(host: &Windows) -> String {
    use data_encoding::BASE32_NOPAD;
    use sha2::{Digest as _, Sha256};
    let hash = Sha256::digest(host.windows_path("state").as_bytes());
    format!(r"\\.\pipe\ormesh-{}", BASE32_NOPAD.encode(&hash[..10]).to_ascii_lowercase())
}

#[test]
fn another_program_with_the_agent_s_name_hears_not_a_byte() {
    let (server, host) = (Windows::new("server"), Windows::new("host"));
    server.good(&["export", "add", "22"]);
    let invite = server.invite("client");
    let mut impostor = wine(helper(IMPOSTOR));
    let mut impostor = impostor.arg(pipe_of(&host)).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 4];
    impostor.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"open");

    let added = host.ormesh_reading(&["remote", "add", "server", "-"], invite.as_bytes());
    let asked = host.ormesh(&["status"]);

    // It ends when its client has gone, and has printed what it heard.
    let mut heard = String::new();
    impostor.stdout.as_mut().unwrap().read_to_string(&mut heard).unwrap();
    let _ = impostor.kill();
    let _ = impostor.wait();
    assert_eq!(heard, "", "the impostor was told something");
    assert_eq!(added.code, 4, "{}", added.stderr);
    assert!(added.stderr.contains("is not this host's agent"), "{}", added.stderr);
    // The impostor is gone by now, or it is refused again.
    assert!(asked.code == 4 || asked.code == 0, "{}", asked.stderr);
}

#[test]
fn an_oversized_frame_ends_its_connection_and_nothing_else() {
    let mut host = Windows::new("host");
    host.start();

    let hostile = wine(helper(HOSTILE)).arg(pipe_of(&host)).output().unwrap();

    assert!(hostile.status.success(), "the agent kept a connection with a frame that is too long");
    until("the agent answers", || host.ormesh(&["status"]).code == 0);
    host.good(&["agent", "stop"]);
    assert_eq!(host.ended(), 0);
}
