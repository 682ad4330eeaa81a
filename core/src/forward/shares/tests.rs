//! Tests of `shares`: the rule under thousands of courses of events, and a few cases in figures.

use super::*;

/// Numbers that look random and are the same in each run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        (!all.is_empty()).then(|| &all[usize::try_from(self.below(all.len() as u64)).unwrap()])
    }
}

/// A capacity and what is known of it from outside.
struct Bench {
    shares: Shares,
    parts: Vec<(Id, Id)>,
    places: Vec<(Id, Id)>,
    held: BTreeMap<(Id, Id), u64>,
}

impl Bench {
    fn new(capacity: u64) -> Self {
        Self { shares: Shares::new(capacity), parts: Vec::new(), places: Vec::new(), held: BTreeMap::new() }
    }

    /// A member with so many parts.
    fn member(&mut self, cap: u64, parts: u64) -> Id {
        let member = self.shares.join(cap);
        for _ in 0..parts {
            let part = self.shares.open(member);
            self.parts.push((member, part));
        }
        member
    }

    fn take(&mut self, at: (Id, Id)) -> Result<(), Full> {
        self.shares.take(at.0, at.1)?;
        self.places.push(at);
        *self.held.entry(at).or_default() += 1;
        Ok(())
    }

    fn give(&mut self, index: usize) {
        let at = self.places.swap_remove(index);
        *self.held.get_mut(&at).unwrap() -= 1;
        self.shares.give(at.0, at.1);
    }

    /// Takes until it is refused, and says how many it got.
    fn hog(&mut self, at: (Id, Id)) -> u64 {
        let before = self.places.len();
        while self.take(at).is_ok() {}
        (self.places.len() - before) as u64
    }

    fn held_by(&self, at: (Id, Id)) -> u64 {
        self.held.get(&at).copied().unwrap_or_default()
    }

    /// The books agree with what was given.
    fn check(&mut self) {
        self.shares.reckon();
        let shares = &self.shares;
        assert_eq!(shares.held, self.places.len() as u64);
        assert!(shares.held <= shares.capacity, "{shares:?}");
        assert_eq!(shares.owed, shares.members.values().map(Member::owed).sum::<u64>(), "{shares:?}");
        for member in shares.members.values() {
            assert_eq!(member.held, member.parts.values().sum::<u64>(), "{shares:?}");
            let lacking: u64 = member.parts.values().map(|held| member.each.saturating_sub(*held)).sum();
            assert_eq!(member.lacking, lacking, "{shares:?}");
        }
        for at in &self.parts {
            assert_eq!(shares.members[&at.0].parts[&at.1], self.held_by(*at), "{shares:?}");
        }
    }
}

#[test]
fn the_books_agree_through_any_course_of_events() {
    for seed in 1..=4_000 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let capacity = 1 + random.below(600);
        let mut bench = Bench::new(capacity);
        for _ in 0..120 {
            match random.below(12) {
                0 => drop(bench.member(1 + random.below(600), random.below(5))),
                1 => {
                    let member = random.of(&bench.parts).map(|(member, _)| *member);
                    if let Some(member) = member {
                        let part = bench.shares.open(member);
                        bench.parts.push((member, part));
                    }
                }
                2 => {
                    if let Some((member, _)) = random.of(&bench.parts).copied() {
                        bench.shares.set_cap(member, 1 + random.below(600));
                    }
                }
                3 => {
                    if let Some(at) = random.of(&bench.parts).copied()
                        && bench.held_by(at) == 0
                    {
                        bench.shares.close(at.0, at.1);
                        bench.parts.retain(|part| *part != at);
                    }
                }
                4 => {
                    if let Some((member, _)) = random.of(&bench.parts).copied()
                        && bench.places.iter().all(|(of, _)| *of != member)
                    {
                        bench.shares.leave(member);
                        bench.parts.retain(|(of, _)| *of != member);
                    }
                }
                5..=7 => {
                    for _ in 0..random.below(40) {
                        if !bench.places.is_empty() {
                            let index = usize::try_from(random.below(bench.places.len() as u64)).unwrap();
                            bench.give(index);
                        }
                    }
                }
                8 => {
                    if let Some(at) = random.of(&bench.parts).copied() {
                        bench.hog(at);
                    }
                }
                _ => {
                    if let Some(at) = random.of(&bench.parts).copied() {
                        let cap = bench.shares.members[&at.0].cap;
                        let before = bench.shares.members[&at.0].held;
                        if bench.take(at).is_ok() {
                            assert!(before < cap, "seed {seed}: more than its cap");
                        }
                    }
                }
            }
            bench.check();
        }
        // All given back, it is as if nothing had been.
        while !bench.places.is_empty() {
            bench.give(0);
        }
        bench.check();
        if let Some(at) = random.of(&bench.parts).copied() {
            assert!(bench.take(at).is_ok(), "seed {seed}: nothing although all is free: {:?}", bench.shares);
        }
    }
}

