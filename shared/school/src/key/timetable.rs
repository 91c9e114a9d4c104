//! Keys of the timetable: all begin with `T` and a letter of their own.

use super::Range;
use schulhof_wire::{Day, DeviceId};

pub const SETTINGS: &[u8] = b"Ts";
const PARTS: &[u8] = b"Tp";
const PLANS: &[u8] = b"Tn";
const ROSTERS: &[u8] = b"Tl";
const TEACHERS: &[u8] = b"Tt";
const DAYS: &[u8] = b"Td";
const TEXTS: &[u8] = b"Tx";
pub const DUTIES: &[u8] = b"Tb";
/// In whose name a box applies what is in its folder.
pub const WATCH: &[u8] = b"Tw";
/// Hash of the secret in the info screen's address.
pub const SCREEN: &[u8] = b"Tk";

/// Of whom lessons are kept together. Written into keys: never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    Class = 1,
    Teacher = 2,
    Room = 3,
}

impl Of {
    pub const ALL: [Self; 3] = [Self::Class, Self::Teacher, Self::Room];

    pub fn word(self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Teacher => "teacher",
            Self::Room => "room",
        }
    }
}

/// All keys with a beginning.
fn under(beginning: &[u8]) -> Range {
    let mut to = beginning.to_vec();
    // No beginning here ends with 0xff: letters, kinds and counts of plans are far below.
    if let Some(last) = to.last_mut() {
        *last += 1;
    }
    (beginning.to_vec(), to)
}

pub fn part(import: &DeviceId, part: u32) -> Vec<u8> {
    [PARTS, import.as_str().as_bytes(), &[0], &part.to_be_bytes()].concat()
}

/// Parts of whichever import is kept aside.
pub fn parts() -> Range {
    under(PARTS)
}

pub fn plan(number: u32) -> Vec<u8> {
    [PLANS, &number.to_be_bytes()].concat()
}

pub fn plans() -> Range {
    under(PLANS)
}

pub fn roster(number: u32, of: Of, name: &str) -> Vec<u8> {
    [ROSTERS, &number.to_be_bytes(), &[of as u8], name.as_bytes()].concat()
}

/// Everybody of a kind who has lessons in a plan.
pub fn rosters(number: u32, of: Of) -> Range {
    under(&[ROSTERS, &number.to_be_bytes(), &[of as u8]].concat())
}

/// All of a plan.
pub fn rosters_of(number: u32) -> Range {
    let begins = |of: u8| [ROSTERS, &number.to_be_bytes(), &[of]].concat();
    (begins(0), begins(u8::MAX))
}

pub fn teacher(short: &str) -> Vec<u8> {
    [TEACHERS, short.as_bytes()].concat()
}

pub fn teachers() -> Range {
    under(TEACHERS)
}

/// The short name in a teacher's key.
pub fn teacher_short(key: &[u8]) -> String {
    String::from_utf8_lossy(key.get(TEACHERS.len()..).unwrap_or_default()).into_owned()
}

/// The substitutions of a day.
pub fn day(day: Day) -> Vec<u8> {
    [DAYS, &day.number().to_be_bytes()].concat()
}

pub fn days_from(from: Day) -> Range {
    (day(from), under(DAYS).1)
}

pub fn days_before(before: Day) -> Range {
    (under(DAYS).0, day(before))
}

/// The day in its key.
pub fn day_of(key: &[u8]) -> Day {
    let number = key.get(2..6).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    Day::from_number(number)
}

pub fn text(day: Day) -> Vec<u8> {
    [TEXTS, &day.number().to_be_bytes()].concat()
}

pub fn texts_before(before: Day) -> Range {
    (under(TEXTS).0, text(before))
}

/// What a key of the timetable holds, for the export.
pub enum Holds {
    Plan,
    Roster(Of),
    Teacher,
    Changes,
    Text,
    Duties,
}

pub fn holds(key: &[u8]) -> Option<Holds> {
    match key.get(..2)? {
        PLANS => Some(Holds::Plan),
        ROSTERS => {
            let of = key.get(6)?;
            Of::ALL.into_iter().find(|known| *known as u8 == *of).map(Holds::Roster)
        }
        TEACHERS => Some(Holds::Teacher),
        DAYS => Some(Holds::Changes),
        DUTIES => Some(Holds::Duties),
        TEXTS => Some(Holds::Text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_own_keys_only() {
        let within = |(from, to): &Range, key: &[u8]| from.as_slice() <= key && key < to.as_slice();
        let classes = rosters(255, Of::Class);
        assert!(
            within(&classes, &roster(255, Of::Class, "5a")) && within(&classes, &roster(255, Of::Class, "\u{10ffff}"))
        );
        assert!(!within(&classes, &roster(255, Of::Teacher, "5a")) && !within(&classes, &roster(256, Of::Class, "5a")));
        let all = rosters_of(255);
        assert!(within(&all, &roster(255, Of::Room, "x")) && !within(&all, &roster(256, Of::Class, "x")));
        assert!(within(&plans(), &plan(u32::MAX)) && !within(&plans(), &teacher("A")));
        assert_eq!(teacher_short(&teacher("MÜ")), "MÜ");
    }
}
