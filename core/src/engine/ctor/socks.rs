//! The SOCKS5 handshake with tor (RFC 1928, 1929; extended errors of proposal 304): greeting, user name and CONNECT in one write.
//!
//! [`Handshake`] is pure and takes any split of the reply; it never asks for a byte that may be the service's. Deadlines, retries and
//! the choice of user names are left to the dialler in `forward`.

// It reads what tor says, or whatever has taken its place: a slip must be an error, never a panic.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used))]

use async_trait::async_trait;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::ends::Ticket;
use crate::engine::stream::{Confirmed, Stream};
use crate::engine::{Attempt, AwaitReply, DialError};
use crate::model::address::Port;
use crate::model::onion::OnionAddress;

const VERSION: u8 = 5;
const USER_PASSWORD: u8 = 2;
/// Of the sub-negotiation (RFC 1929).
const AUTH_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const DOMAIN: u8 = 3;
/// RFC 1929 wants a password; tor isolates by it too, so it is always this one.
const PASSWORD: u8 = b'-';

/// Sends the request for one attempt.
pub(super) async fn dial(
    mut stream: Stream,
    address: &OnionAddress,
    port: Port,
    isolation: &str,
    ticket: Ticket,
) -> Result<Attempt, DialError> {
    let request = request(&ticket.name(), address, port, isolation)?;
    stream.write_all(&request).await.map_err(|error| DialError::Broken(error.to_string()))?;
    Ok(Box::new(Awaiting { stream, port, ticket, unsent: None }))
}

/// Everything that is sent before the reply. tor answers the parts in turn, or leaves the first answer out.
fn request(name: &str, address: &OnionAddress, port: Port, isolation: &str) -> Result<Vec<u8>, DialError> {
    // An empty name is none for RFC 1929, and the first letter keeps clear of names to which tor gives a meaning.
    let user = format!("o{isolation}");
    let length = u8::try_from(user.len())
        .map_err(|_| DialError::Broken("the name that chooses the circuit is too long".to_owned()))?;
    let domain = format!("{name}.{address}");
    let domain_length = u8::try_from(domain.len()).expect("an onion address has 62 characters, a name a few");
    let mut bytes = vec![VERSION, 1, USER_PASSWORD];
    bytes.extend([AUTH_VERSION, length]);
    bytes.extend(user.as_bytes());
    bytes.extend([1, PASSWORD]);
    bytes.extend([VERSION, CONNECT, 0, DOMAIN, domain_length]);
    bytes.extend(domain.as_bytes());
    bytes.extend(port.get().to_be_bytes());
    Ok(bytes)
}

struct Awaiting {
    stream: Stream,
    port: Port,
    ticket: Ticket,
    /// Why early bytes could not be sent. The reply, which may be there already, says more.
    unsent: Option<String>,
}

#[async_trait]
impl AwaitReply for Awaiting {
    async fn send_early(&mut self, bytes: &[u8]) -> Result<(), DialError> {
        if self.unsent.is_none() {
            self.unsent = self.stream.write_all(bytes).await.err().map(|error| error.to_string());
        }
        Ok(())
    }

    async fn reply(mut self: Box<Self>) -> Result<Stream, DialError> {
        let mut handshake = Handshake::default();
        let mut buffer = [0; Handshake::MOST];
        loop {
            let wanted = handshake.wants();
            let part = buffer.get_mut(..wanted).expect("the buffer holds the most that is ever wanted");
            let read = self.stream.read(part).await.map_err(|error| DialError::Broken(error.to_string()))?;
            if read == 0 {
                return Err(DialError::Broken("tor closed it without an answer".to_owned()));
            }
            match handshake.take(part.get(..read).expect("no more is read than the buffer holds")) {
                Ok(false) => {}
                Ok(true) => break,
                Err(Fault::Code(code)) => return Err(refusal(code, self.port)),
                Err(Fault::NotSocks) => {
                    return Err(DialError::Broken("what tor answered is not SOCKS".to_owned()));
                }
            }
        }
        match self.unsent {
            None => Ok(Stream::Confirmed(Confirmed::new(self.stream, self.ticket.confirm()))),
            Some(error) => Err(DialError::Broken(error)),
        }
    }
}

/// What a reply code of tor means.
fn refusal(code: u8, port: Port) -> DialError {
    match code {
        0xf0 | 0xf1 => DialError::NotPublished,
        0xf2 | 0xf3 => DialError::Gone,
        0xf4 => DialError::KeyMissing,
        0xf5 => DialError::KeyRefused,
        0xf6 => DialError::Malformed,
        0xf7 | 0x06 => DialError::TimedOut,
        0x05 => DialError::PortNotExported(port),
        0x01 => DialError::Failed,
        other => DialError::Code(other),
    }
}

/// Why a handshake is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The reply's code; not 0.
    Code(u8),
    NotSocks,
}

/// Reads tor's side of the handshake.
#[derive(Debug, Default)]
struct Handshake {
    at: At,
}

