//! Other users of the importing machine: what they reach, and what they don't. They are users without a name, by their number alone.

use std::net::SocketAddr;
use std::process::Command;

use ormesh_core::model::problem::{Code, Subject};

use crate::support::{Host, connected, echo, free_address, hosts, open_echo, socks_dial, until};

const ANOTHER: u32 = 4_321;

/// Whether a user without privileges gets a byte back from what listens at an address, after sending these.
fn user_hears(user: u32, at: SocketAddr, said: &[u8]) -> bool {
    // Bash is what each of these machines has; it opens TCP connections by itself.
    let said: String = said.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let script = format!(
        "exec 3<>/dev/tcp/{}/{} && printf '{said}' >&3 && read -r -t 20 -n 1 -u 3 heard && echo heard",
        at.ip(),
        at.port()
    );
    let mut setpriv = Command::new("setpriv");
    setpriv.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups", "bash", "-c"]);
    let output = setpriv.arg(script).current_dir("/").output().unwrap();
    String::from_utf8_lossy(&output.stdout).contains("heard")
}

/// The beginning of a SOCKS dialogue; whoever may use the server hears its choice of a method.
const GREETING: &[u8] = &[5, 1, 0];

fn refused_at(host: &Host, subject: &Subject) -> Option<String> {
    let status = host.status();
    let problem =
        status.problems.into_iter().find(|problem| problem.id() == (Code::UserRefused, Some(subject)))?;
    Some(format!("{} {}", problem.message, problem.hint))
}

#[test]
fn the_socks_address_and_an_import_for_me_alone_serve_nobody_else() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: nobody else can connect here");
        return;
    }
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let backend = echo();
    let open = connected(&mut server, &mut laptop, backend.addr, 80);
    let mine = free_address();
    laptop.good(&["import", "add", "remote", "80", &mine.to_string(), "--only-me"]);

    // Its own user reaches everything, and another one what is open to all.
    assert!(open_echo(open).turn().is_ok() && open_echo(mine).turn().is_ok());
    assert!(socks_dial(laptop.socks(), "remote", 80).is_ok());
    assert!(user_hears(ANOTHER, open, b"hello\n"));

    assert!(!user_hears(ANOTHER, laptop.socks(), GREETING));
    assert!(!user_hears(ANOTHER, mine, b"hello\n"));
    for subject in [Subject::Socks, Subject::Import(mine.to_string().parse().unwrap())] {
        let problem = refused_at(&laptop, &subject).unwrap();
        assert!(problem.contains(&format!("user {ANOTHER}")), "{problem}");
    }
    assert!(laptop.log().contains(&format!("user {ANOTHER}")));
    let yaml = laptop.good(&["status"]);
    assert_eq!(yaml.matches("only-me: true").count(), 1, "{yaml}");
    let listed = laptop.good(&["import", "list"]);
    let row = |listen: SocketAddr| listed.lines().find(|line| line.contains(&listen.to_string())).unwrap();
    assert!(row(mine).contains(" me ") && row(open).contains(" all "), "{listed}");

    // The setting opens it, at once, and closes it again.
    laptop.good(&["config", "set", "agent.socks-users", "all"]);
    assert!(user_hears(ANOTHER, laptop.socks(), GREETING));
    assert!(laptop.good(&["status"]).contains("socks-users: all"));
    laptop.good(&["config", "set", "agent.socks-users", "me"]);
    assert!(!user_hears(ANOTHER, laptop.socks(), GREETING));
    assert!(socks_dial(laptop.socks(), "remote", 80).is_ok());
}

#[test]
fn an_agent_of_another_user_lets_that_user_and_root_in() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: there is no other user to run as");
        return;
    }
    let [host] = hosts(["host"]);
    let program = host.home().join("ormesh");
    std::fs::copy(crate::support::ORMESH, &program).unwrap();
    let owner = format!("{ANOTHER}:{ANOTHER}");
    assert!(host.command("chown").args(["-R", &owner]).arg(host.home()).status().unwrap().success());
    std::fs::write(host.home().join("no-network.torrc"), "DisableNetwork 1\n").unwrap();
    let ormesh = |args: &[&str]| {
        let mut command = host.command("setpriv");
        let user = [format!("--reuid={ANOTHER}"), format!("--regid={ANOTHER}")];
        command.args(user).arg("--clear-groups").arg(&program).args(args);
        command.env("ORMESH_TOR_NETWORK", host.home().join("no-network.torrc")).env_remove("ORMESH_LOG");
        command
    };
    let log = std::fs::File::create(host.home().join("agent.log")).unwrap();
    let mut agent = ormesh(&["agent", "run"]).stderr(log).spawn().unwrap();
    until("it listens", || std::net::TcpStream::connect(host.socks()).is_ok());

    assert!(user_hears(ANOTHER, host.socks(), GREETING), "its own user");
    assert!(user_hears(0, host.socks(), GREETING), "root");
    assert!(!user_hears(ANOTHER + 1, host.socks(), GREETING), "somebody else");

    assert!(ormesh(&["agent", "stop"]).status().unwrap().success());
    assert!(agent.wait().unwrap().success());
}
