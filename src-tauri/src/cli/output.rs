//! What the command says: results on standard output, everything else as single lines on standard error. Colours on terminals only.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use ormesh_core::model::problem::{Code, Problem, ProblemKind};
use serde::Serialize;

/// How a verb ends: an exit code of its own, or what went wrong.
pub(crate) type Outcome = anyhow::Result<ExitCode>;

/// The ordinary end.
pub(crate) const DONE: Outcome = Ok(ExitCode::SUCCESS);

/// Prints a result, exactly as it is.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(unwritable)
}

/// Prints a result and ends its line.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(unwritable)
}

/// An error of standard output, with what failed; its kind stays, by which a reader that left is known.
pub(crate) fn unwritable(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed to write to standard output: {error}"))
}

/// Prints a result as JSON for people and programs.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(line(&serde_json::to_string_pretty(value)?)?)
}

/// Prints rows in aligned columns; the header is for terminals only, so that programs need not skip it.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let header = io::stdout().is_terminal().then(|| header.map(str::to_owned));
    print(&columns(header.iter().chain(rows)))
}

fn columns<'a, const N: usize>(rows: impl Iterator<Item = &'a [String; N]> + Clone) -> String {
    let mut widths = [0; N];
    for row in rows.clone() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Says on standard error what follows from a result, or what to watch out for.
pub(crate) fn notes<T: fmt::Display>(notes: impl IntoIterator<Item = T>) {
    for note in notes {
        complain(Colour::Yellow, "note:", &note);
    }
}

/// Says on standard error what could be done next.
pub(crate) fn hint(text: impl fmt::Display) {
    complain(Colour::Cyan, "hint:", &text);
}

/// Says on standard error what was done, to a person; a script has the exit code.
pub(crate) fn said(text: impl fmt::Display) {
    if io::stderr().is_terminal() {
        always_said(text);
    }
}

/// Says on standard error what was done, to everyone.
pub(crate) fn always_said(text: impl fmt::Display) {
    // Nobody may listen there; the exit code still says it.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says a problem: one sentence, and one line on what to do.
pub(crate) fn problem(problem: &Problem) {
    complain(Colour::Red, "ormesh:", &one_line(&problem.message));
    if !problem.hint.is_empty() {
        hint(one_line(&problem.hint));
    }
}

/// Ends the process: says what went wrong, if anything did, and gives its exit code.
pub(crate) fn finish(outcome: Outcome) -> ExitCode {
    let error = match outcome {
        Ok(code) => return code,
        Err(error) => error,
    };
    if let Some(problem) = error.downcast_ref::<Problem>() {
        self::problem(problem);
        return ExitCode::from(problem.kind.exit_code());
    }
    // The reader had enough (`ormesh status | head -1`): that is its right.
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.downcast_ref::<io::Error>().is_some_and(closed) {
        return ExitCode::SUCCESS;
    }
    problem(&Problem::new(Code::SystemFailed, format!("{error:#}")));
    ExitCode::from(ProblemKind::Failed.exit_code())
}

/// Text that came from elsewhere stays on its line and can't steer the terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[derive(Clone, Copy)]
enum Colour {
    Red,
    Yellow,
    Cyan,
}

fn complain(colour: Colour, label: &str, text: &dyn fmt::Display) {
    // ECMA-48 SGR codes; `NO_COLOR` as no-color.org has it.
    let code = match colour {
        Colour::Red => "1;31",
        Colour::Yellow => "33",
        Colour::Cyan => "36",
    };
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let _ = match io::stderr().is_terminal() && !plain {
        true => writeln!(io::stderr(), "\x1b[{code}m{label}\x1b[0m {text}"),
        false => writeln!(io::stderr(), "{label} {text}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_end_without_spaces() {
        let rows = [["a".to_owned(), "long".to_owned()], ["länger".to_owned(), String::new()]];
        assert_eq!(columns(rows.iter()), "a       long\nlänger\n");
    }

    #[test]
    fn foreign_text_stays_on_one_line() {
        assert_eq!(one_line("a\nb\x1b[2J"), "a b [2J");
    }
}
