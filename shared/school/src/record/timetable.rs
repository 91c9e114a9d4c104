//! Stored values of the timetable.

use super::Record;
use crate::{
    op::Actor,
    timetable::{Lesson, Settings, changes::Substitution, duties::Duty},
};
use schulhof_wire::{AccountId, BlobHash, Day, DeviceId, Hlc};
use serde::{Deserialize, Serialize};

/// A part of an import, kept aside; in JSON, as in the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    pub items: String,
}

/// A plan: for which days its lessons hold. Of several for a day the one with the highest number does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    pub number: u32,
    /// As the operations call it.
    pub name: DeviceId,
    pub from: Day,
    pub until: Option<Day>,
    pub at: Hlc,
    pub by: Actor,
    pub lessons: u32,
}

impl Plan {
    pub fn covers(&self, day: Day) -> bool {
        self.from <= day && self.until.is_none_or(|until| day <= until)
    }
}

/// The lessons of one class, teacher or room.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Roster {
    /// As the lessons write it.
    pub name: String,
    pub lessons: Vec<Lesson>,
}

/// Whose short name it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Teacher(pub AccountId);

/// The substitutions of a day, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DayChanges(pub Vec<Substitution>);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DayText(pub String);

/// BLAKE3 of the secret in the info screen's address.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Screen(pub BlobHash);

/// All break duties, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Duties(pub Vec<Duty>);

/// Who has switched the folder on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Watch(pub AccountId);

impl Record for Duties {}
impl Record for Watch {}
impl Record for DayChanges {}
impl Record for DayText {}
impl Record for Screen {}
impl Record for Settings {}
impl Record for Kept {}
impl Record for Plan {}
impl Record for Roster {}
impl Record for Teacher {}
