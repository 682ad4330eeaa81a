//! The tray as a panel sees it.

use std::time::{Duration, Instant};

use support::until;

use crate::again::has_web_view;
use crate::app::Host;
use crate::panel::Panel;
use crate::screen::Bus;

/// A window that is still there so long after it was closed asks first.
const TO_CLOSE: Duration = Duration::from_secs(5);

#[test]
fn a_hidden_start_has_a_tray_and_no_window_until_it_is_wanted() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    let mut app = host.app(&["--hidden"]);
    let icon = panel.icon();
    assert!(!has_web_view(app.id()));

    // What the agent says reaches the menu.
    let offline = |label: &str| label.starts_with("Offline");
    until("the state line", || {
        panel.items(&icon).first().filter(|(_, label, on)| offline(label) && !on).map(drop)
    });

    panel.choose(&icon, "Open ormesh");
    until("the window opens", || has_web_view(app.id()).then_some(()));

    panel.choose(&icon, "Pause");
    panel.choose(&icon, "Resume");

    panel.choose(&icon, "Quit and stop the agent");
    assert!(app.ended().success());
    assert_eq!(host.agent_pid(), None);
}

#[test]
fn an_app_that_was_upgraded_while_it_waits_opens_its_window() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    let (mut app, file) = host.installed_app(&["--hidden"]);
    let icon = panel.icon();

    // As a package manager does it: the old file is gone. Another one in its place would be another version of the window.
    std::fs::remove_file(&file).unwrap();

    panel.click(&icon);
    host.screen().wait_for_a_painted_window();
    assert_eq!(host.screen().class_of_the_window(), "ormesh-desktop");
    panel.choose(&icon, "Quit and stop the agent");
    assert!(app.ended().success());
}

#[test]
fn an_app_that_waits_hidden_has_loaded_no_graphics_driver() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    let app = host.app(&["--hidden"]);
    panel.icon();

    let maps = std::fs::read_to_string(format!("/proc/{}/maps", app.id())).unwrap();
    assert!(maps.contains("libgtk-3"), "it is not the app");
    let driver = maps.lines().find(|line| line.contains("_dri.so") || line.contains("libLLVM"));
    assert_eq!(driver, None);
}

#[test]
fn a_left_click_opens_the_window() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    let app = host.app(&["--hidden"]);
    let icon = panel.icon();

    panel.click(&icon);

    until("the window opens", || has_web_view(app.id()).then_some(()));
}

#[test]
fn closing_the_window_keeps_the_tray_and_the_agent_and_lets_the_web_view_go() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    let app = host.app(&[]);
    let icon = panel.icon();
    host.screen().wait_for_a_painted_window();
    let agent = host.agent_pid();

    host.screen().close_the_window();

    until("the web view is gone", || (!has_web_view(app.id())).then_some(()));
    assert_eq!(host.agent_pid(), agent);
    panel.choose(&icon, "Open ormesh");
    host.screen().wait_for_a_painted_window();
}

#[test]
fn start_at_login_is_a_box_that_can_be_ticked() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    let _app = host.app(&["--hidden"]);
    let icon = panel.icon();
    let entry = host.home().join(".config/autostart/ormesh.desktop");

    panel.choose(&icon, "Start at login");
    let text =
        until("the entry is there", || std::fs::read_to_string(&entry).ok().filter(|text| !text.is_empty()));
    assert!(text.contains("ormesh-desktop\" --hidden"), "{text}");

    until("the box is ticked and can be cleared", || {
        panel.choose(&icon, "Start at login");
        (!entry.exists()).then_some(())
    });
}

#[test]
fn without_a_tray_a_closing_window_says_how_to_come_back_once_and_does_as_it_was_told() {
    let host = Host::new();
    let app = host.app(&[]);
    host.screen().wait_for_a_painted_window();
    let before = host.screen().settled_picture();

    host.screen().close_the_window();
    until("it asks", || (!host.screen().picture().is_like(&before)).then_some(()));
    crate::again::keep(&host.screen().settled_picture(), "closing");
    assert!(has_web_view(app.id()));
    host.screen().give_keys();
    host.screen().type_keys("\n");
    until("the web view is gone", || (!has_web_view(app.id())).then_some(()));
    assert!(host.agent_pid().is_some());

    // A start shows it again, and it closes without a question from now on.
    assert!(host.app(&[]).ended().success());
    host.screen().wait_for_a_painted_window();
    host.screen().settled_picture();
    host.screen().close_the_window();
    until("the web view is gone", || (!has_web_view(app.id())).then_some(()));
}

#[test]
fn a_tray_whose_panel_has_ended_is_none() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    let host = Host::with_bus(bus.address());
    let app = host.app(&[]);
    panel.icon();
    host.screen().wait_for_a_painted_window();
    let before = host.screen().settled_picture();

    drop(panel);

    // The bus tells of it a moment later; a window that is closed before that is opened again.
    until("a closing window asks", || {
        if !has_web_view(app.id()) {
            assert!(host.app(&[]).ended().success());
            host.screen().settled_picture();
        }
        host.screen().close_the_window();
        let closed = Instant::now();
        while closed.elapsed() < TO_CLOSE && has_web_view(app.id()) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let asks = has_web_view(app.id()) && !host.screen().settled_picture().is_like(&before);
        asks.then_some(())
    });
}
