//! The window by the keyboard alone: keys of the X server, as a person presses them.

use serde_json::json;
use support::until;

use crate::app::{Host, Window};

/// What has the focus, by its name; `page` is what a keyboard user must never come to by what was done.
fn focused(window: &Window) -> String {
    let script = "
        const at = document.activeElement;
        const name = at === document.body ? 'page' : at.getAttribute('aria-label') ?? at.labels?.[0]?.textContent ?? at.textContent;
        arguments[0](name.replace(/\\s+/g, ' ').trim());
    ";
    window.run(script, json!([])).as_str().unwrap().to_owned()
}

/// Goes there by Tab, each once the one before has been taken: on a busy machine that takes its time.
fn tab_to(host: &Host, window: &Window, name: &str) {
    until(name, || {
        if focused(window) == name {
            return Some(());
        }
        window.run("window.before = document.activeElement; arguments[0]();", json!([]));
        host.screen().type_keys("\t");
        until("the focus moves on", || {
            let moved = window.run("arguments[0](document.activeElement !== window.before);", json!([]));
            (moved == json!(true)).then_some(())
        });
        None
    });
}

fn has_focus(window: &Window, name: &str) {
    until(&format!("the focus is on {name}"), || (focused(window) == name).then_some(()));
}

#[test]
fn enter_right_after_the_last_key_goes_on_and_the_focus_comes_back() {
    let host = Host::new();
    let window = host.window();
    window.find("//button[normalize-space()='Share a port']");
    host.screen().give_keys();

    tab_to(&host, &window, "Share a port");
    host.screen().type_keys("\n");
    has_focus(&window, "Port");
    host.screen().type_keys("8080");
    tab_to(&host, &window, "Name of who may open it optional");
    host.screen().type_keys("anna laptop\n");
    window.sees("Invite for anna-laptop");
    assert_eq!(host.status()["exports"][0]["target"], "127.0.0.1:8080");
    has_focus(&window, "Copy");
    host.screen().type_keys("\x1b");
    has_focus(&window, "Add export");
    host.ormesh(&["client", "delete", "anna-laptop"]);

    // A step of a dialog, and what is given up.
    tab_to(&host, &window, "Add remote");
    host.screen().type_keys("\n");
    has_focus(&window, "Name");
    host.screen().type_keys("home\n");
    window.sees("It holds no secret");
    has_focus(&window, "Copy");
    host.screen().type_keys("\x1b");
    has_focus(&window, "Add remote");
    tab_to(&host, &window, "Give up the request for home");
    host.screen().type_keys("\n");
    window.sees("Give up the request for home?");
    tab_to(&host, &window, "Give up request");
    host.screen().type_keys("\n");
    window.gone("//*[normalize-space()='home']");
    has_focus(&window, "Add remote");

    // What is revoked.
    host.ormesh(&["client", "add", "laptop"]);
    window.open("laptop");
    tab_to(&host, &window, "Revoke");
    host.screen().type_keys("\n");
    has_focus(&window, "Cancel");
    host.screen().type_keys("\t\n");
    window.gone("//strong[normalize-space()='laptop']");
    has_focus(&window, "Add client");
}

#[test]
fn control_and_plus_minus_or_zero_size_the_window_and_the_next_one_is_as_large() {
    let host = Host::new();
    let width = |window: &Window| window.run("arguments[0](innerWidth)", json!([])).as_f64().unwrap();
    let open = || {
        let window = host.window();
        window.find("//button[normalize-space()='Share a port']");
        host.screen().give_keys();
        window
    };
    let window = open();
    let plain = width(&window);

    host.screen().type_with_control("+");
    until("it is larger", || (width(&window) < plain).then_some(()));
    let larger = width(&window);
    host.screen().type_with_control("-");
    until("it is as before", || (width(&window) == plain).then_some(()));
    host.screen().type_with_control("=");
    until("it is larger", || (width(&window) == larger).then_some(()));
    drop(window);

    let window = open();
    until("it is as large as before", || (width(&window) == larger).then_some(()));
    host.screen().type_with_control("0");
    until("it is as the system has it", || (width(&window) == plain).then_some(()));
}
