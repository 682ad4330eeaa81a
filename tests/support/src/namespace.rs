//! A network namespace with one way out: a link whose address can be changed, as when a laptop comes into another network.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// Networks that have been handed out in this process.
static GIVEN: AtomicU8 = AtomicU8::new(0);

/// See the file's sentence. Dropped, it is gone, and so is its link.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// The first parts of its network, of which each address has one more.
    network: [u8; 3],
    /// The last part of its present address.
    last: u8,
}

impl Namespace {
    /// A new one; an error says why this machine refuses it.
    pub fn new() -> Result<Self, String> {
        let (process, number) = (std::process::id(), GIVEN.fetch_add(1, Ordering::Relaxed));
        let [.., high, low] = process.to_be_bytes();
        // Of 10.0.0.0/8, apart from those of other processes.
        let network = [10, high.wrapping_add(number), low];
        let namespace = Self { name: format!("om{process}n{number}"), network, last: 2 };
        let (name, near) = (&namespace.name, format!("om{process}v{number}"));
        ip(&["netns", "add", name])?;
        ip(&["link", "add", &near, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        ip(&["address", "add", &namespace.with_length(1), "dev", &near])?;
        ip(&["link", "set", &near, "up"])?;
        namespace.inside(&["link", "set", "lo", "up"])?;
        namespace.inside(&["address", "add", &namespace.with_length(namespace.last), "dev", "eth0"])?;
        namespace.inside(&["link", "set", "eth0", "up"])?;
        Ok(namespace)
    }

    /// The address of this side, by which the inside is met.
    pub fn outside(&self) -> IpAddr {
        self.address(1).into()
    }

    /// What runs a program inside, in its own place.
    pub fn enter(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// Takes its address away and gives it another one.
    pub fn change_address(&mut self) -> Result<(), String> {
        let before = self.with_length(self.last);
        self.last += 1;
        self.inside(&["address", "del", &before, "dev", "eth0"])?;
        self.inside(&["address", "add", &self.with_length(self.last), "dev", "eth0"])
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.network;
        Ipv4Addr::new(a, b, c, last)
    }

    fn with_length(&self, last: u8) -> String {
        format!("{}/24", self.address(last))
    }

    fn inside(&self, arguments: &[&str]) -> Result<(), String> {
        ip(&[&["-n", &self.name], arguments].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Where it was not made there is none.
        let _ = ip(&["netns", "del", &self.name]);
    }
}

/// iproute2's `ip`.
fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| format!("no ip(8): {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("ip {}: {said}", arguments.join(" "))) }
}
