//! The tray: `menu` decides what it holds, `show` puts it on the screen, `keeper` keeps it true and does what is chosen.

pub(crate) mod keeper;
mod menu;
#[cfg_attr(target_os = "linux", path = "panel/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "panel/other.rs")]
pub(crate) mod panel;
mod show;
