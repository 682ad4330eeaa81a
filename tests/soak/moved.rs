//! A host that comes into another network: its address changes while an import is used and a session is open. The host is in a network
//! namespace of its own; where the machine refuses one, the proxy before its tor makes its connections lead nowhere instead.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tornet::Network;

use crate::figures::Figures;
use crate::mesh::{TRY, connections_work_after, watched};
use crate::support::{Namespace, PATIENCE, Uplink, figure, hosts_on, is_connected, is_reachable, unix_echo};

/// Plays it once: with the exporter (0) or the importer (1). `at_most` is how long a new connection is waited for.
pub(crate) fn play(network: &Network, end: usize, at_most: Duration) -> Figures {
    let mut namespace = Namespace::new();
    let mut hosts = hosts_on(network, ["exporter", "importer"]);
    let (prefix, uplink) = match &namespace {
        Ok(namespace) => (namespace.enter(), Uplink::at(&mut hosts[end], network, namespace.outside())),
        Err(why) => {
            println!("this machine refuses a network namespace, so a proxy stands for it: {why}");
            (Vec::new(), Uplink::of(&mut hosts[end], network))
        }
    };
    let [mut exporter, mut importer] = hosts;
    // Files are met from within a namespace and from without.
    let (echo, import) = (exporter.home().join("echo"), importer.home().join("import"));
    unix_echo(&echo);
    exporter.export(format!("unix:{}", echo.display()), 80);
    importer.add_remote("remote", &exporter.invite("client", &[]));
    importer.good(&["import", "add", "remote", "80", &format!("unix:{}", import.display())]);
    for (number, host) in [&mut exporter, &mut importer].into_iter().enumerate() {
        host.start_under(if number == end { &prefix[..] } else { &[] }, &[]);
    }
    exporter.wait_until("the client's service is published", is_reachable("client"));
    importer.wait_until("the remote is reached", is_connected("remote"));
    let mut session = UnixStream::connect(&import).unwrap();
    assert!(echoes(&mut session), "a session is open");

    let mut healed = None;
    let said = watched([&exporter, &importer], || {
        match &mut namespace {
            Ok(namespace) => namespace.change_address().unwrap(),
            Err(_) => uplink.strand(),
        }
        let import = import.clone();
        healed = connections_work_after(at_most, move || is_answered(&import));
    });
    Figures { said, healed, is_said: namespace.is_ok() }
}

/// Whether a new connection says back what it hears.
fn is_answered(import: &Path) -> bool {
    UnixStream::connect(import).is_ok_and(|mut stream| echoes(&mut stream))
}

fn echoes(stream: &mut UnixStream) -> bool {
    let mut heard = [0; 6];
    let mut tried = || {
        stream.set_read_timeout(Some(TRY))?;
        stream.write_all(b"hello\n")?;
        stream.read_exact(&mut heard)
    };
    tried().is_ok() && &heard == b"hello\n"
}

#[test]
fn a_host_whose_address_changes_says_so_and_is_back_soon_after() {
    for (end, name) in ["exporter", "importer"].into_iter().enumerate() {
        let figures = play(tornet::shared(), end, PATIENCE);

        figure(&format!("the {name}'s address changed: said after"), format!("{:.1?}", figures.said[end]));
        figure(
            &format!("the {name}'s address changed: a new connection works after"),
            format!("{:.1?}", figures.healed),
        );
        assert!(figures.healed.is_some(), "{name}");
        assert!(
            figures.said[end].is_some() || !figures.is_said,
            "{name}: it never said that anything was wrong"
        );
    }
}
