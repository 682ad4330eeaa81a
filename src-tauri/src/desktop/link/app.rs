//! The app's end: starts the window's process when a window is wanted, tells it what it is to know, hears its wishes, and sees it end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ormesh_core::ipc::frame;
use ormesh_core::model::problem::Problem;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::{Known, MAX, ToApp, ToWindow, WINDOW, Wish, channel};
use crate::host::View;
use crate::preferences::Chosen;

/// How long a window may take to end once its channel is closed.
const GRACE: Duration = Duration::from_secs(5);

/// A wish of the window's, and where its answer goes.
pub(crate) struct Wished {
    pub(crate) wish: Wish,
    pub(crate) answer: oneshot::Sender<Result<(), Problem>>,
}

/// Where what the window is to know comes from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) views: watch::Receiver<View>,
    pub(crate) tray: watch::Receiver<bool>,
    pub(crate) chosen: watch::Receiver<Chosen>,
    pub(crate) scratch: PathBuf,
}

/// The window, whether there is one or not.
#[derive(Clone)]
pub(crate) struct Window(Arc<Shared>);

struct Shared {
    sources: Sources,
    wishes: mpsc::UnboundedSender<Wished>,
    has_focus: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    /// It was wanted in front, and has not said that it is: if it ends before that, it was just being closed, and another is opened.
    wanted: bool,
    /// No window is opened any more.
    over: bool,
}

/// A window's process.
struct Open {
    say: mpsc::UnboundedSender<ToWindow>,
    /// Told when it is to end, though it does not say anything.
    stop: Arc<Notify>,
    /// Ends with the process.
    gone: watch::Receiver<()>,
}

impl Window {
    /// None is open yet; what one will wish comes from the second value.
    pub(crate) fn new(sources: Sources) -> (Self, mpsc::UnboundedReceiver<Wished>) {
        let (wishes, wished) = mpsc::unbounded_channel();
        let (has_focus, state) = (AtomicBool::default(), Mutex::default());
        (Self(Arc::new(Shared { sources, wishes, has_focus, state })), wished)
    }

    /// Shows it, in front. An error is logged: the tray and the agent go on without it. To be called in a runtime.
    pub(crate) fn show(&self) {
        let mut state = self.lock();
        if state.over {
            return;
        }
        if let Some(open) = &state.open {
            // One that is ending takes it and does nothing: see `State::wanted`.
            let _ = open.say.send(ToWindow::Show);
            state.wanted = true;
            return;
        }
        match self.start() {
            Ok(open) => state.open = Some(open),
            Err(error) => tracing::error!(%error, "failed to start the window"),
        }
    }

    /// Whether a person is at it.
    pub(crate) fn has_focus(&self) -> bool {
        self.0.has_focus.load(Ordering::Relaxed)
    }

    /// Ends it, and waits until it has. None is opened after that.
    pub(crate) async fn end(&self) {
        let open = {
            let mut state = self.lock();
            state.over = true;
            state.open.take()
        };
        let Some(Open { say, stop, mut gone }) = open else { return };
        drop(say);
        stop.notify_one();
        // It ends by an error, when the process has.
        let _ = gone.changed().await;
    }

    fn start(&self) -> std::io::Result<Open> {
        let mut command = own_program()?;
        let (child, read, write) = channel::start(command.arg(WINDOW))?;
        let (say, said) = mpsc::unbounded_channel();
        let (ended, gone) = watch::channel(());
        tokio::spawn(tell(write, self.0.sources.clone(), said));
        let (window, answers, stop) = (self.clone(), say.downgrade(), Arc::new(Notify::new()));
        let stopped = Arc::clone(&stop);
        tokio::spawn(async move {
            window.follow(child, read, answers, &stopped).await;
            drop(ended);
        });
        Ok(Open { say, stop, gone })
    }

    /// Follows a window's process until its end.
    async fn follow(
        self,
        mut child: Child,
        read: impl AsyncRead + Unpin,
        say: mpsc::WeakUnboundedSender<ToWindow>,
        stop: &Notify,
    ) {
        // Something that it has started may hold the channel open when it has ended.
        tokio::select! {
            // What it has said last is heard.
            biased;
            () = self.listen(read, say) => {}
            _ = child.wait() => {}
            () = stop.notified() => {}
        }
        match tokio::time::timeout(GRACE, child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(status) => tracing::warn!(?status, "the window ended by itself"),
            Err(_) => {
                tracing::warn!("the window did not end in {} s; killing it", GRACE.as_secs());
                // It fails only if it has ended.
                let _ = child.kill().await;
            }
        }
        self.0.has_focus.store(false, Ordering::Relaxed);
        let again = {
            let mut state = self.lock();
            state.open = None;
            std::mem::take(&mut state.wanted)
        };
        if again {
            self.show();
        }
    }

    /// Hears what the window says until it says no more.
    async fn listen(&self, mut read: impl AsyncRead + Unpin, say: mpsc::WeakUnboundedSender<ToWindow>) {
        loop {
            match frame::read(&mut read, MAX).await {
                Ok(Some(ToApp::Shown)) => self.lock().wanted = false,
                Ok(Some(ToApp::Focus(has_focus))) => self.0.has_focus.store(has_focus, Ordering::Relaxed),
                Ok(Some(ToApp::Wish { id, wish })) => {
                    let (answer, answered) = oneshot::channel();
                    // Where nobody does it, the window is ending, too.
                    let _ = self.0.wishes.send(Wished { wish, answer });
                    let say = say.clone();
                    tokio::spawn(async move {
                        if let (Ok(result), Some(say)) = (answered.await, say.upgrade()) {
                            let _ = say.send(ToWindow::Answer { id, result });
                        }
                    });
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "the window is not heard any more");
                    return;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This program again, or what is left of it where an upgrade has put another in its place.
fn own_program() -> std::io::Result<Command> {
    let path = std::env::current_exe()?;
    #[cfg(target_os = "linux")]
    if !path.exists() {
        let mut command = Command::new("/proc/self/exe");
        // The desktop knows a window by the name that its program was started by.
        command.arg0(std::env::args_os().next().unwrap_or_else(|| path.into_os_string()));
        return Ok(command);
    }
    Ok(Command::new(path))
}

/// Tells a window what it is to know, each change of it as soon as it takes it, and what else is to be said; then closes the channel.
async fn tell(
    mut write: impl AsyncWrite + Unpin,
    sources: Sources,
    mut said: mpsc::UnboundedReceiver<ToWindow>,
) {
    let Sources { mut views, mut tray, mut chosen, scratch } = sources;
    let mut first = true;
    loop {
        let message = tokio::select! {
            // An answer comes after what it has changed.
            biased;
            true = std::future::ready(first) => None,
            Ok(()) = views.changed() => None,
            Ok(()) = tray.changed() => None,
            Ok(()) = chosen.changed() => None,
            message = said.recv() => match message {
                Some(message) => Some(message),
                None => return,
            },
        };
        first = false;
        let message = message.unwrap_or_else(|| {
            ToWindow::Known(Box::new(Known {
                view: views.borrow_and_update().clone(),
                tray: *tray.borrow_and_update(),
                chosen: *chosen.borrow_and_update(),
                scratch: scratch.clone(),
            }))
        });
        if frame::write(&mut write, &message).await.is_err() {
            // It has ended, or is ending.
            return;
        }
    }
}
