//! The list of present problems: each one once, the worst first, with since when. They are compared by code and subject, never by their
//! words.

use std::collections::BTreeMap;

use crate::model::problem::Problem;

/// The problems that stand now, from those that stood before and those that were found. One that stood before stands since then, however
/// its words have changed; of two that are the same, the one that was found first is told.
///
/// `now` is in seconds since 1970-01-01 UTC.
pub fn after(before: &[Problem], found: impl IntoIterator<Item = Problem>, now: u64) -> Vec<Problem> {
    let known: BTreeMap<_, u64> =
        before.iter().filter_map(|problem| Some((problem.id(), problem.since?))).collect();
    let mut standing = once(found);
    for problem in &mut standing {
        // A clock that was set back must not make it begin in the future.
        problem.since = Some(known.get(&problem.id()).map_or(now, |since| *since.min(&now)));
    }
    standing
}

/// Each problem once, the worst first.
pub fn once(found: impl IntoIterator<Item = Problem>) -> Vec<Problem> {
    let mut once: Vec<Problem> = Vec::new();
    for problem in found {
        if !once.iter().any(|other| other.id() == problem.id()) {
            once.push(problem);
        }
    }
    once.sort_by(|a, b| (a.severity, a.id()).cmp(&(b.severity, b.id())));
    once
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::address::Port;
    use crate::model::problem::{Code, Severity, Subject};

    const CODES: [Code; 4] = [Code::Full, Code::TorFailed, Code::ConfigUnwatched, Code::StoreLocked];

    fn problem((code, port, words): (usize, u16, u8)) -> Problem {
        Problem::new(CODES[code], format!("{words} connections"))
            .about(Subject::Export(Port::new(port).unwrap()))
    }

    fn found() -> impl Strategy<Value = Vec<Problem>> {
        let one = (0..CODES.len(), 1u16..4, any::<u8>()).prop_map(problem);
        prop::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn each_stands_once_since_it_began_whatever_is_said_of_it(turns in prop::collection::vec(found(), 1..8)) {
            let mut standing = Vec::new();
            let mut began: BTreeMap<(Code, Option<Subject>), u64> = BTreeMap::new();
            for (now, found) in (1000u64..).zip(turns) {
                standing = after(&standing, found.clone(), now);

                let ids: Vec<_> = found.iter().map(|problem| (problem.code, problem.subject.clone())).collect();
                began.retain(|id, _| ids.contains(id));
                for id in ids {
                    began.entry(id).or_insert(now);
                }
                let told: BTreeMap<_, _> = standing
                    .iter()
                    .map(|problem| ((problem.code, problem.subject.clone()), problem.since.unwrap()))
                    .collect();
                prop_assert_eq!(&told, &began);
                prop_assert_eq!(standing.len(), began.len(), "one is told twice");
                for problem in &standing {
                    let first = found.iter().find(|other| other.id() == problem.id()).unwrap();
                    prop_assert_eq!(&problem.message, &first.message);
                }
                prop_assert!(standing.is_sorted_by_key(|problem| problem.severity));
            }
        }

        #[test]
        fn the_order_of_the_finds_is_none_of_the_list(mut found in found()) {
            let ids = |found: Vec<Problem>| -> Vec<_> {
                once(found).iter().map(|problem| (problem.code, problem.subject.clone())).collect()
            };
            let one = ids(found.clone());
            found.reverse();
            prop_assert_eq!(one, ids(found));
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_none_begin_in_the_future() {
        let standing = after(&[], [problem((0, 1, 1))], 2000);
        assert_eq!(after(&standing, standing.clone(), 1000)[0].since, Some(1000));
    }

    #[test]
    fn what_does_not_work_comes_before_what_somebody_may_want_to_know() {
        let all = once([problem((2, 1, 1)), problem((0, 1, 1)), problem((1, 1, 1))]);
        let severities: Vec<_> = all.iter().map(|problem| problem.severity).collect();
        assert_eq!(severities, [Severity::Error, Severity::Warning, Severity::Note]);
    }
}
