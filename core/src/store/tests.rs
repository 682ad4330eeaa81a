//! The configuration file: edits, comments, locks, modes, links.

use std::collections::BTreeSet;

use super::*;
use crate::model::edit::{Edit, apply};

fn store(dir: &std::path::Path) -> ConfigStore {
    let paths = Paths::new(dir.join("config/config.toml"), dir.join("state")).unwrap();
    ConfigStore::new(&paths).unwrap()
}

fn add_export(port: u16) -> Edit {
    Edit::AddExport { target: port.to_string().parse().unwrap(), port: None, allow_lan: false, clients: None }
}

fn ports(config: &Config) -> BTreeSet<u16> {
    config.exports.keys().map(|port| port.get()).collect()
}

#[test]
fn an_absent_file_is_empty_and_an_edit_makes_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    assert!(store.load().unwrap().exports.is_empty());
    let edited = store.edit(|config| apply(config, &add_export(22))).unwrap();
    assert_eq!(store.load().unwrap(), edited.new);
    assert_eq!(ports(&edited.new), [22].into());
}

#[test]
fn comments_and_order_survive_edits() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    private::ensure_parent(&store.paths().config).unwrap();
    let text = "# mine\ninstance = \"aaaaaaaaaaaaaaaa\"\n\n[[export]] # web\ntarget = \"127.0.0.1:80\" # nginx\n\n[[export]]\ntarget = \"22\"   # ssh\n";
    std::fs::write(&store.paths().config, text).unwrap();
    store.edit(|config| apply(config, &add_export(443))).unwrap();
    let after = std::fs::read_to_string(&store.paths().config).unwrap();
    for kept in
        ["# mine\n", "[[export]] # web\ntarget = \"127.0.0.1:80\" # nginx\n", "target = \"22\"   # ssh\n"]
    {
        assert!(after.contains(kept), "{kept:?} went missing from\n{after}");
    }
    store.edit(|config| apply(config, &Edit::DeleteExport { port: 443.try_into().unwrap() })).unwrap();
    store.edit(|config| apply(config, &Edit::DeleteExport { port: 22.try_into().unwrap() })).unwrap();
    let after = std::fs::read_to_string(&store.paths().config).unwrap();
    assert!(after.contains("# nginx") && !after.contains("22"), "{after}");
}

#[test]
fn bridges_written_by_hand_keep_their_form_until_they_are_changed() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    private::ensure_parent(&store.paths().config).unwrap();
    let fingerprint = "0123456789abcdef0123456789abcdef01234567";
    let by_hand = format!(
        "bridges = [\n  # from a friend\n  \"Bridge obfs4 192.0.2.3:443 {fingerprint} cert=x\",\n]\n"
    );
    std::fs::write(&store.paths().config, format!("[agent]\n{by_hand}")).unwrap();
    let read = || std::fs::read_to_string(&store.paths().config).unwrap();
    let set = |text: &str| Edit::Set(crate::model::edit::Setting::parse("agent.bridges", text).unwrap());

    store.edit(|config| apply(config, &add_export(22))).unwrap();
    assert!(read().contains(&by_hand), "{}", read());

    store.edit(|config| apply(config, &set(&format!("192.0.2.4:443 {fingerprint}")))).unwrap();
    let upper = fingerprint.to_uppercase();
    assert!(read().contains(&format!("bridges = [\n    \"192.0.2.4:443 {upper}\",\n]\n")), "{}", read());
    assert_eq!(store.load().unwrap().agent.bridges.len(), 1);

    store.edit(|config| apply(config, &set(""))).unwrap();
    assert!(!read().contains("bridges"), "{}", read());
}

