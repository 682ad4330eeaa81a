//! What a person does in the window, and what the command and the agent know of it afterwards.

use serde_json::{Value, json};

use support::{Signal, free_address, send, until};

use crate::app::Host;

#[test]
fn an_invite_goes_from_one_window_to_another() {
    let (exporter, importer) = (Host::new(), Host::new());

    let invite = {
        let window = exporter.window();
        window.press("Share a port");
        window.fill("Port", "8080");
        // Without a client the export is of no use yet, so the window asks for one along with it.
        window.fill("Name of who may open it", "laptop");
        window.press("Share and make invite");
        window.sees("Whoever has this can connect.");
        assert_eq!(exporter.status()["exports"][0]["target"], "127.0.0.1:8080");
        let code = window.find("//img[@alt='The invite as a QR code']");
        until("the QR code is drawn", || (code.property("naturalWidth").as_u64()? > 0).then_some(()));
        let invite = window.find("//*[starts-with(normalize-space(text()), 'ormesh1')]").text();
        assert_eq!(invite.trim(), exporter.ormesh(&["client", "token", "laptop"]).trim());
        window.press("Done");
        invite
    };

    let window = importer.window();
    window.press("Ask for access");
    window.choose("I have an invite");
    window.fill("Name", "website");
    window.fill("Invite", invite.trim());
    window.press("Add remote");
    // What next: the window asks which port to import.
    window.sees("Import from website");
    window.press("Cancel");
    window.sees("website");
    assert_eq!(importer.status()["remotes"][0]["address"], exporter.status()["clients"][0]["address"]);

    window.open("Remote website");
    window.press("Delete");
    window.press("Delete remote");
    until("the remote is gone", || importer.status()["remotes"].as_array()?.is_empty().then_some(()));
}

#[test]
fn a_client_is_revoked_in_the_window() {
    let host = Host::new();
    host.ormesh(&["export", "add", "22"]);
    host.ormesh(&["client", "add", "laptop"]);
    let window = host.window();

    window.sees("laptop");
    window.open("laptop");
    window.press("Revoke");
    window.press("Revoke");

    until("the client is gone", || host.status()["clients"].as_array()?.is_empty().then_some(()));
    window.gone("//*[text()='laptop']");
}

#[test]
fn what_is_typed_is_checked_and_a_refusal_is_said() {
    let host = Host::new();
    let window = host.window();

    window.press("Share a port");
    window.fill("Port", "99999");

    window.find("//input[@aria-invalid='true']");
    window.find("//dialog//button[normalize-space()='Share' and @disabled]");
    assert_eq!(host.status()["exports"], json!([]));
}

#[test]
fn what_the_command_does_shows_at_once() {
    let host = Host::new();
    let window = host.window();
    window.find("//button[normalize-space()='Pause']");

    host.ormesh(&["export", "add", "8123"]);

    window.sees("127.0.0.1:8123");
}

#[test]
fn what_is_open_to_others_is_said_and_can_be_closed_to_them() {
    let (host, exporter) = (Host::new(), Host::new());
    let invite = exporter.ormesh(&["client", "add", "laptop"]);
    host.ormesh(&["remote", "add", "home", invite.trim()]);
    let (public, private) = (free_address(), free_address());
    host.ormesh(&["import", "add", "home", "25", &format!("0.0.0.0:{}", public.port())]);
    host.ormesh(&["config", "set", "agent.socks-addr", &free_address().to_string()]);
    let window = host.window();

    window.sees("Open to other machines");
    window.press("Add import from home");
    window.fill_import("home", "80", &private.to_string());
    window.choose("Only for me");
    window.press("Import");
    let of = |listen: &str| {
        let status = host.status();
        let imports = status["remotes"][0]["imports"].as_array()?.clone();
        imports.into_iter().find(|import| import["listen"] == listen)
    };
    let import = until("the import is there", || of(&private.to_string()));
    assert_eq!(import["users"], "me");

    window.press("Settings");
    window.choose("Only for me");
    let users = || host.ormesh(&["config", "get", "agent.socks-users"]).trim().to_owned();
    until("the SOCKS address is open to all", || (users() == "all").then_some(()));
    window.replace("Address", &format!("0.0.0.0:{}", free_address().port()));
    window.sees("and so to every port of every remote");
    window.choose("Only for me");
    until("it is closed again", || (users() == "me").then_some(()));
    window.sees("from other machines are refused");
}

