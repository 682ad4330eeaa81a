//! Where the programs under test are.

use std::path::PathBuf;
use std::sync::LazyLock;

/// The command under test: cargo puts it beside the program that asks, or above its `deps`.
pub fn ormesh() -> &'static str {
    static ORMESH: LazyLock<String> = LazyLock::new(|| {
        let own = std::env::current_exe().unwrap();
        let dir = own.parent().unwrap();
        let dir: PathBuf = if dir.ends_with("deps") { dir.parent().unwrap().into() } else { dir.into() };
        dir.join("ormesh").into_os_string().into_string().unwrap()
    });
    &ORMESH
}
