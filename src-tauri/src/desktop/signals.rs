//! The system's wish that the app end: SIGTERM, Ctrl-C, the end of the session.

/// Waits for it.
#[cfg(unix)]
pub(crate) async fn end() {
    use tokio::signal::unix::{SignalKind, signal};

    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut term), Ok(mut int), Ok(mut hup)) = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        _ = hup.recv() => {}
    }
}

/// Waits for it.
#[cfg(windows)]
pub(crate) async fn end() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
