//! Finds our texts in what a person pasted: quoted mail, prose around them, lines broken anywhere. The checksum is the judge.

use bech32::primitives::checksum::{Checksum as _, Engine};
use bech32::{Bech32m, Fe32};
use zeroize::Zeroizing;

use super::kind::{MAX_CHARS, TextKind, human_part};
use super::pasted::{is_invisible, is_quote, terminal_code};

/// Characters of a word that may be the next line of a damaged text, rather than prose.
const LINE: usize = 8;

/// The texts of one kind that were found in a pasted text. They are secret and never printed.
pub(super) struct Found {
    /// Those whose checksum fits, in lower case, each once.
    pub(super) whole: Vec<Zeroizing<String>>,
    /// The longest of those that begin as one does, where none is whole.
    pub(super) damaged: Option<Zeroizing<String>>,
}

/// The characters that may belong to a text of ours, without what mail and copying put between them.
struct Kept {
    chars: Zeroizing<Vec<char>>,
    /// Whether a character is the first after a space, a line end or a quote.
    begins: Vec<bool>,
}

/// Looks for all texts of a sort.
pub(super) fn find(what: TextKind, pasted: &str) -> Found {
    let kept = Kept::of(pasted);
    let head: Vec<char> = what.human_part().chars().chain(['1']).collect();
    let mut found = Found { whole: Vec::new(), damaged: None };
    for start in 0..kept.chars.len() {
        let is_head =
            |at: usize, c: &char| kept.chars.get(start + at).is_some_and(|k| k.eq_ignore_ascii_case(c));
        if !kept.is_edge(start) || !head.iter().enumerate().all(|(at, c)| is_head(at, c)) {
            continue;
        }
        match kept.whole(what, start, start + head.len()) {
            Some(end) => {
                let text = kept.text(start, end, |c| c.to_ascii_lowercase());
                if !found.whole.contains(&text) {
                    found.whole.push(text);
                }
            }
            None => {
                let text = kept.text(start, kept.torn_end(start), |c| c);
                if found.damaged.as_ref().is_none_or(|longest| longest.len() < text.len()) {
                    found.damaged = Some(text);
                }
            }
        }
    }
    found
}

/// A line without what mail programs put before quoted ones, and without the colours of that.
fn unquoted(mut line: &str) -> &str {
    let is_before = |c: char| c.is_whitespace() || is_invisible(c) || c == '>' || c == '|';
    loop {
        line = line.trim_start_matches(is_before);
        match terminal_code(line) {
            Some(length) => line = line.get(length..).unwrap_or_default(),
            None => return line,
        }
    }
}

impl Kept {
    fn of(pasted: &str) -> Self {
        // Never grown, so that no copy is left behind.
        let mut chars = Zeroizing::new(Vec::with_capacity(pasted.len()));
        let mut begins = Vec::with_capacity(pasted.len());
        for line in pasted.lines() {
            // What mail programs put before quoted lines, and at the end of broken ones (RFC 2045's `=`).
            let line = unquoted(line).trim_end();
            let line = line.strip_suffix(['=', '\\']).unwrap_or(line);
            let mut begin = true;
            let mut rest = line.chars();
            loop {
                // Between two characters, and so may a text begin there.
                if let Some(length) = terminal_code(rest.as_str()) {
                    rest = rest.as_str().get(length..).unwrap_or_default().chars();
                    begin = true;
                    continue;
                }
                let Some(c) = rest.next() else { break };
                if c.is_whitespace() || is_quote(c) {
                    begin = true;
                } else if !is_invisible(c) {
                    chars.push(c);
                    begins.push(begin);
                    begin = false;
                }
            }
        }
        Self { chars, begins }
    }

    /// Whether something that does not belong to words is before a character.
    fn is_begin(&self, at: usize) -> bool {
        self.begins.get(at).copied().unwrap_or(true)
    }

    /// Whether a text may begin here, or end before: no letter or digit that is written together with it is on the other side.
    fn is_edge(&self, at: usize) -> bool {
        match (at.checked_sub(1).and_then(|before| self.chars.get(before)), self.chars.get(at)) {
            (Some(before), Some(here)) => {
                self.is_begin(at) || !before.is_alphanumeric() || !here.is_alphanumeric()
            }
            _ => true,
        }
    }

    /// Where the whole text ends that begins at `start` and whose data at `data`; none when there is no such.
    fn whole(&self, what: TextKind, start: usize, data: usize) -> Option<usize> {
        let mut engine = Engine::<Bech32m>::new();
        engine.input_hrp(human_part(what));
        // One case throughout (BIP 173), but for a first letter that a program made a capital, as at the start of a sentence.
        let start = start + 1;
        let is_upper = self.chars.get(start)?.is_ascii_uppercase();
        let other_case = |c: &char| c.is_ascii_alphabetic() && c.is_ascii_uppercase() != is_upper;
        if self.chars.get(start..data)?.iter().any(other_case) {
            return None;
        }
        for (at, c) in self.chars.iter().enumerate().take(start - 1 + MAX_CHARS).skip(data) {
            let value = Fe32::from_char(*c).ok().filter(|_| !other_case(c))?;
            engine.input_fe(value);
            if *engine.residue() == Bech32m::TARGET_RESIDUE && self.is_edge(at + 1) {
                return Some(at + 1);
            }
        }
        None
    }

    /// Where a damaged text ends, as far as that can be told: what follows belongs to it while it looks like data.
    fn torn_end(&self, start: usize) -> usize {
        let mut end = self.word_end(start);
        loop {
            let next = self.word_end(end);
            let is_data = |c: &char| Fe32::from_char(*c).is_ok();
            if next - end < LINE || end - start >= MAX_CHARS || !self.slice(end, next).iter().all(is_data) {
                return end;
            }
            end = next;
        }
    }

    fn word_end(&self, start: usize) -> usize {
        let of_word = |(at, c): &(usize, &char)| (*at == start || !self.is_begin(*at)) && c.is_alphanumeric();
        start + self.chars.iter().enumerate().skip(start).take_while(of_word).count()
    }

    fn slice(&self, start: usize, end: usize) -> &[char] {
        self.chars.get(start..end).unwrap_or_default()
    }

    fn text(&self, start: usize, end: usize, write: impl Fn(char) -> char) -> Zeroizing<String> {
        let chars = self.slice(start, end);
        let mut text = Zeroizing::new(String::with_capacity(chars.len() * 4));
        text.extend(chars.iter().copied().map(write));
        text
    }
}
