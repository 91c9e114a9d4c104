//! A moment as runs are named: UTC, sorted by name as by time.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_S: u64 = 24 * 60 * 60;
/// Days of 400 years of the Gregorian calendar, and of its first 100, 4 and 1 years when they begin in March.
const DAYS_400: u64 = 146_097;
const DAYS_100: u64 = 36_524;
const DAYS_4: u64 = 1_461;
const DAYS_1: u64 = 365;
/// From the first of March of year 0 to 1970.
const DAYS_TO_1970: u64 = 719_468;

/// As `20261128T093000Z`.
pub fn stamp(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = date(seconds / DAY_S);
    let s = seconds % DAY_S;
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", s / 3_600, s / 60 % 60, s % 60)
}

/// Year, month and day; years are counted from March, so that the leap day is their last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let (eras, days) = (days / DAYS_400, days % DAYS_400);
    let centuries = (days / DAYS_100).min(3);
    let days = days - centuries * DAYS_100;
    let (fours, days) = (days / DAYS_4, days % DAYS_4);
    let years = (days / DAYS_1).min(3);
    let days = days - years * DAYS_1;
    let year = eras * 400 + centuries * 100 + fours * 4 + years;
    let mut left = days;
    for (month, len) in [31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29].into_iter().enumerate() {
        if left < len {
            let month = month as u64 + 3;
            return if month > 12 { (year + 1, month - 12, left + 1) } else { (year, month, left + 1) };
        }
        left -= len;
    }
    unreachable!("a year that ends with February has at most 366 days")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_are_named_as_the_calendar_has_them() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_709_164_800, "20240229T000000Z"),
            (1_798_761_599, "20261231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(stamp(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }
}
