//! Stages: each is announced, timed and remembered, and none stops the next.

use std::io::{BufRead, BufReader, Write, stdout};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::count::Count;
use crate::{interrupt, process, say};

/// The stages so far.
pub(super) struct Stages {
    done: Vec<Done>,
    count: Count,
}

struct Done {
    name: &'static str,
    ok: bool,
    took: Duration,
}

impl Stages {
    /// None yet.
    pub(super) fn new() -> Stages {
        Stages { done: Vec::new(), count: Count::default() }
    }

    /// A stage that is one command.
    pub(super) fn command(&mut self, name: &'static str, command: &mut Command) {
        self.stage(name, |_| {
            say::note(&process::shown(command));
            let status = command.stdin(Stdio::null()).status();
            let status = status.with_context(|| format!("failed to start: {}", process::shown(command)))?;
            Ok(status.success().then_some(()))
        });
    }

    /// A stage that makes something; none if it failed.
    pub(super) fn run<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        self.stage(name, |_| work().map(Some))
    }

    /// A stage that runs tests, and gives whether all went well.
    pub(super) fn tests(&mut self, name: &'static str, work: impl FnOnce(&mut Count) -> Result<bool>) {
        self.stage(name, |count| work(count).map(|ok| ok.then_some(())));
    }

    /// Runs a stage. One that fails without a failed test of its own counts as one.
    fn stage<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&mut Count) -> Result<Option<T>>,
    ) -> Option<T> {
        if interrupt::asked() {
            self.count.failed += 1;
            return None;
        }
        say::heading(name);
        let start = Instant::now();
        let failed_before = self.count.failed;
        let result = work(&mut self.count).unwrap_or_else(|error| {
            say::error(&error);
            None
        });
        let took = start.elapsed();
        if result.is_none() && self.count.failed == failed_before {
            self.count.failed += 1;
        }
        let ok = result.is_some() && self.count.failed == failed_before;
        say::outcome(ok, &format!("{name}, {}", say::span(took)));
        self.done.push(Done { name, ok, took });
        result
    }

    /// Prints each stage's end and time, and gives the sums.
    pub(super) fn summary(&self) -> Count {
        say::heading("summary");
        for Done { name, ok, took } in &self.done {
            say::outcome(*ok, &format!("{name:<20} {:>10}", say::span(*took)));
        }
        self.count
    }
}

/// Runs `command`, passing each line of its standard output on at once and to `read`; gives whether it succeeded.
pub(crate) fn stream(command: &mut Command, mut read: impl FnMut(&str)) -> Result<bool> {
    let shown = process::shown(command);
    say::note(&shown);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start: {shown}"))?;
    let pipe = child.stdout.take().context("the output was piped")?;
    let mut lines = BufReader::new(pipe);
    let mut line = Vec::new();
    // Bytes, not text: a test may print anything.
    while lines.read_until(b'\n', &mut line).with_context(|| format!("failed to read from: {shown}"))? > 0 {
        let mut out = stdout().lock();
        out.write_all(&line).and_then(|()| out.flush()).context("failed to write to standard output")?;
        drop(out);
        read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    let status = child.wait().with_context(|| format!("failed to wait for: {shown}"))?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stage_counts_as_one_and_the_next_still_runs() {
        let mut stages = Stages::new();

        stages.command("fails", &mut Command::new("false"));
        let made = stages.run("makes", || Ok(7));

        assert_eq!(made, Some(7));
        assert_eq!(stages.summary(), Count { passed: 0, failed: 1 });
    }

    #[test]
    fn failed_tests_count_themselves_and_their_stage_does_not() {
        let mut stages = Stages::new();

        stages.tests("tests", |count| {
            count.read("test result: FAILED. 4 passed; 2 failed; 0 ignored");
            Ok(false)
        });

        assert_eq!(stages.summary(), Count { passed: 4, failed: 2 });
    }

    #[test]
    fn output_is_read_line_by_line_to_the_end() {
        let mut lines = Vec::new();

        let ok = stream(Command::new("printf").arg("one\\ntwo"), |line| lines.push(line.trim().to_owned()));

        assert!(ok.expect("printf runs"));
        assert_eq!(lines, ["one", "two"]);
    }
}
