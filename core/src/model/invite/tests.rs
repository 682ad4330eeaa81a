//! Invites and requests: what is written reads the same, and nothing mistyped, cut or hostile is taken.

use proptest::prelude::*;

use super::*;
use crate::model::keys::ServiceKey;

const TODAY: u16 = 20_779;

fn today() -> Day {
    Day::from_epoch_days(TODAY)
}

fn address(seed: u8) -> OnionAddress {
    ServiceKey::from_seed(&Zeroizing::new([seed; 32])).address()
}

fn ports(numbers: impl IntoIterator<Item = u16>) -> BTreeSet<Port> {
    numbers.into_iter().map(|number| Port::new(number).unwrap()).collect()
}

fn plain() -> Invite {
    Invite {
        address: address(7),
        key: InviteKey::Private(ClientKey::from_bytes(&[9; 32]).unwrap()),
        expires: None,
        ports: None,
    }
}

fn full() -> Invite {
    Invite { expires: Some(Day::from_epoch_days(TODAY + 30)), ports: Some(ports([22, 80, 8080])), ..plain() }
}

fn parse(text: &str) -> Result<Invite, InviteError> {
    Invite::parse(text, today())
}

fn error(text: &str) -> InviteError {
    parse(text).err().expect("the text was taken")
}

type Said = (OnionAddress, Option<[u8; 32]>, Option<Day>, Option<BTreeSet<Port>>);

/// Everything that an invite says, so that two can be compared without giving the type itself an equality.
fn said(invite: &Invite) -> Said {
    let key = match &invite.key {
        InviteKey::Private(key) => Some(*key.expose()),
        InviteKey::Requested => None,
    };
    (invite.address, key, invite.expires, invite.ports.clone())
}

/// Damages are drawn from here: small, quick, the same on every run (xorshift64*, Vigna 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

#[test]
fn the_plain_invite_has_the_documented_form() {
    let text = plain().to_text();
    assert!(text.starts_with("ormesh1"));
    assert_eq!(text.len(), 119);
    // Fixed for ever: invites are kept in password managers.
    assert_eq!(
        *text,
        "ormesh1qyqw5jnvv03fc5s2hm64q7cn9mzln928w6hta0nmjfppa6nfz3rdytqfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyxgpndy"
    );
    assert_eq!(said(&parse(&text).unwrap()), said(&plain()));
}

#[test]
fn a_pasted_text_may_be_wrapped_quoted_or_shouted() {
    let text = full().to_text();
    let wrapped = format!("\u{feff} “{}\n  {}\u{200b}\"\r\n", &text[..40], &text[40..]);
    for form in [text.to_uppercase(), wrapped, format!("`{}`", *text)] {
        assert_eq!(said(&parse(&form).unwrap()), said(&full()));
    }
}

#[test]
fn it_is_found_in_what_people_paste() {
    let invite = full().to_text();
    let (head, rest) = invite.split_at(50);
    let request = JoinRequest { key: ClientKey::from_bytes(&[9; 32]).unwrap().public() }.to_text();
    for pasted in [
        format!("Here is your invite: {}", *invite),
        format!("O{}", &invite[1..]),
        format!("ormesh remote add website {}\n", *invite),
        format!("$ ormesh remote add NAME \\\n    {}", *invite),
        format!("<{}>", *invite),
        format!("(<ormesh:{}>)", *invite),
        format!("ormesh:{}, and see you soon.", *invite),
        format!("**{}**", *invite),
        format!("see 73 hq {} see 73 hq", *invite),
        format!(
            "On Monday, Zoë wrote:\n> > Here is it:\n> > \n> > {head}\n> > {rest}\n> > see you\n\nThanks!"
        ),
        format!("> {head}\r\n>  {rest}\r\n"),
        format!("| {head}=\n| {rest}\n"),
        format!("{0}\n\n> {0}\n", *invite),
        format!("{}\n{}", invite.to_uppercase(), *invite),
        format!("You asked:\n> {request}\nand I answer:\n{}\n", *invite),
        format!("as in `ormesh remote add NAME ormesh1…`:\n{}", *invite),
        format!("one that was cut: {head}… and the whole: {}", *invite),
        format!("\u{1b}[1;32m{}\u{1b}[0m\n", *invite),
        format!("Here it is:\u{1b}[38;2;1;2;3m{}\u{1b}[m, see you", *invite),
        format!("\u{1b}[33m> \u{1b}[0m{head}\u{1b}[K\n\u{1b}[33m> {rest}\u{1b}(B\u{1b}[m"),
        format!("\u{1b}]8;;ormesh:x\u{7}{}\u{1b}]8;;\u{1b}\\", *invite),
        format!("^[[32m{head}^[[0m^[[32m{rest}^[[0m"),
        format!("[32m{}[0m", *invite),
        format!("\u{9b}32m{}\u{9b}0m", *invite),
    ] {
        let read = parse(&pasted).unwrap_or_else(|error| panic!("{error}: {pasted}"));
        assert_eq!(said(&read), said(&full()), "{pasted}");
        assert_eq!(JoinRequest::parse(&format!("> {request}\n\n{pasted}")).unwrap().to_text(), request);
    }
}

