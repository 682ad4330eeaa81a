//! A hand on the pointer and the keyboard of a display, by its XTEST extension.

use std::thread;
use std::time::Duration;

use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    AtomEnum, BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ConnectionExt as _, KEY_PRESS_EVENT,
    KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;
use x11rb::{CURRENT_TIME, NONE};

use crate::screen::key_of_symbol;

/// A button of the mouse.
#[derive(Clone, Copy)]
pub(crate) enum Button {
    Left = 1,
    Right = 3,
}

/// Keys by their symbols (keysymdef.h).
pub(crate) const ALT: u32 = 0xffe9;
pub(crate) const F4: u32 = 0xffc1;
pub(crate) const F9: u32 = 0xffc6;

/// As long as a finger takes to go down and up.
const PRESS: Duration = Duration::from_millis(60);

/// On one display.
pub(crate) struct Hand {
    connection: RustConnection,
    root: u32,
}

impl Hand {
    /// On the display with this name.
    pub(crate) fn on(display: &str) -> Self {
        let (connection, screen) = RustConnection::connect(Some(display)).unwrap();
        let root = connection.setup().roots[screen].root;
        Self { connection, root }
    }

    /// Whether a window manager is there: it says so when it takes windows (EWMH, `_NET_SUPPORTING_WM_CHECK`).
    pub(crate) fn is_managed(&self) -> bool {
        let name = b"_NET_SUPPORTING_WM_CHECK";
        let atom = self.connection.intern_atom(false, name).unwrap().reply().unwrap().atom;
        let property = self.connection.get_property(false, self.root, atom, AtomEnum::WINDOW, 0, 1).unwrap();
        property.reply().unwrap().value_len > 0
    }

    /// Moves the pointer there.
    pub(crate) fn point(&self, (x, y): (i16, i16)) {
        self.fake(MOTION_NOTIFY_EVENT, 0, self.root, (x, y));
    }

    /// Moves the pointer there, and presses a button.
    pub(crate) fn click(&self, button: Button, at: (i16, i16)) {
        self.point(at);
        thread::sleep(PRESS);
        self.fake(BUTTON_PRESS_EVENT, button as u8, NONE, (0, 0));
        thread::sleep(PRESS);
        self.fake(BUTTON_RELEASE_EVENT, button as u8, NONE, (0, 0));
    }

    /// Presses a key while another is held.
    pub(crate) fn press_with(&self, held: u32, key: u32) {
        let (held, key) = (self.code(held), self.code(key));
        for (kind, key) in [
            (KEY_PRESS_EVENT, held),
            (KEY_PRESS_EVENT, key),
            (KEY_RELEASE_EVENT, key),
            (KEY_RELEASE_EVENT, held),
        ] {
            self.fake(kind, key, NONE, (0, 0));
            thread::sleep(PRESS);
        }
    }

    fn code(&self, symbol: u32) -> u8 {
        key_of_symbol(&self.connection, symbol).0
    }

    fn fake(&self, kind: u8, detail: u8, root: u32, (x, y): (i16, i16)) {
        self.connection.xtest_fake_input(kind, detail, CURRENT_TIME, root, x, y, 0).unwrap();
        self.connection.sync().unwrap();
    }
}
