//! The store's records in words, one by one in the order of their keys: for a school's or a person's data in a readable form.
//!
//! What it must not do: give away how somebody signs in. Passwords have no form here, whoever asks.

use crate::{
    apply::Position,
    exam::Exam,
    key::{self, timetable::Holds},
    op::{Actor, Attachment, GroupKind, Role},
    record::{
        self, Account, Attachments, Conference, Device, Group, Member, Message, Room, School,
        exam::Planned,
        timetable::{DayChanges, DayText, Duties, Plan, Roster, Teacher},
    },
    timetable::{Lesson, changes::Substitution, duties::Duty},
    view::RoomKind,
};
use schulhof_wire::{AccountId, ConferenceId, Day, DeviceId, ExamId, GroupId, Hlc, LogIndex, RoomId, Seq};
use serde::Serialize;

/// One record. Fields as in operations and views.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Exported {
    School {
        name: String,
    },
    Account {
        account: AccountId,
        login: String,
        name: String,
        role: Role,
        locked: bool,
    },
    /// Somebody's browser, or a door.
    Device {
        device: DeviceId,
        owner: Actor,
        last: Seq,
    },
    Group {
        group: GroupId,
        name: String,
        kind: GroupKind,
    },
    GroupMember {
        account: AccountId,
        group: GroupId,
    },
    Room {
        room: RoomId,
        kind: RoomKind,
        name: String,
        between: Vec<AccountId>,
    },
    RoomMember {
        room: RoomId,
        account: AccountId,
        read_upto: LogIndex,
    },
    Message {
        room: RoomId,
        index: LogIndex,
        device: DeviceId,
        seq: Seq,
        author: AccountId,
        at: Hlc,
        text: String,
    },
    /// Of the message with that index.
    Attachments {
        room: RoomId,
        index: LogIndex,
        attachments: Vec<Attachment>,
    },
    Conference {
        conference: ConferenceId,
        room: RoomId,
        title: String,
        opened_by: AccountId,
        at: Hlc,
        open: bool,
    },
    TimetablePlan {
        plan: DeviceId,
        from: Day,
        until: Option<Day>,
        lessons: u32,
    },
    /// Of a class, teacher or room, by what the school's timetable program calls it.
    Timetable {
        of: &'static str,
        name: String,
        lessons: Vec<Lesson>,
    },
    Exam {
        exam: ExamId,
        #[serde(flatten)]
        plan: Exam,
        by: AccountId,
    },
    /// What was other than planned on a day.
    TimetableChanges {
        day: Day,
        changes: Vec<Substitution>,
    },
    BreakDuties {
        duties: Vec<Duty>,
    },
    TimetableText {
        day: Day,
        text: String,
    },
    /// Whose short name it is.
    Teacher {
        short: String,
        account: AccountId,
    },
}

/// A record of a confirmed state. `None`: it says nothing that others do not say (indices, marks of the log), or is secret.
///
/// # Panics
/// If the value is damaged: whoever read it has checked its hash.
pub fn export(key: &[u8], value: &[u8]) -> Option<Exported> {
    let exported = match *key.first()? {
        b's' => Exported::School { name: record::decode::<School>(value).name },
        b'a' => {
            let Account { login, name, role, locked } = record::decode(value);
            Exported::Account { account: key::last_id(key), login, name, role, locked }
        }
        b'd' => {
            let Device { seq, owner } = record::decode(value);
            Exported::Device { device: key::last_id(key), owner, last: Seq(seq) }
        }
        b'g' => {
            let Group { name, kind } = record::decode(value);
            Exported::Group { group: key::last_id(key), name, kind }
        }
        b'G' => Exported::GroupMember { account: key::first_id(key), group: key::last_id(key) },
        b'r' => {
            let Room { kind, name, pair, .. } = record::decode(value);
            let between = pair.map_or_else(Vec::new, |(a, b)| vec![a, b]);
            Exported::Room { room: key::last_id(key), kind, name, between }
        }
        b'm' => {
            let Member { read_upto, .. } = record::decode(value);
            Exported::RoomMember { room: key::first_id(key), account: key::last_id(key), read_upto }
        }
        b't' => {
            let Position::Confirmed(index) = key::position(key) else { return None };
            let Message { device, seq, author, at, text, .. } = record::decode(value);
            Exported::Message { room: key::first_id(key), index, device, seq, author, at, text }
        }
        b'x' => {
            let Position::Confirmed(index) = key::position(key) else { return None };
            let Attachments(attachments) = record::decode(value);
            Exported::Attachments { room: key::first_id(key), index, attachments }
        }
        b'c' => {
            let Conference { room, title, opened_by, at, open, .. } = record::decode(value);
            Exported::Conference { conference: key::last_id(key), room, title, opened_by, at, open }
        }
        b'E' => {
            let exam = key::exam::exam_of(key)?;
            let Planned { exam: plan, by, .. } = record::decode(value);
            Exported::Exam { exam, plan, by }
        }
        b'T' => return timetable(key, value),
        _ => return None,
    };
    Some(exported)
}

fn timetable(key: &[u8], value: &[u8]) -> Option<Exported> {
    Some(match key::timetable::holds(key)? {
        Holds::Plan => {
            let Plan { name, from, until, lessons, .. } = record::decode(value);
            Exported::TimetablePlan { plan: name, from, until, lessons }
        }
        Holds::Roster(of) => {
            let Roster { name, lessons } = record::decode(value);
            Exported::Timetable { of: of.word(), name, lessons }
        }
        Holds::Teacher => {
            let Teacher(account) = record::decode(value);
            Exported::Teacher { short: key::timetable::teacher_short(key), account }
        }
        Holds::Changes => {
            let DayChanges(changes) = record::decode(value);
            Exported::TimetableChanges { day: key::timetable::day_of(key), changes }
        }
        Holds::Duties => {
            let Duties(duties) = record::decode(value);
            Exported::BreakDuties { duties }
        }
        Holds::Text => {
            let DayText(text) = record::decode(value);
            Exported::TimetableText { day: key::timetable::day_of(key), text }
        }
    })
}
