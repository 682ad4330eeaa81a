//! Whether a panel is there that shows trays' icons: it has a name on the session bus, and may end and start while we run.

use std::future::poll_fn;
use std::pin::pin;

use tokio::sync::watch;
use zbus::export::futures_core::Stream as _;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;

/// The name of what collects the icons (StatusNotifierItem specification, "StatusNotifierWatcher").
const WATCHER: &str = "org.kde.StatusNotifierWatcher";

/// Tells from now on; where nothing can be known, a panel is believed to be there.
pub(crate) async fn follow(tell: watch::Sender<bool>) {
    if let Err(error) = told(&tell).await {
        tracing::debug!(%error, "whether there is a panel is not known");
        tell.send_replace(true);
    }
}

async fn told(tell: &watch::Sender<bool>) -> zbus::Result<()> {
    let connection = zbus::Connection::session().await?;
    let bus = DBusProxy::new(&connection).await?;
    let mut changes = pin!(bus.receive_name_owner_changed_with_args(&[(0, WATCHER)]).await?);
    tell.send_replace(bus.name_has_owner(BusName::try_from(WATCHER)?).await?);
    loop {
        let next = poll_fn(|context| changes.as_mut().poll_next(context));
        let Some(change) = next.await else { return Ok(()) };
        tell.send_replace(change.args()?.new_owner().is_some());
    }
}
