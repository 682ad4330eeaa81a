//! Shows notifications by the system's own means, of the sorts that a person has left on. Nothing is shown while they look at the window.

use std::time::Duration;

use notify_rust::Notification;
use tauri::{AppHandle, Manager as _};
use tokio::time::{Instant, sleep_until};

use crate::host::Host;
use crate::link::app::Window;
use crate::notices::{Notice, Notices, Sort};
use crate::preferences::Preferences;

/// Follows the host from now on.
pub(crate) fn start(app: &AppHandle) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        let mut views = app.state::<Host>().views();
        let (began, mut notices) = (Instant::now(), Notices::default());
        loop {
            let view = views.borrow_and_update().clone();
            for notice in notices.look(&view, began.elapsed()) {
                if is_wanted(&app, notice.sort) && !app.state::<Window>().has_focus() {
                    show(notice).await;
                }
            }
            let wake = notices.wake().map(|at| began + at + Duration::from_millis(1));
            let look = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = look => {}
                changed = views.changed() => if changed.is_err() { return },
            }
        }
    });
}

fn is_wanted(app: &AppHandle, sort: Sort) -> bool {
    let told = app.state::<Preferences>().chosen().told;
    match sort {
        Sort::Client => told.clients,
        Sort::Import => told.imports,
        Sort::Problem => told.problems,
    }
}

/// Where nobody shows them, that is logged and no more.
async fn show(notice: Notice) {
    let shown = tokio::task::spawn_blocking(move || {
        let mut notification = Notification::new();
        notification.appname("ormesh").summary(&notice.title).body(&notice.body);
        // By its name in the theme, as the packages install it.
        #[cfg(all(unix, not(target_os = "macos")))]
        notification.icon("ormesh");
        notification.show().map(drop)
    });
    if let Ok(Err(error)) = shown.await {
        tracing::info!(%error, "a notification is not shown");
    }
}
