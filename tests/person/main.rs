//! The app as a person has it: its own program, with nothing that drives it, on a real desktop, by keys and clicks, judged by what a screen
//! reader reads and by pictures.
//!
//! Run by `cargo xtask test --person`, which unpacks the desktop and runs this where its programs are in place.
#![cfg(target_os = "linux")]

#[path = "../desktop/again.rs"]
#[expect(dead_code, reason = "the desktop's own tests use the rest of it")]
mod again;
mod desk;
mod hand;
#[path = "../desktop/panel.rs"]
#[expect(dead_code, reason = "the desktop's own tests use the rest of it")]
mod panel;
mod reader;
#[path = "../desktop/screen.rs"]
#[expect(dead_code, reason = "the desktop's own tests use the rest of it")]
mod screen;
mod trouble;
mod wayland;
mod window;
