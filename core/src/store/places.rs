//! The path to a file through symbolic links: each directory whose entries could change where the path leads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::private;

/// Links on a way, as many as Linux follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// What leads to a file: directories that exist, the identity of each, and the names in it that matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Places(BTreeMap<PathBuf, Place>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    identity: Option<(u64, u64)>,
    names: BTreeSet<OsString>,
}

impl Places {
    /// Walks the way to a file. Where a directory is missing, the last one before it is a place, since it will come there.
    pub(super) fn to(file: &Path) -> Self {
        let mut places = Self::default();
        let mut ways = VecDeque::from([file.to_path_buf()]);
        let mut links = 0;
        while let Some(way) = ways.pop_front() {
            let mut dir = PathBuf::new();
            let mut rest = way.components();
            while let Some(component) = rest.next() {
                let Component::Normal(name) = component else {
                    dir.push(component);
                    continue;
                };
                let whole = dir.join(name);
                let is_last = rest.clone().next().is_none();
                let target = std::fs::read_link(&whole).ok().filter(|_| links < MAX_LINKS);
                if is_last || target.is_some() || std::fs::symlink_metadata(&whole).is_err() {
                    places.add(&dir, name.to_owned());
                }
                if let Some(target) = target {
                    links += 1;
                    ways.push_back(dir.join(target).join(rest.as_path()));
                    break;
                }
                dir = whole;
            }
        }
        places
    }

    fn add(&mut self, dir: &Path, name: OsString) {
        let Ok(meta) = std::fs::metadata(dir) else { return };
        let identity = private::identity(&meta);
        let place = Place { identity, names: BTreeSet::new() };
        self.0.entry(dir.to_path_buf()).or_insert(place).names.insert(name);
    }

    /// The directories.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Whether a path is one that matters: a name on the way, or one of the directories themselves.
    pub(super) fn concern(&self, path: &Path) -> bool {
        let is_name = || {
            let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return false };
            self.0.get(dir).is_some_and(|place| place.names.contains(name))
        };
        self.0.contains_key(path) || is_name()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_a_place() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        fs::create_dir_all(home.join("conf/..2024")).unwrap();
        fs::write(home.join("conf/..2024/config.toml"), "").unwrap();
        symlink("..2024", home.join("conf/..data")).unwrap();
        symlink("..data/config.toml", home.join("conf/config.toml")).unwrap();
        let places = Places::to(&home.join("conf/config.toml"));
        let dirs: Vec<_> = places.directories().collect();
        assert_eq!(dirs, [home.join("conf"), home.join("conf/..2024")]);
        for path in ["conf/config.toml", "conf/..data", "conf/..2024/config.toml", "conf"] {
            assert!(places.concern(&home.join(path)), "{path}");
        }
        assert!(!places.concern(&home.join("conf/other.toml")));
        fs::remove_file(home.join("conf/..data")).unwrap();
        symlink("..2025", home.join("conf/..data")).unwrap();
        assert_ne!(Places::to(&home.join("conf/config.toml")), places);
    }

    #[test]
    fn a_directory_that_is_missing_or_replaced_is_another_place() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        let file = home.join("a/b/config.toml");
        let before = Places::to(&file);
        assert_eq!(before.directories().collect::<Vec<_>>(), [&home]);
        assert!(before.concern(&home.join("a")));
        fs::create_dir_all(home.join("a/b")).unwrap();
        let there = Places::to(&file);
        assert_eq!(there.directories().collect::<Vec<_>>(), [home.join("a/b")]);
        fs::rename(home.join("a/b"), home.join("a/c")).unwrap();
        fs::create_dir(home.join("a/b")).unwrap();
        assert_ne!(Places::to(&file), there);
    }

    #[test]
    fn links_that_lead_round_in_circles_have_an_end() {
        let home = tempfile::tempdir().unwrap();
        symlink("b", home.path().join("a")).unwrap();
        symlink("a", home.path().join("b")).unwrap();
        assert!(Places::to(&home.path().join("a/config.toml")).concern(&home.path().join("a")));
    }
}
