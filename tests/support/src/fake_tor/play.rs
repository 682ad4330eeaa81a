//! The process of a scripted tor: its control port, its SOCKS port, its services, by its script.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::files::Files;
use super::script::{Obeyed, Script, Step};
use super::wire::{Wire, socks_reply};
use super::world::{COOKIE, World};
use crate::patience::LOOK;

/// Plays until the agent closes the control connection. It is started in tor's directory, with tor's arguments.
pub(crate) fn play(files: Files, arguments: &str) {
    let tor = Arc::new(Tor {
        world: Mutex::new(World::new(&files.network())),
        obeyed: Mutex::default(),
        control: Mutex::default(),
        files,
    });
    if let Some(steps) = tor.rule("start") {
        let (stream, _kept) = UnixStream::pair().unwrap();
        let _ = Wire::new(stream).perform(steps, Vec::new);
    }
    let torrc = arguments.split(' ').find(|word| word.ends_with("/torrc")).unwrap();
    fs::write(cookie_file(&fs::read_to_string(torrc).unwrap()), COOKIE).unwrap();
    let socks = UnixListener::bind("tor-socks").unwrap();
    let control = UnixListener::bind("tor-control").unwrap();
    let (serving, telling) = (Arc::clone(&tor), Arc::clone(&tor));
    thread::spawn(move || serving.serve_socks(&socks));
    thread::spawn(move || telling.tell_what_tests_say());
    let (stream, _) = control.accept().unwrap();
    // As tor does, which was told to end with its owner.
    let _ = tor.obey(stream);
}

/// As tor's configuration names it: a path in quotation marks.
fn cookie_file(torrc: &str) -> PathBuf {
    let line = torrc.lines().find_map(|line| line.strip_prefix("CookieAuthFile ")).unwrap();
    line.trim_matches('"').into()
}

struct Tor {
    files: Files,
    world: Mutex<World>,
    obeyed: Mutex<Obeyed>,
    control: Mutex<Option<Arc<Wire>>>,
}

impl Tor {
    /// What the script says of this. It is read each time, since tests change it.
    fn rule(&self, happens: &str) -> Option<Vec<Step>> {
        let script = Script::parse(&self.files.script()).unwrap();
        script.at(happens, &mut locked(&self.obeyed))
    }

