//! A request whose reply is lost is never delivered twice, whatever is broken at the other end after it has left.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::{PATIENCE, Signal, connected, counter, hosts, send, until};

#[test]
fn a_request_is_never_delivered_twice() {
    let [mut server, mut laptop] = hosts(["server", "laptop"]);
    let answers = Arc::new(AtomicBool::new(true));
    let (counting, counts) = counter(Arc::clone(&answers));
    let import = connected(&mut server, &mut laptop, counting.addr, 80);
    ask(import, "first").expect("all is well at first");

    // tor has the request and no longer acts: it is delivered late, if at all.
    let tor = server.tor_pid();
    send(tor, Signal::STOP);
    let sent = begin(import, "stopped", 5);
    let answered = finish(sent);
    send(tor, Signal::CONT);
    assert_eq!(answered, 0, "a stopped tor cannot have answered");
    ask_until(import, "after the stop");

    // The agent no longer acts, and its tor does: the gate's socket takes the request, nobody reads it.
    send(server.agent_pid(), Signal::STOP);
    let sent = begin(import, "agent", 5);
    until("the requests have left", || laptop.status().remotes[0].imports[0].sessions >= 5);
    send(server.agent_pid(), Signal::CONT);
    assert_eq!(finish(sent), 5, "the agent was held up for a moment only");

    // The request has arrived, and the reply is lost with tor.
    answers.store(false, Ordering::SeqCst);
    let sent = begin(import, "arrived", 5);
    until("the requests arrive", || (0..5).all(|number| counts.of(&format!("arrived {number}")) == 1));
    server.kill_tor();
    answers.store(true, Ordering::SeqCst);
    assert_eq!(finish(sent), 0, "the replies were lost");

    // tor dies at the very moment of sending.
    ask_until(import, "after the loss");
    let sent = begin(import, "killed", 5);
    server.kill_tor();
    finish(sent);
    ask_until(import, "last");

    assert_eq!(counts.repeated(), Vec::<String>::new(), "delivered more than once");
    assert_eq!(counts.of("first"), 1);
}

/// Sends one request and waits for the answer.
fn ask(import: SocketAddr, text: &str) -> io::Result<()> {
    reply(request(import, text)?)
}

/// Sends requests until one is answered, as an application would; each has a text of its own.
fn ask_until(import: SocketAddr, name: &str) {
    let mut tries = 0..;
    until("requests are answered again", || ask(import, &format!("{name} {}", tries.next()?)).ok());
}

/// Sends so many requests, all on their way when this returns.
fn begin(import: SocketAddr, name: &str, count: usize) -> Vec<TcpStream> {
    (0..count).map(|number| request(import, &format!("{name} {number}")).unwrap()).collect()
}

/// Waits for all replies or ends; gives how many were answered.
fn finish(sent: Vec<TcpStream>) -> usize {
    let waiting: Vec<_> =
        sent.into_iter().map(|stream| thread::spawn(move || reply(stream).is_ok())).collect();
    waiting.into_iter().map(|waiting| usize::from(waiting.join().unwrap())).sum()
}

fn request(import: SocketAddr, text: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(import)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{text}\n").as_bytes())?;
    Ok(stream)
}

fn reply(mut stream: TcpStream) -> io::Result<()> {
    let mut heard = [0; 5];
    stream.read_exact(&mut heard)?;
    assert_eq!(heard, *b"done\n");
    Ok(())
}