#[test]
fn two_different_ones_are_refused() {
    let text = format!("{}\n{}", *plain().to_text(), *full().to_text());
    assert_eq!(error(&text), InviteError::Several(TextKind::Invite));
    assert_eq!(error(&text).to_string(), "there are several different invites in the text");
    assert_eq!(JoinRequest::parse(&text), Err(InviteError::IsInvite));
}

#[test]
fn a_damaged_one_among_words_is_still_said_to_be() {
    let text = plain().to_text();
    for pasted in [
        format!("Here it is: {}", &text[..97]),
        format!("> {}\n> {}\nSee you!", &text[..40], &text[40..97]),
        format!("<{}>", &text[..97]),
    ] {
        assert_eq!(
            error(&pasted).to_string(),
            "the invite is mistyped or cut (97 of 119 characters)",
            "{pasted}"
        );
    }
    // Letters that stick to it are damage, too.
    assert!(matches!(error(&format!("{}q", *text)), InviteError::Damaged { .. }));
    assert_eq!(error(&format!("x{}", *text)), InviteError::NotOne { kind: TextKind::Invite });
}

#[test]
fn a_reply_to_a_request_carries_no_key() {
    let reply = Invite { key: InviteKey::Requested, ..full() };
    let read = parse(&reply.to_text()).unwrap();
    assert_eq!(said(&read), said(&reply));
    assert_eq!(said(&read).1, None);
}

#[test]
fn a_request_round_trips_and_keeps_its_public_key_only() {
    let key = ClientKey::from_bytes(&[9; 32]).unwrap();
    let request = JoinRequest { key: key.public() };
    let text = request.to_text();
    assert!(text.starts_with("ormeshreq1"));
    assert_eq!(JoinRequest::parse(&text), Ok(request));
}

#[test]
fn the_two_texts_are_told_apart() {
    let request = JoinRequest { key: ClientKey::from_bytes(&[9; 32]).unwrap().public() }.to_text();
    assert_eq!(error(&request), InviteError::IsRequest);
    assert_eq!(error(&request.to_uppercase()), InviteError::IsRequest);
    assert_eq!(JoinRequest::parse(&plain().to_text()), Err(InviteError::IsInvite));
}

#[test]
fn a_cut_text_says_how_much_is_there() {
    let text = plain().to_text();
    assert_eq!(error(&text[..97]).to_string(), "the invite is mistyped or cut (97 of 119 characters)");
    assert_eq!(error(&text[..10]).to_string(), "the invite is mistyped or cut (10 of 119 characters)");
    let reply = Invite { key: InviteKey::Requested, ..plain() }.to_text();
    assert_eq!(
        error(&reply[..60]).to_string(),
        format!("the invite is mistyped or cut (60 of {} characters)", reply.len())
    );
    let swapped = format!("{}q{}", &text[..50], &text[51..]);
    assert_eq!(error(&swapped).to_string(), "the invite is mistyped or cut (119 characters)");
    assert!(
        matches!(error(&format!("{}Q{}", &text[..50], &text[51..])), InviteError::Damaged { .. }),
        "mixed case"
    );
    assert!(matches!(
        error(&format!("{}é{}", &text[..50], &text[51..])),
        InviteError::Damaged { length: 119, .. }
    ));
}

