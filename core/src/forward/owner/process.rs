//! The owner of a TCP socket where the system tells which process has it: macOS, Windows and the BSDs.

use std::net::SocketAddr;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, Uid, UpdateKind};

use super::user::User;

/// Whether the program at `peer` is known to have closed its connection to `local`: here that is never known.
pub(super) fn has_closed(_peer: SocketAddr, _local: SocketAddr) -> bool {
    false
}

/// Whose the socket is that is bound to `peer`. An error says why nobody knows.
pub(super) async fn owner(peer: SocketAddr, local: SocketAddr) -> Result<User, String> {
    // It walks over all processes or sockets.
    let found = tokio::task::spawn_blocking(move || look(peer, local)).await;
    found.map_err(|error| error.to_string())?
}

fn look(peer: SocketAddr, local: SocketAddr) -> Result<User, String> {
    let held =
        holders(peer, local).map_err(|error| format!("the system does not say whose it is: {error}"))?;
    let holders: Vec<Pid> = held.into_iter().map(Pid::from_u32).collect();
    let me = Pid::from_u32(std::process::id());
    let mut system = System::new();
    let wanted: Vec<Pid> = holders.iter().copied().chain([me]).collect();
    let users = ProcessRefreshKind::nothing().with_user(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&wanted), true, users);
    let user = |pid: &Pid| system.process(*pid).and_then(|process| process.user_id()).cloned();
    let me = user(&me).ok_or("this process's own user is not known")?;
    // A socket may be held by several processes: one whose user is not known, or another's, spoils it.
    let mut owner = Err(format!("no open socket of this machine connects from {}", peer.ip()));
    for holder in &holders {
        let whose = user(holder).ok_or_else(|| "the user of its process is not known".to_owned())?;
        owner = Ok(whose_is(&whose, &me));
        if matches!(owner, Ok(User::Other(_))) {
            break;
        }
    }
    owner
}

/// The processes that have a socket which is bound to `peer`.
#[cfg(not(windows))]
fn holders(peer: SocketAddr, _local: SocketAddr) -> Result<Vec<u32>, String> {
    use listeners::{Listener, Protocol};
    let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
    let all = listeners::get_all().map_err(|error| error.to_string())?;
    let holds = |l: &&Listener| l.protocol == Protocol::TCP && canonical(l.socket) == canonical(peer);
    Ok(all.iter().filter(holds).map(|l| l.process.pid).collect())
}

#[cfg(windows)]
use crate::forward::peers::processes as holders;

fn whose_is(user: &Uid, me: &Uid) -> User {
    if user == me {
        return User::Me;
    }
    #[cfg(unix)]
    if **user == 0 {
        return User::Root;
    }
    User::Other(format!("user {}", user.to_string()))
}
