//! What goes wrong while the window is open: each has its sentence and a way on, and nothing typed is lost.

use std::net::TcpListener;
use std::path::PathBuf;

use ormesh_core::ipc::frame::{self, MAX_REQUEST};
use ormesh_core::ipc::transport::Listener;
use ormesh_core::ipc::{Hello, PROTOCOL};

use support::{Lock, Session, Signal, free_address, send, until};

use crate::app::Host;

#[test]
fn a_locked_keyring_is_said_and_opens_again_by_a_button() {
    let home = tempfile::tempdir().unwrap();
    let mut session = Session::with_keyring(home.path(), Lock::Open);
    let host = Host::with_keyring(session.address());
    let invite = host.ormesh(&["client", "add", "laptop"]);
    session.restart(Lock::Closed);
    let window = host.window();

    window.open("laptop");
    window.press("Show invite");
    window.sees("locked");
    // The window goes on with everything that needs no secret.
    window.press("Add export");
    window.fill("Port", "8080");
    window.press("Share");
    window.sees("127.0.0.1:8080");
    window.find("//*[@aria-label='Problems']//*[contains(., 'locked')]");
    window.keep("locked");

    session.restart(Lock::Open);
    window.press("Type your password");
    window.gone("//*[@aria-label='Problems']//*[contains(., 'locked')]");
    window.press("Show invite");
    let shown = window.find("//*[starts-with(normalize-space(text()), 'ormesh1')]").text();
    assert_eq!(shown.trim(), invite.trim());
}

#[test]
fn a_configuration_that_is_emptied_is_written_back_by_a_button() {
    let host = Host::new();
    host.ormesh(&["export", "add", "22"]);
    let window = host.window();
    window.sees("127.0.0.1:22");
    let file = PathBuf::from(host.ormesh(&["config", "path"]).trim());
    let good = std::fs::read_to_string(&file).unwrap();

    std::fs::write(&file, "").unwrap();
    window.press("Write it back");

    until("it is written back", || (std::fs::read_to_string(&file).unwrap() == good).then_some(()));
    window.gone("//*[text()='Write it back']");
    window.sees("127.0.0.1:22");

    // Or all that it named goes, and only when asked again.
    std::fs::write(&file, "").unwrap();
    window.press("Accept the loss");
    window.press("Accept the loss");
    until("it is accepted", || host.status()["exports"].as_array()?.is_empty().then_some(()));
}

#[test]
fn what_is_typed_outlives_the_agent() {
    let host = Host::new();
    let window = host.window();
    let pid = until("the agent runs", || host.agent_pid());
    window.press("Share a port");
    window.fill("Port", "8080");

    send(pid, Signal::KILL);
    until("another runs", || host.agent_pid().filter(|next| *next != pid));

    assert_eq!(window.field("Port").property("value"), "8080");
    window.press("Share");
    window.sees("127.0.0.1:8080");
}

#[test]
fn an_agent_of_another_version_is_replaced_when_a_person_wants_it() {
    let host = Host::new();
    host.ormesh(&["export", "add", "8080"]);
    let mut other = host.agent();
    let _ = speaks_another_version(host.socket());
    let window = host.window();

    window.find("//h1[contains(., 'Needs a restart')]");
    // What is known without it is shown all the same.
    window.sees("127.0.0.1:8080");
    window.keep("other-version");
    window.press("Restart the agent");

    assert!(other.ended().success(), "it was not ended in order");
    let next = until("the app's own agent runs", || host.agent_pid());
    assert_ne!(next, other.id());
    window.gone("//h1[contains(., 'Needs a restart')]");
}

/// Puts a listener in the place of the agent's that greets as the next version of the protocol would.
fn speaks_another_version(socket: PathBuf) -> std::thread::JoinHandle<()> {
    std::fs::rename(&socket, socket.with_extension("kept")).unwrap();
    let (bound, is_bound) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut listener = Listener::bind(&socket).unwrap();
            bound.send(()).unwrap();
            let hello = Hello { protocol: PROTOCOL + 1, version: "99.0.0".to_owned() };
            while let Ok(mut connection) = listener.accept().await {
                // Whoever looks may go away at any time.
                let _ = frame::read::<Hello>(&mut connection, MAX_REQUEST).await;
                let _ = frame::write(&mut connection, &hello).await;
            }
        });
    });
    is_bound.recv().unwrap();
    thread
}

#[test]
fn an_address_in_use_is_said_and_the_import_recovers() {
    let (host, exporter) = (Host::new(), Host::new());
    let invite = exporter.ormesh(&["client", "add", "laptop"]);
    host.ormesh(&["remote", "add", "home", invite.trim()]);
    let address = free_address();
    let holder = TcpListener::bind(address).unwrap();
    let window = host.window();

    window.press("Add import from home");
    window.fill_import("home", "80", &address.to_string());
    window.sees("in use");
    window.press("Import");
    window.find("//li[contains(., 'Blocked')]");
    window.gone("//*[contains(@class, 'toast ')]");
    window.keep("blocked");

    drop(holder);
    window.gone("//li[contains(., 'Blocked')]");
}

