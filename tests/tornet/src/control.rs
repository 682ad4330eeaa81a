//! A small, blocking control connection: enough to own a tor, ask it questions and give it an order. It subscribes to no
//! events and is not the product's control client.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// tor answers within milliseconds; this is for a machine in trouble.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

/// An authenticated control connection (control-spec).
#[derive(Debug)]
pub struct Control {
    stream: BufReader<TcpStream>,
}

impl Control {
    /// Connects to a control port on loopback and authenticates with the cookie in `cookie_file`.
    ///
    /// # Errors
    ///
    /// When nothing listens, the cookie cannot be read or tor refuses it.
    pub(crate) fn connect(port: u16, cookie_file: &Path) -> Result<Self> {
        let cookie = fs::read(cookie_file)
            .with_context(|| format!("failed to read the control cookie: {}", cookie_file.display()))?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("failed to connect to control port {port}"))?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_nodelay(true)?;
        let mut control = Self { stream: BufReader::new(stream) };
        let hex: String = cookie.iter().map(|byte| format!("{byte:02x}")).collect();
        // The generic context: an error must not repeat the cookie.
        control.exchange(&format!("AUTHENTICATE {hex}")).context("failed to authenticate to tor")?;
        Ok(control)
    }

    /// Sends one command line and returns the lines of its reply without their codes, data lines included.
    ///
    /// # Errors
    ///
    /// When tor refuses (its own words are in the error) or the connection is gone.
    pub fn command(&mut self, line: &str) -> Result<Vec<String>> {
        let verb = line.split(' ').next().unwrap_or_default();
        // The verb alone: arguments may be keys.
        self.exchange(line).with_context(|| format!("failed to run control command {verb}"))
    }

    /// Asks for one `GETINFO` key; a value of several lines keeps its line ends.
    ///
    /// # Errors
    ///
    /// As [`Control::command`].
    pub fn get_info(&mut self, key: &str) -> Result<String> {
        let mut lines = self.command(&format!("GETINFO {key}"))?;
        lines.pop(); // "OK"
        let value = lines.join("\n");
        let value = value.strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
        Ok(value.with_context(|| format!("failed to read tor's answer to GETINFO {key}"))?.to_owned())
    }

    fn exchange(&mut self, line: &str) -> Result<Vec<String>> {
        ensure!(!line.contains(['\r', '\n']), "a command is one line");
        self.stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
        read_reply(&mut self.stream)
    }
}

/// Reads one reply (control-spec §2.3).
fn read_reply(input: &mut impl BufRead) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let line = read_line(input)?;
        let (Some(code), Some(kind), Some(text)) = (line.get(..3), line.get(3..4), line.get(4..)) else {
            bail!("tor's reply is malformed: {line:?}");
        };
        if !code.starts_with('2') {
            bail!("tor said: {code} {text}");
        }
        lines.push(text.to_owned());
        match kind {
            "-" => {}
            "+" => loop {
                let data = read_line(input)?;
                if data == "." {
                    break;
                }
                lines.push(data.strip_prefix('.').unwrap_or(&data).to_owned());
            },
            " " => return Ok(lines),
            _ => bail!("tor's reply is malformed: {line:?}"),
        }
    }
}

fn read_line(input: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    ensure!(input.read_line(&mut line)? > 0, "tor closed the control connection");
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_join_middle_data_and_end_lines() {
        let mut input = &b"250-version=0.4.9\r\n250+ns/all=\r\nr one\r\n..dot\r\n.\r\n250 OK\r\n"[..];

        let lines = read_reply(&mut input).unwrap();

        assert_eq!(lines, ["version=0.4.9", "ns/all=", "r one", ".dot", "OK"]);
    }

    #[test]
    fn a_refusal_carries_tors_words() {
        let mut input = &b"550 Onion address collision\r\n"[..];

        let error = read_reply(&mut input).unwrap_err();

        assert_eq!(error.to_string(), "tor said: 550 Onion address collision");
    }
}