#[test]
fn a_refused_edit_and_a_bad_file_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    store.edit(|config| apply(config, &add_export(22))).unwrap();
    let before = std::fs::read(&store.paths().config).unwrap();
    let refusal = store.edit(|_| Err(Problem::new(Code::NotAllowed, "no"))).unwrap_err();
    assert_eq!(refusal.message, "no");
    assert_eq!(std::fs::read(&store.paths().config).unwrap(), before);

    std::fs::write(&store.paths().config, "[[export]]\ntarget = \"22\"\nprot = 23\n").unwrap();
    let problem = store.edit(|config| apply(config, &add_export(80))).unwrap_err();
    assert!(problem.message.contains("line 3, column 1: unknown field `prot`"), "{}", problem.message);
    assert_eq!(
        std::fs::read_to_string(&store.paths().config).unwrap(),
        "[[export]]\ntarget = \"22\"\nprot = 23\n"
    );
}

#[test]
fn parallel_writers_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store(dir.path());
            std::thread::spawn(move || {
                for change in 0..5 {
                    store.edit(|config| apply(config, &add_export(1000 + writer * 5 + change))).unwrap();
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert_eq!(store(dir.path()).load().unwrap().exports.len(), 40);
}

#[cfg(unix)]
#[test]
fn loose_modes_are_refused_with_the_command_that_mends_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    store.edit(|config| apply(config, &add_export(22))).unwrap();
    let chmod = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    assert_eq!(std::fs::metadata(&store.paths().config).unwrap().permissions().mode() & 0o777, 0o600);
    chmod(&store.paths().config, 0o664);
    assert_eq!(store.load().unwrap_err().hint, format!("chmod go-w {}", store.paths().config.display()));
    chmod(&store.paths().config, 0o644);
    store.edit(|config| apply(config, &add_export(23))).unwrap();
    assert_eq!(std::fs::metadata(&store.paths().config).unwrap().permissions().mode() & 0o777, 0o644);
    chmod(&store.paths().state, 0o750);
    let problem = store.edit(|config| apply(config, &add_export(24))).unwrap_err();
    assert_eq!(problem.hint, format!("chmod go= {}", store.paths().state.display()));
}

#[cfg(unix)]
#[test]
fn a_symlink_of_ours_is_followed_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    private::ensure_parent(&store.paths().config).unwrap();
    let target = dir.path().join("dotfiles.toml");
    std::fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, &store.paths().config).unwrap();
    store.edit(|config| apply(config, &add_export(22))).unwrap();
    assert!(std::fs::symlink_metadata(&store.paths().config).unwrap().is_symlink());
    assert!(std::fs::read_to_string(&target).unwrap().contains("127.0.0.1:22"));
}

/// Waits until what is in force is so.
#[track_caller]
fn until(store: &ConfigStore, what: &str, mut is_so: impl FnMut(&InForce) -> bool) {
    let start = std::time::Instant::now();
    while !is_so(&store.in_force().borrow()) {
        assert!(start.elapsed().as_secs() < 60, "not in time: {what}: {:?}", store.in_force().borrow());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn export(port: u16) -> String {
    format!("[[export]]\ntarget = \"{port}\"\n")
}

/// A store whose file exports port 22, followed.
fn followed(dir: &std::path::Path) -> (ConfigStore, watch::FileWatch) {
    let store = store(dir);
    private::ensure_parent(&store.paths().config).unwrap();
    private::ensure_dir(&store.paths().state).unwrap();
    std::fs::write(&store.paths().config, export(22)).unwrap();
    let watch = watch::FileWatch::start(store.clone()).unwrap();
    store.start().unwrap();
    (store, watch)
}

#[test]
fn a_change_by_another_hand_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _watch) = followed(dir.path());
    for port in 23..26 {
        std::fs::write(&store.paths().config, export(port)).unwrap();
        until(&store, "the change", |in_force| ports(&in_force.config) == [port].into());
    }
}

#[cfg(unix)]
#[test]
fn a_file_under_a_link_that_is_swapped_is_followed_for_ever() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let conf = store.paths().config.parent().unwrap().to_owned();
    private::ensure_dir(&store.paths().state).unwrap();
    private::ensure_dir(&conf).unwrap();
    let generation = |number: u16| {
        let data = conf.join(format!("..{number}"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("config.toml"), export(number)).unwrap();
        symlink(format!("..{number}"), conf.join("..new")).unwrap();
        std::fs::rename(conf.join("..new"), conf.join("..data")).unwrap();
    };
    generation(22);
    symlink("..data/config.toml", &store.paths().config).unwrap();
    let _watch = watch::FileWatch::start(store.clone()).unwrap();
    store.start().unwrap();
    for number in 23..27 {
        generation(number);
        until(&store, "the swap", |in_force| ports(&in_force.config) == [number].into());
    }
}

