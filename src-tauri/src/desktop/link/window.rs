//! The window's end: what it was told last, and its wishes. When the channel ends, so does the window: the app is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ormesh_core::ipc::frame;
use ormesh_core::model::problem::{Code, Problem, Subject};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Known, MAX, ToApp, ToWindow, Wish, channel};

/// What the app can have the window do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Come to the front.
    Show,
    /// End: the app has.
    End,
}

/// The app, as the window reaches it.
#[derive(Clone)]
pub(crate) struct App {
    known: watch::Receiver<Known>,
    say: mpsc::UnboundedSender<ToApp>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    answers: BTreeMap<u64, oneshot::Sender<Result<(), Problem>>>,
}

impl App {
    /// Takes the channel that this process was started with, once the app has told what is known. To be called in a runtime.
    pub(crate) async fn join() -> Result<(Self, mpsc::UnboundedReceiver<Order>), Problem> {
        let (mut read, write) = channel::own().map_err(|error| alone(Some(&error)))?;
        let first = frame::read(&mut read, MAX).await.map_err(|error| alone(Some(&error)))?;
        let Some(ToWindow::Known(first)) = first else { return Err(alone(None)) };
        let (tell, known) = watch::channel(*first);
        let (say, said) = mpsc::unbounded_channel();
        let (order, orders) = mpsc::unbounded_channel();
        let app = Self { known, say, waiting: Arc::default() };
        tokio::spawn(send(write, said));
        tokio::spawn(app.clone().listen(read, tell, order));
        Ok((app, orders))
    }

    /// What is known now.
    pub(crate) fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// What is known, and each change of it.
    pub(crate) fn follow(&self) -> watch::Receiver<Known> {
        self.known.clone()
    }

    /// Has the app do something, and waits until it is done.
    pub(crate) async fn wish(&self, wish: Wish) -> Result<(), Problem> {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut waiting = self.lock();
            waiting.last += 1;
            let id = waiting.last;
            waiting.answers.insert(id, answer);
            id
        };
        // Where it is gone, so is the answer.
        let _ = self.say.send(ToApp::Wish { id, wish });
        answered.await.unwrap_or_else(|_| Err(alone(None)))
    }

    /// Says that the window is in front, as it was told.
    pub(crate) fn is_shown(&self) {
        let _ = self.say.send(ToApp::Shown);
    }

    /// Says whether a person is at the window.
    pub(crate) fn has_focus(&self, has_focus: bool) {
        let _ = self.say.send(ToApp::Focus(has_focus));
    }

    async fn listen(
        self,
        mut read: impl AsyncRead + Unpin,
        known: watch::Sender<Known>,
        orders: mpsc::UnboundedSender<Order>,
    ) {
        loop {
            match frame::read(&mut read, MAX).await {
                Ok(Some(ToWindow::Known(now))) => drop(known.send_replace(*now)),
                Ok(Some(ToWindow::Show)) => drop(orders.send(Order::Show)),
                Ok(Some(ToWindow::Answer { id, result })) => {
                    let answer = self.lock().answers.remove(&id);
                    // Whoever wished it may be gone.
                    answer.map(|answer| answer.send(result));
                }
                Ok(None) | Err(_) => break,
            }
        }
        self.lock().answers.clear();
        let _ = orders.send(Order::End);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(mut write: impl AsyncWrite + Unpin, mut said: mpsc::UnboundedReceiver<ToApp>) {
    while let Some(message) = said.recv().await {
        if frame::write(&mut write, &message).await.is_err() {
            return;
        }
    }
}

fn alone(error: Option<&std::io::Error>) -> Problem {
    let why = error.map(|error| format!(": {error}")).unwrap_or_default();
    Problem::new(Code::AppSilent, format!("the window does not hear from the app{why}"))
        .about(Subject::App)
        .hint("start ormesh-desktop without arguments")
}
