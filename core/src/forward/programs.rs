//! All that listens on this machine, with the names of the programs. This reads all of /proc or its like, so it is for a person who asks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::listened;

/// How long a search may take.
const SEARCH: Duration = Duration::from_secs(2);

/// Every TCP address that somebody listens on, and the name of the program where this user can see it. This process's own are left out.
pub async fn listening() -> Vec<(SocketAddr, Option<String>)> {
    let search = tokio::task::spawn_blocking(search);
    timeout(SEARCH, search).await.ok().and_then(Result::ok).unwrap_or_default()
}

fn search() -> Vec<(SocketAddr, Option<String>)> {
    let all = listened::search().into_iter();
    let others = all.filter(|(_, holder)| !holder.as_ref().is_some_and(listened::Holder::is_us));
    let named: BTreeMap<_, _> = others.map(|(at, holder)| (at, holder.map(|holder| holder.name))).collect();
    named.into_iter().collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_another_program_listens_on_is_found_with_its_name_and_our_own_is_not() {
        let ours = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let script = "import socket,sys,time\ns=socket.create_server(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\ntime.sleep(60)";
        let mut python = std::process::Command::new("python3")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(python.stdout.take().unwrap()), &mut port)
            .unwrap();

        let all = listening().await;

        python.kill().unwrap();
        python.wait().unwrap();
        let theirs = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().unwrap()));
        let name = all.iter().find(|(addr, _)| *addr == theirs).and_then(|(_, name)| name.clone());
        assert!(name.is_some_and(|name| name.starts_with("python3")), "{all:?}");
        assert!(all.iter().all(|(addr, _)| *addr != ours.local_addr().unwrap()));
    }
}
