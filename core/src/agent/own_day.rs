//! Converts the user's local day, at whose end access expires, to the UTC day in which it ends.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::model::day::Day;
use crate::model::problem::{Code, Problem};

/// Reads an end of access, which must not be over: `30d`, `12w`, or a day where the user is.
pub fn expiry(text: &str) -> Result<Day, Problem> {
    expiry_at(text, Timestamp::now(), &TimeZone::system())
}

/// The moment at which access ends, in UTC and, where that is another, on the user's clock.
pub fn ends(day: Day) -> String {
    ends_in(day, &TimeZone::system())
}

fn expiry_at(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Day, Problem> {
    let problem = |why: String, hint: String| Problem::new(Code::BadArgument, why).hint(hint);
    let date = now.to_zoned(zone.clone()).date();
    let here = |date: Date| date.to_string().parse::<Day>();
    let today = here(date).unwrap_or(Day::from_epoch_days(0));
    let day = Day::parse_expiry(text, today)
        .map_err(|error| problem(error.to_string(), "as in 30d, 12w or 2027-06-30".into()))?;
    if day.is_over(today) {
        return Err(problem(
            format!("{day} is over already"),
            format!("here it is {today} now; give 30d, 12w or a day to come"),
        ));
    }
    Ok(covering(day, zone))
}

/// The UTC day in which a day ends in a zone: access lasts to its end, so never shorter than was meant, and up to a day longer.
fn covering(day: Day, zone: &TimeZone) -> Day {
    let end = day.to_string().parse::<Date>().and_then(|date| date.checked_add(1.day()));
    let end = end.and_then(|date| date.to_zoned(zone.clone()));
    // Only the last day of all has no next one.
    end.map_or(day, |end| Day::from_unix(u64::try_from(end.timestamp().as_second() - 1).unwrap_or_default()))
}

fn ends_in(day: Day, zone: &TimeZone) -> String {
    let end = i64::try_from(day.end_unix()).ok().and_then(|end| Timestamp::from_second(end).ok());
    let Some(end) = end else { return format!("the end of {day} UTC") };
    let (utc, here) = (end.to_zoned(TimeZone::UTC), end.to_zoned(zone.clone()));
    let said = utc.strftime("%Y-%m-%d %H:%M UTC").to_string();
    match here.datetime() == utc.datetime() {
        true => said,
        false => format!("{said} ({} here)", here.strftime("%Y-%m-%d %H:%M")),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;

    use super::*;

    fn east(hours: i8) -> TimeZone {
        TimeZone::fixed(Offset::constant(hours))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn today_is_the_users_own() {
        // 17:00 in Los Angeles, when UTC has the next day.
        let (now, zone) = (at("2026-11-27T01:00:00Z"), east(-8));
        let day = expiry_at("2026-11-26", now, &zone).unwrap();
        assert_eq!(day.to_string(), "2026-11-27");
        assert_eq!(ends_in(day, &zone), "2026-11-28 00:00 UTC (2026-11-27 16:00 here)");
        assert_eq!(expiry_at("0d", now, &zone), Ok(day));
        assert_eq!(expiry_at("1d", now, &zone).unwrap().to_string(), "2026-11-28");
        let over = expiry_at("2026-11-25", now, &zone).unwrap_err();
        assert!(over.message.contains("over already") && over.hint.contains("2026-11-26"), "{over:?}");
    }

    #[test]
    fn access_lasts_to_the_end_of_the_day_that_was_meant() {
        let now = at("2026-11-26T12:00:00Z");
        for hours in -12..=14 {
            let day = expiry_at("2026-12-24", now, &east(hours)).unwrap();
            let meant = at("2026-12-25T00:00:00Z").as_second() - i64::from(hours) * 3600;
            let longer = i64::try_from(day.end_unix()).unwrap() - meant;
            assert!((0..86_400).contains(&longer), "{hours}: {longer}");
        }
        let utc = expiry_at("2026-12-24", now, &TimeZone::UTC).unwrap();
        assert_eq!(ends_in(utc, &TimeZone::UTC), "2026-12-25 00:00 UTC");
    }

    #[test]
    fn the_moment_is_told_in_utc_whatever_the_users_clock() {
        assert!(ends(Day::from_epoch_days(0)).starts_with("1970-01-02 00:00 UTC"));
    }

    #[test]
    fn the_last_day_of_all_is_an_expiry_everywhere() {
        let now = at("2026-11-26T12:00:00Z");
        for hours in [-12, 0, 14] {
            assert_eq!(expiry_at("2149-06-06", now, &east(hours)).unwrap().to_string(), "2149-06-06");
        }
    }
}
