//! The tray as a panel sees it: over D-Bus, by the StatusNotifierItem and com.canonical.dbusmenu interfaces.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, Proxy};
use zbus::names::OwnedBusName;
use zbus::zvariant::{OwnedValue, Value};

use crate::driver::until;
use crate::host::Host;
use crate::screen::Bus;

/// The panel's end, as much as an icon needs to appear.
struct Watcher(Sender<String>);

#[zbus::interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(&self, service: &str) {
        // The test may have ended.
        let _ = self.0.send(service.to_owned());
    }

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A menu as dbusmenu carries it: id, properties, children.
type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

struct Panel {
    connection: Connection,
    items: Receiver<String>,
}

impl Panel {
    fn on(bus: &Bus) -> Self {
        let (send, items) = channel();
        let connection = Builder::address(bus.address())
            .and_then(|builder| builder.serve_at("/StatusNotifierWatcher", Watcher(send)))
            .and_then(|builder| builder.name("org.kde.StatusNotifierWatcher"))
            .and_then(Builder::build)
            .unwrap();
        Self { connection, items }
    }

    /// The name of the next icon to appear.
    fn icon(&self) -> OwnedBusName {
        let name = self.items.recv_timeout(crate::driver::DEADLINE).expect("the icon appears");
        OwnedBusName::try_from(name).unwrap()
    }

    fn menu(&self, icon: &OwnedBusName) -> Proxy<'_> {
        Proxy::new(&self.connection, icon.clone(), "/MenuBar", "com.canonical.dbusmenu").unwrap()
    }

    /// Id, label and whether it can be chosen, of each item.
    fn items(&self, icon: &OwnedBusName) -> Vec<(i32, String, bool)> {
        let (_, (_, _, children)): (u32, Layout) =
            self.menu(icon).call("GetLayout", &(0, -1, Vec::<&str>::new())).unwrap();
        let items = children.into_iter().map(|child| Layout::try_from(child).unwrap());
        items
            .filter_map(|(id, properties, _)| {
                let label = properties.get("label").and_then(|label| label.downcast_ref::<String>().ok())?;
                let enabled = properties.get("enabled").and_then(|on| on.downcast_ref::<bool>().ok());
                Some((id, label, enabled.unwrap_or(true)))
            })
            .collect()
    }

    fn choose(&self, icon: &OwnedBusName, label: &str) {
        let id = until(label, || {
            self.items(icon)
                .into_iter()
                .find(|(_, said, enabled)| said == label && *enabled)
                .map(|(id, ..)| id)
        });
        let _: () = self.menu(icon).call("Event", &(id, "clicked", Value::from(0), 0_u32)).unwrap();
    }
}

#[test]
fn a_hidden_start_has_a_tray_and_no_window_until_it_is_wanted() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    let mut app = host.app(&["--hidden"]);
    let icon = panel.icon();
    assert!(!app.has_web_view());

    // What the agent says reaches the menu.
    let offline = |label: &str| label.starts_with("Offline");
    until("the state line", || {
        panel.items(&icon).first().filter(|(_, label, on)| offline(label) && !on).map(drop)
    });

    panel.choose(&icon, "Open ormesh");
    until("the window opens", || app.has_web_view().then_some(()));

    panel.choose(&icon, "Pause");
    panel.choose(&icon, "Resume");

    panel.choose(&icon, "Quit and stop the agent");
    assert!(app.ended());
    assert_eq!(host.agent_pid(), None);
}

#[test]
fn a_left_click_opens_the_window() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    let app = host.app(&["--hidden"]);
    let icon = panel.icon();

    let item =
        Proxy::new(&panel.connection, icon, "/StatusNotifierItem", "org.kde.StatusNotifierItem").unwrap();
    let _: () = item.call("Activate", &(0, 0)).unwrap();

    until("the window opens", || app.has_web_view().then_some(()));
}

#[test]
fn start_at_login_is_a_box_that_can_be_ticked() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    let _app = host.app(&["--hidden"]);
    let icon = panel.icon();
    let entry = host.home().join(".config/autostart/ormesh.desktop");

    panel.choose(&icon, "Start at login");
    let text =
        until("the entry is there", || std::fs::read_to_string(&entry).ok().filter(|text| !text.is_empty()));
    assert!(text.contains("ormesh-desktop\" --hidden"), "{text}");

    until("the box is ticked and can be cleared", || {
        panel.choose(&icon, "Start at login");
        (!entry.exists()).then_some(())
    });
}
