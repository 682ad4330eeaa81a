//! A display of its own for each test, and a session bus where one is wanted.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{Running, until};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConnectionExt as _, EventMask, ImageFormat, InputFocus, KEY_PRESS_EVENT,
    KEY_RELEASE_EVENT, MapState, Window,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;
use x11rb::{CURRENT_TIME, NONE};

/// A virtual display, ended with this value.
pub(crate) struct Screen {
    _server: Running,
    name: String,
}

impl Screen {
    /// Starts an X server on the first free display.
    pub(crate) fn start() -> Self {
        Self::by(Command::new("Xvfb"))
    }

    /// The same by a command that runs Xvfb.
    pub(crate) fn by(mut xvfb: Command) -> Self {
        let mut server = xvfb
            .args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp", "-noreset"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is installed: cargo xtask setup --desktop");
        let number = first_line(&mut server);
        Self { _server: Running(server), name: format!(":{number}") }
    }

    /// What `DISPLAY` is set to.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until our page is on it: see [`Picture::is_ours`].
    pub(crate) fn wait_for_a_painted_window(&self) {
        until("the window is painted", || self.picture().is_ours().then_some(()));
    }

    /// What is on it now.
    pub(crate) fn picture(&self) -> Picture {
        let (connection, screen) = RustConnection::connect(Some(&self.name)).unwrap();
        let screen = &connection.setup().roots[screen];
        let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
        let image = connection.get_image(ImageFormat::Z_PIXMAP, screen.root, 0, 0, width, height, !0);
        Picture { width, pixels: image.unwrap().reply().unwrap().data }
    }

    /// What is on it once our page is, and nothing moves any more.
    pub(crate) fn settled_picture(&self) -> Picture {
        self.still_picture("the window is painted and still", Picture::is_ours)
    }

    /// What is on it once that is such, and nothing moves any more.
    pub(crate) fn still_picture(&self, what: &str, is_such: impl Fn(&Picture) -> bool) -> Picture {
        /// Looks in a row that see the same: longer than the window's longest transition.
        const STILL: usize = 20;
        let (mut last, mut still) = (self.picture(), 0);
        until(what, || {
            let now = self.picture();
            still = if now == last { still + 1 } else { 0 };
            last = now;
            (still >= STILL && is_such(&last)).then_some(())
        });
        last
    }

    /// Gives the keyboard to the app's window, as a window manager does.
    pub(crate) fn give_keys(&self) {
        let (connection, screen) = RustConnection::connect(Some(&self.name)).unwrap();
        let root = connection.setup().roots[screen].root;
        until("the window can take keys", || {
            let window = windows(&connection, root).pop()?;
            connection.set_input_focus(InputFocus::PARENT, window, CURRENT_TIME).ok()?.check().ok()
        });
    }

    /// Types a text on the keyboard, key by key and without a pause; `\n` is Enter, `\t` is Tab, `\x1b` is Escape.
    pub(crate) fn type_keys(&self, text: &str) {
        self.strike(text, &[]);
    }

    /// The same with Control held down.
    pub(crate) fn type_with_control(&self, text: &str) {
        self.strike(text, &[CONTROL]);
    }

    fn strike(&self, text: &str, held: &[u32]) {
        let (connection, _) = RustConnection::connect(Some(&self.name)).unwrap();
        let stroke = |kind: u8, code: u8| {
            connection.xtest_fake_input(kind, code, CURRENT_TIME, NONE, 0, 0, 0).unwrap();
        };
        for key in text.chars() {
            let (code, shifted) = key_of(&connection, key);
            let shift: &[u32] = if shifted { &[SHIFT] } else { &[] };
            let held: Vec<u8> =
                held.iter().chain(shift).map(|symbol| key_of_symbol(&connection, *symbol).0).collect();
            held.iter().for_each(|held| stroke(KEY_PRESS_EVENT, *held));
            stroke(KEY_PRESS_EVENT, code);
            stroke(KEY_RELEASE_EVENT, code);
            held.iter().rev().for_each(|held| stroke(KEY_RELEASE_EVENT, *held));
        }
        connection.sync().unwrap();
    }

    /// By what name the desktop knows the app's window, and finds its icon (ICCCM §4.1.2.5, WM_CLASS).
    pub(crate) fn class_of_the_window(&self) -> String {
        let (connection, screen) = RustConnection::connect(Some(&self.name)).unwrap();
        let root = connection.setup().roots[screen].root;
        let window = windows(&connection, root).pop().expect("a window is shown");
        let class = connection.get_property(false, window, AtomEnum::WM_CLASS, AtomEnum::STRING, 0, 64);
        let class = class.unwrap().reply().unwrap().value;
        String::from_utf8(class).unwrap().split('\0').next().unwrap().to_owned()
    }

    /// Asks the app's window to close, as a window manager does (ICCCM §4.2.8.1, WM_DELETE_WINDOW).
    pub(crate) fn close_the_window(&self) {
        let (connection, screen) = RustConnection::connect(Some(&self.name)).unwrap();
        let root = connection.setup().roots[screen].root;
        let atom = |name: &str| connection.intern_atom(false, name.as_bytes()).unwrap().reply().unwrap().atom;
        let (protocols, delete) = (atom("WM_PROTOCOLS"), atom("WM_DELETE_WINDOW"));
        for window in windows(&connection, root) {
            let event = ClientMessageEvent::new(32, window, protocols, [delete, 0, 0, 0, 0]);
            connection.send_event(false, window, EventMask::NO_EVENT, event).unwrap();
        }
        connection.sync().unwrap();
    }
}

