//! Whether a panel is there that shows trays' icons: the system's own always is.

use tokio::sync::watch;

/// Tells from now on.
pub(crate) async fn follow(tell: watch::Sender<bool>) {
    tell.send_replace(true);
}
