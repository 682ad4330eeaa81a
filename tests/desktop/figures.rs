//! What the app costs: memory in each state, the time from a click to a painted window, and processor time when nothing happens.
//!
//! Printed, not judged: `cargo xtask bench` runs this with release binaries, and nothing else does. That the memory of a closed window
//! is given back is judged by `reopened`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use support::{Running, cpu_time, family, figure, until};

use crate::again::has_web_view;
use crate::app::Host;
use crate::panel::Panel;
use crate::screen::Bus;

/// Web views are painted, and memory is given back, in the background for some seconds after.
const SETTLED: Duration = Duration::from_secs(3);
/// Over which idle processor time is taken.
const IDLE: Duration = Duration::from_secs(15);
/// The median of so many.
const CLICKS: usize = 5;

#[test]
#[ignore = "it measures and judges nothing: cargo xtask bench"]
fn what_the_app_costs() {
    let bus = Bus::start();
    let panel = Panel::on(&bus);
    panel.start_accessibility();
    let host = Host::with_bus(bus.address());
    let app = host.app(&["--hidden"]);
    let icon = panel.icon();
    let agent = until("the agent runs", || host.agent_pid());
    let cost = |what: &str| {
        sleep(SETTLED);
        let (resident, proportional) = memory(app.id(), agent);
        figure(&format!("app {what}: RSS (PSS)"), format!("{resident} ({proportional}) MiB"));
        let before = processor(app.id(), agent);
        sleep(IDLE);
        let used = (processor(app.id(), agent) - before).as_secs_f64() / IDLE.as_secs_f64();
        figure(&format!("app {what}: idle processor time"), format!("{:.1} %", 100.0 * used));
    };
    cost("hidden, its window never made");
    assert!(!has_web_view(app.id()));

    let mut clicks: Vec<Duration> = (0..CLICKS).map(|_| click(&host, &panel, &icon, &app)).collect();
    figure("app from click to painted window, the first", format!("{} ms", clicks[0].as_millis()));
    clicks[1..].sort();
    let again = clicks[1 + (CLICKS - 1) / 2].as_millis();
    figure("app from click to painted window, again, median", format!("{again} ms"));
    cost("hidden again, its window destroyed");

    panel.click(&icon);
    host.screen().wait_for_a_painted_window();
    cost("with its window open");
}

/// From a click on the tray to a painted window, which is closed again.
fn click(host: &Host, panel: &Panel, icon: &zbus::names::OwnedBusName, app: &Running) -> Duration {
    let start = Instant::now();
    panel.click(icon);
    host.screen().wait_for_a_painted_window();
    let took = start.elapsed();
    host.screen().close_the_window();
    until("the web view is gone", || (!has_web_view(app.id())).then_some(()));
    took
}

/// The app's processes: itself and the web view's, without its agent and tor.
fn app_alone(app: u32, agent: u32) -> Vec<u32> {
    let of_the_agent = family(agent);
    family(app).into_iter().filter(|member| !of_the_agent.contains(member)).collect()
}

/// Resident and proportional memory in MiB (proc_pid_smaps_rollup(5)).
fn memory(app: u32, agent: u32) -> (u64, u64) {
    let sum = |name: &str| {
        let each = app_alone(app, agent).into_iter().map(|pid| {
            let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default()
        });
        each.sum::<u64>() / 1024
    };
    (sum("Rss:"), sum("Pss:"))
}

fn processor(app: u32, agent: u32) -> Duration {
    app_alone(app, agent).into_iter().map(cpu_time).sum()
}
