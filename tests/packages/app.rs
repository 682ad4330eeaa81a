//! The app's package, from its installation to its removal.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use support::until;

use crate::again::Hidden;
use crate::driver::Session;
use crate::installed::{Host, Running, fetch, free_address, serve};
use crate::panel::Panel;
use crate::root::{As, Root};
use crate::screen::{Bus, Screen};
use crate::{app_files, assert_has, command_files, package};

/// What the tests need in the root that the package does not bring: a display, a bus, a driver for the window, shells, systemd's
/// own check of units.
const FOR_TESTS: [&str; 7] = ["dbus-daemon", "fish", "man-db", "systemd", "webkit2gtk-driver", "xvfb", "zsh"];

#[test]
fn the_app_is_installed_used_and_removed() {
    let root = Root::new("app");
    assert_eq!(root.shell("command -v tor ormesh ormesh-tor || true"), "");
    let deb = package("ormesh_", ".deb");

    root.install(&[&root.bring(&deb)]);

    let files = root.files_of("ormesh");
    assert_has(&files, &command_files("ormesh", "vendor-completions"), &deb);
    assert_has(&files, &app_files(), &deb);
    assert_eq!(root.shell("command -v tor || true"), "", "no tor but the package's own");
    let version = root.good(As::User, "ormesh", &["--version"]);
    assert_eq!(version.trim(), format!("ormesh {}", env!("CARGO_PKG_VERSION")));

    root.install(&FOR_TESTS);
    documents_are_read(&root);
    let page = "a page of the exporter's";
    let (exporter, importer) = (Host::new(&root, "exporter"), Host::new(&root, "importer"));
    let port = serve(page);
    let listen = free_address();
    let mut agent = {
        let window = Window::open(&root, &exporter);
        let invite = window.share(port);
        importer.add_remote("website", &invite);
        importer.ormesh(&["import", "add", "website", &port.to_string(), &listen.to_string()]);
        let mut agent = importer.agent();
        importer.ormesh(&["wait", "--timeout", "120"]);
        let answer = until("the page comes through", || fetch(listen));
        assert!(answer.ends_with(page), "{answer}");
        exporter.assert_own_tor();
        importer.assert_own_tor();
        assert!(agent.runs());
        agent
    };

    window_opens_again(&root);
    removed(&root, &files, &mut agent);
    assert!(exporter.is_kept() && importer.is_kept());
}

/// The window of the release as a person has it: nothing drives it.
fn window_opens_again(root: &Root) {
    /// Open to root, too: the tests' panel is on it.
    const BUS: &str = r#"<busconfig><type>session</type><listen>unix:abstract=ormesh-packages</listen>
        <policy context="default"><allow user="*"/><allow own="*"/><allow eavesdrop="true"/>
        <allow send_destination="*" eavesdrop="true"/></policy></busconfig>"#;
    std::fs::write(root.path("/etc/bus-for-tests.conf"), BUS).unwrap();
    let screen = Screen::by(root.command(As::User, "Xvfb"));
    let mut daemon = root.command(As::User, "dbus-daemon");
    daemon.arg("--config-file=/etc/bus-for-tests.conf");
    let bus = Bus::by(daemon);
    let panel = Panel::on(&bus);
    let host = Host::new(root, "desk");
    let start = |arguments: &[&str]| {
        let mut app = host.command("ormesh-desktop");
        app.args(arguments).env("DISPLAY", screen.name()).env("DBUS_SESSION_BUS_ADDRESS", bus.address());
        Running(app.env("LIBGL_ALWAYS_SOFTWARE", "1").stderr(Stdio::null()).spawn().unwrap())
    };
    let mut app = start(&["--hidden"]);
    let icon = panel.icon();
    // Nothing changes any more then.
    until("the app's agent is online", || (host.status()["agent"]["state"]["is"] == "online").then_some(()));

    let start_again = || {
        let mut second = start(&[]);
        until("a second start ends", || (!second.runs()).then_some(()));
    };
    let (pid, screen) = (app.id(), &screen);
    Hidden { app: pid, screen, panel: &panel, icon: &icon, start_again: &start_again }
        .opens_again("installed");

    app.end();
}