    /// Obeys the control connection until it ends.
    fn obey(self: Arc<Self>, stream: UnixStream) -> io::Result<()> {
        let wire = Arc::new(Wire::new(stream.try_clone()?));
        *locked(&self.control) = Some(Arc::clone(&wire));
        if let Some(steps) = self.rule("connected")
            && !wire.perform(steps, Vec::new)?
        {
            return Ok(());
        }
        for line in BufReader::new(stream).lines() {
            let line = line?;
            self.files.note(&line);
            let answer = locked(&self.world).answer(&line);
            let reply = answer.reply.into_bytes();
            if let Some((id, listener)) = answer.service {
                let serving = Arc::clone(&self);
                thread::spawn(move || serving.serve_service(&id, &listener));
            }
            let goes_on = match self.rule(&line) {
                None => wire.say(&reply).map(|()| true)?,
                Some(steps) => wire.perform(steps, || reply.clone())?,
            };
            if !goes_on {
                return Ok(());
            }
            answer.events.iter().for_each(|event| self.tell(event));
            if answer.ends {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tells an event as tor does, or as the script says, which may take its time.
    fn tell(self: &Arc<Self>, event: &str) {
        let Some(wire) = locked(&self.control).clone() else { return };
        let line = format!("650 {event}\r\n").into_bytes();
        match self.rule(&format!("event {event}")) {
            // The agent may have gone.
            None => drop(wire.say(&line)),
            Some(steps) => drop(thread::spawn(move || wire.perform(steps, || line.clone()))),
        }
    }

    fn tell_what_tests_say(self: Arc<Self>) {
        let mut told = self.files.told().len();
        loop {
            thread::sleep(LOOK);
            let events = self.files.told();
            events.iter().skip(told).for_each(|event| self.tell(event));
            told = events.len();
        }
    }

    fn serve_socks(self: Arc<Self>, listener: &UnixListener) {
        for stream in listener.incoming().flatten() {
            let serving = Arc::clone(&self);
            // It ends as connections do.
            thread::spawn(move || serving.serve_dial(stream));
        }
    }

    /// One connection over SOCKS.
    fn serve_dial(self: Arc<Self>, stream: UnixStream) -> io::Result<()> {
        let (name, port) = request(&stream)?;
        let target = format!("{name}:{port}");
        self.files.note(&format!("SOCKS {target}"));
        let number = locked(&self.world).number();
        self.tell(&format!("STREAM {number} NEW 0 {target} PURPOSE=USER"));
        let id = name.trim_end_matches(".onion").rsplit('.').next().unwrap_or_default();
        let wire = Wire::new(stream.try_clone()?);
        let mut far = None;
        let mut usual = || match self.reach(id, port) {
            Ok(reached) => {
                far = Some(reached);
                socks_reply(0)
            }
            Err(code) => socks_reply(code),
        };
        let goes_on = match self.rule(&format!("socks {port}")) {
            None => wire.say(&usual()).map(|()| true),
            Some(steps) => wire.perform(steps, usual),
        };
        let end = match (goes_on, far) {
            (Ok(true), Some(far)) => pass_both(&stream, &far),
            (Ok(true), None) => {
                // Until the other end has enough of it.
                let _ = (&stream).read_to_end(&mut Vec::new());
                "REASON=DONE"
            }
            _ => "REASON=END REMOTE_REASON=DONE",
        };
        self.tell(&format!("STREAM {number} CLOSED 7 {target} {end}"));
        Ok(())
    }

    /// A connection to a port of a service; tor's code for why there is none.
    fn reach(&self, id: &str, port: u16) -> Result<UnixStream, u8> {
        let (place, has_key) = {
            let world = locked(&self.world);
            (world.place(id), world.has_key(id))
        };
        if !place.exists() {
            return Err(0xf0);
        }
        if !has_key {
            return Err(0xf4);
        }
        let mut code = [0];
        let reached = UnixStream::connect(place).and_then(|mut stream| {
            stream.write_all(&port.to_be_bytes())?;
            stream.read_exact(&mut code)?;
            Ok(stream)
        });
        match (reached, code) {
            (Ok(stream), [0]) => Ok(stream),
            (Ok(_), [code]) => Err(code),
            (Err(_), _) => Err(0xf2),
        }
    }

    /// Connections to a service of ours.
    fn serve_service(self: Arc<Self>, id: &str, listener: &UnixListener) {
        for mut stream in listener.incoming().flatten() {
            let (serving, id) = (Arc::clone(&self), id.to_owned());
            thread::spawn(move || -> io::Result<()> {
                let mut port = [0; 2];
                stream.read_exact(&mut port)?;
                let gate = locked(&serving.world).gate(&id, u16::from_be_bytes(port));
                let Some(gate) = gate else { return stream.write_all(&[5]) };
                let Ok(gate) = UnixStream::connect(gate) else { return stream.write_all(&[1]) };
                stream.write_all(&[0])?;
                pass_both(&stream, &gate);
                Ok(())
            });
        }
    }
}

/// Reads the agent's side of the SOCKS handshake, which it sends in one go (RFC 1928, 1929): the name and the port.
fn request(mut stream: &UnixStream) -> io::Result<(String, u16)> {
    let mut part = |length: usize| {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).map(|()| bytes)
    };
    let methods = part(2)?[1];
    part(methods.into())?;
    let user = part(2)?[1];
    part(user.into())?;
    let password = part(1)?[0];
    part(password.into())?;
    let name = part(5)?[4];
    let name = String::from_utf8(part(name.into())?).map_err(io::Error::other)?;
    let port = part(2)?;
    Ok((name, u16::from_be_bytes([port[0], port[1]])))
}

/// Passes bytes until either side ends, which ends both, and gives tor's words for which it was.
fn pass_both(near: &UnixStream, far: &UnixStream) -> &'static str {
    let ends = Mutex::new(None);
    let pass = |mut from: &UnixStream, mut to: &UnixStream, end: &'static str| {
        let _ = io::copy(&mut from, &mut to);
        locked(&ends).get_or_insert(end);
        let _ = (near.shutdown(Shutdown::Both), far.shutdown(Shutdown::Both));
    };
    thread::scope(|scope| {
        scope.spawn(|| pass(near, far, "REASON=DONE"));
        pass(far, near, "REASON=END REMOTE_REASON=DONE");
    });
    ends.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or("REASON=DONE")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
