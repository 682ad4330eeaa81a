//! A desktop of a test's own, and the app's home on it: a display, a session bus with what it starts by itself, a window manager, a panel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::{Keyring, Lock, Running, kill_all, processes, until};

use crate::again;
use crate::hand::{ALT, Button, F4, F9, Hand};
use crate::reader::{Reader, Role};
use crate::screen::{Bus, Picture, Screen};

const NEEDS: &str = "a real desktop is in place: cargo xtask test --person";
/// What the app is called by a screen reader.
pub(crate) const APP: &str = "ormesh-desktop";
pub(crate) const PANEL: &str = "xfce4-panel";
/// What asks for a keyring's password.
pub(crate) const PROMPTER: &str = "gcr-prompter";
/// What is at the head of the window where no tor is to be found.
pub(crate) const HEAD: &str = "ormesh: Offline";
/// Where the pointer is in nobody's way.
const ASIDE: (i16, i16) = (1279, 400);

/// Where Xfce keeps what a person has chosen.
const CHANNELS: &str = ".config/xfce4/xfconf/xfce-perchannel-xml";
/// A panel at the bottom, with the windows and the tray.
const PANEL_CHANNEL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=8;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="32"/>
      <property name="plugin-ids" type="array">
        <value type="int" value="1"/>
        <value type="int" value="2"/>
      </property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="tasklist"/>
    <property name="plugin-2" type="string" value="systray"/>
  </property>
</channel>
"#;
/// The keys that close a window and put it away, as Xfce has them from the start.
const KEYS_CHANNEL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-keyboard-shortcuts" version="1.0">
  <property name="xfwm4" type="empty">
    <property name="custom" type="empty">
      <property name="&lt;Alt&gt;F4" type="string" value="close_window_key"/>
      <property name="&lt;Alt&gt;F9" type="string" value="hide_window_key"/>
      <property name="override" type="bool" value="true"/>
    </property>
  </property>
</channel>
"#;

/// Whether there is a panel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tray {
    Shown,
    None,
}

/// All of it ends with this value.
pub(crate) struct Desk {
    host: support::Host,
    screen: Screen,
    hand: Hand,
    reader: Reader,
    app: Option<Running>,
    panel: Option<Running>,
    _manager: Running,
    bus: Bus,
}

impl Desk {
    /// One whose keys are in files.
    pub(crate) fn new(tray: Tray) -> Self {
        let screen = Screen::start();
        let mut host = home();
        host.set("DISPLAY", screen.name());
        let channels = host.home().join(CHANNELS);
        fs::create_dir_all(&channels).unwrap();
        fs::write(channels.join("xfce4-panel.xml"), PANEL_CHANNEL).unwrap();
        fs::write(channels.join("xfce4-keyboard-shortcuts.xml"), KEYS_CHANNEL).unwrap();
        let bus = session(&mut host);
        let reader = Reader::on(bus.address());
        let manager = started(host.command("/usr/bin/xfwm4").arg("--compositor=off"));
        let hand = Hand::on(screen.name());
        // A window that is there before it gets no keys.
        until("the window manager is there", || hand.is_managed());
        hand.point(ASIDE);
        let mut desk = Self { host, screen, hand, reader, app: None, panel: None, _manager: manager, bus };
        if tray == Tray::Shown {
            desk.start_panel();
        }
        desk
    }

    /// Runs `ormesh`, which must succeed.
    pub(crate) fn ormesh(&self, args: &[&str]) -> String {
        self.host.good(args)
    }

    /// The process of the agent that runs, if one does.
    pub(crate) fn agent_pid(&self) -> Option<u32> {
        agent_pid(&self.host)
    }

    /// How the agent is, in a word.
    pub(crate) fn state(&self) -> Option<String> {
        Some(status(&self.host)?["agent"]["state"]["is"].as_str()?.to_owned())
    }

    /// Starts the app.
    pub(crate) fn start(&mut self, args: &[&str]) {
        self.app = Some(started(self.host.command(app()).args(args)));
    }

    /// The app's process.
    pub(crate) fn app(&mut self) -> &mut Running {
        self.app.as_mut().expect("the app was started")
    }

