//! What the window says on a bad day of the network, of tor and of the other host: each fault is seen without a reload, with its reason.

use std::time::{Duration, Instant};

use serde_json::json;
use support::{Signal, children, echo, figure, free_address, hosts_on, program, send, until};
use tornet::{Tools, Tornet};

use crate::app::{Host, Window};

/// After this time a picture is taken of what a person sees of a fault.
const GLANCE: Duration = Duration::from_secs(5);

/// A part of the page that must be seen, by its XPath.
type Seen = &'static str;

const ONLINE: Seen = "//h1[contains(., 'Online')]";
const REACHABLE: Seen = "//section[@aria-label='Remote home']//*[normalize-space()='Reachable']";

/// Does something, keeps a picture of the window soon after, and waits until it shows this.
fn shows(window: &Window, name: &str, doing: impl FnOnce(), seen: Seen) {
    let began = Instant::now();
    doing();
    let mut kept = false;
    let is_seen = || {
        if !kept && began.elapsed() >= GLANCE {
            window.keep(&format!("outage-{name}"));
            kept = true;
        }
        window.has(seen)
    };
    until(&format!("the window shows {name}"), is_seen);
    figure(&format!("the window shows {name} after"), format!("{:.1?}", began.elapsed()));
    println!("{name}: {}", said(window));
    if !kept {
        std::thread::sleep(GLANCE.saturating_sub(began.elapsed()));
        window.keep(&format!("outage-{name}"));
        println!("{name}, at a glance: {}", said(window));
    }
}

/// All that the window says.
fn said(window: &Window) -> String {
    let text = window.run("return arguments[0](document.body.innerText)", json!([]));
    text.as_str().unwrap_or_default().replace('\n', " | ")
}

fn is_well(window: &Window) {
    window.find(ONLINE);
    window.find(REACHABLE);
}

#[test]
fn each_outage_is_seen_with_its_reason() {
    let tools = Tools::find().unwrap();
    let dir = tempfile::Builder::new().prefix("om-").tempdir_in("/tmp").unwrap();
    // Its own, since its relays are killed.
    let mut network = Tornet::up(dir.path(), &tools).unwrap();
    let [mut exporter] = hosts_on(network.network(), ["exporter"]);
    exporter.export(echo().addr, 80);
    let invite = exporter.invite("laptop", &[]);
    exporter.start();
    let (host, uplink) = Host::behind_an_uplink(network.network());
    host.ormesh(&["remote", "add", "home", &invite]);
    host.ormesh(&["import", "add", "home", "80", &free_address().to_string()]);
    let window = host.window();
    is_well(&window);
    window.keep("outage-none");

    shows(&window, "cut", || uplink.cut(), "//h1[contains(., 'Offline')]");
    uplink.restore();
    is_well(&window);
    shows(&window, "silent", || uplink.silence(), "//*[contains(text(), 'onfirmed')]");
    uplink.restore();
    is_well(&window);
    shows(&window, "relays-gone", || network.stop_nodes(), "//h1[contains(., 'Offline')]");
    network.start_nodes(&tools).unwrap();
    is_well(&window);
    let agent = until("the agent runs", || host.agent_pid());
    let tor = until("its tor runs", || {
        children(agent).into_iter().find(|pid| program(*pid).as_deref() == Some("tor"))
    });
    shows(&window, "tor-wedged", || send(tor, Signal::STOP), "//h1[not(contains(., 'Online'))]");
    is_well(&window);
    shows(
        &window,
        "exporter-off",
        || exporter.kill_agent(),
        "//section[@aria-label='Remote home']//*[normalize-space()='Unreachable']",
    );
    exporter.spawn_agent(&[]);
    is_well(&window);
    shows(&window, "agent-frozen", || send(agent, Signal::STOP), "//h1[contains(., 'Not answering')]");
    send(agent, Signal::CONT);
    is_well(&window);
}
