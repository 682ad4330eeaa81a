//! The tray: `menu` decides what it holds, `show` puts it on the screen, `keeper` keeps it true and does what is chosen.

pub(crate) mod keeper;
mod menu;
mod show;
