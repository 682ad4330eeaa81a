//! Whether an import's connections go through a session, and how long they are held while there is no way.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest time to hold, in seconds: a day.
const LONGEST: u32 = 24 * 60 * 60;

/// How long connections are held without a way to the far side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct Hold(u32);

impl Hold {
    /// As a time.
    pub fn time(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self(15 * 60)
    }
}

/// Why a text is no time to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// It is no time.
    #[error("a time is a number with s, m, h or d, as in 90s, 15m, 2h or 1d, or 0")]
    NoTime,
    /// It is too long.
    #[error("a connection is held for a day at most")]
    TooLong,
}

impl FromStr for Hold {
    type Err = HoldError;

    fn from_str(text: &str) -> Result<Self, HoldError> {
        if text == "0" {
            return Ok(Self(0));
        }
        let units = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', LONGEST)];
        let found = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
        let (number, seconds) = found.ok_or(HoldError::NoTime)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(HoldError::NoTime);
        }
        let number = number.parse::<u32>().map_err(|_| HoldError::TooLong)?;
        let all = number.checked_mul(seconds).filter(|all| *all <= LONGEST);
        all.map(Self).ok_or(HoldError::TooLong)
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            all if all % 3600 == 0 => write!(f, "{}h", all / 3600),
            all if all % 60 == 0 => write!(f, "{}m", all / 60),
            all => write!(f, "{all}s"),
        }
    }
}

impl TryFrom<String> for Hold {
    type Error = HoldError;
    fn try_from(text: String) -> Result<Self, HoldError> {
        text.parse()
    }
}

impl From<Hold> for String {
    fn from(hold: Hold) -> Self {
        hold.to_string()
    }
}

/// Whether sessions are used, where the far side offers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Session {
    /// Yes: connections outlive what carries them.
    #[default]
    On,
    /// No: each connection has a Tor stream of its own.
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_hold_is_read_as_it_is_written() {
        for text in ["0", "90s", "15m", "2h", "24h"] {
            assert_eq!(text.parse::<Hold>().unwrap().to_string(), text);
        }
        assert_eq!("1d".parse::<Hold>(), "24h".parse());
        assert_eq!("60s".parse::<Hold>().unwrap().to_string(), "1m");
        assert_eq!(Hold::default().to_string(), "15m");
        for text in ["", "s", "15", "-1m", "+1m", "1.5h", "1w", " 1m", "1 m"] {
            assert_eq!(text.parse::<Hold>(), Err(HoldError::NoTime), "{text}");
        }
        for text in ["25h", "2d", "4294967296s", "99999999999999999999h"] {
            assert_eq!(text.parse::<Hold>(), Err(HoldError::TooLong), "{text}");
        }
    }
}