#[test]
fn a_socks_address_in_use_is_said_where_it_is_set_and_another_is_offered() {
    let host = Host::new();
    let holder = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    let held = holder.local_addr().unwrap().to_string();
    let window = host.window();
    window.find("//button[normalize-space()='Pause']");

    window.press("Settings");
    window.find("//label[normalize-space()='On']").press();
    window.replace("Address", "banana");
    window.sees("banana");
    window.find("//section[@aria-labelledby='socks']//button[normalize-space()='Save' and @disabled]");
    window.keep("socks-banana");
    window.replace("Address", &held);
    window.sees("is in use now");
    window.press("Save");
    window.sees("it is tried again by itself");
    window.gone("//*[contains(@class, 'toast ')]");
    window.keep("socks-in-use");
    let offer = window.find("//button[starts-with(normalize-space(), 'Use 127.0.0.1:')]");
    let free = offer.text().trim_start_matches("Use ").to_owned();
    offer.press();
    window.press("Save");
    until("it is set", || (host.ormesh(&["config", "get", "agent.socks-addr"]).trim() == free).then_some(()));
    window.find("//*[contains(@class, 'toast ') and contains(@class, 'tone-good')][contains(., 'Saved')]");
}

#[test]
fn an_agent_that_is_stopped_is_said_not_to_answer_and_is_restarted_by_a_button() {
    let mut host = Host::new();
    let opened = host.note_what_is_opened();
    host.ormesh(&["export", "add", "8080"]);
    host.ormesh(&["client", "add", "laptop"]);
    let window = host.window();
    window.find("//button[normalize-space()='Pause']");
    let pid = until("the agent runs", || host.agent_pid());

    send(pid, Signal::STOP);
    window.find("//h1[contains(., 'Not answering')]");
    window.gone("//main//*[contains(@class, 'tone-good')]");
    window.keep("silent");
    window.press("Open the log");
    let log = || std::fs::read_to_string(&opened).ok().filter(|text| text.trim_end().ends_with("agent.log"));
    until("the log is opened", log);

    // One that goes on by itself is heard again.
    send(pid, Signal::CONT);
    window.gone("//h1[contains(., 'Not answering')]");
    send(pid, Signal::STOP);
    window.find("//h1[contains(., 'Not answering')]");
    window.press("Restart the agent");
    let next = until("another agent runs", || host.agent_pid().filter(|next| *next != pid));
    assert_ne!(next, pid);
    window.gone("//h1[contains(., 'Not answering')]");
    window.gone("//*[contains(., 'does not answer')]");
}

#[test]
fn a_broken_configuration_is_told_once_and_opened_by_a_button() {
    let mut host = Host::new();
    let opened = host.note_what_is_opened();
    let window = host.window();
    window.find("//button[normalize-space()='Pause']");
    let config = host.ormesh(&["config", "path"]).trim().to_owned();
    let good = std::fs::read_to_string(&config).unwrap();

    std::fs::write(&config, format!("{good}\n[exprots]\n")).unwrap();
    window.sees("exprots");
    window.press("Settings");
    window.keep("broken-configuration");
    let told = "return arguments[0](document.body.innerText.split('exprots').length - 1)";
    assert_eq!(window.run(told, serde_json::json!([])), 1);
    window.press("Open the configuration");
    let is_there = || std::fs::read_to_string(&opened).ok().filter(|text| text.trim() == config);
    until("the configuration is opened", is_there);

    std::fs::write(&config, good).unwrap();
    window.gone("//*[contains(text(), 'exprots')]");
    window.sees("SOCKS address");
}

#[test]
fn a_name_that_is_taken_and_a_mistyped_invite_are_told_while_typing() {
    let (host, exporter) = (Host::new(), Host::new());
    let invite = exporter.ormesh(&["client", "add", "laptop"]);
    host.ormesh(&["remote", "add", "home", invite.trim()]);
    let window = host.window();

    window.press("Add remote");
    window.choose("I have an invite");
    window.fill("Name", "home");
    window.sees("There is a remote home already.");
    window.fill("Name", "2");
    window.fill("Invite", &invite.trim()[..97]);
    window.sees("97 of 119 characters");
    window.find("//dialog//button[normalize-space()='Add remote' and @disabled]");
    window.keep("mistyped");
}

#[test]
fn a_tor_that_can_not_be_found_is_said_with_a_way_on() {
    let host = Host::new();
    let window = host.window();

    window.find("//h1[contains(., 'Offline')]");
    window.find("//*[@aria-label='Problems']//*[contains(., '/nonexistent/tor')]");
    window.press("Diagnose");
    window.find("//*[contains(., '/nonexistent/tor') and contains(., 'ORMESH_TOR')]");
    window.keep("no-tor");
}

#[test]
fn a_copied_invite_leaves_the_clipboard_after_a_minute() {
    let host = Host::new();
    host.ormesh(&["export", "add", "8080"]);
    let invite = host.ormesh(&["client", "add", "laptop"]);
    let window = host.window();
    window.open("laptop");
    window.press("Show invite");
    window.press("Copy");
    until("it is in the clipboard", || (clipboard(&host)? == invite.trim()).then_some(()));

    until("it has left the clipboard", || clipboard(&host).is_none());
}

/// What another program would paste; nothing when nothing was copied, as xclip says it.
fn clipboard(host: &Host) -> Option<String> {
    let mut paste = host.command("/usr/bin/xclip");
    paste.args(["-out", "-selection", "clipboard"]);
    let output = paste.output().expect("xclip is installed: cargo xtask setup --desktop");
    let said = String::from_utf8_lossy(&output.stderr);
    let is_empty = said.contains("target STRING not available");
    assert!(output.status.success() || is_empty, "xclip failed: {}: {said}", output.status);
    String::from_utf8(output.stdout).ok().filter(|text| !text.is_empty())
}