#[test]
fn an_export_says_whom_it_lets_in_and_can_be_for_some_only() {
    let host = Host::new();
    for client in ["laptop", "phone"] {
        host.ormesh(&["client", "add", client]);
    }
    let window = host.window();
    let clients = |port: u16| {
        let status = host.status();
        let exports = status["exports"].as_array()?.clone();
        exports.into_iter().find(|one| one["port"] == port).map(|one| one["clients"].clone())
    };

    window.press("Add export");
    window.fill("Port", "8080");
    window.sees("every client that may open all exports: laptop and phone; later ones, too");
    window.press("Share");
    window.sees("Laptop and phone can now reach port 8080");
    assert_eq!(clients(8080), Some(Value::Null));

    window.press("Add export");
    window.fill("Port", "8081");
    window.find("//dialog//label[normalize-space()='only these']/input").press();
    window.find("//dialog//label[normalize-space()='phone']/input").press();
    window.press("Share");
    window.sees("for phone only");
    assert_eq!(clients(8081), Some(json!(["phone"])));

    window.press("Who may open port 8081");
    window.find("//dialog//label[normalize-space()='laptop']/input").press();
    window.press("Save");
    window.sees("for laptop and phone only");
    assert_eq!(clients(8081), Some(json!(["laptop", "phone"])));
}

#[test]
fn an_invite_is_found_in_what_is_pasted() {
    let (host, exporter) = (Host::new(), Host::new());
    let [one, other] = ["laptop", "phone"].map(|name| exporter.ormesh(&["client", "add", name]));
    let (one, other) = (one.trim(), other.trim());
    let (head, rest) = one.split_at(60);
    let window = host.window();

    window.press("Ask for access");
    window.choose("I have an invite");
    window.fill("Name", "home");
    window.paste("Invite", &format!("> here it is: {one}\n> and another: {other}\n"));
    window.sees("several different invites in the text");
    window.find("//dialog//button[normalize-space()='Add remote' and @disabled]");
    let mail = format!("On Monday, Zoë wrote:\n> Here is your invite:\n> {head}\n> {rest}\n> See you!\n");
    window.paste("Invite", &mail);
    window.press("Add remote");
    window.sees("Import from home");

    let addresses = exporter.status()["clients"].clone();
    assert_eq!(host.status()["remotes"][0]["address"], addresses[0]["address"]);
}

#[test]
fn without_a_display_the_app_says_so_and_leaves_nothing_behind() {
    let host = Host::new();
    for (display, words) in
        [("", "there is no display"), (":4711", "the display can't be opened (DISPLAY=:4711)")]
    {
        let ended = host.app_on(display);

        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains(words) && said.contains("hint: start it in a desktop session"), "{said}");
        assert_eq!(host.agent_pid(), None, "nobody is there to end it");
        let left = std::fs::read_dir(host.home().join("ormesh")).into_iter().flatten().flatten();
        let left: Vec<_> = left.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(!left.iter().any(|name| name.starts_with("web-")), "{left:?}");
    }
}

#[test]
fn an_agent_that_died_is_started_again() {
    let host = Host::new();
    let window = host.window();
    let pid = until("the agent runs", || host.agent_pid());

    send(pid, Signal::KILL);

    let next = until("another runs", || host.agent_pid().filter(|next| *next != pid));
    assert_ne!(next, pid);
    window.find("//button[normalize-space()='Pause']");
}

