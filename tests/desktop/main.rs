//! The real window, under a display of its own and driven as a browser is, with a real agent that finds no tor. No network.
//!
//! Run by `cargo xtask test --desktop`: it takes Xvfb and WebKitWebDriver.
#![cfg(target_os = "linux")]

mod driver;
mod host;
mod screen;
mod tray;
mod window;
