//! One app for one state directory: a second start shows the first one's window and ends.
//!
//! By a lock and the local transport of the agent rather than by the session bus, which not everyone has; an app that is just
//! ending holds the lock and does not answer, and is waited for.

use std::path::PathBuf;
use std::time::Duration;

use ormesh_core::ipc::transport::{self, Listener};
use ormesh_core::model::problem::{Code, Problem, Subject};
use ormesh_core::store::lock::{self, Lock};
use ormesh_core::store::paths::Paths;
use ormesh_core::store::private;

/// How long an app that is ending is waited for: its agent may take its time.
const DEADLINE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// The one app.
pub(crate) struct Single {
    listener: Listener,
    _lock: Lock,
}

impl Single {
    /// Becomes the one app. None: there is one, and it was asked to show its window if `show`.
    pub(crate) async fn claim(paths: &Paths, show: bool) -> Result<Option<Self>, Problem> {
        private::ensure_dir(&paths.state)?;
        private::ensure_dir(&paths.run)?;
        let claimed = tokio::time::timeout(DEADLINE, async {
            loop {
                let lock = lock::try_lock(&paths.state.join("desktop.lock"));
                if let Some(lock) = lock.map_err(|error| failed(&error))? {
                    let listener = Listener::bind(&socket(paths)).map_err(|error| failed(&error))?;
                    return Ok(Some(Self { listener, _lock: lock }));
                }
                // At login nobody has asked for a window.
                if !show || transport::connect(&socket(paths)).await.is_ok() {
                    return Ok(None);
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        claimed.await.unwrap_or_else(|_| {
            Err(Problem::new(Code::AppSilent, "the app runs already and does not answer")
                .about(Subject::App)
                .hint("end ormesh-desktop, then start it again"))
        })
    }

    /// Waits until the app was started again. A failure to accept is never the end.
    pub(crate) async fn started_again(&mut self) {
        while let Err(error) = self.listener.accept().await {
            tracing::warn!(%error, "failed to hear of another start");
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn socket(paths: &Paths) -> PathBuf {
    let mut path = paths.socket().into_os_string();
    path.push("-desktop");
    path.into()
}

fn failed(error: &std::io::Error) -> Problem {
    Problem::new(Code::SystemFailed, format!("failed to find out whether the app runs already: {error}"))
}
