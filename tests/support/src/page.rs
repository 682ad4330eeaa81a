//! Pages that show what is typed and what it prints: the README and the transcripts. They are the manual, so they are played: by the
//! command's tests, by the mesh's with all of it running, and by the demo.
//!
//! In a block marked `console`, `# on NAME` goes to the host of that name, `$ LINE` is run by a shell there, and the lines that follow
//! are what it prints: standard output, then, where it is shown at all or the command fails, standard error. `[exit N]` ends the lines of
//! a command that fails. `<56 characters>` stands for an onion address's, `ormesh1…` and `ormeshreq1…` for an invite and a request (in a
//! command, for the last that was printed), `<this binary>` for the command's path, and any other `<…>` for anything on its line.

use std::collections::BTreeMap;
use std::path::Path;

use crate::host::Ran;
use crate::programs::ormesh;

/// A page, or a part of one.
#[derive(Clone, Debug)]
pub struct Page {
    name: String,
    /// Each line with its number.
    lines: Vec<(usize, String)>,
    here: Vec<(String, String)>,
}

/// A command of a page, about to be run.
#[derive(Clone, Copy, Debug)]
pub struct Typed<'a> {
    /// The name of the host it is typed on.
    pub on: &'a str,
    /// As the page shows it.
    pub shown: &'a str,
    /// The line for the shell, with what was printed earlier in its places.
    pub line: &'a str,
}

impl Page {
    /// A whole page.
    ///
    /// # Panics
    ///
    /// When it can't be read.
    pub fn read(path: &Path) -> Self {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.to_owned())).collect();
        Self { name: path.display().to_string(), lines, here: Vec::new() }
    }

    /// The README's first five minutes, up to where the agents are started.
    pub fn first_five_minutes() -> Self {
        let readme = Self::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md"));
        readme.between("## The first five minutes", "```sh")
    }

    /// What is between a line and another after it.
    ///
    /// # Panics
    ///
    /// When there are none such.
    fn between(mut self, first: &str, last: &str) -> Self {
        let find = |lines: &[(usize, String)], wanted: &str| {
            let found = lines.iter().position(|(_, line)| line == wanted);
            found.unwrap_or_else(|| panic!("{} has no line {wanted:?}", self.name))
        };
        let begin = find(&self.lines, first) + 1;
        let end = begin + find(&self.lines[begin..], last);
        self.lines = self.lines[begin..end].to_vec();
        self
    }

    /// Has another text in the place of one that the page shows, in commands and in what they print: what is typed elsewhere, or
    /// where addresses are others.
    #[must_use]
    pub fn here(mut self, shown: &str, here: impl ToString) -> Self {
        self.here.push((shown.to_owned(), here.to_string()));
        self
    }

    /// The same for ports of this machine in the place of ssh's and the website's, which the README exports.
    #[must_use]
    pub fn offering(self, ssh: u16, website: u16) -> Self {
        let mut page = self;
        for (port, local) in [(22, ssh), (80, website)] {
            page = page
                .here(&format!("export add {port}"), format!("export add {local} {port}"))
                .here(&format!("127.0.0.1:{port}"), format!("127.0.0.1:{local} → {port}"));
        }
        page
    }

    /// Plays the page: `run` runs each command, and what it prints must be what is shown.
    ///
    /// # Errors
    ///
    /// Of the first command that does something else, which is quoted with both; or of `run`.
    pub fn play<E: From<String>>(&self, mut run: impl FnMut(Typed<'_>) -> Result<Ran, E>) -> Result<(), E> {
        let mut printed = Printed::default();
        let lines: Vec<(usize, String)> =
            self.lines.iter().map(|(number, line)| (*number, self.put_here(line))).collect();
        for Step { number, on, command, shown } in steps(&lines) {
            let ran = run(Typed { on, shown: command, line: &printed.put_into(command) })?;
            printed.note(&ran.stdout);
            if !fits(&shown, &ran) {
                let Ran { stdout, stderr, code } = ran;
                return Err(format!(
                    "{}:{number}: $ {command}\n--- shown\n{}\n--- printed\n{stdout}{stderr}[exit {code}]\n",
                    self.name,
                    shown.join("\n"),
                )
                .into());
            }
        }
        Ok(())
    }

    fn put_here(&self, line: &str) -> String {
        let (mut put, mut rest) = (String::new(), line);
        while let Some(next) = rest.chars().next() {
            // A number that is longer is another.
            let fits = |(shown, _): &&(String, String)| {
                rest.strip_prefix(shown.as_str())
                    .is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_digit()))
            };
            match self.here.iter().find(fits) {
                Some((shown, here)) => {
                    put += here;
                    rest = &rest[shown.len()..];
                }
                None => {
                    put.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        put
    }
}

/// A command of a page, and what it shows.
struct Step<'a> {
    number: usize,
    on: &'a str,
    command: &'a str,
    shown: Vec<&'a str>,
}

fn steps(lines: &[(usize, String)]) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let (mut within, mut on, mut open) = (false, "here", false);
    for (number, line) in lines {
        if line.starts_with("```") {
            within = line == "```console";
            open = false;
        } else if !within {
        } else if let Some(name) = line.strip_prefix("# on ") {
            on = name;
            open = false;
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { number: *number, on, command, shown: Vec::new() });
            open = true;
        } else if let (true, Some(step)) = (open, steps.last_mut()) {
            step.shown.push(line);
        }
    }
    for step in &mut steps {
        while step.shown.last().is_some_and(|line| line.is_empty()) {
            step.shown.pop();
        }
    }
    steps
}