/// Removes the package while an agent runs: that one is named and goes on, and of the package nothing is left.
fn removed(root: &Root, files: &[String], agent: &mut Running) {
    let said = root.good(As::Root, "apt-get", &["--quiet", "--yes", "purge", "ormesh"]);

    assert!(said.contains(&format!("ormesh: process {} still runs", agent.id())), "{said}");
    assert!(agent.runs());
    agent.end();
    for file in files {
        assert!(!root.path(file).exists(), "left behind: {file}");
    }
    assert_eq!(root.traces(), "");
    let known = root.shell("dpkg-query --show --showformat='${Package} ' '*ormesh*' 2>&1 || true");
    assert!(known.contains("no packages found"), "{known}");
}

/// Whoever reads the package's documents finds them in order: man, the three shells, systemd.
fn documents_are_read(root: &Root) {
    // By the user: read by root, a page is kept in man's cache.
    let manual = root.good(As::User, "man", &["--no-hyphenation", "ormesh"]);
    assert!(manual.contains("A private mesh of hosts over Tor"), "{manual}");
    root.good(As::User, "man", &["ormesh-agent-run", "ormesh-tor", "ormesh-desktop"]);

    let bash = root.good(
        As::User,
        "bash",
        &["-ec", ". /usr/share/bash-completion/completions/ormesh; complete -p ormesh"],
    );
    assert!(bash.contains("_ormesh"), "{bash}");
    let zsh = root.good(
        As::User,
        "zsh",
        &["-fc", "autoload -Uz compinit && compinit -D && print $_comps[ormesh] && autoload +X _ormesh"],
    );
    assert_eq!(zsh.lines().next(), Some("_ormesh"), "{zsh}");
    let fish = root.good(As::User, "fish", &["-c", "complete --do-complete 'ormesh agent '"]);
    assert!(fish.contains("systemd-unit"), "{fish}");

    let unit = root.shell("cat /usr/lib/systemd/user/ormesh.service");
    assert!(unit.contains("\nExecStart=/usr/bin/ormesh agent run\n"), "{unit}");
    root.good(As::User, "systemd-analyze", &["--user", "verify", "/usr/lib/systemd/user/ormesh.service"]);
    root.good(As::Root, "systemd-analyze", &["verify", "/usr/lib/systemd/system/ormesh.service"]);
}

/// The installed app's window and what it takes; they end with this value, the session first.
struct Window {
    session: Session,
    _driver: Running,
    _display: Running,
}

impl Window {
    fn open(root: &Root, host: &Host<'_>) -> Self {
        let mut display = root.command(As::User, "Xvfb");
        let display =
            display.args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp", "-noreset"]);
        let mut display = display.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut number = String::new();
        BufReader::new(display.stdout.take().unwrap()).read_line(&mut number).unwrap();
        let port = free_address().port();
        let mut driver = host.command("WebKitWebDriver");
        driver
            .args([&format!("--port={port}"), "--host=127.0.0.1"])
            .env("DISPLAY", format!(":{}", number.trim()))
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env("TAURI_WEBVIEW_AUTOMATION", "true");
        let driver = Running(driver.spawn().unwrap());
        let session =
            Session::start(port, Path::new("/usr/bin/ormesh-desktop")).expect("the driver starts the app");
        Self { session, _driver: driver, _display: Running(display) }
    }

    /// Shares a port and makes an invite, as a person does, and gives the invite.
    fn share(&self, port: u16) -> String {
        let window = &self.session;
        window.press("Share a port");
        window.fill("Port", &port.to_string());
        window.fill("Name of who may open it", "laptop");
        window.press("Share and make invite");
        let invite = window.find("//*[starts-with(normalize-space(text()), 'ormesh1')]").text();
        window.press("Done");
        invite.trim().to_owned()
    }
}
