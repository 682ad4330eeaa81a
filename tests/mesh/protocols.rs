//! Protocols with their ways of beginning and ending: the server speaks first, the client closes its side early.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use crate::support::{PATIENCE, banner, big_reply, connected, figure, first_line, hosts, talk};

const REPLY: usize = 1_000_000;

#[test]
fn servers_may_speak_first_and_clients_may_close_early() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let (mail, files) = (banner("220 mail ready"), big_reply(REPLY));
    server.export(files.addr, 80);
    let mail_at = connected(&mut server, &mut laptop, mail.addr, 25);
    let files_at = laptop.import("remote", 80);

    assert_eq!(first_line(mail_at).unwrap(), "220 mail ready");
    let stream = TcpStream::connect(mail_at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "220 mail ready");
    for line in ["HELO laptop", "NOOP"] {
        writeln!(&stream, "{line}").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), format!("ok {line}"));
    }
    writeln!(&stream, "QUIT").unwrap();
    assert!(lines.next().is_none(), "the server's end is passed on");

    let begun = Instant::now();
    let reply = talk(files_at, b"give me all\n").unwrap();
    assert_eq!(reply.len(), REPLY, "the reply after a half-close is cut");
    figure("1 MB reply after the client's half-close", format!("{:?}", begun.elapsed()));
    let mut nc = laptop.command(crate::support::ORMESH);
    nc.args(["nc", "remote", "80"]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut nc = nc.spawn().unwrap();
    nc.stdin.take().unwrap().write_all(b"give me all\n").unwrap();
    let mut reply = Vec::new();
    nc.stdout.take().unwrap().read_to_end(&mut reply).unwrap();
    assert_eq!(reply.len(), REPLY, "the reply by nc is cut");
    assert!(nc.wait().unwrap().success());
}
