//! Work that may wait for a disk or for another process, done on a thread of its own: the agent's one thread carries all traffic.

/// Does it on a thread for such work, and gives what came of it. A caller that goes away meanwhile does not stop it.
///
/// # Panics
///
/// When the work panics.
pub async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime has ended, and nobody is polled any more.
            Err(_) => std::future::pending().await,
        },
    }
}
