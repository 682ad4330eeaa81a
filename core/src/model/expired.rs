//! Which clients' access was seen to be over, so that a clock that is set back lets nobody in again. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::config::Config;
use super::day::Day;
use super::onion::OnionAddress;

/// The access of a client that has ended: by the client's service and its last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Over {
    /// The client's service.
    pub service: OnionAddress,
    /// The last day, which was over.
    pub day: Day,
}

/// Not `ADDRESS-DAY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an onion address and a day")]
pub struct NotOver;

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.service, self.day)
    }
}

impl FromStr for Over {
    type Err = NotOver;

    fn from_str(text: &str) -> Result<Self, NotOver> {
        let (service, day) = text.split_once('-').ok_or(NotOver)?;
        Ok(Self { service: service.parse().map_err(|_| NotOver)?, day: day.parse().map_err(|_| NotOver)? })
    }
}

/// All that was seen to be over. It stays over on any date, until the client is given another last day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expired(BTreeSet<Over>);

impl Expired {
    /// What was seen before.
    pub fn new(seen: impl IntoIterator<Item = Over>) -> Self {
        Self(seen.into_iter().collect())
    }

    /// Records whose last day is over today, and forgets the earlier last days of those who have another one now. A client that the
    /// configuration does not name is left as it is: it may be on its way back. True when that changed something.
    pub fn look(&mut self, config: &Config, today: Day) -> bool {
        let before = self.0.clone();
        self.0.retain(|over| {
            config.client_at(&over.service).is_none_or(|(_, client)| client.expires == Some(over.day))
        });
        let over = config.clients.values().filter_map(|client| {
            let day = client.expires.filter(|day| day.is_over(today))?;
            Some(Over { service: client.address, day })
        });
        self.0.extend(over);
        self.0 != before
    }

    /// Whether the access of a client is over today, or was seen to be.
    pub fn is_over(&self, service: &OnionAddress, last: Option<Day>, today: Day) -> bool {
        last.is_some_and(|day| day.is_over(today) || self.0.contains(&Over { service: *service, day }))
    }

    /// Forgets a client: it is given a last day anew, or its keys are erased. False when nothing was known of it.
    pub fn forget(&mut self, service: &OnionAddress) -> bool {
        let before = self.0.len();
        self.0.retain(|over| over.service != *service);
        self.0.len() != before
    }

    /// All of it.
    pub fn all(&self) -> &BTreeSet<Over> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::{Client, InstanceId};
    use crate::model::keys::{ClientKey, ServiceKey};

    fn address(seed: u8) -> OnionAddress {
        ServiceKey::from_seed(&zeroize::Zeroizing::new([seed; 32])).address()
    }

    fn day(days: u16) -> Day {
        Day::from_epoch_days(days)
    }

    fn config(clients: &[(u8, Option<u16>)]) -> Config {
        let mut config = Config::new(InstanceId::from_random([7; 10]));
        let key = ClientKey::from_bytes(&[1; 32]).unwrap().public();
        for (seed, last) in clients {
            let client = Client { expires: last.map(day), ..Client::new(address(*seed), key) };
            config.clients.insert(format!("c{seed}").parse().unwrap(), client);
        }
        config
    }

    #[test]
    fn what_was_over_once_is_over_on_any_date_until_a_hand_gives_another_day() {
        let mut expired = Expired::default();
        let (ann, last) = (address(1), Some(day(100)));
        let given = config(&[(1, Some(100)), (2, Some(200)), (3, None)]);
        assert!(!expired.look(&given, day(100)) && !expired.is_over(&ann, last, day(100)));
        assert!(expired.look(&given, day(101)));
        for today in [0, 50, 100, 101, 5000] {
            // Nothing more is learnt, whatever the clock says, and nothing is lost.
            expired.look(&given, day(today.min(101)));
            assert!(expired.is_over(&ann, last, day(today)), "{today}");
        }
        assert!(!expired.is_over(&address(2), Some(day(200)), day(50)));
        assert!(!expired.is_over(&address(3), None, day(5000)));
        // Taken out by hand and put back.
        expired.look(&config(&[]), day(50));
        assert!(expired.is_over(&ann, last, day(50)));
        // Given another day, an earlier one or none, and then the first one again.
        for other in [Some(150), Some(60), None] {
            let mut expired = expired.clone();
            assert!(expired.look(&config(&[(1, other)]), day(50)));
            assert!(!expired.is_over(&ann, other.map(day), day(50)));
            assert!(!expired.is_over(&ann, last, day(50)));
        }
        assert!(expired.forget(&ann) && !expired.forget(&ann) && !expired.is_over(&ann, last, day(50)));
    }

    #[test]
    fn a_note_is_read_as_it_is_written() {
        let over = Over { service: address(1), day: day(20_000) };
        assert_eq!(over.to_string().parse(), Ok(over));
        for bad in ["", "-", "x-2030-01-01", &format!("{}-", address(1)), &format!("{}", address(1))] {
            assert_eq!(bad.parse::<Over>(), Err(NotOver), "{bad:?}");
        }
    }
}