#[test]
fn whoever_takes_however_much_each_other_part_gets_its_share() {
    for seed in 1..=4_000 {
        let mut random = Random(0xd134_2543_de82_ef95_u64.wrapping_mul(seed));
        let members = 1 + random.below(12);
        let mut bench = Bench::new(64 + random.below(2_000));
        for _ in 0..members {
            let parts = 1 + random.below(6);
            // A cap below the number of ports can't serve all of them.
            bench.member(2 * parts + random.below(600), parts);
        }
        let capacity = bench.shares.capacity;
        let share = capacity / (2 * (members + 1));
        let fits = |bench: &Bench, at: (Id, Id)| {
            let parts = bench.parts.iter().filter(|(member, _)| *member == at.0).count() as u64;
            parts <= share
        };
        // Some take as much as they can, in turns and at length.
        for _ in 0..random.below(200) {
            let at = *random.of(&bench.parts).unwrap();
            if random.below(4) == 0 {
                bench.hog(at);
            } else {
                let _ = bench.take(at);
            }
        }
        assert!(bench.shares.held < capacity, "seed {seed}: all is taken");
        bench.check();
        // Everyone else comes, in any order, and each gets what is its own.
        let mut order = bench.parts.clone();
        while !order.is_empty() {
            let index = usize::try_from(random.below(order.len() as u64)).unwrap();
            let at = order.swap_remove(index);
            if !fits(&bench, at) {
                continue;
            }
            let each = bench.shares.members[&at.0].each;
            while bench.held_by(at) < each {
                let got = bench.take(at);
                assert!(got.is_ok(), "seed {seed}: {at:?} lacks its share: {got:?} {:#?}", bench.shares);
            }
            assert!(each >= 1);
        }
        bench.check();
    }
}

#[test]
fn one_alone_may_use_much_and_never_all() {
    for (capacity, members) in [(448, 1), (448, 5), (448, 100), (9_872, 5), (16, 1), (16, 3)] {
        let mut bench = Bench::new(capacity);
        for _ in 0..members {
            bench.member(u64::MAX, 1);
        }
        let got = bench.hog(bench.parts[0]);
        assert!(got >= capacity / 2 - capacity / 8 && got < capacity, "{got} of {capacity} with {members}");
        for at in bench.parts.clone().into_iter().skip(1) {
            assert!(bench.take(at).is_ok(), "{capacity} with {members}");
        }
        // One that comes later finds something, too.
        let late = bench.member(u64::MAX, 1);
        let at = *bench.parts.iter().find(|(member, _)| *member == late).unwrap();
        assert!(bench.take(at).is_ok(), "{capacity} with {members}");
    }
}

#[test]
fn a_port_leaves_room_for_the_other_ports_of_its_client() {
    let mut bench = Bench::new(100_000);
    let client = bench.member(512, 3);
    let [web, ssh, mail] = [bench.parts[0], bench.parts[1], bench.parts[2]];

    let got = bench.hog(web);

    assert_eq!(got, 512 - 2 * 85);
    assert_eq!(bench.take(web), Err(Full { held: got, limit: Limit::Member(512) }));
    assert_eq!((bench.hog(ssh), bench.hog(mail)), (85, 85));
    assert_eq!(bench.shares.members[&client].held, 512);
    // One given back goes to whoever asks first.
    bench.give(0);
    assert_eq!(bench.hog(ssh), 1);

    // A client's only port may have all of it.
    let mut bench = Bench::new(100_000);
    bench.member(512, 1);
    assert_eq!(bench.hog(bench.parts[0]), 512);
}

#[test]
fn who_has_left_gets_nothing_and_leaves_its_share() {
    let mut bench = Bench::new(100);
    let (one, other) = (bench.member(u64::MAX, 1), bench.member(u64::MAX, 1));
    let (mine, its) = (bench.parts[0], bench.parts[1]);
    let before = bench.hog(mine);
    bench.shares.leave(other);
    assert!(bench.take(its).is_err());
    assert!(bench.hog(mine) > 0, "{before}");
    assert_eq!(bench.shares.members.len(), 1);
    assert_eq!(one, mine.0);
}
