//! The package for rpm and the tarball: what is in them, and that it runs.

use std::path::Path;
use std::process::Command;

use crate::installed::Host;
use crate::root::{As, Root, run};
use crate::{app_files, assert_has, command_files, package};

#[test]
fn the_rpm_has_the_same_files_and_its_programs_run() {
    let rpm = package("ormesh-", ".rpm");

    let files = run(Command::new("rpm").args(["-qlp"]).arg(&rpm));
    let files: Vec<String> = files.lines().map(str::to_owned).collect();
    assert_has(&files, &command_files("ormesh", "site-functions"), &rpm);
    assert_has(&files, &app_files(), &rpm);
    let requires = run(Command::new("rpm").args(["-qp", "--requires"]).arg(&rpm));
    for library in ["libwebkit2gtk-4.1.so.0()(64bit)", "libgtk-3.so.0()(64bit)", "libc.so.6("] {
        assert!(requires.contains(library), "{requires}");
    }
    assert!(!requires.contains("libssl"), "tor has its libraries in itself: {requires}");

    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("rpm.tgz");
    let extract = "rpm2archive - <\"$1\" >\"$2\" && tar --extract --gzip --file \"$2\" --directory \"$3\"";
    run(Command::new("sh").args(["-ec", extract, "sh"]).arg(&rpm).arg(&archive).arg(dir.path()));
    let bin = dir.path().join("usr/bin");
    assert_eq!(run(Command::new(bin.join("ormesh")).arg("--version")), version());
    assert!(run(Command::new(bin.join("ormesh-tor")).arg("--version")).starts_with("Tor version 0.4."));
    assert!(bin.join("ormesh-desktop").is_file());
}

#[test]
fn the_tarball_runs_from_where_it_is_unpacked() {
    let root = Root::new("tarball");
    let tarball = package("ormesh-", ".tar.gz");
    let listed =
        run(Command::new("tar").args(["--list", "--verbose", "--numeric-owner", "--file"]).arg(&tarball));
    assert!(listed.lines().all(|line| line.contains(" 0/0 ")), "{listed}");

    run(Command::new("tar")
        .args(["--extract", "--no-same-owner", "--file"])
        .arg(&tarball)
        .arg("--directory")
        .arg(root.path("/opt")));

    let name = tarball.file_name().unwrap().to_string_lossy().into_owned();
    let place = Path::new("/opt").join(name.trim_end_matches(".tar.gz"));
    for file in ["README.md", "LICENSE", "LICENSE-tor", "share/man/man1/ormesh.1.gz"] {
        assert!(root.path(&place.join(file).to_string_lossy()).is_file(), "{file}");
    }
    root.good(As::Root, "ln", &["-s", &place.join("bin/ormesh").to_string_lossy(), "/usr/local/bin/ormesh"]);
    let host = Host::new(&root, "tarball");
    assert_eq!(host.ormesh(&["--version"]), version());
    let _agent = host.agent();
    host.ormesh(&["wait", "--timeout", "120"]);
    let status = host.status();
    assert_eq!(status["agent"]["tor"]["path"], place.join("bin/ormesh-tor").to_string_lossy().into_owned());
}

fn version() -> String {
    format!("ormesh {}\n", env!("CARGO_PKG_VERSION"))
}