#[test]
fn a_directory_that_is_replaced_is_followed_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _watch) = followed(dir.path());
    let conf = store.paths().config.parent().unwrap();
    for number in 23..26 {
        std::fs::rename(conf, dir.path().join(format!("old-{number}"))).unwrap();
        until(&store, "the absence", |in_force| in_force.problem.is_some());
        std::fs::create_dir(conf).unwrap();
        std::fs::write(&store.paths().config, export(number)).unwrap();
        until(&store, "the new one", |in_force| ports(&in_force.config) == [number].into());
        std::fs::write(&store.paths().config, export(100 + number)).unwrap();
        until(&store, "a change in it", |in_force| ports(&in_force.config) == [100 + number].into());
    }
}

#[test]
fn a_directory_far_up_is_followed_though_other_files_beside_the_old_one_change_all_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let (here, old) = (dir.path().join("here"), dir.path().join("old"));
    std::fs::create_dir(&here).unwrap();
    let (store, _watch) = followed(&here);
    let state = store.paths().state.clone();
    let conf = store.paths().config.parent().unwrap().to_owned();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let other = old.join("config/other");
    std::fs::rename(&here, &old).unwrap();
    let busy = std::thread::spawn(move || {
        while stopped
            .recv_timeout(std::time::Duration::from_millis(200))
            .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            std::fs::write(&other, "busy").unwrap();
        }
    });
    private::ensure_dir(&state).unwrap();
    private::ensure_dir(&conf).unwrap();
    std::fs::write(&store.paths().config, export(23)).unwrap();

    until(&store, "the new one", |in_force| ports(&in_force.config) == [23].into());

    drop(stop);
    busy.join().unwrap();
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_stays_a_link_and_its_target_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    private::ensure_parent(&store.paths().config).unwrap();
    let target = dir.path().join("dotfiles.toml");
    std::os::unix::fs::symlink("../dotfiles.toml", &store.paths().config).unwrap();
    store.edit(|config| apply(config, &add_export(22))).unwrap();
    assert!(std::fs::symlink_metadata(&store.paths().config).unwrap().is_symlink());
    assert!(std::fs::read_to_string(&target).unwrap().contains("127.0.0.1:22"));
}

#[test]
fn line_ends_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    private::ensure_parent(&store.paths().config).unwrap();
    std::fs::write(&store.paths().config, "# mine\r\n[[export]]\r\ntarget = \"22\" # ssh\r\n").unwrap();
    store.edit(|config| apply(config, &add_export(80))).unwrap();
    let after = std::fs::read_to_string(&store.paths().config).unwrap();
    assert!(after.contains("target = \"22\" # ssh\r\n"), "{after:?}");
    assert_eq!(after.matches('\n').count(), after.matches("\r\n").count(), "{after:?}");
    assert_eq!(store.load().unwrap().exports.len(), 2);
}

#[test]
fn a_lost_file_is_refused_by_every_call_until_it_is_back_or_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let first = store(dir.path());
    first.edit(|config| apply(config, &add_export(22))).unwrap();
    for lost in [None, Some(""), Some("[agent]\n")] {
        match lost {
            None => std::fs::remove_file(&first.paths().config).unwrap(),
            Some(text) => std::fs::write(&first.paths().config, text).unwrap(),
        }
        // Another process, which has only what is on disk.
        for store in [&first, &store(dir.path())] {
            assert_eq!(store.load().unwrap_err().kind, ProblemKind::Refused);
            assert!(store.edit(|config| apply(config, &add_export(80))).is_err());
        }
        let agent = store(dir.path());
        agent.start().unwrap();
        assert_eq!(ports(&agent.in_force().borrow().config), [22].into());
        assert!(agent.in_force().borrow().problem.is_some());
        assert_eq!(store(dir.path()).restore().unwrap().is_some(), lost.is_some_and(|text| !text.is_empty()));
        assert_eq!(ports(&first.load().unwrap()), [22].into());
    }
    std::fs::remove_file(&first.paths().config).unwrap();
    store(dir.path()).accept().unwrap();
    assert!(store(dir.path()).load().unwrap().exports.is_empty());
    store(dir.path()).edit(|config| apply(config, &add_export(80))).unwrap();
}

