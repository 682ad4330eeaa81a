//! Connections of tor that were ended here, until tor has told the other end so.
//!
//! While a circuit is full, tor reads nothing from a gate's socket and so doesn't notice that it was closed. If the service or the circuit
//! were taken down then, the client might hear of neither for minutes: the relays between keep a DESTROY back until they have something
//! else to send. So such a connection is only shut down, and read until tor has closed its side.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::sockets::Abort;
use crate::engine::stream::Stream;
use crate::model::onion::OnionAddress;

/// How long whoever takes the service down waits for it. A client that reads nothing is told of nothing.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a connection is kept for tor to close it.
const LINGER: Duration = Duration::from_secs(30);

/// Those of all gates. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Partings(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waited_for: Mutex<BTreeMap<OnionAddress, usize>>,
    news: Notify,
}

/// Counts one that is waited for, until it is dropped.
struct WaitedFor(Arc<Shared>, OnionAddress);

impl Partings {
    /// A connection of tor to the service of this address. If it is dropped while its gate `is_closing`, it is ended as described above.
    pub(super) fn watch(
        &self,
        stream: Stream,
        address: OnionAddress,
        is_closing: &Arc<AtomicBool>,
    ) -> Parting {
        Parting { stream: Some(stream), address, is_closing: Arc::clone(is_closing), partings: self.clone() }
    }

    fn begin(&self, address: OnionAddress, mut stream: Stream) {
        // Without a runtime all ends.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        *self.0.waited_for().entry(address).or_default() += 1;
        let waited_for = WaitedFor(Arc::clone(&self.0), address);
        runtime.spawn(async move {
            let closed = async {
                let _ = stream.shutdown().await;
                let mut unheard = [0; 4096];
                while matches!(stream.read(&mut unheard).await, Ok(1..)) {}
            };
            let no_longer = async {
                sleep(PATIENCE).await;
                drop(waited_for);
                std::future::pending::<()>().await;
            };
            let _ = timeout(LINGER, async {
                tokio::select! {
                    biased;
                    () = closed => {}
                    () = no_longer => {}
                }
            })
            .await;
        });
    }

    /// Whether connections of this service are waited for.
    pub fn is_under_way(&self, address: &OnionAddress) -> bool {
        self.0.waited_for().contains_key(address)
    }

    /// Waits until the last one of a service is waited for no more. Cancel-safe; for one who waits.
    pub async fn news(&self) {
        self.0.news.notified().await;
    }
}

impl Shared {
    fn waited_for(&self) -> MutexGuard<'_, BTreeMap<OnionAddress, usize>> {
        self.waited_for.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitedFor {
    fn drop(&mut self) {
        let Self(shared, address) = self;
        let mut all = shared.waited_for();
        let Some(count) = all.get_mut(address) else { return };
        *count -= 1;
        if *count == 0 {
            all.remove(address);
            shared.news.notify_one();
        }
    }
}

/// See [`Partings::watch`].
pub(super) struct Parting {
    /// There until it is dropped.
    stream: Option<Stream>,
    address: OnionAddress,
    is_closing: Arc<AtomicBool>,
    partings: Partings,
}

impl Parting {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut Stream> {
        Pin::new(self.get_mut().stream.as_mut().expect("it is taken by its drop alone"))
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take()
            && self.is_closing.load(Ordering::Relaxed)
        {
            self.partings.begin(self.address, stream);
        }
    }
}

impl AsyncRead for Parting {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Parting {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl Abort for Parting {
    fn reset_on_close(&self, on: bool) {
        if let Some(stream) = &self.stream {
            stream.reset_on_close(on);
        }
    }
}
