//! Tells when the configuration file may have changed. Watches directories, since editors and ourselves replace the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// A watch on one file; ends when dropped.
pub struct FileWatch {
    changed: Arc<Notify>,
    _watcher: Option<RecommendedWatcher>,
}

impl FileWatch {
    /// Watches the file's directory, and its target's where it is a symlink. Where the system can't watch, changes are not seen,
    /// which is logged: commands still tell the agent directly.
    pub fn new(path: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let notify = Arc::clone(&changed);
        let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let names: Vec<_> =
            [path, &target].iter().filter_map(|path| path.file_name().map(ToOwned::to_owned)).collect();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error (an overflow, say) may have swallowed our event.
            let ours =
                |path: &PathBuf| path.file_name().is_some_and(|name| names.iter().any(|ours| ours == name));
            let matters = |event: notify::Event| !event.kind.is_access() && event.paths.iter().any(ours);
            if event.map_or(true, matters) {
                notify.notify_one();
            }
        });
        let watcher = watcher.and_then(|mut watcher| {
            for dir in [path.parent(), target.parent()].into_iter().flatten() {
                watcher.watch(dir, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "the configuration file can't be watched"))
            .ok();
        Self { changed, _watcher: watcher }
    }

    /// Waits for the next change; one that came before is told at once. Cancel-safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}
