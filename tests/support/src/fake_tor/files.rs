//! The files by which a test and its scripted tor know of each other.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A directory of theirs.
#[derive(Debug, Clone)]
pub(crate) struct Files(PathBuf);

impl Files {
    /// This one.
    pub(crate) fn at(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// The program that an agent starts as its tor.
    pub(crate) fn program(&self) -> PathBuf {
        self.0.join("fake-tor")
    }

    /// The directory of the network that it is on.
    pub(crate) fn network(&self) -> PathBuf {
        self.read("network").trim().into()
    }

    /// Puts it on a network.
    pub(crate) fn set_network(&self, network: &Path) {
        fs::write(self.0.join("network"), network.to_str().unwrap()).unwrap();
    }

    pub(crate) fn script(&self) -> String {
        self.read("script")
    }

    /// Another script, at once and whole.
    pub(crate) fn set_script(&self, script: &str) {
        let new = self.0.join("script.new");
        fs::write(&new, script).unwrap();
        fs::rename(new, self.0.join("script")).unwrap();
    }

    /// The processes that were started, in order.
    pub(crate) fn starts(&self) -> Vec<u32> {
        self.lines("starts").iter().map(|line| line.parse().unwrap()).collect()
    }

    /// The events that are to be told.
    pub(crate) fn told(&self) -> Vec<String> {
        self.lines("told")
    }

    /// One more of them.
    pub(crate) fn tell(&self, event: &str) {
        self.append("told", event);
    }

    /// What it was sent.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.lines("heard")
    }

    /// It was sent this.
    pub(crate) fn note(&self, line: &str) {
        self.append("heard", line);
    }

    fn append(&self, name: &str, line: &str) {
        let mut file = File::options().create(true).append(true).open(self.0.join(name)).unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The lines that are whole.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = self.read(name);
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_default()
    }
}
