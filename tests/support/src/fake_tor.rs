//! A tor that follows a script, and a network of such tors: hostile and slow replies, lost events, a clock that jumps, in milliseconds.
//!
//! An agent starts it as its tor (`ORMESH_TOR`). It is the test's own binary: a test that is ignored, and does nothing but [`FakeTor::play`],
//! is what runs in it. What a script can say is in `script`.

mod files;
mod play;
mod script;
mod wire;
mod world;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use files::Files;
use script::Script;

/// What names the directory of its files, and tor's arguments, to the process.
const ENVIRONMENT: [&str; 2] = ["FAKE_TOR", "FAKE_TOR_ARGUMENTS"];

/// See the file's sentence.
#[derive(Debug)]
pub struct FakeTor(Files);

impl FakeTor {
    /// One with its files in this directory, which is made, on the network of this one; `player` is the whole name of the test that plays it.
    pub fn new(dir: &Path, network: &Path, player: &str) -> Self {
        let files = Files::at(dir);
        for dir in [dir, network] {
            fs::create_dir_all(dir).unwrap();
        }
        files.set_network(network);
        // So that its process is called what tor's is.
        symlink(std::env::current_exe().unwrap(), dir.join("tor")).unwrap();
        let [named, arguments] = ENVIRONMENT;
        let text = format!(
            "#!/bin/sh\n\
             [ \"$1\" = --version ] && {{ echo 'Tor version 0.4.9.11.'; exit; }}\n\
             echo \"$$\" >> '{dir}/starts'\n\
             {named}='{dir}' {arguments}=\"$*\" exec '{dir}/tor' --exact {player} --ignored --nocapture\n",
            dir = dir.display(),
        );
        fs::write(files.program(), text).unwrap();
        fs::set_permissions(files.program(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(files)
    }

    /// The program to be started as tor.
    pub fn program(&self) -> PathBuf {
        self.0.program()
    }

    /// Another script from now on. With an empty one it is an ordinary tor.
    ///
    /// # Panics
    ///
    /// When it can't be read.
    #[track_caller]
    pub fn script(&self, script: &str) {
        Script::parse(script).unwrap_or_else(|line| panic!("no rule of a script: {line:?}"));
        self.0.set_script(script);
    }

    /// Has it tell an event; without the number before it.
    pub fn tell(&self, event: &str) {
        self.0.tell(event);
    }

    /// How often it was started.
    pub fn starts(&self) -> usize {
        self.0.starts().len()
    }

    /// The processes that were started.
    pub fn processes(&self) -> Vec<u32> {
        self.0.starts()
    }

    /// The commands that it was sent, whole. A connection over SOCKS is noted as `SOCKS name:port`.
    pub fn heard(&self) -> Vec<String> {
        self.0.heard()
    }

    /// How many of them begin like this.
    pub fn times(&self, beginning: &str) -> usize {
        self.heard().iter().filter(|line| line.starts_with(beginning)).count()
    }

    /// Plays it, where this process was started as one.
    pub fn play() {
        let [Some(dir), Some(arguments)] = ENVIRONMENT.map(std::env::var_os) else { return };
        play::play(Files::at(Path::new(&dir)), arguments.to_str().unwrap());
    }
}
