//! The owner of a TCP socket where the system tells which process has it: macOS, Windows and the BSDs.

use std::net::SocketAddr;

use listeners::Protocol;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, Uid, UpdateKind};

use super::user::User;

/// Whether the program at `peer` is known to have closed its connection to `local`: here that is never known.
pub(super) fn has_closed(_peer: SocketAddr, _local: SocketAddr) -> bool {
    false
}

/// Whose the socket is that is bound to `peer`. An error says why nobody knows.
pub(super) async fn owner(peer: SocketAddr, _local: SocketAddr) -> Result<User, String> {
    // It walks over all processes or sockets.
    let found = tokio::task::spawn_blocking(move || look(peer)).await;
    found.map_err(|error| error.to_string())?
}

fn look(peer: SocketAddr) -> Result<User, String> {
    let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
    let all =
        listeners::get_all().map_err(|error| format!("the system does not say whose it is: {error}"))?;
    let holds =
        |l: &&listeners::Listener| l.protocol == Protocol::TCP && canonical(l.socket) == canonical(peer);
    let holders: Vec<Pid> = all.iter().filter(holds).map(|l| Pid::from_u32(l.process.pid)).collect();
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
