//! What a scripted tor does otherwise than a real one: a small text, a rule on each line.
//!
//! ```text
//! # The first ADD_ONION is refused. All later ones are answered as tor does.
//! first 1 ADD_ONION: say 550 Onion address collision\r\n
//! event HS_DESC UPLOADED: wait 500; usual
//! socks 80: slowly 10; accept 5; close
//! ```
//!
//! A rule names what happens: a command by its first words (`any` is each of them), `start`, `connected` (on the control port), `event` and
//! the event's first words, `socks` and the port. The first rule that fits is obeyed. What no rule names goes as with tor.

use std::collections::BTreeMap;
use std::time::Duration;

/// See the file's sentence.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Script(Vec<Rule>);

#[derive(Debug, PartialEq, Eq)]
struct Rule {
    /// The line itself, by which is counted how often it was obeyed.
    line: String,
    /// How often it is obeyed, where it is not always.
    most: Option<usize>,
    at: String,
    steps: Vec<Step>,
}

/// One thing that is done, at one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// `usual`: what tor says. `usual N`: the first so many bytes of it.
    Usual(Option<usize>),
    /// `accept`, `accept N`: what tor says over SOCKS once it is connected; it does not connect for that.
    Accept(Option<usize>),
    /// `refuse HH`: SOCKS' reply with this code, in hexadecimal.
    Refuse(u8),
    /// `say TEXT`. `\r`, `\n`, `\\`, `\xHH` and `\;` are one byte each.
    Say(Vec<u8>),
    /// `again N TEXT`: the same text so often.
    Again(usize, Vec<u8>),
    /// `endless TEXT`: until nobody takes it any more.
    Endless(Vec<u8>),
    /// `wait MS`.
    Wait(Duration),
    /// `slowly MS`: what is said over this connection from now on goes out byte by byte, with this pause.
    Slowly(Duration),
    /// `close`: this connection ends.
    Close,
    /// `hang`: nothing more comes of this, ever.
    Hang,
    /// `end TEXT`: tor ends, with this as its last error.
    End(String),
}

/// How often each rule was obeyed.
pub(crate) type Obeyed = BTreeMap<String, usize>;

impl Script {
    /// Reads one; an error names the line that it can't read.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| rule(line).ok_or_else(|| line.to_owned())).collect::<Result<_, _>>().map(Self)
    }

    /// What is to be done when this happens; none where it goes as with tor.
    pub(crate) fn at(&self, happens: &str, obeyed: &mut Obeyed) -> Option<Vec<Step>> {
        let is_command = !["start", "connected"].contains(&happens)
            && !["event ", "socks "].iter().any(|other| happens.starts_with(other));
        let fits = |rule: &&Rule| {
            let rest = happens.strip_prefix(&rule.at);
            (rule.at == "any" && is_command)
                || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let is_over = |rule: &&Rule| {
            rule.most.is_some_and(|most| obeyed.get(&rule.line).is_some_and(|times| *times >= most))
        };
        let rule = self.0.iter().filter(fits).find(|rule| !is_over(rule))?;
        *obeyed.entry(rule.line.clone()).or_default() += 1;
        Some(rule.steps.clone())
    }
}

fn rule(line: &str) -> Option<Rule> {
    let (at, steps) = line.split_once(':')?;
    let (most, at) = match at.strip_prefix("first ") {
        Some(rest) => {
            let (most, at) = rest.split_once(' ')?;
            (Some(most.parse().ok()?), at)
        }
        None => (None, at),
    };
    let steps = steps.replace("\\;", "\\x3b");
    let steps = steps.split(';').map(str::trim_start).filter(|step| step.trim() != "nothing").map(step);
    Some(Rule { line: line.to_owned(), most, at: at.trim().to_owned(), steps: steps.collect::<Option<_>>()? })
}

fn step(text: &str) -> Option<Step> {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let number = || rest.trim().parse::<usize>().ok();
    let time = || rest.trim().parse().ok().map(Duration::from_millis);
    let part = || if rest.is_empty() { Some(None) } else { number().map(Some) };
    match verb {
        "usual" => part().map(Step::Usual),
        "accept" => part().map(Step::Accept),
        "refuse" => u8::from_str_radix(rest.trim(), 16).ok().map(Step::Refuse),
        "say" => bytes(rest).map(Step::Say),
        "again" => {
            let (times, text) = rest.split_once(' ')?;
            Some(Step::Again(times.parse().ok()?, bytes(text)?))
        }
        "endless" => bytes(rest).map(Step::Endless),
        "wait" => time().map(Step::Wait),
        "slowly" => time().map(Step::Slowly),
        "close" => Some(Step::Close),
        "hang" => Some(Step::Hang),
        "end" => Some(Step::End(rest.to_owned())),
        _ => None,
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        found.push(match byte {
            b'\\' => match rest.next()? {
                b'r' => b'\r',
                b'n' => b'\n',
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_fits_is_obeyed_as_often_as_it_says() {
        let script = Script::parse(
            "# a comment\n\nfirst 1 ADD_ONION: say a\\r\\n; close\nADD_ONION: usual 3\nany: nothing\nsocks 80: refuse f2",
        )
        .unwrap();
        let mut obeyed = Obeyed::new();
        let mut at = |happens: &str| script.at(happens, &mut obeyed);

        assert_eq!(at("ADD_ONION x"), Some(vec![Step::Say(b"a\r\n".to_vec()), Step::Close]));
        assert_eq!(at("ADD_ONION x"), Some(vec![Step::Usual(Some(3))]));
        assert_eq!(at("ADD_ONIONS"), Some(vec![]));
        assert_eq!(at("socks 80"), Some(vec![Step::Refuse(0xf2)]));
        for other in ["socks 8", "socks 800", "event HS_DESC x", "start"] {
            assert_eq!(at(other), None, "{other}");
        }
    }

    #[test]
    fn any_byte_can_be_said_and_what_is_no_rule_is_refused() {
        let script = Script::parse("x: say \\x00\\xff\\\\\\;a: b; again 2 c; slowly 5").unwrap();
        let steps = script.at("x", &mut Obeyed::new()).unwrap();
        assert_eq!(
            steps,
            [
                Step::Say(b"\0\xff\\;a: b".to_vec()),
                Step::Again(2, b"c".to_vec()),
                Step::Slowly(Duration::from_millis(5)),
            ]
        );
        for bad in ["x", "x: y", "x: wait", "x: say \\q", "x: say \\x0", "first x: usual", "x: refuse zz"] {
            assert_eq!(Script::parse(bad), Err(bad.to_owned()));
        }
    }
}
