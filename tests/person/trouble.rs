//! What goes wrong around the window, and what a person does about it.

use support::{Lock, PASSWORD, Signal, is_running, send, until};

use crate::desk::{APP, Desk, HEAD, Tray};
use crate::reader::Role;

#[test]
fn a_frozen_agent_is_said_and_a_click_restarts_it_in_the_window_and_in_the_panel() {
    let mut desk = Desk::new(Tray::Shown);
    desk.start(&[]);
    desk.sees(Role::HEADING, HEAD);
    let first = until("the agent runs", || desk.agent_pid());

    send(first, Signal::STOP);
    desk.sees(Role::HEADING, "ormesh: Not answering");
    desk.picture("frozen");
    desk.click(APP, Role::BUTTON, "Restart the agent");
    desk.sees(Role::HEADING, HEAD);
    let second = until("another agent runs", || desk.agent_pid());
    assert_ne!(first, second);
    assert!(!is_running(first));

    send(second, Signal::STOP);
    desk.sees(Role::HEADING, "ormesh: Not answering");
    // "Restart the agent", where "Pause" was.
    desk.choose_above("Open ormesh");
    desk.sees(Role::HEADING, HEAD);
    let third = until("another agent runs", || desk.agent_pid());
    assert_ne!(second, third);
    desk.picture("thawed");
}

#[test]
fn a_killed_agent_is_followed_by_another_and_the_window_stays() {
    let mut desk = Desk::new(Tray::Shown);
    desk.start(&[]);
    desk.sees(Role::HEADING, HEAD);
    let first = until("the agent runs", || desk.agent_pid());
    let before = desk.picture("before-the-kill");

    send(first, Signal::KILL);
    let second = until("another agent runs", || desk.agent_pid().filter(|second| *second != first));

    assert_ne!(first, second);
    desk.sees(Role::HEADING, HEAD);
    until("the window shows what it showed", || desk.picture("after-the-kill").is_like(&before));
}

#[test]
fn a_locked_keyring_is_opened_by_the_desktop_s_own_prompt() {
    let mut desk = Desk::new(Tray::Shown);
    let open = desk.keep_keys_in_a_keyring(Lock::Open);
    let invite = desk.ormesh(&["client", "add", "laptop"]);
    drop(open);
    let _keyring = desk.keyring(Lock::Closed);
    desk.start(&[]);

    desk.click(APP, Role::BUTTON, "Show invite for laptop");
    desk.answer_prompt("\x1b");
    desk.reads("locked");
    desk.picture("locked");
    desk.click(APP, Role::BUTTON, "Type your password");
    desk.answer_prompt(&format!("{PASSWORD}\n"));

    desk.reads_no_more("locked");
    desk.picture("unlocked");
    assert_eq!(desk.ormesh(&["client", "invite", "laptop"]), invite);
}