    /// Starts the app again while it runs, as the menu of programs does: the second ends by itself, well.
    pub(crate) fn start_again(&self) {
        assert!(started(&mut self.host.command(app())).ended().success());
    }

    /// Clicks the app's icon in the panel, the only button there.
    pub(crate) fn click_icon(&self) {
        self.click_at(Button::Left, self.icon());
    }

    fn icon(&self) -> (i16, i16) {
        until("the icon is in the panel", || {
            self.reader.middle(&self.reader.find(PANEL, Role::BUTTON, |_| true)?)
        })
    }

    /// Opens the icon's menu and clicks the entry that is read out so.
    pub(crate) fn choose(&self, entry: &str) {
        self.choose_where(entry, |read| read == entry);
    }

    /// Opens the icon's menu and clicks the entry above another. One whose text has changed is read out as it was before: libdbusmenu tells
    /// a screen reader the first text alone.
    pub(crate) fn choose_above(&self, below: &str) {
        let mut is_next = false;
        self.choose_where(below, |read| std::mem::replace(&mut is_next, read == below));
    }

    /// Opens the icon's menu, goes up in it until such an entry is highlighted, and clicks that.
    fn choose_where(&self, what: &str, mut is_it: impl FnMut(&str) -> bool) {
        /// Less than an entry is high.
        const STEP: usize = 8;
        /// Higher than any menu of ours.
        const HIGHEST: i16 = 400;
        /// As long as a panel takes to highlight what is pointed at.
        const GLANCE: Duration = Duration::from_millis(100);
        let (x, bottom) = self.icon();
        self.hand.click(Button::Right, (x, bottom));
        // It may take a moment to open.
        let at = until(what, || {
            let way = (bottom - HIGHEST..bottom).rev().step_by(STEP).map(|y| (x + 30, y));
            way.into_iter().find(|at| {
                self.hand.point(*at);
                thread::sleep(GLANCE);
                self.reader.selected().is_some_and(|read| is_it(&read))
            })
        });
        self.click_at(Button::Left, at);
    }

    /// Waits until the app says such a thing.
    pub(crate) fn sees(&self, role: Role, text: &str) {
        until(text, || self.reader.find(APP, role, |says| says.contains(text)));
    }

    /// Waits until the app says such a thing anywhere.
    pub(crate) fn reads(&self, text: &str) {
        until(text, || self.reader.parts(APP).iter().any(|part| part.says.contains(text)));
    }

    /// Waits until the app says no such thing any more.
    pub(crate) fn reads_no_more(&self, text: &str) {
        until(text, || !self.reader.parts(APP).iter().any(|part| part.says.contains(text)));
    }

    /// Waits until somebody asks for a password, and types it.
    pub(crate) fn answer_prompt(&self, password: &str) {
        until("a prompt", || self.reader.find(PROMPTER, Role::PASSWORD, |_| true));
        self.picture("prompt");
        self.type_keys(password);
        until("the prompt is gone", || self.reader.find(PROMPTER, Role::PASSWORD, |_| true).is_none());
    }

    /// Waits until its window is gone: from what is read, and from the screen.
    pub(crate) fn is_closed(&self) {
        until("the window is gone", || self.reader.find(APP, Role::FRAME, |_| true).is_none());
    }

    /// Whether its window is there.
    pub(crate) fn is_open(&self) -> bool {
        self.reader.find(APP, Role::FRAME, |_| true).is_some()
    }

    /// Clicks what is so called, once it is there.
    pub(crate) fn click(&self, program: &str, role: Role, name: &str) {
        let at = until(name, || {
            let part = self.reader.find(program, role, |says| says == name)?;
            self.reader.middle(&part)
        });
        self.click_at(Button::Left, at);
    }

    /// Clicks there, and takes the pointer out of the way.
    fn click_at(&self, button: Button, at: (i16, i16)) {
        self.hand.click(button, at);
        self.hand.point(ASIDE);
    }

    /// Presses Alt+F4, which is the window manager's to answer.
    pub(crate) fn press_close(&self) {
        self.hand.press_with(ALT, F4);
    }

    /// Presses Alt+F9, by which the window manager puts a window away into the panel.
    pub(crate) fn minimise(&self) {
        self.hand.press_with(ALT, F9);
    }