/// The next byte's place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// `05 02`, or already `01 00`.
    #[default]
    Start,
    Method,
    AuthVersion,
    AuthStatus,
    Version,
    Code,
    Reserved,
    AddressType,
    DomainLength,
    /// Of the bound address and port, which mean nothing with tor.
    Rest(usize),
    Done,
}

impl Handshake {
    /// The most that [`Handshake::wants`] gives.
    const MOST: usize = 255 + 2;

    /// How many bytes are sure to belong to the handshake; at least one before its end.
    fn wants(&self) -> usize {
        // After the address type at least an empty domain: its length and the port.
        const REPLY: usize = 4 + 1 + 2;
        match self.at {
            At::Start | At::AuthVersion => 2 + REPLY,
            At::Method => 1 + 2 + REPLY,
            At::AuthStatus => 1 + REPLY,
            At::Version => REPLY,
            At::Code => REPLY - 1,
            At::Reserved => REPLY - 2,
            At::AddressType => REPLY - 3,
            At::DomainLength => 3,
            At::Rest(left) => left,
            At::Done => 0,
        }
    }

    /// Takes what came, at most as much as was wanted; true once the service answered.
    fn take(&mut self, bytes: &[u8]) -> Result<bool, Fault> {
        for &byte in bytes {
            self.at = match (self.at, byte) {
                (At::Start, VERSION) => At::Method,
                (At::Start | At::AuthVersion, AUTH_VERSION) => At::AuthStatus,
                (At::Method, USER_PASSWORD) => At::AuthVersion,
                (At::AuthStatus, 0) => At::Version,
                (At::Version, VERSION) => At::Code,
                (At::Code, 0) => At::Reserved,
                (At::Code, code) => return Err(Fault::Code(code)),
                (At::Reserved, 0) => At::AddressType,
                (At::AddressType, 1) => At::Rest(4 + 2),
                (At::AddressType, 4) => At::Rest(16 + 2),
                (At::AddressType, DOMAIN) => At::DomainLength,
                (At::DomainLength, length) => At::Rest(usize::from(length) + 2),
                (At::Rest(1), _) => At::Done,
                (At::Rest(left), _) => At::Rest(left - 1),
                _ => return Err(Fault::NotSocks),
            };
        }
        Ok(self.at == At::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ctor::ends::{End, Ends};
    use proptest::prelude::*;
    use tokio::io::DuplexStream;

    const FULL: &[u8] = &[5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    const SHORT: &[u8] = &[1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    const IPV6: &[u8] = &[5, 2, 1, 0, 5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const NAMED: &[u8] = &[1, 0, 5, 0, 0, 3, 2, b'a', b'b', 0, 80];
    const UNNAMED: &[u8] = &[1, 0, 5, 0, 0, 3, 0, 0, 80];

    fn address() -> OnionAddress {
        "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid".parse().unwrap()
    }

    fn port() -> Port {
        Port::new(22).unwrap()
    }

    async fn attempt(isolation: &str) -> (Result<Attempt, DialError>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(4096);
        let ends = Ends::default();
        let attempt = dial(Stream::Pipe(ours), &address(), port(), isolation, ends.expect()).await;
        // Whatever comes of it, tor will say that the other end has closed it in order.
        ends.made(100, 1);
        ends.ended(100, End::Done);
        (attempt, theirs)
    }

    /// Answers with these bytes, one at a time, and closes.
    async fn answered(bytes: &[u8]) -> Result<Stream, DialError> {
        let (attempt, mut tor) = attempt("a").await;
        let bytes = bytes.to_vec();
        let said = tokio::spawn(async move {
            for byte in bytes {
                tor.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let result = attempt.unwrap().reply().await;
        said.await.unwrap();
        result
    }

    #[tokio::test]
    async fn the_request_goes_out_in_one_write() {
        let (attempt, mut tor) = attempt("a").await;
        drop(attempt);

        let mut bytes = Vec::new();
        tor.read_to_end(&mut bytes).await.unwrap();

        let mut expected = b"\x05\x01\x02\x01\x02oa\x01-\x05\x01\x00\x03\x41c1.".to_vec();
        expected.extend(address().to_string().as_bytes());
        expected.extend([0, 22]);
        assert_eq!(bytes, expected);
    }

    #[tokio::test]
    async fn every_form_of_success_leaves_the_payload_alone() {
        for form in [FULL, SHORT, IPV6, NAMED, UNNAMED] {
            let (attempt, mut tor) = attempt("a").await;
            tor.write_all(form).await.unwrap();
            tor.write_all(b"payload").await.unwrap();
            drop(tor);

            let mut stream = attempt.unwrap().reply().await.unwrap();

            let mut payload = Vec::new();
            stream.read_to_end(&mut payload).await.unwrap();
            assert_eq!(payload, b"payload", "{form:?}");
        }
    }

    #[tokio::test]
    async fn every_code_has_its_meaning() {
        for code in 1..=255 {
            let error = answered(&[1, 0, 5, code]).await.unwrap_err();
            let expected = match code {
                1 => DialError::Failed,
                5 => DialError::PortNotExported(port()),
                6 | 0xf7 => DialError::TimedOut,
                0xf0 | 0xf1 => DialError::NotPublished,
                0xf2 | 0xf3 => DialError::Gone,
                0xf4 => DialError::KeyMissing,
                0xf5 => DialError::KeyRefused,
                0xf6 => DialError::Malformed,
                other => DialError::Code(other),
            };
            assert_eq!(error, expected);
        }
    }

    #[tokio::test]
    async fn a_close_at_any_byte_is_told() {
        for form in [FULL, SHORT, IPV6, NAMED] {
            for cut in 0..form.len() {
                let result = answered(&form[..cut]).await;

                let without_answer = DialError::Broken("tor closed it without an answer".to_owned());
                assert_eq!(result.unwrap_err(), without_answer, "{cut} of {form:?}");
            }
            assert!(answered(form).await.is_ok(), "{form:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_socks_is_told() {
        for bytes in [
            &b"HTTP/1.0 200 OK"[..1],
            &[5, 0],
            &[5, 0xff],
            &[4],
            &[5, 2, 5],
            &[1, 1],
            &[1, 0, 4],
            &[1, 0, 5, 0, 1],
            &[1, 0, 5, 0, 0, 2],
        ] {
            let error = answered(bytes).await.unwrap_err();

            assert_eq!(error, DialError::Broken("what tor answered is not SOCKS".to_owned()), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn early_bytes_follow_the_request_and_a_refusal_outweighs_them() {
        let (attempt, mut tor) = attempt("a").await;
        let mut attempt = attempt.unwrap();
        let mut request = vec![0; request("c1", &address(), port(), "a").unwrap().len()];
        tor.read_exact(&mut request).await.unwrap();
        attempt.send_early(b"early").await.unwrap();
        let mut early = [0; 5];
        tor.read_exact(&mut early).await.unwrap();
        tor.write_all(&[1, 0, 5, 0xf4]).await.unwrap();
        drop(tor);

        let late = attempt.send_early(b"too late").await;

        assert_eq!((&early, late), (b"early", Ok(())));
        assert_eq!(attempt.reply().await.unwrap_err(), DialError::KeyMissing);
    }

    #[tokio::test]
    async fn early_bytes_that_were_lost_are_not_a_success() {
        let (attempt, mut tor) = attempt("a").await;
        let mut attempt = attempt.unwrap();
        tor.write_all(SHORT).await.unwrap();
        drop(tor);

        attempt.send_early(b"lost").await.unwrap();

        assert!(matches!(attempt.reply().await, Err(DialError::Broken(_))));
    }

    #[tokio::test]
    async fn names_that_do_not_fit_are_refused() {
        assert!(attempt(&"x".repeat(254)).await.0.is_ok());
        assert!(matches!(attempt(&"x".repeat(255)).await.0, Err(DialError::Broken(_))));
        assert!(attempt("").await.0.is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_reply_in_any_split_ends_alike(bytes in reply(), splits in proptest::collection::vec(1usize..9, 0..40)) {
            let by = |sizes: &mut dyn Iterator<Item = usize>| {
                let mut handshake = Handshake::default();
                let mut rest = bytes.as_slice();
                loop {
                    let size = sizes.next().unwrap_or(1).min(handshake.wants()).min(rest.len());
                    if size == 0 {
                        return (Ok(false), rest.len());
                    }
                    prop_assert_in_range(handshake.wants());
                    let (part, after) = rest.split_at(size);
                    rest = after;
                    match handshake.take(part) {
                        Ok(false) => {}
                        Ok(true) => return (Ok(true), rest.len()),
                        // How much was read beside the fault depends on the split.
                        Err(fault) => return (Err(fault), 0),
                    }
                }
            };
            let whole = by(&mut std::iter::repeat(usize::MAX));
            prop_assert_eq!(by(&mut std::iter::repeat(1)), whole);
            prop_assert_eq!(by(&mut splits.into_iter()), whole);
        }
    }

    fn prop_assert_in_range(wants: usize) {
        assert!((1..=Handshake::MOST).contains(&wants), "{wants}");
    }

    /// Any bytes, or nearly a reply.
    fn reply() -> impl Strategy<Value = Vec<u8>> {
        let near = (prop_oneof![Just(FULL), Just(SHORT), Just(IPV6), Just(NAMED)], any::<u8>(), 0usize..30);
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            near.prop_map(|(form, byte, at)| {
                let mut bytes = form.to_vec();
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
                bytes.extend(b"payload");
                bytes
            }),
        ]
    }

    #[test]
    fn fuzzed_replies_end_in_success_or_a_fault() {
        support::fuzz("SOCKS replies of tor", &[FULL, SHORT, IPV6, NAMED], |bytes| {
            let (mut handshake, mut rest) = (Handshake::default(), bytes);
            while !rest.is_empty() && handshake.wants() > 0 {
                assert!(handshake.wants() <= Handshake::MOST);
                let (part, after) = rest.split_at(handshake.wants().min(rest.len()));
                match handshake.take(part) {
                    Ok(false) => rest = after,
                    Ok(true) | Err(_) => return,
                }
            }
        });
    }
}
