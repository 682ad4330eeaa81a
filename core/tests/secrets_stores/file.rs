//! The file store on Unix: who may read it, what it refuses, and what a kill leaves.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use ormesh_core::secrets::file::FileStore;
use ormesh_core::secrets::{SecretStore, SecretsError};

use crate::{client_id, secret};

const DIR: &str = "ORMESH_TEST_DIR";
const UMASK: &str = "ORMESH_TEST_UMASK";

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A store with one secret in it, and its file.
fn store() -> (tempfile::TempDir, FileStore, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = FileStore::new(&dir.path().join("secrets"));
    store.set(&client_id(1), &secret(b"key")).unwrap();
    let file = dir.path().join("secrets").join(client_id(1).to_string());
    (dir, store, file)
}

/// The command that an error gives to mend what is refused.
#[track_caller]
fn mend(result: Result<impl Sized, SecretsError>) -> String {
    match result.err() {
        Some(error @ SecretsError::Unsafe { .. }) => {
            let SecretsError::Unsafe { mend, .. } = &error else { unreachable!() };
            assert!(error.to_string().contains(mend.as_str()), "{error}");
            mend.clone()
        }
        other => panic!("it was not refused as unsafe: {other:?}"),
    }
}

/// This test binary, about to run one of the ignored tests below as a process of its own.
fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", test]).stdout(Stdio::null());
    command
}

#[test]
fn files_are_private_under_any_umask() {
    for umask in ["0", "22", "77", "777"] {
        let dir = tempfile::tempdir().unwrap();
        let secrets = dir.path().join("state/secrets");
        let status = child("file::writes_one_secret").env(DIR, &secrets).env(UMASK, umask).status().unwrap();
        assert!(status.success());
        assert_eq!(mode(&secrets), 0o700, "umask {umask}");
        assert_eq!(mode(secrets.parent().unwrap()), 0o700, "umask {umask}");
        assert_eq!(mode(&secrets.join(client_id(1).to_string())), 0o600, "umask {umask}");
    }
}

#[test]
#[ignore = "a part of files_are_private_under_any_umask, which runs it in a process of its own"]
fn writes_one_secret() {
    let bits = u32::from_str_radix(&std::env::var(UMASK).unwrap(), 8).unwrap();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(bits as _));
    let mut store = FileStore::new(Path::new(&std::env::var_os(DIR).unwrap()));
    store.set(&client_id(1), &secret(b"key")).unwrap();
    assert_eq!(store.get(&client_id(1)).unwrap().expose(), b"key");
}

#[test]
fn looser_modes_are_refused_with_the_command_that_mends_them() {
    let (_dir, mut store, file) = store();
    let parent = file.parent().unwrap();
    for loose in [0o640, 0o604, 0o660, 0o601] {
        chmod(&file, loose);
        assert_eq!(mend(store.get(&client_id(1))), format!("chmod go= {}", file.display()));
    }
    chmod(&file, 0o600);
    for loose in [0o755, 0o710, 0o1777] {
        chmod(parent, loose);
        let expected = format!("chmod go= {}", parent.display());
        assert_eq!(mend(store.get(&client_id(1))), expected);
        assert_eq!(mend(store.set(&client_id(2), &secret(b"key"))), expected);
        assert_eq!(mend(store.delete(&client_id(1))), expected);
        assert_eq!(mend(store.probe()), expected);
    }
    chmod(parent, 0o700);
    assert_eq!(store.get(&client_id(1)).unwrap().expose(), b"key", "nothing was changed by refusing");
}

#[test]
fn a_path_is_quoted_for_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("it's mine");
    fs::create_dir(&path).unwrap();
    chmod(&path, 0o755);
    let command = mend(FileStore::new(&path).probe());
    let status = Command::new("sh").args(["-c", &command]).status().unwrap();
    assert!(status.success());
    FileStore::new(&path).probe().unwrap();
}

#[test]
fn other_owners_are_refused() {
    let uid = rustix::process::geteuid().as_raw();
    if uid == 0 {
        let (_dir, mut store, file) = store();
        let whose = "run it as nobody: `sudo -Hu nobody ormesh …`";
        std::os::unix::fs::chown(&file, Some(65_534), None).unwrap();
        assert_eq!(mend(store.get(&client_id(1))), whose);
        std::os::unix::fs::chown(file.parent().unwrap(), Some(65_534), None).unwrap();
        assert_eq!(mend(store.probe()), whose);
    } else {
        let hint = mend(FileStore::new(Path::new("/")).probe());
        assert!(hint.starts_with("run it as root, or name places of your own"), "{hint}");
    }
}

