//! Keeps the tray true to the host, and does what is chosen there. Where there is no tray, the window is shown instead.

use std::time::Duration;

use ormesh_core::ipc::Request;
use ormesh_core::model::problem::Problem;
use tauri::{AppHandle, Manager as _};
use tokio::sync::{oneshot, watch};

use super::menu::{Action, Tray};
use super::{panel, show};
use crate::clipboard::Clipboard;
use crate::host::Host;
use crate::link::app::Window;
use crate::{actions, login};

/// How often a tray is looked for where there is none: a panel may start later than we do, or again.
const LOOK: Duration = Duration::from_secs(5);
/// How often in vain, before an app that was started hidden shows its window.
const PATIENCE: u32 = 4;

/// What the tray shows, so that only changes go to the screen.
#[derive(Default)]
pub(crate) struct Shown(watch::Sender<Option<Tray>>);

impl Shown {
    /// Whether a tray is shown, as far as can be known, and each change of it. To be called in a runtime.
    pub(crate) fn follow(&self) -> watch::Receiver<bool> {
        let (found, mut panel) = watch::channel(true);
        tokio::spawn(panel::follow(found));
        let mut shown = self.0.subscribe();
        let (tell, is_shown) = watch::channel(shown.borrow_and_update().is_some());
        tokio::spawn(async move {
            loop {
                let changed = tokio::select! {
                    Ok(()) = panel.changed() => true,
                    changed = shown.changed() => changed.is_ok(),
                };
                if !changed {
                    return;
                }
                let now = shown.borrow_and_update().is_some() && *panel.borrow_and_update();
                tell.send_if_modified(|before| std::mem::replace(before, now) != now);
            }
        });
        is_shown
    }
}

/// Follows the host from now on.
pub(crate) fn start(app: &AppHandle, hidden: bool) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        let mut views = app.state::<Host>().views();
        let mut failures = 0;
        loop {
            match refresh(&app).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    if failures == 0 {
                        tracing::info!(%error, "there is no tray");
                    }
                    failures += 1;
                    if hidden && failures == PATIENCE {
                        app.state::<Window>().show();
                    }
                }
            }
            let look = async {
                match failures {
                    0 => std::future::pending().await,
                    _ => tokio::time::sleep(LOOK).await,
                }
            };
            tokio::select! {
                () = look => {}
                changed = changed(&mut views, failures > 0) => if changed.is_none() { return },
            }
        }
    });
}

/// The next change; none at all where there is no tray to show it.
async fn changed<T>(views: &mut tokio::sync::watch::Receiver<T>, no_tray: bool) -> Option<()> {
    match no_tray {
        true => std::future::pending().await,
        false => views.changed().await.ok(),
    }
}

/// Shows what is true now.
pub(crate) async fn refresh(app: &AppHandle) -> Result<(), show::TrayError> {
    let view = app.state::<Host>().views().borrow().clone();
    let tray = Tray::of(&view, login::is_on().unwrap_or_default());
    if same(app, &tray) {
        return Ok(());
    }
    let (reply, answer) = oneshot::channel();
    let new = tray.clone();
    // Whoever asked may be gone, and so may the main thread.
    let _ = app.run_on_main_thread(move || drop(reply.send(show::show(new))));
    answer.await.unwrap_or(Ok(()))?;
    remember(app, Some(tray));
    Ok(())
}

/// Takes the tray away. Main thread only.
pub(crate) fn end(app: &AppHandle) {
    show::hide();
    remember(app, None);
}

/// Does what was chosen in the menu, by an item's id.
pub(crate) fn chosen(app: &AppHandle, id: &str) {
    let Some(action) = show::action(id) else { return };
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        if let Err(problem) = act(&app, action).await {
            tracing::warn!(%problem, "failed to do what was chosen in the tray");
            // The window says what is wrong with the agent; a menu can't.
            app.state::<Window>().show();
        }
    });
}

async fn act(app: &AppHandle, action: Action) -> Result<(), Problem> {
    let host = app.state::<Host>();
    match action {
        Action::OpenImport(listen) => actions::open_address(&host, &listen),
        Action::CopyAddress(listen) => actions::copy_address(&app.state::<Clipboard>(), &listen),
        Action::Pause => host.done(Request::Pause).await.map(drop),
        Action::Resume => host.done(Request::Resume).await.map(drop),
        Action::StartAgent => host.start_agent().await,
        Action::RestartAgent => host.restart_agent().await,
        Action::OpenWindow => {
            app.state::<Window>().show();
            Ok(())
        }
        Action::StartAtLogin(on) => {
            let set = login::set(on);
            // Panels tick the box by themselves: what is shown is made true again, whatever came of it.
            remember(app, None);
            // That there is no tray is told by the keeper.
            let _ = refresh(app).await;
            set
        }
        Action::Quit => {
            actions::end(app.clone()).await;
            Ok(())
        }
    }
}

/// Left click: the window. Not on the tray's own thread, which the main thread may be waiting for.
pub(crate) fn clicked(app: &AppHandle) {
    let app = app.clone();
    tauri::async_runtime::spawn(async move { app.state::<Window>().show() });
}

fn same(app: &AppHandle, tray: &Tray) -> bool {
    app.state::<Shown>().0.borrow().as_ref() == Some(tray)
}

fn remember(app: &AppHandle, tray: Option<Tray>) {
    app.state::<Shown>().0.send_replace(tray);
}
