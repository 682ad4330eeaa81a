//! The real window, under a display of its own and driven as a browser is, with a real agent: most of it with no tor to be found, `mesh` on
//! the private network.
//!
//! It takes Xvfb and WebKitWebDriver, which `cargo xtask test` installs.
#![cfg(target_os = "linux")]

mod again;
mod app;
mod driver;
mod figures;
mod keyboard;
mod mesh;
mod notices;
mod outages;
mod panel;
mod reopened;
mod screen;
mod tray;
mod trouble;
mod window;