#[test]
fn what_a_command_deletes_is_gone_the_last_thing_too() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path()).edit(|config| apply(config, &add_export(22))).unwrap();
    let delete = Edit::DeleteExport { port: 22.try_into().unwrap() };
    store(dir.path()).edit(|config| apply(config, &delete)).unwrap();
    assert!(store(dir.path()).load().unwrap().exports.is_empty());
}

/// A hand edit that another program renames into place just when a command writes.
fn replace_by_hand(path: &std::path::Path, text: &str) {
    let new = path.with_extension("by-hand");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

#[test]
fn a_hand_edit_at_the_same_moment_is_kept_and_the_command_comes_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let path = store.paths().config.clone();
    let asked = std::cell::Cell::new(0);
    private::ensure_parent(&path).unwrap();
    let (first, by_hand) = (add_export(22), "# mine\n[[export]]\ntarget = \"9000\"\n");
    for was_there in [false, true] {
        asked.set(0);
        let edit = if was_there { add_export(80) } else { first.clone() };
        let edited = store.edit(|config| {
            asked.set(asked.get() + 1);
            if asked.get() == 1 {
                replace_by_hand(&path, by_hand);
            }
            apply(config, &edit)
        });

        assert_eq!(asked.get(), 2);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("# mine\n"), "{text}");
        let expected = if was_there { [80, 9000] } else { [22, 9000] };
        assert_eq!(ports(&edited.unwrap().new), expected.into());
        assert_eq!(ports(&store.load().unwrap()), expected.into());
    }
}

#[test]
fn a_file_that_another_program_changes_each_time_is_busy_and_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let path = store.paths().config.clone();
    store.edit(|config| apply(config, &add_export(22))).unwrap();
    let turn = std::cell::Cell::new(9000);

    let refused = store.edit(|config| {
        turn.set(turn.get() + 1);
        replace_by_hand(&path, &format!("[[export]]\ntarget = \"{}\"\n", turn.get()));
        apply(config, &add_export(80))
    });

    assert_eq!(refused.unwrap_err().code, Code::ConfigBusy);
    assert_eq!(ports(&store.load().unwrap()), [turn.get()].into());
}

#[test]
fn half_a_file_is_neither_confirmed_nor_replaced_while_its_writer_is_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let path = store.paths().config.clone();
    store.edit(|config| apply(config, &add_export(22))).unwrap();
    let whole = "[[export]]\ntarget = \"80\"\nclients = []\n";
    let half = &whole[..whole.find("clients").unwrap()];
    std::fs::write(&path, half).unwrap();
    store.set_being_written(true);
    let generation = store.in_force().borrow().generation;

    assert_eq!(store.accept().unwrap_err().code, Code::ConfigBusy);
    assert_eq!(store.restore().unwrap_err().code, Code::ConfigBusy);

    assert_eq!(std::fs::read_to_string(&path).unwrap(), half);
    assert_eq!(store.in_force().borrow().generation, generation);
    std::fs::write(&path, whole).unwrap();
    store.set_being_written(false);
    store.accept().unwrap();
    assert_eq!(ports(&store.in_force().borrow().config), [80].into());
}

#[test]
fn a_file_that_can_not_be_kept_beside_is_left_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing can be appended to so long a name.
    let path = dir.path().join("c".repeat(250));
    let file = ConfigFile { path, files: Files::default(), fresh: InstanceId::from_random([7; 10]) };
    let refused = file.put_aside(b"mine\n").unwrap_err();
    assert_eq!(refused.code, Code::ConfigUnwritable);
}

