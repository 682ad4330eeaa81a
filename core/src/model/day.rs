//! Calendar days in UTC, which is how access expires: at the end of a day.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, date};
use serde::{Deserialize, Serialize};

/// Why a text is not a day or a number of days.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DayError {
    /// Neither `YYYY-MM-DD` nor within 1970 to 2149.
    #[error("{0:?} is not a day as in 2026-12-31")]
    Day(String),
    /// A day after the last one that can be written.
    #[error("{0:?} is after {last}, the last day that there can be; without an end, access never ends", last = Day(u16::MAX))]
    Late(String),
    /// A time before now.
    #[error("{0:?} is over already: access ends at a time to come")]
    Past(String),
    /// Not `30d`, `12w` or a day.
    #[error("{0:?} is neither a time from now (as in 30d, 12w) nor a day (as in 2026-12-31)")]
    Span(String),
}

/// A UTC day, as days since 1970-01-01; it ends at the following midnight. The last one is 2149-06-06.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct Day(u16);

const EPOCH: Date = date(1970, 1, 1);

impl Day {
    /// From days since 1970-01-01.
    pub fn from_epoch_days(days: u16) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    pub fn epoch_days(self) -> u16 {
        self.0
    }

    /// The day that holds a moment given in seconds since 1970-01-01 UTC.
    pub fn from_unix(seconds: u64) -> Self {
        Self(u16::try_from(seconds / 86_400).unwrap_or(u16::MAX))
    }

    /// Seconds since 1970-01-01 UTC at which the day is over.
    pub fn end_unix(self) -> u64 {
        (u64::from(self.0) + 1) * 86_400
    }

    /// Whether the day is over on `today`.
    pub fn is_over(self, today: Self) -> bool {
        self < today
    }

    /// Reads an expiry as a person gives it, seen from `today`: `30d`, `12w`, `2026-12-31`.
    pub fn parse_expiry(text: &str, today: Self) -> Result<Self, DayError> {
        match text.strip_prefix('-').map(|span| Self::parse_span_or_day(span, today)) {
            Some(Ok(_)) => Err(DayError::Past(text.to_owned())),
            _ => Self::parse_span_or_day(text, today),
        }
    }

    fn parse_span_or_day(text: &str, today: Self) -> Result<Self, DayError> {
        match text.parse() {
            Err(DayError::Day(_) | DayError::Span(_)) => {}
            read => return read,
        }
        let error = || DayError::Span(text.to_owned());
        let late = || DayError::Late(text.to_owned());
        let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty() {
            true => digits.parse::<u16>().map_err(|_| late()),
            false => Err(error()),
        };
        let days = match (text.strip_suffix('d'), text.strip_suffix('w')) {
            (Some(days), _) => number(days)?,
            (_, Some(weeks)) => number(weeks)?.checked_mul(7).ok_or_else(late)?,
            _ => return Err(error()),
        };
        today.0.checked_add(days).map(Self).ok_or_else(late)
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let error = || DayError::Day(text.to_owned());
        let form = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date: Date = form.then(|| text.parse().ok()).flatten().ok_or_else(error)?;
        let days = date.since(EPOCH).map_err(|_| error())?.get_days();
        u16::try_from(days).map(Self).map_err(|_| match days > 0 {
            true => DayError::Late(text.to_owned()),
            false => error(),
        })
    }
}

impl TryFrom<String> for Day {
    type Error = DayError;
    fn try_from(text: String) -> Result<Self, DayError> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> String {
        day.to_string()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = EPOCH
            .checked_add(i64::from(self.0).days())
            .expect("65,535 days from 1970 are within jiff's years");
        f.pad(&date.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_round_trip() {
        for (text, days) in
            [("1970-01-01", 0), ("2000-02-29", 11_016), ("2026-11-22", 20_779), ("2149-06-06", 65_535)]
        {
            assert_eq!(text.parse(), Ok(Day(days)));
            assert_eq!(Day(days).to_string(), text);
        }
        assert_eq!(Day::from_unix(86_399), Day(0));
        assert_eq!(Day(0).end_unix(), 86_400);
    }

    #[test]
    fn an_expiry_is_a_day_or_a_time_from_today() {
        let today = Day(100);
        assert_eq!(Day::parse_expiry("30d", today), Ok(Day(130)));
        assert_eq!(Day::parse_expiry("2w", today), Ok(Day(114)));
        assert_eq!(Day::parse_expiry("1970-01-02", today), Ok(Day(1)));
        for bad in [
            "",
            "d",
            "-1d",
            "+1d",
            "30",
            "30h",
            "9999999d",
            "60000w",
            "2026-13-01",
            "2026-1-1",
            "1969-12-31",
            "2149-06-07",
        ] {
            assert!(Day::parse_expiry(bad, today).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_time_before_now_is_said_to_be_over() {
        for text in ["-1d", "-30d", "-2w"] {
            assert_eq!(Day::parse_expiry(text, Day(20_000)), Err(DayError::Past(text.to_owned())));
        }
        for text in ["-5", "--5d", &"-".repeat(1_000_000)] {
            assert_eq!(Day::parse_expiry(text, Day(20_000)), Err(DayError::Span(text.into())));
        }
    }

    #[test]
    fn a_day_that_is_too_late_is_said_to_be() {
        for text in ["9999-12-31", "2149-06-07", "99999d", "65000d", "60000w", "9000w"] {
            let said = Day::parse_expiry(text, Day(20_000)).unwrap_err().to_string();
            assert!(said.starts_with(&format!("{text:?} is after 2149-06-06")), "{said}");
        }
    }

    #[test]
    fn a_day_is_over_on_the_next() {
        assert!(!Day(5).is_over(Day(5)));
        assert!(Day(5).is_over(Day(6)));
    }
}
