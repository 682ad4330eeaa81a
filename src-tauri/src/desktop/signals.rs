//! The system's wish that the app end: SIGTERM, Ctrl-C, the end of the session.

/// Listens from now on; what it gives waits for the wish. To be called in a runtime.
#[cfg(unix)]
pub(crate) fn listen() -> impl Future<Output = ()> + Send {
    use tokio::signal::unix::{SignalKind, signal};

    let listening = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()]
        .map(|kind| signal(kind).ok());
    async move {
        let [Some(mut term), Some(mut int), Some(mut hup)] = listening else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => {}
        }
    }
}

/// Listens from now on; what it gives waits for the wish.
#[cfg(windows)]
pub(crate) fn listen() -> impl Future<Output = ()> + Send {
    async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
