//! Days of the calendar, without a time and without a time zone: what a timetable is about.
//!
//! In JSON `2026-11-30` (ISO 8601), in stored values a number. Bounded, so that counting on never overflows.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use time::{Date, Month};
use ts_rs::TS;

/// Julian day of 1 January 1970.
const EPOCH: i32 = 2_440_588;
const DAY_MS: u64 = 86_400_000;

/// Days since 1 January 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, TS)]
#[ts(type = "string")]
pub struct Day(i32);

/// Why a text is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a day has the form 2026-11-30, from the year 2000 to 2099")]
pub struct NoDay;

impl Day {
    /// 1 January 2000 and 31 December 2099: school years of everybody who will use this.
    pub const FIRST: Self = Self(10_957);
    pub const LAST: Self = Self(47_481);

    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
        let day = Self(date.to_julian_day() - EPOCH);
        (Self::FIRST..=Self::LAST).contains(&day).then_some(day)
    }

    /// The day in UTC.
    pub fn from_unix_ms(ms: u64) -> Self {
        let days = i32::try_from(ms / DAY_MS).unwrap_or(i32::MAX);
        Self(days).clamp(Self::FIRST, Self::LAST)
    }

    /// `20261130`, as programs write days.
    pub fn from_digits(text: &str) -> Option<Self> {
        if text.len() != 8 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Self::new(text[..4].parse().ok()?, text[4..6].parse().ok()?, text[6..].parse().ok()?)
    }

    /// 1 is Monday, 7 Sunday.
    pub fn weekday(self) -> u8 {
        // 1 January 1970 was a Thursday.
        (self.0 + 3).rem_euclid(7) as u8 + 1
    }

    /// The Monday of its week.
    #[must_use]
    pub fn monday(self) -> Self {
        self.plus(1 - i32::from(self.weekday()))
    }

    /// So many days later; stays within the bounds.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days)).clamp(Self::FIRST, Self::LAST)
    }

    /// Whole weeks from one Monday to the other's.
    pub fn weeks_since(self, other: Self) -> i32 {
        (self.monday().0 - other.monday().0).div_euclid(7)
    }

    /// For keys: sorts as days do.
    pub fn number(self) -> u32 {
        self.0.unsigned_abs()
    }

    /// The day of a key's number.
    pub fn from_number(number: u32) -> Self {
        Self(i32::try_from(number).unwrap_or(i32::MAX)).clamp(Self::FIRST, Self::LAST)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = Date::from_julian_day(self.0 + EPOCH).map_err(|_| fmt::Error)?;
        write!(f, "{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
    }
}

impl std::str::FromStr for Day {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(NoDay);
        }
        Self::from_digits(&text.replace('-', "")).ok_or(NoDay)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        } else {
            let day = Self(i32::deserialize(deserializer)?);
            if (Self::FIRST..=Self::LAST).contains(&day) { Ok(day) } else { Err(D::Error::custom(NoDay)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn days_count_on_over_leap_years_and_know_their_week() {
        assert_eq!((day("2000-01-01"), day("2099-12-31")), (Day::FIRST, Day::LAST));
        assert_eq!(day("2028-02-28").plus(1), day("2028-02-29"));
        assert_eq!(day("2026-11-29").weekday(), 7);
        assert_eq!(day("2026-11-29").monday(), day("2026-11-23"));
        assert_eq!(day("2027-01-01").weeks_since(day("2026-12-24")), 1);
        assert_eq!(day("2026-11-22").weeks_since(day("2026-11-23")), -1);
        assert_eq!(Day::LAST.plus(1), Day::LAST);
        assert_eq!(Day::from_unix_ms(1_796_000_000_000).to_string(), "2026-11-30");
        assert_eq!(Day::from_unix_ms(u64::MAX), Day::LAST);
        assert_eq!(Day::from_number(day("2026-11-30").number()), day("2026-11-30"));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2026-13-01",
            "2026-02-29",
            "1999-12-31",
            "2100-01-01",
            "20261130",
            "2026-1-030",
            "ä026-01-01",
            "+026-01-01",
        ] {
            assert_eq!(text.parse::<Day>(), Err(NoDay), "{text}");
        }
        assert_eq!(Day::from_digits("20261130"), Some(day("2026-11-30")));
        assert_eq!(Day::from_digits("2026113ä"), None);
    }

    #[test]
    fn a_day_is_a_text_in_json_and_a_number_in_stored_values() {
        let today = day("2026-11-30");
        assert_eq!(serde_json::to_string(&today).unwrap(), "\"2026-11-30\"");
        assert_eq!(serde_json::from_str::<Day>("\"2026-11-30\"").unwrap(), today);
        let stored = postcard::to_stdvec(&today).unwrap();
        assert_eq!(postcard::from_bytes::<Day>(&stored).unwrap(), today);
        assert!(postcard::from_bytes::<Day>(&postcard::to_stdvec(&0_i32).unwrap()).is_err());
    }
}
