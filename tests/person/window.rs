//! The window, opened and closed as a person does it.

use support::until;

use crate::desk::{APP, Desk, HEAD, Tray};
use crate::reader::Role;

/// How often it is opened again, in each way.
const TIMES: usize = 3;

#[test]
fn a_click_in_the_panel_opens_the_window_and_a_choice_in_its_menu_quits() {
    let mut desk = Desk::new(Tray::Shown);
    desk.start(&["--hidden"]);
    until("the agent is offline", || desk.state().as_deref() == Some("offline"));
    let without = desk.picture("hidden");
    assert!(!desk.is_open());

    desk.click_icon();
    desk.sees(Role::HEADING, HEAD);
    let first = desk.picture("opened");
    assert!(!first.is_like(&without), "nothing is to be seen of the window");

    desk.press_close();
    desk.is_closed();
    assert!(desk.picture("closed").is_like(&without), "something is left of the window");
    for turn in 0..TIMES {
        desk.choose("Open ormesh");
        desk.sees(Role::HEADING, HEAD);
        assert!(desk.picture(&format!("by-menu-{turn}")).is_like(&first));
        desk.press_close();
        desk.is_closed();
    }
    for turn in 0..TIMES {
        desk.start_again();
        desk.sees(Role::HEADING, HEAD);
        assert!(desk.picture(&format!("by-start-{turn}")).is_like(&first));
        desk.press_close();
        desk.is_closed();
    }

    desk.choose("Quit and stop the agent");
    assert!(desk.app().ended().success());
    assert_eq!(desk.agent_pid(), None);
}

#[test]
fn without_a_panel_a_closing_window_says_that_it_goes_on_and_a_second_start_shows_it() {
    let mut desk = Desk::new(Tray::None);
    desk.start(&[]);
    desk.sees(Role::HEADING, HEAD);
    let agent = until("the agent runs", || desk.agent_pid());

    desk.press_close();
    desk.reads("To come back, start ormesh again.");
    desk.picture("closing");
    desk.click(APP, Role::BUTTON, "Keep running");
    desk.is_closed();
    assert_eq!(desk.agent_pid(), Some(agent));

    desk.start_again();
    desk.sees(Role::HEADING, HEAD);
    desk.picture("started-again");
    // It was told once.
    desk.press_close();
    desk.is_closed();
    assert_eq!(desk.agent_pid(), Some(agent));
}

#[test]
fn a_panel_that_crashes_and_comes_back_has_the_icon_again() {
    let mut desk = Desk::new(Tray::Shown);
    desk.start(&["--hidden"]);
    desk.click_icon();
    desk.sees(Role::HEADING, HEAD);
    desk.press_close();
    desk.is_closed();

    desk.end_panel();
    desk.start_panel();

    desk.click_icon();
    desk.sees(Role::HEADING, HEAD);
    desk.picture("after-a-crash-of-the-panel");
    desk.press_close();
    desk.is_closed();
    desk.choose("Quit and stop the agent");
    assert!(desk.app().ended().success());
}

#[test]
fn a_second_start_shows_the_window_that_is_behind_another() {
    let mut desk = Desk::new(Tray::Shown);
    desk.start(&[]);
    desk.sees(Role::HEADING, HEAD);
    let first = desk.picture("alone");

    desk.minimise();
    desk.start_again();

    desk.sees(Role::HEADING, HEAD);
    until("it is shown again", || desk.picture("shown-again").is_like(&first));
}

#[test]
fn an_app_that_starts_before_the_panel_is_in_it_once_that_is_there() {
    let mut desk = Desk::new(Tray::None);
    desk.start(&["--hidden"]);
    until("the agent runs", || desk.agent_pid());

    desk.start_panel();

    desk.click_icon();
    desk.sees(Role::HEADING, HEAD);
}

#[test]
fn a_port_is_shared_by_a_click_and_by_keys_alone() {
    let mut desk = Desk::new(Tray::Shown);
    desk.start(&[]);

    desk.click(APP, Role::BUTTON, "Add export");
    desk.sees(Role::BUTTON, "Share");
    desk.type_keys("8080\n");

    desk.reads("127.0.0.1:8080");
    desk.picture("shared");
}
