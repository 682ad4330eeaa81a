//! Checks that the sockets of gates and imports still exist, because cleaners of temporary directories remove old files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::forward::listen::SocketPath;
use crate::plan::Socket;
use crate::store::files::Files;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

type Made = BTreeMap<Socket, SocketPath>;

/// The sockets in the file system that this agent listens on.
pub(super) struct Sockets {
    files: Files,
    made: Made,
    next: Option<Instant>,
    /// A look under way. One alone: it may hang with the disk.
    look: Option<JoinHandle<Made>>,
}

impl Sockets {
    /// An empty set, whose sockets will be checked in this way.
    pub(super) fn over(files: Files) -> Self {
        Self { files, made: Made::new(), next: None, look: None }
    }

    /// A socket was made, or made again.
    #[cfg_attr(windows, expect(unreachable_code, reason = "no sockets are made in Windows' file systems"))]
    pub(super) fn made(&mut self, place: Socket, socket: Option<&SocketPath>) {
        match socket {
            Some(socket) => self.made.insert(place, socket.clone()),
            None => self.made.remove(&place),
        };
    }

    /// Nobody listens there any more.
    pub(super) fn left(&mut self, place: &Socket) {
        self.made.remove(place);
    }

    /// Waits until some are gone, and gives them; those that are not made again are given again later. Cancel-safe.
    pub(super) async fn gone(&mut self) -> BTreeSet<Socket> {
        loop {
            if let Some(look) = &mut self.look {
                let gone = look.await.unwrap_or_default();
                self.look = None;
                let is_current =
                    |(place, socket): &(Socket, SocketPath)| self.made.get(place) == Some(socket);
                let gone: BTreeSet<Socket> =
                    gone.into_iter().filter(is_current).map(|(place, _)| place).collect();
                if !gone.is_empty() {
                    return gone;
                }
            }
            if self.made.is_empty() {
                // Nothing to look at before the next Step.
                return std::future::pending().await;
            }
            sleep_until(*self.next.get_or_insert_with(|| Instant::now() + LOOK)).await;
            self.next = None;
            let (files, mut made) = (self.files.clone(), self.made.clone());
            let gone = move || {
                made.retain(|_, socket| socket.is_gone());
                made
            };
            self.look = Some(tokio::spawn(async move { files.apart(gone).await }));
        }
    }
}
