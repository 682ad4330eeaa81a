//! Notifications, as the desktop hears them that shows them: the org.freedesktop.Notifications interface on a bus of the test's own.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use support::{PATIENCE, free_address, http, talk, until};
use zbus::blocking::Connection;
use zbus::blocking::connection::Builder;
use zbus::zvariant::OwnedValue;

use crate::app::Host;
use crate::panel::Panel;
use crate::screen::Bus;

/// The desktop's end, as much as a notification needs to appear.
struct Notifications(Sender<(String, String)>);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Notifications {
    #[expect(clippy::too_many_arguments, reason = "the Desktop Notifications Specification says so")]
    fn notify(
        &self,
        app: &str,
        _replaces: u32,
        _icon: &str,
        summary: &str,
        body: &str,
        _actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        assert_eq!(app, "ormesh");
        // The test may have ended.
        let _ = self.0.send((summary.to_owned(), body.to_owned()));
        1
    }

    fn get_capabilities(&self) -> Vec<String> {
        vec!["body".into()]
    }

    fn get_server_information(&self) -> (String, String, String, String) {
        ("test".into(), "test".into(), "1".into(), "1.2".into())
    }
}

/// A desktop that shows notifications.
struct Desktop {
    shown: Receiver<(String, String)>,
    _connection: Connection,
}

impl Desktop {
    fn on(bus: &Bus) -> Self {
        let (send, shown) = channel();
        let connection = Builder::address(bus.address())
            .and_then(|builder| builder.serve_at("/org/freedesktop/Notifications", Notifications(send)))
            .and_then(|builder| builder.name("org.freedesktop.Notifications"))
            .and_then(Builder::build)
            .unwrap();
        Self { shown, _connection: connection }
    }

    /// The next one: its title and its text.
    fn next(&self) -> (String, String) {
        self.shown.recv_timeout(PATIENCE).expect("a notification")
    }
}

#[test]
fn a_problem_that_needs_a_hand_is_told_to_one_who_does_not_look() {
    let bus = Bus::start();
    let (panel, desktop) = (Panel::on(&bus), Desktop::on(&bus));
    let host = Host::with_bus(bus.address());
    host.ormesh(&["export", "add", "8080"]);
    let _app = host.app(&["--hidden"]);
    panel.icon();

    // There is no tor on this host.
    let (title, text) = desktop.next();
    assert_eq!(title, "ormesh needs a hand");
    assert!(text.to_lowercase().contains("tor"), "{text}");

    let config = host.ormesh(&["config", "path"]);
    std::fs::write(config.trim(), "exprots = 1\n").unwrap();
    let (title, text) = desktop.next();
    assert_eq!(title, "ormesh needs a hand");
    assert!(text.contains("exprots"), "{text}");
}

#[test]
fn the_first_connection_of_a_client_is_told() {
    let bus = Bus::start();
    let (panel, desktop) = (Panel::on(&bus), Desktop::on(&bus));
    let (exporter, importer) =
        (Host::on_the_network(bus.address()), Host::on_the_network("unix:path=/nonexistent"));
    let page = http("<h1>here</h1>");
    exporter.ormesh(&["export", "add", &page.addr.port().to_string(), "80"]);
    let invite = exporter.ormesh(&["client", "add", "laptop"]);
    let _app = exporter.app(&["--hidden"]);
    panel.icon();
    let listen = free_address();
    importer.ormesh(&["remote", "add", "home", invite.trim()]);
    importer.ormesh(&["import", "add", "home", "80", &listen.to_string()]);
    let _agent = importer.agent();

    until("the page is fetched", || {
        talk(listen, b"GET / HTTP/1.1\r\nHost: home\r\n\r\n").ok().filter(|page| !page.is_empty())
    });

    assert_eq!(desktop.next().0, "laptop has connected");
}
