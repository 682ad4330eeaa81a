//! What is done from several places: open or copy an import's address, open a file, and end the app.

use std::path::Path;

use ormesh_core::model::address::ListenAddr;
use ormesh_core::model::problem::{Code, Problem};
use tauri::{AppHandle, Manager as _};

use crate::clipboard::Clipboard;
use crate::host::Host;
use crate::link::app::Window;
use crate::web;

/// Opens an import in the browser. The address is made here from the import's own: no text of the window reaches the system.
pub(crate) fn open_address(host: &Host, listen: &ListenAddr) -> Result<(), Problem> {
    let view = host.view();
    let mut imports =
        view.status.iter().flat_map(|status| &status.remotes).flat_map(|remote| &remote.imports);
    let import = imports.find(|import| import.listen == *listen);
    let address = import
        .and_then(web::address)
        .ok_or_else(|| Problem::new(Code::NoPage, format!("there is no web page to open at {listen}")))?;
    open::that_detached(address)
        .map_err(|error| Problem::new(Code::SystemFailed, format!("failed to open the browser: {error}")))
}

/// Opens a text of ours in the program that the system has for it.
pub(crate) fn open_file(path: &Path) -> Result<(), Problem> {
    if !path.is_file() {
        return Err(Problem::new(Code::NotThere, format!("there is no file {}", path.display())));
    }
    open::that_detached(path).map_err(|error| {
        Problem::new(Code::SystemFailed, format!("failed to open {}: {error}", path.display()))
            .hint("open it in an editor")
    })
}

/// Copies an import's address.
pub(crate) fn copy_address(clipboard: &Clipboard, listen: &ListenAddr) -> Result<(), Problem> {
    clipboard.copy(&listen.to_string())
}

/// Ends the agent if it is ours, then the window and the app.
pub(crate) async fn end(app: AppHandle) {
    app.state::<Clipboard>().clear_secret();
    app.state::<Host>().end().await;
    app.state::<Window>().end().await;
    app.exit(0);
}