    /// What is on the screen once nothing moves, kept for people.
    pub(crate) fn picture(&self, name: &str) -> Picture {
        let picture = self.screen.still_picture("the screen is still", |_| true);
        again::keep(&picture, &format!("person-{name}"));
        picture
    }

    /// Types a text on the keyboard, into whatever has it.
    pub(crate) fn type_keys(&self, text: &str) {
        self.screen.type_keys(text);
    }

    /// Has the keys in a keyring on this desk's bus from now on, and gives that keyring.
    pub(crate) fn keep_keys_in_a_keyring(&mut self, lock: Lock) -> Keyring {
        self.host.set("ORMESH_SECRETS", "");
        self.keyring(lock)
    }

    /// Starts the keyring of this desk, in this state.
    pub(crate) fn keyring(&self, lock: Lock) -> Keyring {
        Keyring::start(self.host.home(), self.bus.address(), lock)
    }

    /// Kills the panel, as a crash does.
    pub(crate) fn end_panel(&mut self) {
        self.panel = None;
        until("the panel is gone", || self.reader.find(PANEL, Role::FRAME, |_| true).is_none());
    }

    /// Starts a panel, and waits until it is there.
    pub(crate) fn start_panel(&mut self) {
        self.panel = Some(started(&mut self.host.command("/usr/bin/xfce4-panel")));
        until("the panel is there", || self.reader.find(PANEL, Role::FRAME, |_| true));
    }
}

/// A test that failed leaves a picture, and what could be read. Whatever runs here ends.
impl Drop for Desk {
    fn drop(&mut self) {
        if thread::panicking() {
            let test = thread::current().name().unwrap_or("test").replace("::", "-");
            again::keep(&self.screen.picture(), &format!("person-failed-{test}"));
            println!("---- on the screen ----\n{}", self.reader.told(&[PANEL, APP, PROMPTER]));
            println!("---- status ----\n{:?}", self.host.ormesh(&["status", "--json"]));
        }
        kill_all(|| processes(self.host.home(), |_, _| true));
    }
}

/// A home with the app's configuration in it. No tor is to be found there, so that nothing leaves this machine.
pub(crate) fn home() -> support::Host {
    let mut host = support::Host::new();
    host.set("ORMESH_TOR", "/nonexistent/tor");
    host.set("PATH", "/nonexistent");
    host.set("XDG_RUNTIME_DIR", host.home().to_owned());
    // There is no graphics card to ask.
    host.set("LIBGL_ALWAYS_SOFTWARE", "1");
    // So that homes can be side by side, and what is shared does not hang on what else runs here.
    host.good(&["config", "set", "agent.socks-addr", "off"]);
    host.good(&["export", "add", "8123"]);
    host
}

/// Starts a session bus for that home, with all that a session's bus starts by itself.
pub(crate) fn session(host: &mut support::Host) -> Bus {
    // By its own path: what the bus starts must not have the libraries that the tools' one brings.
    let mut daemon = host.command("/usr/bin/dbus-daemon");
    daemon.arg("--session").stderr(Stdio::null());
    let bus = Bus::by(daemon);
    host.set("DBUS_SESSION_BUS_ADDRESS", bus.address());
    bus
}

/// The process of the agent that runs in a home, if one does.
pub(crate) fn agent_pid(host: &support::Host) -> Option<u32> {
    status(host)?["agent"]["pid"].as_u64()?.try_into().ok()
}

fn status(host: &support::Host) -> Option<Value> {
    serde_json::from_str(&host.ormesh(&["status", "--json"]).stdout).ok()
}

/// The app under test: of the release in the directory that `ORMESH_RELEASE` names, or else what cargo has just built.
pub(crate) fn app() -> PathBuf {
    match std::env::var_os("ORMESH_RELEASE") {
        Some(dir) => Path::new(&dir).join("ormesh-desktop"),
        None => env!("CARGO_BIN_EXE_ormesh-desktop").into(),
    }
}

/// Starts a program of the desktop, or the app.
pub(crate) fn started(command: &mut Command) -> Running {
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect(NEEDS))
}
