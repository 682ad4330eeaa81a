//! The directory that the web view may write to: private, empty at each start of the app, and gone at its end.
//!
//! WebKitGTK and WebView2 write to one even when a page stores nothing. On Linux it is in memory where the user has a runtime
//! directory, so that nothing of a window ever lies on a disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ormesh_core::model::problem::Problem;
use ormesh_core::store::paths::Paths;
use ormesh_core::store::private;

/// The directory of this run.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Empties the directory, or makes it. Only one app may do so at a time: see `single`.
    ///
    /// Errors: it can't be made anywhere, or it is another user's.
    pub(crate) fn fresh(paths: &Paths) -> Result<Self, Problem> {
        Self::in_first(paths.web_view())
    }

    /// Takes the first place where it can be made: `su` leaves another user's runtime directory in the environment.
    fn in_first(places: Vec<PathBuf>) -> Result<Self, Problem> {
        let mut refused = None;
        for dir in places {
            remove(&dir);
            match private::ensure_dir(&dir) {
                Ok(()) => return Ok(Self(dir)),
                Err(problem) => refused = Some(problem),
            }
        }
        Err(refused.expect("there is at least one place"))
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// Removes it, when no window will be opened any more.
    pub(crate) fn remove(&self) {
        remove(&self.0);
    }
}

/// What can't be removed now, since a process of the web view is just ending, is removed at the next start.
fn remove(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "failed to remove the web view's directory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_app_before_left_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("web");
        fs::create_dir_all(place.join("storage")).unwrap();

        let scratch = Scratch::in_first(vec![place.clone()]).unwrap();

        assert_eq!(scratch.dir(), place);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    }

    #[test]
    fn where_the_first_place_can_not_be_used_the_next_is() {
        let home = tempfile::tempdir().unwrap();
        let (file, next) = (home.path().join("file"), home.path().join("web"));
        fs::write(&file, "").unwrap();

        let scratch = Scratch::in_first(vec![file.join("web"), next.clone()]).unwrap();

        assert_eq!(scratch.dir(), next);
        scratch.remove();
        assert!(!next.exists());
    }
}
