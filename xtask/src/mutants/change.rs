//! A change of one place of one file, and a file's text that has many of them, of which a running program makes one or none.

use std::ops::Range;

use anyhow::{Context, Result};
use syn::visit::{self, Visit};

/// What a process reads the number of the change from; no change is made without it.
pub(super) const NUMBER: &str = "ORMESH_MUTATION";
/// The number of no change.
pub(super) const UNCHANGED: usize = usize::MAX;
/// What the changed text asks for that number.
const CHOSEN: &str = "crate::mutation()";

/// What the root of the changed crate gets, so that it can be asked.
pub(super) fn answer() -> String {
    format!(
        "\npub(crate) fn mutation() -> usize {{\n    \
         static NUMBER: std::sync::LazyLock<usize> = std::sync::LazyLock::new(|| {{\n        \
         std::env::var(\"{NUMBER}\").ok().and_then(|number| number.parse().ok()).unwrap_or({UNCHANGED})\n    \
         }});\n    *NUMBER\n}}\n"
    )
}

/// One place of a file, and what stands there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// What it is, in words.
    pub(super) name: String,
    /// From the workspace's root.
    pub(super) file: String,
    /// In bytes of the file's text.
    pub(super) place: Range<usize>,
    pub(super) instead: String,
}

/// The body of a function, and the numbers of what is changed in it.
struct Body {
    place: Range<usize>,
    numbers: Vec<usize>,
}

/// A file's text that has changes to choose from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Choices {
    pub(super) text: String,
    /// Where each change stands in it, by its number.
    pub(super) arms: Vec<(Range<usize>, usize)>,
    /// Those that stand in no function that runs, so that no running program can choose them.
    pub(super) outside: Vec<usize>,
}

impl Choices {
    /// The text of `file` with these changes of it, each by its number. Fails where that is no Rust.
    pub(super) fn of(file: &str, changes: &[(usize, &Change)]) -> Result<Choices> {
        let mut functions = Functions::default();
        functions.visit_file(&syn::parse_file(file).context("failed to read a file as Rust")?);
        let (mut bodies, mut outside) = (Vec::<Body>::new(), Vec::new());
        for (number, change) in changes {
            let holds =
                |body: &&Range<usize>| body.start <= change.place.start && change.place.end <= body.end;
            // The innermost one.
            let Some(place) = functions.bodies.iter().filter(holds).min_by_key(|body| body.len()) else {
                outside.push(*number);
                continue;
            };
            match bodies.iter_mut().find(|body| body.place == *place) {
                Some(body) => body.numbers.push(*number),
                None => bodies.push(Body { place: place.clone(), numbers: vec![*number] }),
            }
        }
        bodies.sort_by_key(|body| (body.place.start, usize::MAX - body.place.end));
        let mut choices = Choices { outside, ..Choices::default() };
        choices.write(file, 0..file.len(), &bodies, changes);
        Ok(choices)
    }

    /// Writes a part of the file, in which these bodies are, from its beginning on and an outer one before those in it.
    fn write(&mut self, file: &str, part: Range<usize>, mut bodies: &[Body], changes: &[(usize, &Change)]) {
        let mut at = part.start;
        while let Some((body, rest)) = bodies.split_first() {
            let (inner, after) =
                rest.split_at(rest.partition_point(|other| other.place.start < body.place.end));
            self.text.push_str(&file[at..body.place.start]);
            self.text.push_str(&format!("{{ match {CHOSEN} {{\n"));
            for (number, change) in changes.iter().filter(|(number, _)| body.numbers.contains(number)) {
                let start = self.text.len();
                let before = &file[body.place.start..change.place.start];
                let behind = &file[change.place.end..body.place.end];
                self.text.push_str(&format!("{number} => {before}{}{behind},\n", change.instead));
                self.arms.push((start..self.text.len(), *number));
            }
            self.text.push_str("_ => ");
            self.write(file, body.place.clone(), inner, changes);
            self.text.push_str("\n} }");
            (at, bodies) = (body.place.end, after);
        }
        self.text.push_str(&file[at..part.end]);
    }

    /// The number of the change whose text has this line, counted from 1.
    pub(super) fn at_line(&self, line: usize) -> Option<usize> {
        let line_of = |at: usize| self.text[..at].matches('\n').count() + 1;
        let has = |arm: &Range<usize>| (line_of(arm.start)..line_of(arm.end)).contains(&line);
        self.arms.iter().find(|(arm, _)| has(arm)).map(|(_, number)| *number)
    }
}

/// The bodies of all functions that run, in bytes of the file's text.
#[derive(Default)]
struct Functions {
    bodies: Vec<Range<usize>>,
}

impl Functions {
    fn take(&mut self, signature: &syn::Signature, block: &syn::Block) {
        // What the compiler works out asks nobody.
        if signature.constness.is_none() {
            self.bodies.push(block.brace_token.span.join().byte_range());
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.take(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.take(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.take(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "const A: u8 = 1;\nfn f(ä: u8) -> u8 { let g = |x| x + 1; fn h() -> u8 { 2 } g(ä) + h() }\n";

    fn change(from: &str, instead: &str) -> Change {
        let start = FILE.find(from).unwrap();
        Change {
            name: String::new(),
            file: String::new(),
            place: start..start + from.len(),
            instead: instead.to_owned(),
        }
    }

    #[test]
    fn a_body_stands_once_for_each_change_of_it_and_once_as_it_was() {
        let changes =
            [change("x + 1", "x - 1"), change("2 }", "3 }"), change("1;", "2;"), change("g(ä)", "7")];
        let numbered: Vec<_> = changes.iter().enumerate().collect();

        let choices = Choices::of(FILE, &numbered).unwrap();

        assert_eq!(
            choices.text,
            "const A: u8 = 1;\nfn f(ä: u8) -> u8 { match crate::mutation() {\n\
             0 => { let g = |x| x - 1; fn h() -> u8 { 2 } g(ä) + h() },\n\
             3 => { let g = |x| x + 1; fn h() -> u8 { 2 } 7 + h() },\n\
             _ => { let g = |x| x + 1; fn h() -> u8 { match crate::mutation() {\n\
             1 => { 3 },\n_ => { 2 }\n} } g(ä) + h() }\n} }\n"
        );
        assert_eq!(choices.outside, [2]);
        let at_lines: Vec<_> = (1..=8).map(|line| choices.at_line(line)).collect();
        assert_eq!(at_lines, [None, None, Some(0), Some(3), None, Some(1), None, None]);
    }

    #[test]
    fn what_is_no_rust_is_refused() {
        assert!(Choices::of("fn (", &[]).is_err());
    }
}
