//! The app's own process: the tray, the notifications and the agent, with a window in a process apart when one is wanted. It loads no web
//! view, so it stays small however often the window was open.

use ormesh_core::agent::log;
use ormesh_core::model::problem::{Code, Problem};
use ormesh_core::store::paths::Paths;
use tauri::{App, AppHandle, Manager as _, RunEvent};
use tokio::sync::mpsc;

use crate::clipboard::Clipboard;
use crate::display;
use crate::host::Host;
use crate::link::Wish;
use crate::link::app::{Sources, Window, Wished};
use crate::preferences::Preferences;
use crate::scratch::Scratch;
use crate::single::Single;
use crate::tray::keeper::{self, Shown};
use crate::{actions, notify, signals};

/// Runs until it is told to end; shows its window first unless it is to be `hidden`. `context` is Tauri's.
///
/// # Errors
///
/// When it can't find out whether it runs already, or there is no display.
pub(crate) fn run(
    paths: Paths,
    hidden: bool,
    context: tauri::Context,
    flush: log::Flush,
) -> Result<(), Problem> {
    let Some(single) = tauri::async_runtime::block_on(Single::claim(&paths, !hidden))? else {
        return Ok(());
    };
    // Before there is anything that would stay without an app.
    display::look()?;
    let scratch = Scratch::fresh(&paths)?;
    let (preferences, shown) = (Preferences::read(&paths), Shown::default());
    let (ending, host, window, wished) = tauri::async_runtime::block_on(async {
        // Before there is an agent to end.
        let (ending, host) = (signals::listen(), Host::follow(paths));
        let (window, wished) = Window::new(Sources {
            views: host.views(),
            tray: shown.follow(),
            chosen: preferences.follow(),
            scratch: scratch.dir().to_owned(),
        });
        if !hidden {
            window.show();
        }
        (ending, host, window, wished)
    });
    let app = tauri::Builder::default()
        .manage(host)
        .manage(scratch)
        .manage(preferences)
        .manage(Clipboard::default())
        .manage(shown)
        .manage(window)
        .on_menu_event(|app, event| keeper::chosen(app, event.id().as_ref()))
        .setup(move |app| {
            set_up(app, single, wished, hidden);
            end_at(app.handle().clone(), ending);
            Ok(())
        })
        .build(context)
        .map_err(|error| Problem::new(Code::SystemFailed, format!("failed to start the app: {error}")))?;
    let mut flush = Some(flush);
    app.run(move |app, event| match event {
        // There is no window in this process: the tray and the agent stay.
        RunEvent::ExitRequested { code: None, api, .. } => api.prevent_exit(),
        RunEvent::Exit => {
            keeper::end(app);
            app.state::<Scratch>().remove();
            // The process ends without coming back from here.
            drop(flush.take());
        }
        #[cfg(target_os = "macos")]
        RunEvent::Reopen { .. } => app.state::<Window>().show(),
        _ => {}
    });
    Ok(())
}

fn set_up(app: &mut App, mut single: Single, wished: mpsc::UnboundedReceiver<Wished>, hidden: bool) {
    // The window's process alone has a place in the Dock.
    #[cfg(target_os = "macos")]
    app.set_activation_policy(tauri::ActivationPolicy::Accessory);
    let app = app.handle();
    keeper::start(app, hidden);
    notify::start(app);
    on_click(app.clone());
    tauri::async_runtime::spawn(grant(app.clone(), wished));
    let again = app.clone();
    tauri::async_runtime::spawn(async move {
        loop {
            single.started_again().await;
            again.state::<Window>().show();
        }
    });
}

/// Does what the window wishes, each by itself: restarting an agent takes its time.
async fn grant(app: AppHandle, mut wished: mpsc::UnboundedReceiver<Wished>) {
    while let Some(Wished { wish, answer }) = wished.recv().await {
        let app = app.clone();
        tauri::async_runtime::spawn(async move {
            // The window may be gone.
            let _ = answer.send(done(&app, wish).await);
        });
    }
}

async fn done(app: &AppHandle, wish: Wish) -> Result<(), Problem> {
    let preferences = app.state::<Preferences>();
    match wish {
        Wish::StartAgent => app.state::<Host>().start_agent().await,
        Wish::RestartAgent => app.state::<Host>().restart_agent().await,
        Wish::Copy(text) => app.state::<Clipboard>().copy(&text),
        Wish::CopySecret(text) => app.state::<Clipboard>().copy_secret(text),
        Wish::Closing(how) => preferences.choose(|chosen| chosen.closing = how),
        Wish::Told(told) => preferences.choose(|chosen| chosen.told = told),
        Wish::Zoom(zoom) => preferences.choose(|chosen| chosen.zoom = zoom),
        Wish::LoginChanged => {
            if let Err(error) = keeper::refresh(app).await {
                tracing::debug!(%error, "no tray to show it");
            }
            Ok(())
        }
        Wish::Quit => {
            actions::end(app.clone()).await;
            Ok(())
        }
    }
}

/// Ends the app when the system wishes it.
fn end_at(app: AppHandle, wished: impl Future<Output = ()> + Send + 'static) {
    tauri::async_runtime::spawn(async move {
        wished.await;
        actions::end(app).await;
    });
}

fn on_click(app: AppHandle) {
    use tray_icon::{MouseButton, MouseButtonState, TrayIconEvent};
    TrayIconEvent::set_event_handler(Some(move |event| {
        if let TrayIconEvent::Click {
            button: MouseButton::Left, button_state: MouseButtonState::Up, ..
        } = event
        {
            keeper::clicked(&app);
        }
    }));
}
