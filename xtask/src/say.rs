//! What xtask says on the terminal: headings, notes and errors, in colour where there is someone to see it.
//!
//! Commands that xtask runs write for themselves.

use std::io::{IsTerminal, stderr, stdout};
use std::time::Duration;

use anyhow::Error;

/// An ANSI colour by its SGR parameter (ECMA-48 §8.3.117).
#[derive(Clone, Copy)]
pub(crate) enum Colour {
    /// A failure.
    Red = 31,
    /// A success.
    Green = 32,
    /// A heading.
    Blue = 34,
    /// A second host's prompt.
    Magenta = 35,
    /// Something of less weight.
    Grey = 90,
}

/// Paints `text` if standard output is a terminal and `NO_COLOR` is not set.
pub(crate) fn paint(colour: Colour, text: &str) -> String {
    if stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) {
        format!("\x1b[1;{}m{text}\x1b[0m", colour as u8)
    } else {
        text.to_owned()
    }
}

/// Opens a part of the output.
pub(crate) fn heading(text: &str) {
    println!("\n{}", paint(Colour::Blue, &format!("== {text}")));
}

/// Says one thing in passing.
pub(crate) fn note(text: &str) {
    println!("{}", paint(Colour::Grey, &format!("   {text}")));
}

/// Says how a part ended.
pub(crate) fn outcome(ok: bool, text: &str) {
    let (colour, mark) = if ok { (Colour::Green, "ok") } else { (Colour::Red, "FAILED") };
    println!("{} {text}", paint(colour, mark));
}

/// Says why xtask gives up, with each cause on a line of its own.
pub(crate) fn error(error: &Error) {
    let mark = if stderr().is_terminal() { "\x1b[1;31merror:\x1b[0m" } else { "error:" };
    eprintln!("{mark} {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

/// A span as people read it: `0.04 s`, `7.3 s`, `2 min 5 s`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 0.995 => format!("{s:.2} s"),
        s if s < 99.95 => format!("{s:.1} s"),
        s => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        let of = |milliseconds| span(Duration::from_millis(milliseconds));

        assert_eq!([of(40), of(7_310), of(125_400)], ["0.04 s", "7.3 s", "2 min 5 s"]);
    }
}