#[test]
fn other_texts_are_explained() {
    let v3 = address(3);
    for (text, expected) in [
        ("", InviteError::Empty(TextKind::Invite)),
        (" \"\" \n", InviteError::Empty(TextKind::Invite)),
        (&format!("ormesh1{}", "q".repeat(394)), InviteError::TooLong(TextKind::Invite, 401)),
        (&"q".repeat(401), InviteError::NotOne { kind: TextKind::Invite }),
        ("dGhlIG9ybWVzaCBvZiAyMDE3IHdyb3RlIHN1Y2ggb24=", InviteError::Token2017),
        (" dGhlIG9ybWVzaCBvZiAyMDE3\nIHdyb3RlIHN1Y2ggb24=\n", InviteError::Token2017),
        ("hello", InviteError::NotOne { kind: TextKind::Invite }),
        ("ormesh", InviteError::NotOne { kind: TextKind::Invite }),
        ("HidServAuth expyuzz4wqqyqhjn.onion 0123456789abcdefABCDEF # client", InviteError::V2),
        ("expyuzz4wqqyqhjn.onion", InviteError::V2),
        ("expyuzz4wqqyqhjn", InviteError::V2),
        (&v3.to_string(), InviteError::AddressOnly),
        (&v3.service_id(), InviteError::AddressOnly),
        (&format!("{}:descriptor:x25519:AAAA", v3.service_id()), InviteError::TorFormat(TextKind::Invite)),
    ] {
        assert_eq!(error(text), expected);
        assert!(!expected.hint().is_empty());
    }
}

#[test]
fn no_error_echoes_the_text() {
    let text = full().to_text();
    for end in 0..text.len() {
        let error = error(&text[..end]);
        let shown = format!("{error} {error:?} {}", error.hint());
        assert!(!shown.contains(&text[7..12]), "{shown}");
    }
}

#[test]
fn expiry_is_the_end_of_its_day() {
    let until = |day| Invite { expires: Some(Day::from_epoch_days(day)), ..plain() }.to_text();
    assert!(parse(&until(TODAY)).is_ok());
    assert_eq!(error(&until(TODAY - 1)), InviteError::Expired(Day::from_epoch_days(TODAY - 1)));
}

#[test]
fn a_long_port_list_is_left_out() {
    let with = |list| said(&parse(&Invite { ports: Some(list), ..full() }.to_text()).unwrap()).3;
    let most = ports(1..=32);
    assert_eq!(with(most.clone()), Some(most));
    assert_eq!(with(ports(1..=33)), None);
    assert_eq!(with(BTreeSet::new()), None);
}

#[test]
fn the_largest_invite_fits() {
    let largest = Invite { ports: Some(ports(60_000..60_032)), ..full() };
    let text = largest.to_text();
    assert!(text.len() <= MAX_CHARS);
    assert_eq!(said(&parse(&text).unwrap()), said(&largest));
}

