//! Which entries of three configurations are about the same client or remote, and what each is called in the end.
//!
//! Names change hands; an address does not. So each is found by its address, and by a name only where its address was replaced.

use std::collections::{BTreeMap, BTreeSet};

/// An entry and its name.
pub(super) type Entry<'a, K, V> = Option<(&'a K, &'a V)>;

/// One client or remote in each of the three, whatever it is called there.
pub(super) struct One<'a, K, V> {
    /// As it is given now.
    pub(super) given: Entry<'a, K, V>,
    /// As it was given at the last start.
    pub(super) before: Entry<'a, K, V>,
    /// As commands left it.
    pub(super) own: Entry<'a, K, V>,
}

impl<K: Ord, V> One<'_, K, V> {
    /// Whether another one is this one with a new address: it has a name that this one had, and each configuration has only one of both.
    fn continues_as(&self, other: &Self) -> bool {
        let is_in_both =
            self.given.is_some() && other.given.is_some() || self.own.is_some() && other.own.is_some();
        let has = |entry: Entry<'_, K, V>, name: &K| entry.is_some_and(|(other, _)| other == name);
        !is_in_both
            && other.before.is_none()
            && match (self.before, self.given) {
                (Some((name, _)), _) => has(other.given, name) || has(other.own, name),
                (None, Some((name, _))) => has(other.own, name),
                (None, None) => false,
            }
    }
}

/// Finds those that are the same: by what `id` gives, which no two entries of one configuration share.
pub(super) fn match_up<'a, K: Ord, V, I: Ord>(
    given: &'a BTreeMap<K, V>,
    before: &'a BTreeMap<K, V>,
    own: &'a BTreeMap<K, V>,
    id: impl Fn(&V) -> I,
) -> Vec<One<'a, K, V>> {
    let ids: BTreeSet<I> = given.values().chain(before.values()).chain(own.values()).map(&id).collect();
    let by_id =
        |all: &'a BTreeMap<K, V>| all.iter().map(|entry| (id(entry.1), entry)).collect::<BTreeMap<_, _>>();
    let (given, before, own) = (by_id(given), by_id(before), by_id(own));
    let one = |id: I| One {
        given: given.get(&id).copied(),
        before: before.get(&id).copied(),
        own: own.get(&id).copied(),
    };
    let mut ones: Vec<_> = ids.into_iter().map(one).collect();
    let mut at = 0;
    while at < ones.len() {
        match ones.iter().position(|other| ones[at].continues_as(other)) {
            None => at += 1,
            Some(other) => {
                let other = ones.remove(other);
                at = 0;
                let one =
                    ones.iter_mut().find(|one| one.continues_as(&other)).expect("the one that was found");
                one.given = one.given.or(other.given);
                one.own = one.own.or(other.own);
            }
        }
    }
    ones
}

/// What each is called in the end, where `is_there` says that it is kept; none for one of ours that gives way to what has its name there.
///
/// One that a command has given another name keeps it, unless it is given under a new name, or that name is given to another.
pub(super) fn names<K: Ord + Clone, V, I: Eq>(
    ones: &[One<'_, K, V>],
    is_there: impl Fn(usize) -> bool,
    id: impl Fn(&V) -> I,
) -> Vec<Option<K>> {
    let is_named_there = |one: &One<'_, K, V>| match (one.given, one.before) {
        (Some((now, given)), Some((then, before))) => {
            now != then || id(given) != id(before) || one.own.is_none()
        }
        (given, _) => given.is_some(),
    };
    let mut by_given: Vec<bool> = ones.iter().map(is_named_there).collect();
    let is_taken = |by_given: &[bool], name: &K| {
        let is_it = |(at, one): (usize, &One<'_, K, V>)| {
            by_given[at] && is_there(at) && one.given.is_some_and(|(given, _)| given == name)
        };
        ones.iter().enumerate().any(is_it)
    };
    let loses = |by_given: &[bool], at: usize| {
        !by_given[at] && is_there(at) && ones[at].own.is_some_and(|(name, _)| is_taken(by_given, name))
    };
    // Each that is called as it is given may take that name from another one.
    while let Some(at) = (0..ones.len()).find(|at| ones[*at].given.is_some() && loses(&by_given, *at)) {
        by_given[at] = true;
    }
    let name = |at: usize| {
        let entry =
            if by_given[at] { ones[at].given } else { ones[at].own.filter(|_| !loses(&by_given, at)) };
        entry.filter(|_| is_there(at)).map(|(name, _)| name.clone())
    };
    (0..ones.len()).map(name).collect()
}