#[test]
fn hand_edits_and_commands_at_once_lose_neither() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let path = store.paths().config.clone();
    store.edit(|config| apply(config, &add_export(22))).unwrap();
    let (editing, done) = (store.clone(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let is_done = std::sync::Arc::clone(&done);
    let commands = std::thread::spawn(move || {
        for port in (1000u16..1300).cycle() {
            if is_done.load(std::sync::atomic::Ordering::SeqCst) {
                return;
            }
            // Busy where the hand is quicker each time.
            let _ = editing.edit(|config| match ports(config).contains(&port) {
                true => apply(config, &Edit::DeleteExport { port: i64::from(port).try_into().unwrap() }),
                false => apply(config, &add_export(port)),
            });
        }
    });
    for number in 0..400 {
        let mark = format!("# hand {number}\n");
        replace_by_hand(&path, &format!("{mark}[[export]]\ntarget = \"22\"\n"));
        for _ in 0..20 {
            let text = std::fs::read_to_string(&path).unwrap();
            // A command's text for a moment, before it is taken back.
            if !text.contains(&mark) {
                std::thread::sleep(std::time::Duration::from_millis(20));
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(text.contains(&mark), "lost {mark}: {text}");
            }
        }
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    commands.join().unwrap();
}

#[test]
fn each_rejected_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let path = store.paths().config.clone();
    store.edit(|config| apply(config, &add_export(22))).unwrap();
    let mut kept = Vec::new();
    for text in ["mine", "[agent]\n", "mine", "[agent]\n\n"] {
        std::fs::write(&path, text).unwrap();
        kept.push((text, store.restore().unwrap().unwrap()));
    }
    for (text, aside) in &kept {
        assert_eq!(std::fs::read_to_string(aside).unwrap(), *text, "{kept:?}");
    }
    let name = path.display();
    let names: Vec<_> = kept.iter().map(|(_, aside)| aside.clone()).collect();
    let first = format!("{name}.rejected");
    assert_eq!(names, [first.clone(), format!("{name}.rejected-2"), first, format!("{name}.rejected-3")]);
}

/// Files whose copies of the last good configuration are written with the lock of the configuration held, or not.
#[derive(Debug)]
struct Copies {
    paths: Paths,
    were_held: Mutex<Vec<bool>>,
}

#[async_trait::async_trait]
impl files::Ways for Copies {
    async fn apart(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn before(&self, path: &std::path::Path, _change: files::Change) -> std::io::Result<()> {
        if path == self.paths.last_good() {
            let is_held = lock::try_lock(&self.paths.config_lock()).unwrap().is_none();
            self.were_held.lock().unwrap().push(is_held);
        }
        Ok(())
    }
}

#[test]
fn each_copy_of_a_good_configuration_is_written_under_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::new(dir.path().join("config.toml"), dir.path().join("state")).unwrap();
    private::ensure_dir(&paths.state).unwrap();
    let copies = Arc::new(Copies { paths: paths.clone(), were_held: Mutex::default() });
    let files = Files::over(Arc::clone(&copies) as _);
    let store = ConfigStore::over(&paths, files, InstanceId::from_random([7; 10]));
    let export = |port: u16| format!("[[export]]\ntarget = \"{port}\"\n");
    std::fs::write(&paths.config, export(22)).unwrap();
    store.start().unwrap();
    std::fs::write(&paths.config, export(80)).unwrap();
    store.reload();
    let more = |config: &Config| {
        let mut config = config.clone();
        config.agent.max_sessions += 1;
        Ok(config)
    };
    store.edit(more).unwrap();
    assert_eq!(*copies.were_held.lock().unwrap(), [true; 3]);

    // Somebody who holds it for long keeps out no change by hand.
    let _held = lock::try_lock(&paths.config_lock()).unwrap().unwrap();
    std::fs::write(&paths.config, export(443)).unwrap();
    store.reload();
    let in_force = store.in_force();
    assert!(in_force.borrow().config.exports.keys().map(|port| port.get()).eq([443]));
}