#[test]
fn content_that_makes_no_sense_is_refused_although_its_checksum_fits() {
    let head = |version: u8, kind: u8| {
        let mut bytes = vec![version, kind];
        bytes.extend(address(7).public_key());
        if kind == 0 {
            bytes.extend([9; 32]);
        }
        bytes
    };
    let read = |bytes: &[u8]| error(&text::encode(TextKind::Invite, bytes));
    let malformed = |why| InviteError::Malformed(TextKind::Invite, why);
    let tailed = |tail: &[u8]| read(&[&head(1, 0), tail].concat());

    assert_eq!(read(&head(2, 0)), InviteError::Newer(TextKind::Invite));
    assert_eq!(read(&head(1, 2)), malformed(Malformed::Kind));
    assert_eq!(read(&head(1, 9)), malformed(Malformed::Kind));
    assert_eq!(read(&[]), malformed(Malformed::Short));
    assert_eq!(read(&[1]), malformed(Malformed::Short));
    assert_eq!(read(&head(1, 0)[..65]), malformed(Malformed::Short));
    assert_eq!(read(&head(1, 0)[..33]), malformed(Malformed::Short));
    assert_eq!(read(&[[1, 0].as_slice(), &[0; 32], &[9; 32]].concat()), malformed(Malformed::ServiceKey));
    assert_eq!(read(&[&head(1, 1), [0; 32].as_slice()].concat()), InviteError::Newer(TextKind::Invite));
    assert_eq!(read(&[&head(1, 0)[..34], &[0; 32]].concat()), malformed(Malformed::ClientKey));

    assert_eq!(tailed(&[1]), malformed(Malformed::Short));
    assert_eq!(tailed(&[1, 2, 0xff]), malformed(Malformed::Short));
    assert_eq!(tailed(&[1, 1, 0xff]), malformed(Malformed::Expiry));
    assert_eq!(tailed(&[1, 2, 0xff, 0xff, 1, 2, 0xff, 0xff]), malformed(Malformed::Twice));
    for bad in [[3, 0].as_slice(), &[3, 1, 22], &[3, 2, 0, 0], &[3, 4, 0, 80, 0, 22], &[3, 4, 0, 22, 0, 22]] {
        assert_eq!(tailed(bad), malformed(Malformed::Ports));
    }
    let many: Vec<u8> =
        [3, 66].into_iter().chain((1..=33).flat_map(|port: u16| port.to_be_bytes())).collect();
    assert_eq!(tailed(&many), malformed(Malformed::Ports));
    for even in [2, 4] {
        assert_eq!(tailed(&[even, 0]), InviteError::Newer(TextKind::Invite));
    }
    assert_eq!(tailed(&[5, 1, 0, 5, 0]), malformed(Malformed::Twice));
    assert!(parse(&text::encode(TextKind::Invite, &[&head(1, 0), [5, 1, 0].as_slice()].concat())).is_ok());

    let request = |key: [u8; 32], tail: &[u8]| {
        let bytes = [[1, 2].as_slice(), &key, tail].concat();
        JoinRequest::parse(&text::encode(TextKind::Request, &bytes))
    };
    let refused = |why| Err(InviteError::Malformed(TextKind::Request, why));
    assert_eq!(request([0; 32], &[]), refused(Malformed::ClientKey));
    assert!(request([9; 32], &[1, 0, 3, 0]).is_ok(), "tags that mean nothing in a request are odd");
    assert_eq!(request([9; 32], &[4, 0]), Err(InviteError::Newer(TextKind::Request)));
}

#[test]
fn padding_must_be_zero_and_short() {
    use bech32::primitives::iter::{ByteIterExt, Fe32IterExt};
    use bech32::{Bech32m, Fe32, Hrp};
    let bytes = [&[1, 0], address(7).public_key().as_slice(), &[9; 32]].concat();
    let values: Vec<Fe32> = bytes.iter().copied().bytes_to_fes().collect();
    let write = |values: &[Fe32]| -> String {
        values.iter().copied().with_checksum::<Bech32m>(&Hrp::parse_unchecked("ormesh")).chars().collect()
    };
    assert!(parse(&write(&values)).is_ok());
    // 66 bytes fill 105 values and three bits of the next: the last two bits are padding.
    let mut dirty = values.clone();
    *dirty.last_mut().unwrap() += Fe32::P;
    let padding = InviteError::Malformed(TextKind::Invite, Malformed::Padding);
    assert_eq!(error(&write(&dirty)), padding);
    let longer = [values, vec![Fe32::Q]].concat();
    assert_eq!(error(&write(&longer)), padding);
}

