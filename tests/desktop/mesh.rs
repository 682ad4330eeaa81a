//! The whole way in two windows, over real tor and with the keys in real keyrings: what a person shares reaches another, and no longer
//! once it is revoked.

use std::net::SocketAddr;
use std::process::Command;

use support::{Lock, Session, free_address, http, talk, until};
use tempfile::TempDir;

use crate::app::{Host, Window};

/// A page of its own for each test: what is fetched can come from nowhere else.
const AT_HOME: &str = "<h1>served at home</h1>";
const BY_REQUEST: &str = "<h1>served by request</h1>";

/// A host with a desktop session of its own, which ends after the agent.
struct Desk {
    host: Host,
    _session: Session,
    _home: TempDir,
}

impl Desk {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let session = Session::with_keyring(home.path(), Lock::Open);
        Self { host: Host::on_the_network(session.address()), _session: session, _home: home }
    }

    /// Its window, once the agent is connected.
    fn window(&self) -> Window {
        let window = self.host.window();
        window.find("//h1[contains(., 'Online')]");
        window
    }
}

/// Imports port 80 of the remote whose dialog is open, and gives the address.
fn import_the_web(desk: &Desk, window: &Window, remote: &str) -> SocketAddr {
    let listen = free_address();
    window.sees(&format!("Import from {remote}"));
    window.fill_import(remote, "80", &listen.to_string());
    window.press("Import");
    until("the import listens", || {
        let status = desk.host.status();
        (status["remotes"][0]["imports"][0]["state"]["is"] == "listening").then_some(())
    });
    listen
}

/// What is served at an address; nothing when no whole answer comes.
fn fetch(address: SocketAddr) -> Option<String> {
    let answer = talk(address, b"GET / HTTP/1.1\r\nHost: home\r\n\r\n").ok()?;
    let answer = String::from_utf8(answer).unwrap();
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

/// The same as a browser has it.
fn browsed(address: SocketAddr) -> String {
    let profile = tempfile::tempdir().unwrap();
    let mut browser = Command::new("chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    browser.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    browser.arg(format!("--user-data-dir={}", profile.path().display()));
    browser.args(["--dump-dom".to_owned(), format!("http://{address}/")]);
    let output = browser.output().expect("Chromium is installed: cargo xtask setup --desktop");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_port_is_shared_by_an_invite_used_and_revoked() {
    let (home, laptop) = (Desk::new(), Desk::new());
    let page = http(AT_HOME);
    let (server, client) = (home.window(), laptop.window());

    server.press("Share a port");
    server.fill("Port", &page.addr.port().to_string());
    server.open("Elsewhere, or under another port");
    server.fill("Another port for clients", "80");
    server.fill("Name of who may open it", "laptop");
    server.press("Share and make invite");
    let code = server.find("//img[@alt='The invite as a QR code']");
    until("the QR code is drawn", || (code.property("naturalWidth").as_u64()? > 0).then_some(()));
    let invite = server.find("//*[starts-with(normalize-space(text()), 'ormesh1')]").text();
    server.keep("invite");

    client.press("Ask for access");
    client.choose("I have an invite");
    client.fill("Name", "home");
    client.fill("Invite", invite.trim());
    client.press("Add remote");
    let import = import_the_web(&laptop, &client, "home");
    until("the page is fetched", || fetch(import).filter(|body| body == AT_HOME));
    assert!(browsed(import).contains(AT_HOME));

    // The invite has done its work, and the sheet that is still open says so.
    server.sees("laptop has connected.");
    server.press("Done");
    for (desk, window, name) in [(&home, &server, "exporter"), (&laptop, &client, "importer")] {
        assert_eq!(desk.host.status()["agent"]["secrets"], "os-keyring");
        assert!(!desk.host.home().join("state/secrets").exists(), "keys went to files");
        window.keep(name);
    }
    client.find("//section[@aria-label='Remote home']//*[normalize-space()='Reachable']");

    server.open("laptop");
    server.press("Revoke");
    server.sees("Revoke laptop");
    server.press("Revoke");
    server.gone("//li//strong[normalize-space()='laptop']");
    assert_eq!(fetch(import), None, "a revoked client got through");
    client.find("//section[@aria-label='Remote home']//*[normalize-space()='Unreachable']");
    client.keep("revoked");
    let accepted = page.accepted();
    assert_eq!(fetch(import), None);
    assert_eq!(page.accepted(), accepted, "a revoked client's connection arrived");
}

#[test]
fn access_is_asked_for_and_granted_with_no_secret_on_the_way() {
    let (home, laptop) = (Desk::new(), Desk::new());
    let page = http(BY_REQUEST);
    home.host.ormesh(&["export", "add", &page.addr.port().to_string(), "80"]);
    let (server, client) = (home.window(), laptop.window());

    client.press("Ask for access");
    client.fill("Name", "home");
    client.press("Make request");
    let request = client.find("//*[starts-with(normalize-space(text()), 'ormeshreq1')]").text();

    server.press("Add client");
    server.fill("Their request", request.trim());
    server.fill("Name", "laptop");
    server.press("Let in");
    server.sees("It holds no secret.");
    let invite = server.find("//*[starts-with(normalize-space(text()), 'ormesh1')]").text();
    server.press("Done");

    client.fill("Invite", invite.trim());
    client.press("Add remote");
    let import = import_the_web(&laptop, &client, "home");
    until("the page is fetched", || fetch(import).filter(|body| body == BY_REQUEST));
    server.find(
        "//li[.//strong[normalize-space()='laptop']]//*[contains(., 'last seen') or contains(., 'session')]",
    );
}