#[test]
fn symbolic_links_and_fifos_are_refused() {
    let (dir, mut store, file) = store();
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    assert_eq!(mend(store.get(&client_id(1))), format!("rm {}", file.display()));

    // Writing replaces the link, and leaves alone what it points to.
    store.set(&client_id(1), &secret(b"new")).unwrap();
    assert_eq!(store.get(&client_id(1)).unwrap().expose(), b"new");
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "a2V5\n");

    let link = dir.path().join("link");
    symlink(file.parent().unwrap(), &link).unwrap();
    let (mended, real) =
        (mend(FileStore::new(&link).get(&client_id(1))), file.parent().unwrap().canonicalize().unwrap());
    assert!(mended.ends_with(&format!("rm {0} && mv {1} {0}", link.display(), real.display())), "{mended}");

    fs::remove_file(&file).unwrap();
    let made = Command::new("mkfifo").args(["-m", "600"]).arg(&file).status().unwrap();
    assert!(made.success());
    assert!(matches!(store.get(&client_id(1)), Err(SecretsError::Failed(_))));
}

#[test]
fn damaged_files_are_errors_and_never_missing_keys() {
    let (_dir, mut store, file) = store();
    for damage in ["", "\n", "a2V", "a2V5a2V5!", "\u{0}"] {
        fs::write(&file, damage).unwrap();
        assert!(matches!(store.get(&client_id(1)), Err(SecretsError::Failed(_))), "{damage:?}");
    }
}

#[test]
fn a_kill_while_writing_leaves_the_old_secret_or_the_new() {
    let (dir, mut store, file) = store();
    let secrets = dir.path().join("secrets");
    let (old, new) = (vec![1; 48], vec![2; 48]);
    store.set(&client_id(1), &secret(&old)).unwrap();
    for round in 0..40 {
        let mut writer = child("file::writes_for_ever").env(DIR, &secrets).spawn().unwrap();
        // The writer is at work once its second file is there; the kill then falls anywhere.
        let begun = secrets.join(client_id(2).to_string());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !begun.exists() {
            assert!(std::time::Instant::now() < deadline, "the writer did not begin");
            std::thread::yield_now();
        }
        (0..round * 400).for_each(|_| std::hint::spin_loop());
        writer.kill().unwrap();
        writer.wait().unwrap();

        let found = store.get(&client_id(1)).unwrap();
        assert!([&old, &new].iter().any(|known| *known == found.expose()), "round {round}: a mixture");
        assert_eq!(mode(&file), 0o600);
        store.delete(&client_id(2)).unwrap();
    }
    store.delete(&client_id(1)).unwrap();
    let left: Vec<_> = secrets.read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_an_interrupted_write_left_is_replaced_or_erased() {
    let (dir, mut store, file) = store();
    let left = file.with_file_name(format!(".{}.new", client_id(1)));
    fs::write(&left, "half a ke").unwrap();
    assert_eq!(store.get(&client_id(1)).unwrap().expose(), b"key");
    store.set(&client_id(1), &secret(b"new")).unwrap();
    assert_eq!(store.get(&client_id(1)).unwrap().expose(), b"new");
    assert!(!left.exists());

    // Never through a link that waits in its place.
    symlink(dir.path().join("elsewhere"), &left).unwrap();
    store.set(&client_id(1), &secret(b"newer")).unwrap();
    assert!(!dir.path().join("elsewhere").exists());

    fs::write(&left, "half a ke").unwrap();
    store.delete(&client_id(1)).unwrap();
    assert!(!left.exists() && !file.exists());
}

#[test]
#[ignore = "a part of a_kill_while_writing_leaves_the_old_secret_or_the_new, which kills it"]
fn writes_for_ever() {
    let mut store = FileStore::new(Path::new(&std::env::var_os(DIR).unwrap()));
    store.set(&client_id(2), &secret(b"begun")).unwrap();
    let parent = rustix::process::getppid();
    // It ends with its parent, should that be killed itself.
    while rustix::process::getppid() == parent {
        store.set(&client_id(1), &secret(&[1; 48])).unwrap();
        store.set(&client_id(1), &secret(&[2; 48])).unwrap();
    }
}