#[test]
fn quitting_ends_the_agent_that_the_app_started() {
    let host = Host::new();
    let mut app = host.app(&[]);
    let pid = until("the agent runs", || host.agent_pid());

    app.terminate();

    assert!(app.ended().success());
    assert_eq!(host.agent_pid(), None);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn quitting_in_the_window_asks_first_and_ends_the_agent() {
    let host = Host::new();
    let window = host.window();
    let pid = until("the agent runs", || host.agent_pid());

    window.press("Settings");
    window.press("Quit ormesh");
    window.find("//dialog[@open]//button[normalize-space()='Quit']");
    assert_eq!(host.agent_pid(), Some(pid));
    window.press("Quit");

    until("the agent is gone", || host.agent_pid().is_none().then_some(()));
}

#[test]
fn quitting_leaves_an_agent_that_was_there() {
    let host = Host::new();
    let agent = host.agent();
    let window = host.window();
    window.find("//button[normalize-space()='Pause']");

    drop(window);

    assert_eq!(host.agent_pid(), Some(agent.id()));
}

#[test]
fn the_agent_outlives_a_crash_of_the_app_and_is_joined_again() {
    let host = Host::new();
    let mut app = host.app(&[]);
    let pid = until("the agent runs", || host.agent_pid());

    app.kill();
    let window = host.window();
    window.find("//button[normalize-space()='Pause']");

    assert_eq!(host.agent_pid(), Some(pid));
    send(pid, Signal::TERM);
    window.sees("not running");
}

#[test]
fn a_second_start_shows_the_first_and_ends() {
    let host = Host::new();
    let first = host.app(&[]);
    until("the agent runs", || host.agent_pid());

    let mut second = host.app(&[]);

    assert!(second.ended().success());
    assert!(std::path::Path::new(&format!("/proc/{}", first.id())).exists());
}

#[test]
fn the_page_can_do_nothing_but_call_our_commands() {
    let host = Host::new();
    let window = host.window();
    window.find("//button[normalize-space()='Pause']");

    let seen = window.run(
        r#"
        const done = arguments[arguments.length - 1];
        const invoke = window.__TAURI_INTERNALS__.invoke;
        const refused = async (work) => { try { await work(); return false; } catch { return true; } };
        const script = document.createElement('script');
        script.textContent = 'window.ran = true';
        document.head.append(script);
        (async () => done({
          global: typeof window.__TAURI__,
          state: !(await refused(() => invoke('state'))),
          window: await refused(() => invoke('plugin:window|create', { options: { label: 'other' } })),
          path: await refused(() => invoke('plugin:path|resolve_directory', { directory: 1 })),
          emit: await refused(() => invoke('plugin:event|emit', { event: 'state', payload: {} })),
          unknown: await refused(() => invoke('no_such_command')),
          outside: await refused(() => fetch('http://127.0.0.1:9/')),
          inline: window.ran === undefined,
          frozen: Object.isFrozen(Object.prototype),
        }))();
        "#,
        json!([]),
    );

    let expected = json!({
        "global": "undefined", "state": true, "window": true, "path": true, "emit": true, "unknown": true,
        "outside": true, "inline": true, "frozen": true,
    });
    assert_eq!(seen, expected);
}

#[test]
fn an_edit_that_is_not_the_windows_is_refused() {
    let host = Host::new();
    let before = host.ormesh(&["config", "get", "agent.secrets"]).trim().to_owned();
    let window = host.window();
    window.find("//button[normalize-space()='Pause']");

    let answer = window.run(
        r#"
        const [edit, done] = arguments;
        window.__TAURI_INTERNALS__.invoke('edit', { edit }).then(() => done('made'), (problem) => done(problem.kind));
        "#,
        json!([{ "edit": "set", "key": "secrets", "value": "file" }]),
    );

    // It is none that there is.
    assert_eq!(answer, Value::from("usage"));
    assert_eq!(host.ormesh(&["config", "get", "agent.secrets"]).trim(), before);
}