/// The windows that are shown and can be closed, the uppermost last: one that goes away meanwhile is none.
fn windows(connection: &RustConnection, root: Window) -> Vec<Window> {
    let atom = |name: &str| connection.intern_atom(false, name.as_bytes()).unwrap().reply().unwrap().atom;
    let (protocols, delete) = (atom("WM_PROTOCOLS"), atom("WM_DELETE_WINDOW"));
    let is_ours = |window: &Window| {
        let shown = connection.get_window_attributes(*window).unwrap().reply().ok()?.map_state;
        let known = connection.get_property(false, *window, protocols, AtomEnum::ATOM, 0, 64).unwrap();
        let closable = known.reply().ok()?.value32()?.any(|one| one == delete);
        Some(shown == MapState::VIEWABLE && closable)
    };
    let all = connection.query_tree(root).unwrap().reply().unwrap().children;
    all.into_iter().filter(|window| is_ours(window) == Some(true)).collect()
}

/// The keys of Shift and Control, as X names them (keysymdef.h).
const SHIFT: u32 = 0xffe1;
const CONTROL: u32 = 0xffe3;

/// The key that types a character, and whether it takes Shift. Latin-1 characters name themselves, control keys are 0xff00 and up.
fn key_of(connection: &RustConnection, key: char) -> (u8, bool) {
    key_of_symbol(
        connection,
        match key {
            '\n' => 0xff0d,
            '\t' => 0xff09,
            '\x1b' => 0xff1b,
            key => u32::from(key),
        },
    )
}

/// The key of a symbol, and whether it takes Shift.
pub(crate) fn key_of_symbol(connection: &RustConnection, symbol: u32) -> (u8, bool) {
    let (first, last) = (connection.setup().min_keycode, connection.setup().max_keycode);
    let map = connection.get_keyboard_mapping(first, last - first + 1).unwrap().reply().unwrap();
    let rows = map.keysyms.chunks(usize::from(map.keysyms_per_keycode));
    (first..=last)
        .zip(rows)
        .find_map(|(code, row)| Some((code, row.iter().take(2).position(|one| *one == symbol)? == 1)))
        .expect("the keyboard has the key")
}

/// What was on a screen: four bytes a pixel, blue, green, red and one of no meaning.
#[derive(PartialEq, Eq)]
pub(crate) struct Picture {
    width: u16,
    pixels: Vec<u8>,
}

impl Picture {
    /// Whether our page is on it: text, smoothed, and colours. An empty window has one colour, and what the web view itself says when
    /// it can't show a page has greys alone.
    pub(crate) fn is_ours(&self) -> bool {
        const COLOURS: usize = 100;
        const BRIGHT: usize = 20;
        let colours: BTreeSet<&[u8]> = self.pixels.chunks_exact(4).map(|pixel| &pixel[..3]).collect();
        let spread = |colour: &[u8]| colour.iter().max().unwrap() - colour.iter().min().unwrap();
        colours.len() >= COLOURS && colours.iter().filter(|colour| spread(colour) > 40).count() >= BRIGHT
    }

    /// Whether the same is on both: letters are smoothed a little differently each time, but not one pixel in a thousand differs much.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        const MUCH: u8 = 48;
        let differ = |(one, other): (&u8, &u8)| one.abs_diff(*other) > MUCH;
        let pairs = self.pixels.chunks_exact(4).zip(other.pixels.chunks_exact(4));
        let count = pairs.filter(|(one, other)| one[..3].iter().zip(&other[..3]).any(differ)).count();
        self.width == other.width && count * 4 * 1000 < self.pixels.len()
    }

    /// Writes it to a file, as a portable pixmap (ppm(5)).
    pub(crate) fn write(&self, file: &Path) {
        let height = self.pixels.len() / 4 / usize::from(self.width);
        let mut text = format!("P6 {} {height} 255\n", self.width).into_bytes();
        text.extend(self.pixels.chunks_exact(4).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
        std::fs::write(file, text).unwrap();
    }
}

/// A session bus, ended with this value.
pub(crate) struct Bus {
    _daemon: Running,
    address: String,
}

impl Bus {
    /// Starts a bus that nobody else is on.
    pub(crate) fn start() -> Self {
        let mut daemon = Command::new("dbus-daemon");
        daemon.arg("--session");
        Self::by(daemon)
    }

    /// The same by a command that runs dbus-daemon with a configuration.
    pub(crate) fn by(mut daemon: Command) -> Self {
        let mut daemon = daemon
            .args(["--nofork", "--print-address=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is installed: cargo xtask setup");
        let address = first_line(&mut daemon);
        Self { _daemon: Running(daemon), address }
    }

    /// What `DBUS_SESSION_BUS_ADDRESS` is set to.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}
