//! A panel that shows the tray's icon and its menu, over D-Bus: the StatusNotifierItem and com.canonical.dbusmenu interfaces.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use support::{PATIENCE, until};
use zbus::blocking::connection::Builder;
use zbus::blocking::{Connection, Proxy};
use zbus::names::OwnedBusName;
use zbus::zvariant::{OwnedValue, Value};

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

/// A panel that shows trays' icons, as much of it as an icon needs to appear.
pub(crate) struct Panel {
    connection: Connection,
    items: Receiver<String>,
}

impl Panel {
    /// Puts a panel on this bus.
    pub(crate) fn on(bus: &Bus) -> Self {
        let (send, items) = channel();
        let connection = Builder::address(bus.address())
            .and_then(|builder| builder.serve_at("/StatusNotifierWatcher", Watcher(send)))
            .and_then(|builder| builder.name("org.kde.StatusNotifierWatcher"))
            .and_then(Builder::build)
            .unwrap();
        Self { connection, items }
    }

    /// The name of the next icon to appear.
    pub(crate) fn icon(&self) -> OwnedBusName {
        let name = self.items.recv_timeout(PATIENCE).expect("the icon appears");
        OwnedBusName::try_from(name).unwrap()
    }

    fn menu(&self, icon: &OwnedBusName) -> Proxy<'_> {
        Proxy::new(&self.connection, icon.clone(), "/MenuBar", "com.canonical.dbusmenu").unwrap()
    }

    /// Id, label and whether it can be chosen, of each item.
    pub(crate) fn items(&self, icon: &OwnedBusName) -> Vec<(i32, String, bool)> {
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

    /// Chooses an item, once it is there and can be chosen. One whose menu was replaced in between is looked for again, as panels do.
    pub(crate) fn choose(&self, icon: &OwnedBusName, label: &str) {
        until(label, || {
            let items = self.items(icon);
            let (id, ..) = items.into_iter().find(|(_, said, enabled)| said == label && *enabled)?;
            let chosen: zbus::Result<()> =
                self.menu(icon).call("Event", &(id, "clicked", Value::from(0), 0_u32));
            chosen.ok()
        });
    }

    /// Has the bus start what a desktop session has running: the accessibility bus, which every window asks for.
    pub(crate) fn start_accessibility(&self) {
        let bus = Proxy::new(&self.connection, "org.a11y.Bus", "/org/a11y/bus", "org.a11y.Bus").unwrap();
        // Where it is not installed, windows do without.
        let _: zbus::Result<String> = bus.call("GetAddress", &());
    }

    /// Clicks the icon itself.
    pub(crate) fn click(&self, icon: &OwnedBusName) {
        let item =
            Proxy::new(&self.connection, icon.clone(), "/StatusNotifierItem", "org.kde.StatusNotifierItem");
        let _: () = item.unwrap().call("Activate", &(0, 0)).unwrap();
    }
}
