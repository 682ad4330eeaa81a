//! Adds up what test binaries say of themselves.

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed, and stages that failed without naming a test.
    pub(crate) failed: u64,
}

impl Count {
    /// Adds a binary's summary, `test result: ok. 3 passed; 0 failed; …`; any other line is none.
    pub(crate) fn read(&mut self, line: &str) {
        let Some(rest) = line.trim().strip_prefix("test result: ") else { return };
        let before = |word: &str| -> Option<u64> {
            let (head, _) = rest.split_once(word)?;
            head.rsplit([' ', ';']).next()?.parse().ok()
        };
        if let (Some(passed), Some(failed)) = (before(" passed;"), before(" failed;")) {
            self.passed += passed;
            self.failed += failed;
        }
    }

    /// Adds the total of a run that ends as ours does, `3 passed, 0 failed`; any other line is none.
    pub(crate) fn read_total(&mut self, line: &str) {
        let Some((passed, rest)) = line.trim().split_once(" passed, ") else { return };
        let failed = rest.strip_suffix(" failed").and_then(|failed| failed.parse::<u64>().ok());
        if let (Ok(passed), Some(failed)) = (passed.parse::<u64>(), failed) {
            self.passed += passed;
            self.failed += failed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_add_up_and_other_lines_do_not_count() {
        let mut count = Count::default();

        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.20s",
            "said: test result: ok. 5 passed; 5 failed;",
            "test result: ok.",
        ] {
            count.read(line);
        }

        assert_eq!(count, Count { passed: 13, failed: 2 });
    }

    #[test]
    fn a_total_counts_and_a_sentence_about_one_does_not() {
        let mut count = Count::default();

        for line in ["12 passed, 1 failed", "it said: 5 passed, 5 failed", "7 passed, 0 failed, 3 skipped"] {
            count.read_total(line);
        }

        assert_eq!(count, Count { passed: 12, failed: 1 });
    }
}