/// One substitution, swap, drop, insertion or truncation; up to four of them.
fn damage(dice: &mut Dice, good: &[u8], bad: &mut Vec<u8>) {
    // bech32's alphabet, and what a slip of the finger adds to it. Quotes and spaces are no damage.
    const TYPED: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7lqpzry9x8gf2tvdw0s3jn54khce6mua7l1bioQL-.";
    bad.clear();
    bad.extend_from_slice(good);
    for _ in 0..=dice.below(4) {
        let (at, typed) = (dice.below(bad.len()), TYPED[dice.below(TYPED.len())]);
        match dice.below(6) {
            0 => bad[at] = typed,
            1 if at + 1 < bad.len() => bad.swap(at, at + 1),
            2 => {
                let other = dice.below(bad.len());
                bad.swap(at, other);
            }
            3 if bad.len() > 1 => drop(bad.remove(at)),
            4 => bad.insert(at, typed),
            5 => bad.truncate(at.max(1)),
            _ => bad[at] = typed,
        }
    }
}

#[test]
fn a_million_damages_are_all_noticed() {
    let noticed = |seed: u64| {
        let mut dice = Dice(seed);
        let texts = [plain().to_text(), full().to_text()];
        let (mut bad, mut changed) = (Vec::new(), 0_u32);
        for round in 0..500_000 {
            let good = &texts[round % 2];
            damage(&mut dice, good.as_bytes(), &mut bad);
            // What is before it and not written together with it is no damage.
            let before = bad.iter().take_while(|c| matches!(c, b'-' | b'.')).count();
            if bad[before..] == *good.as_bytes() {
                continue;
            }
            changed += 1;
            let text = std::str::from_utf8(&bad).unwrap();
            assert!(parse(text).is_err(), "undetected after {round} rounds of seed {seed}: {text}");
        }
        changed
    };
    let changed: u32 = std::thread::scope(|scope| {
        let threads = [11, 13].map(|seed| scope.spawn(move || noticed(seed)));
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(changed > 900_000, "only {changed} texts were damaged");
}

#[test]
fn a_million_hostile_tails_do_no_harm() {
    let mut seeds = vec![Vec::new()];
    for invite in [plain(), full()] {
        let mut tail = Vec::new();
        tail::write(&mut tail, invite.expires, invite.ports.as_ref());
        seeds.push(tail);
    }
    let mut dice = Dice(17);
    let mut taken = 0;
    for round in 0..1_000_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=dice.below(4) {
            let (at, byte) = (dice.below(bytes.len() + 1), dice.next() as u8);
            match dice.below(4) {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => bytes[at] = byte % 8,
                2 => bytes.truncate(at),
                _ => bytes.insert(at, byte % 40),
            }
        }
        let Ok(read) = tail::read(TextKind::Invite, &bytes) else { continue };
        taken += 1;
        // What is taken is written back to something that reads the same.
        let mut again = Vec::new();
        tail::write(&mut again, read.expires, read.ports.as_ref());
        assert_eq!(tail::read(TextKind::Invite, &again), Ok(read));
    }
    assert!(taken > 1000, "the inputs are too wild: {taken} were taken");
}

fn any_invite() -> impl Strategy<Value = (u8, bool, Option<u16>, Option<BTreeSet<u16>>)> {
    let expires = proptest::option::of(TODAY..);
    let ports = proptest::option::of(proptest::collection::btree_set(1_u16.., 1..=32));
    (any::<u8>(), any::<bool>(), expires, ports)
}

/// How a mail or a chat leaves an invite: words around it, in lines, each with a quote before it, perhaps in brackets.
fn any_paste() -> impl Strategy<Value = (String, String, usize, String, (&'static str, &'static str))> {
    let brackets = prop_oneof![
        Just((" ", " ")),
        Just(("<", ">")),
        Just(("`", "`")),
        Just(("(", ").")),
        Just(("\n", "\n")),
        Just((" ormesh:", ",")),
        Just(("“", "”")),
        Just(("\u{200b} ", "!")),
    ];
    ("[ -~äé]{0,60}", "[ -~äé\n]{0,60}", 8_usize..100, "(> ?|\\| ){0,3}", brackets)
}

proptest! {
    #[test]
    fn wherever_it_is_embedded_it_is_found(
        (before, after, width, quote, (open, close)) in any_paste(),
        which in 0..3_usize,
        flip in 7..119_usize,
    ) {
        let invite = [plain(), full(), Invite { key: InviteKey::Requested, ..full() }].into_iter().nth(which).unwrap();
        let text = invite.to_text();
        let paste = |text: &str| {
            let lines: Vec<String> = text.as_bytes().chunks(width).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
            let lines = lines.join(&format!("\n{quote}"));
            format!("{quote}{before}{open}{lines}{close}{after}")
        };
        let pasted = paste(&text);
        match parse(&pasted) {
            Ok(read) => prop_assert_eq!(said(&read), said(&invite)),
            Err(error) => prop_assert!(false, "{}: {:?}", error, pasted),
        }
        // One character wrong, and it is damage, of which nothing is said again.
        let mut torn = text.as_bytes().to_vec();
        torn[flip.min(text.len() - 1)] ^= 1;
        let torn = String::from_utf8(torn).unwrap();
        if let Err(error) = parse(&paste(&torn)) {
            let said = format!("{error} {error:?} {}", error.hint());
            prop_assert!(matches!(error, InviteError::Damaged { .. } | InviteError::TooLong(..)), "{}", error);
            prop_assert!(!said.contains(&torn[10..20]));
        } else {
            prop_assert!(false, "the damage was not seen");
        }
    }

    #[test]
    fn invites_round_trip((seed, private, expires, numbers) in any_invite()) {
        let key = match private {
            true => InviteKey::Private(ClientKey::from_bytes(&[seed.max(1); 32]).unwrap()),
            false => InviteKey::Requested,
        };
        let invite = Invite {
            address: address(seed),
            key,
            expires: expires.map(Day::from_epoch_days),
            ports: numbers.map(ports),
        };
        let text = invite.to_text();
        prop_assert_eq!(said(&parse(&text).unwrap()), said(&invite));
        prop_assert_eq!(said(&parse(&text.to_uppercase()).unwrap()), said(&invite));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,450}", tail in "[ -~]{0,450}") {
        let _ = parse(&text);
        let _ = JoinRequest::parse(&text);
        let _ = parse(&format!("ormesh1{tail}"));
        let _ = JoinRequest::parse(&format!("ormeshreq1{tail}"));
    }

    #[test]
    fn any_payload_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 0_u8..4) {
        let headed = [&[1, kind], address(7).public_key().as_slice(), &bytes].concat();
        for payload in [&bytes, &headed] {
            let _ = Invite::from_payload(payload, today());
            let _ = JoinRequest::from_payload(payload);
        }
    }
}

#[test]
fn a_text_has_an_invite_once_it_has_all_of_it() {
    let text = full().to_text();
    assert!(Invite::is_in(&text));
    assert!(Invite::is_in(&format!("Here it is: {}\nBye", text.as_str())));
    for other in ["", "hello", &text[..text.len() - 1]] {
        assert!(!Invite::is_in(other), "{other}");
    }
}

#[test]
fn fuzzed_invites_and_requests_are_read_or_refused() {
    let invites = [plain(), full(), Invite { key: InviteKey::Requested, ..full() }];
    let mut samples: Vec<Vec<u8>> =
        invites.iter().map(|invite| invite.to_text().as_bytes().to_vec()).collect();
    samples
        .push(JoinRequest { key: ClientKey::from_bytes(&[9; 32]).unwrap().public() }.to_text().into_bytes());
    samples.push(
        format!("Hello,\n> {}\n> {}\n", &plain().to_text()[..60], &plain().to_text()[60..]).into_bytes(),
    );
    support::fuzz("invites and requests", &samples, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = Invite::parse(&text, today());
        let _ = JoinRequest::parse(&text);
        Invite::is_in(&text);
    });
}
