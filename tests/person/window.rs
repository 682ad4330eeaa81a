//! The window, opened and closed as a person does it.

use support::until;

use crate::desk::{Desk, Tray};
use crate::reader::Role;

/// What is at the head of the window where no tor is to be found.
const HEAD: &str = "ormesh: Offline";

/// How often it is opened again, in each way.
const TIMES: usize = 3;

#[test]
fn a_click_in_the_panel_opens_the_window_and_a_choice_in_its_menu_quits() {
    let mut desk = Desk::new(Tray::Shown);
    desk.ormesh(&["export", "add", "8123"]);
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
