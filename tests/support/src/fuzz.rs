//! Parsers tried with what is nearly right: samples that chance has mangled.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::random::Random;

/// Inputs of one parser where the environment (`ORMESH_FUZZ_INPUTS`) asks for no other number.
const INPUTS: u64 = 2_000;

/// No input may take a parser longer.
const HANG: Duration = Duration::from_millis(100);

/// The longest input, in bytes.
const LONGEST: usize = 16 * 1024;

/// What parsers are known to stumble over.
const ODD: &[&[u8]] = &[
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b"\"",
    b"'",
    b"\\",
    b"=",
    b":",
    b",",
    b";",
    b"#",
    b"[",
    b"]",
    b"{",
    b"}",
    b"-1",
    b"0",
    b"65536",
    b"4294967296",
    b"18446744073709551616",
    b"99999999999999999999999999",
    b"1e999",
    b"NaN",
    b"\xff",
    b"\xc3",
    b"\xe2\x80\x8b",
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    b"\x7f",
    b"\xff\xff\xff\xff",
    b"null",
];

/// Tries a parser with inputs made of these samples; one that is empty makes random bytes.
///
/// # Panics
///
/// When the parser does, or takes longer than a tenth of a second for an input; with the input.
pub fn fuzz(what: &str, samples: &[impl AsRef<[u8]>], mut parse: impl FnMut(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (inputs, seed) =
        (number("ORMESH_FUZZ_INPUTS").unwrap_or(INPUTS), number("ORMESH_SOAK_SEED").unwrap_or(1));
    let samples: Vec<&[u8]> = samples.iter().map(AsRef::as_ref).collect();
    let mut random = Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut slowest = Duration::ZERO;
    for _ in 0..inputs {
        let input = mangled(&samples, &mut random);
        let mut once = || {
            let begun = Instant::now();
            let went = catch_unwind(AssertUnwindSafe(|| parse(&input)));
            assert!(went.is_ok(), "{what}: seed {seed}: the parser panicked over {}", shown(&input));
            begun.elapsed()
        };
        let mut took = once();
        if took > HANG {
            // The machine may have done something else meanwhile.
            took = (0..20).map(|_| once()).min().unwrap_or_default();
        }
        assert!(took <= HANG, "{what}: seed {seed}: {took:?} for {}", shown(&input));
        slowest = slowest.max(took);
    }
    crate::figure(what, format!("{inputs} inputs, the slowest {:.1} ms", slowest.as_secs_f64() * 1000.0));
}

/// An input, or the first of it.
fn shown(input: &[u8]) -> String {
    let (first, more) = (&input[..input.len().min(1000)], input.len().saturating_sub(1000));
    format!("{} and {more} bytes", first.escape_ascii())
}

/// A sample, after some things were done to it.
fn mangled(samples: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut bytes = samples[random.below(samples.len())].to_vec();
    // A few are left as they are.
    for _ in 0..random.below(8) {
        let at = random.below(bytes.len() + 1);
        let upto = at + random.below((bytes.len() - at).min(32) + 1);
        match random.below(9) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..upto)),
            2 => {
                let part = bytes[at..upto].to_vec();
                bytes.splice(at..at, part);
            }
            3 => {
                bytes.splice(at..upto, ODD[random.below(ODD.len())].iter().copied());
            }
            4 => bytes.insert(at, u8::try_from(random.below(256)).unwrap_or_default()),
            5 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            6 if at < bytes.len() => bytes[at] = u8::try_from(random.below(256)).unwrap_or_default(),
            7 => {
                let other = samples[random.below(samples.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            // Seldom, since it makes all that follow slow.
            8 if random.below(64) == 0 => {
                let part = if at < upto { bytes[at..upto].to_vec() } else { b"x".to_vec() };
                let times = 1 + random.below(LONGEST / part.len());
                bytes.splice(at..at, part.repeat(times));
            }
            _ => {}
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_that_slips_is_found() {
        let slips = |bytes: &[u8]| assert!(!bytes.contains(&b'"'));

        let found = catch_unwind(|| fuzz("slips", &[b"a sample"], slips));

        assert!(found.is_err());
    }

    #[test]
    fn a_parser_that_hangs_is_found() {
        let hangs = |bytes: &[u8]| {
            if bytes.first() != Some(&b'a') {
                std::thread::sleep(2 * HANG);
            }
        };

        assert!(catch_unwind(|| fuzz("hangs", &[b"a sample"], hangs)).is_err());
    }

    #[test]
    fn inputs_are_samples_mangled_ones_and_the_same_with_the_same_seed() {
        let inputs = |seed| {
            let mut random = Random(seed);
            (0..500).map(|_| mangled(&[b"one sample", b"another"], &mut random)).collect::<Vec<_>>()
        };

        let some = inputs(7);

        assert_eq!(some, inputs(7));
        assert_ne!(some, inputs(8));
        assert!(some.iter().any(|input| input == b"another") && some.iter().any(|input| input != b"another"));
        assert!(some.iter().all(|input| input.len() <= LONGEST));
    }
}