/// The last of each kind of text that a command printed, for the commands after it.
#[derive(Default)]
struct Printed(BTreeMap<&'static str, String>);

/// What stands for a text → how the text begins.
const KINDS: [(&str, &str); 2] = [("ormesh1…", "ormesh1"), ("ormeshreq1…", "ormeshreq1")];

impl Printed {
    fn note(&mut self, stdout: &str) {
        for (stands, begins) in KINDS {
            if let Some(line) = stdout.lines().rfind(|line| line.starts_with(begins)) {
                self.0.insert(stands, line.to_owned());
            }
        }
    }

    fn put_into(&self, command: &str) -> String {
        self.0.iter().fold(command.to_owned(), |command, (stands, text)| command.replace(stands, text))
    }
}

fn fits(shown: &[&str], ran: &Ran) -> bool {
    let code = shown.last().and_then(|line| line.strip_prefix("[exit ")?.strip_suffix(']')?.parse().ok());
    let shown = &shown[..shown.len() - usize::from(code.is_some())];
    let lines = |text: &str| text.trim_end().lines().map(str::to_owned).collect::<Vec<_>>();
    let (out, both) = (lines(&ran.stdout), [lines(&ran.stdout), lines(&ran.stderr)].concat());
    let same = |printed: &[String]| {
        printed.len() == shown.len()
            && shown.iter().zip(printed).all(|(shown, printed)| matches(shown, printed))
    };
    code.unwrap_or(0) == ran.code && (same(&both) || ran.code == 0 && same(&out))
}

/// Whether a printed line is what a shown one stands for.
fn matches(shown: &str, printed: &str) -> bool {
    if let Some((literal, rest)) = split_wildcard(shown) {
        let Some(after) = printed.strip_prefix(literal) else { return false };
        let (wildcard, rest) = rest;
        let ends = after.char_indices().map(|(at, c)| at + c.len_utf8());
        return ends
            .into_iter()
            .any(|end| stands_for(wildcard, &after[..end]) && matches(rest, &after[end..]));
    }
    shown == printed
}

/// What is before the first wildcard, the wildcard, and what is after it.
fn split_wildcard(shown: &str) -> Option<(&str, (&str, &str))> {
    let named = KINDS.iter().filter_map(|(stands, _)| shown.find(stands).map(|at| (at, at + stands.len())));
    let angled = shown.find('<').and_then(|at| Some((at, at + shown[at..].find('>')? + 1)));
    let (from, to) = named.chain(angled).min()?;
    Some((&shown[..from], (&shown[from..to], &shown[to..])))
}

fn stands_for(wildcard: &str, text: &str) -> bool {
    // The alphabet of bech32 (BIP 173), less the separator.
    let bech32 =
        |text: &str| text.len() >= 40 && text.chars().all(|c| "qpzry9x8gf2tvdw0s3jn54khce6mua7l".contains(c));
    let onion = |c: char| c.is_ascii_lowercase() || ('2'..='7').contains(&c);
    match wildcard {
        "<56 characters>" => text.len() == 56 && text.chars().all(onion),
        "<this binary>" => text == ormesh(),
        "ormesh1…" => text.strip_prefix("ormesh1").is_some_and(bech32),
        "ormeshreq1…" => text.strip_prefix("ormeshreq1").is_some_and(bech32),
        _ => !text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_shows_something_else_fails() {
        let ran =
            |stdout: &str, stderr: &str, code| Ran { stdout: stdout.into(), stderr: stderr.into(), code };
        let address = "a".repeat(56);
        assert!(fits(&["- <56 characters>.onion"], &ran(&format!("- {address}.onion\n"), "", 0)));
        assert!(!fits(&["- <56 characters>.onion"], &ran(&format!("- {address}a.onion\n"), "", 0)));
        assert!(fits(&["a"], &ran("a\n", "note: b\n", 0)));
        assert!(fits(&["a", "note: b"], &ran("a\n", "note: b\n", 0)));
        assert!(!fits(&["a", "note: c"], &ran("a\n", "note: b\n", 0)));
        assert!(!fits(&["a"], &ran("a\n", "", 1)));
        assert!(!fits(&["[exit 1]"], &ran("", "ormesh: b\n", 1)));
        assert!(fits(&["ormesh: b", "[exit 1]"], &ran("", "ormesh: b\n", 1)));
        assert!(!fits(&[], &ran("a\n", "", 0)));
        assert!(!fits(&["a"], &ran("", "", 0)));
    }

    #[test]
    fn a_part_of_a_page_is_played_with_the_texts_of_this_place() {
        let lines = [
            "# A",
            "```console",
            "$ no",
            "```",
            "# B",
            "```console",
            "# on x",
            "$ echo 22 220",
            "22",
            "```",
            "```sh",
        ];
        let lines = lines.iter().enumerate().map(|(index, line)| (index + 1, (*line).to_owned())).collect();
        let page = Page { name: "page".to_owned(), lines, here: Vec::new() };
        let page = page.between("# B", "```sh").here("22", 2222);
        let mut typed = Vec::new();
        let mut print = |stdout: &'static str| {
            page.play::<String>(|step| {
                typed.push(format!("{} {}", step.on, step.line));
                Ok(Ran { stdout: stdout.into(), stderr: String::new(), code: 0 })
            })
        };

        assert_eq!(print("2222\n"), Ok(()));
        let refused = print("22\n").unwrap_err();
        assert!(
            refused.starts_with("page:8: $ echo 2222 220\n--- shown\n2222\n--- printed\n22\n"),
            "{refused}"
        );
        assert_eq!(typed, ["x echo 2222 220", "x echo 2222 220"]);
    }
}
