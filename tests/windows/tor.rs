//! tor beside the agent: it is found, starts in any directory, and never outlives its agent.

use support::{Signal, send, until};

use crate::host::{Windows, gone};

#[test]
fn tor_runs_wherever_the_state_is_and_ends_with_a_killed_agent() {
    let mut host = Windows::on_the_network("host");
    host.good(&["export", "add", "22"]);
    host.start();
    host.wait_until("tor is connected", support::is_online);

    let tor = host.kill_agent();

    gone("tor ends with its agent", tor);
    host.start();
    host.wait_until("tor is connected again", support::is_online);
    host.good(&["agent", "stop"]);
    assert_eq!(host.ended(), 0);
    until("tor ends with its agent", || host.tor_pid().is_none());
}

#[test]
fn a_tor_that_is_killed_comes_back() {
    let mut host = Windows::on_the_network("host");
    host.good(&["export", "add", "22"]);
    host.start();
    host.wait_until("tor is connected", support::is_online);
    let tor = until("the agent has a tor", || host.tor_pid());

    send(tor, Signal::KILL);

    until("there is another tor", || host.tor_pid().filter(|other| *other != tor));
    host.wait_until("tor is connected again", support::is_online);
}

#[test]
fn a_state_directory_may_be_long() {
    let mut host = Windows::on_the_network("host");
    let long = format!("state/{}", "x".repeat(120));
    let long = host.windows_path(&long);
    host.start_with(&[]);
    host.good(&["agent", "stop"]);
    host.ended();

    let mut agent = host.command(crate::host::program("ormesh.exe"));
    let mut agent = agent.args(["agent", "run"]).env("ORMESH_STATE", &long).spawn().unwrap();
    until("tor is connected", || {
        let mut ask = host.command(crate::host::program("ormesh.exe"));
        let asked = ask.args(["status", "--json"]).env("ORMESH_STATE", &long).output().unwrap();
        serde_json::from_slice(&asked.stdout).is_ok_and(|status| support::is_online(&status))
    });
    let mut stop = host.command(crate::host::program("ormesh.exe"));
    assert!(stop.args(["agent", "stop"]).env("ORMESH_STATE", &long).status().unwrap().success());
    until("the agent ends", || agent.try_wait().unwrap());
}
