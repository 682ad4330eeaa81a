//! The window on Wayland: sway without a screen, whose bar has the tray, by keys that sway itself answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use support::{Running, kill_all, processes, until};
use zbus::blocking::Proxy;
use zbus::blocking::connection::Builder;

use crate::desk::{APP, HEAD, agent_pid, app, home, session, started};
use crate::reader::{Reader, Role};
use crate::screen::Bus;

/// How often it is opened again.
const TIMES: usize = 3;

/// One screen, a bar with a tray, and the key that closes a window as X's desktops have it.
const CONFIG: &str = "xwayland disable
output HEADLESS-1 resolution 1280x900
bindsym Mod1+F4 kill
bar {
  swaybar_command /usr/bin/swaybar
}
";

/// A desktop on Wayland; it ends with this value.
struct Sway {
    host: support::Host,
    reader: Reader,
    _compositor: Running,
    bus: Bus,
}

impl Sway {
    fn new() -> Self {
        let mut host = home();
        let bus = session(&mut host);
        let reader = Reader::on(bus.address());
        let config = host.home().join("sway.conf");
        fs::write(&config, CONFIG).unwrap();
        // Sway runs as nobody who could be root, which is taken from it in a namespace of users.
        let mut sway = host.command("/usr/bin/unshare");
        sway.args(["--user", "--map-user=1000", "--map-group=1000", "/usr/bin/sway", "--config"]).arg(config);
        sway.env("WLR_BACKENDS", "headless")
            .env("WLR_RENDERER", "pixman")
            .env("WLR_LIBINPUT_NO_DEVICES", "1");
        // It starts its bar by a shell.
        let compositor = started(sway.env("PATH", "/usr/bin:/bin"));
        let socket = until("sway is there", || display(host.home()));
        host.set("WAYLAND_DISPLAY", socket);
        host.set("GDK_BACKEND", "wayland");
        Self { host, reader, _compositor: compositor, bus }
    }

    /// Waits until the window says what it should.
    fn is_open(&self) {
        until(HEAD, || self.reader.find(APP, Role::HEADING, |says| says == HEAD));
    }

    /// Waits until the icon is in the bar: without one a closing window asks first.
    fn has_icon(&self) {
        let bus = Builder::address(self.bus.address()).and_then(Builder::build).unwrap();
        let watcher = "org.kde.StatusNotifierWatcher";
        let watcher = Proxy::new(&bus, watcher, "/StatusNotifierWatcher", watcher).unwrap();
        until("the icon is in the bar", || {
            let items: Vec<String> =
                watcher.get_property("RegisteredStatusNotifierItems").unwrap_or_default();
            !items.is_empty()
        });
    }

    /// Presses Alt+F4, and waits until the window is gone.
    fn close(&self) {
        let mut keys = self.host.command("/usr/bin/wtype");
        assert!(started(keys.args(["-M", "alt", "-k", "F4", "-m", "alt"])).ended().success());
        until("the window is gone", || self.reader.find(APP, Role::FRAME, |_| true).is_none());
    }

    /// What is on the screen, as a portable pixmap, kept for people.
    fn picture(&self, name: &str) -> Vec<u8> {
        let mut grim = self.host.command("/usr/bin/grim");
        let picture = grim.args(["-t", "ppm", "-"]).stderr(Stdio::null()).output().unwrap().stdout;
        if let Some(directory) = std::env::var_os("ORMESH_PICTURES") {
            fs::write(Path::new(&directory).join(format!("real-wayland-{name}.ppm")), &picture).unwrap();
        }
        picture
    }
}

impl Drop for Sway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.picture("failed");
            println!("---- on the screen ----\n{}", self.reader.told(&[APP]));
        }
        kill_all(|| processes(self.host.home(), |_, _| true));
    }
}

/// Where sway answers: the one socket that is named so.
fn display(runtime: &Path) -> Option<PathBuf> {
    let all = fs::read_dir(runtime).unwrap().map(|entry| entry.unwrap().path());
    let is_socket = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.starts_with("wayland-") && !name.ends_with(".lock")
    };
    all.into_iter().find(is_socket)
}

#[test]
fn the_window_opens_closes_and_opens_again() {
    let desk = Sway::new();
    let mut first_start = started(&mut desk.host.command(app()));
    desk.is_open();
    let agent = until("the agent runs", || agent_pid(&desk.host));
    desk.has_icon();
    let opened = desk.picture("opened");

    desk.close();
    let closed = desk.picture("closed");
    assert_ne!(opened, closed, "nothing was to be seen of the window");
    for turn in 0..TIMES {
        assert!(started(&mut desk.host.command(app())).ended().success());
        desk.is_open();
        until("the window is to be seen", || desk.picture(&format!("again-{turn}")) != closed);
        desk.close();
        until("nothing is left of the window", || desk.picture("closed-again") == closed);
    }

    assert!(first_start.runs());
    assert_eq!(agent_pid(&desk.host), Some(agent));
}
