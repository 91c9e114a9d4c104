//! What is on the box's disk: one redb file with six tables, a seventh while a state is loaded (see `replica`), and the
//! [`journal`](super::journal) before it.
//!
//! | table | key -> value |
//! |---|---|
//! | `state` | the school's own keys and values: the confirmed state; its head is the cursor in the log |
//! | `outbox` | position -> operation (JSON): saved here, not yet seen in the log |
//! | `entries` | index -> [`StoredEntry`] (postcard): the last ones, so that browsers can resume |
//! | `sessions` | BLAKE3 of a token -> `Session` (postcard) |
//! | `placements` | conference -> `Placed` (postcard): where its media goes |
//! | `journal` | `folded` -> number of the last record of the journal whose operation is in `outbox` or has left it |
//!
//! The folder's VERSION file stands for the format of all of them.

use super::{StoreError, journal::Record};
use crate::{
    placement::Placed,
    session::{Session, SessionKey},
};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use schulhof_school::{Change, Operation, Position};
use schulhof_wire::{AccountId, ConferenceId, Day, LogIndex, RoomId, node::Entry};
use serde::{Deserialize, Serialize};

pub const STATE: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("state");
pub const OUTBOX: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("outbox");
pub const ENTRIES: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("entries");
pub const SESSIONS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("sessions");
pub const PLACEMENTS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("placements");
const JOURNAL: TableDefinition<'static, &'static str, u64> = TableDefinition::new("journal");
const FOLDED: &str = "folded";

/// An entry with what it changed, so that it can be told again without being applied again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    pub entry: Entry,
    effects: Vec<Effect>,
}

/// A [`Change`] of a confirmed entry in the form that is kept. Only ever extended at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Effect {
    Message { room: RoomId },
    Room { room: RoomId },
    RoomGone { room: RoomId, account: AccountId },
    Read { room: RoomId, account: AccountId, upto: LogIndex },
    Conference { conference: ConferenceId },
    Account { account: AccountId },
    Timetable,
    Exams,
    Substituted { account: AccountId, days: Vec<Day> },
}

impl StoredEntry {
    pub fn new(entry: Entry, changes: &[Change]) -> Self {
        let effects = changes
            .iter()
            .map(|change| match change.clone() {
                Change::Message { room, .. } => Effect::Message { room },
                Change::Room { room } => Effect::Room { room },
                Change::RoomGone { room, account } => Effect::RoomGone { room, account },
                Change::Read { room, account, upto } => Effect::Read { room, account, upto },
                Change::Conference { conference } => Effect::Conference { conference },
                Change::Account { account } => Effect::Account { account },
                Change::Timetable => Effect::Timetable,
                Change::Exams => Effect::Exams,
                Change::Substituted { account, days } => Effect::Substituted { account, days },
            })
            .collect();
        Self { entry, effects }
    }

    /// What the entry changed at its place.
    pub fn changes(&self) -> Vec<Change> {
        let position = Position::Confirmed(self.entry.index);
        let change = |effect: &Effect| match effect.clone() {
            Effect::Message { room } => Change::Message { room, position },
            Effect::Room { room } => Change::Room { room },
            Effect::RoomGone { room, account } => Change::RoomGone { room, account },
            Effect::Read { room, account, upto } => Change::Read { room, account, upto },
            Effect::Conference { conference } => Change::Conference { conference },
            Effect::Account { account } => Change::Account { account },
            Effect::Timetable => Change::Timetable,
            Effect::Exams => Change::Exams,
            Effect::Substituted { account, days } => Change::Substituted { account, days },
        };
        self.effects.iter().map(change).collect()
    }

    pub fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("an entry is always encodable")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        postcard::from_bytes(bytes).map_err(|_| Damaged("entries"))
    }
}

/// A table holds what no version of this program wrote.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the table {0:?} is damaged")]
pub struct Damaged(pub &'static str);

/// What is read into memory at the start besides state and outbox.
#[derive(Debug, Default)]
pub struct Loaded {
    pub sessions: Vec<(SessionKey, Session)>,
    pub placements: Vec<(ConferenceId, Placed)>,
}

/// Makes the tables that are missing, removes sessions that have ended, and reads what stands in memory.
pub fn load(txn: &WriteTransaction, now_ms: u64) -> Result<Loaded, StoreError> {
    txn.open_table(STATE)?;
    txn.open_table(ENTRIES)?;
    txn.open_table(OUTBOX)?;
    super::replica::discard(txn)?;
    let mut loaded = Loaded::default();
    let mut sessions = txn.open_table(SESSIONS)?;
    let mut ended = Vec::new();
    for row in sessions.iter()? {
        let (key, bytes) = row?;
        let key = SessionKey(key.value().try_into().map_err(|_| Damaged("sessions"))?);
        let session: Session = postcard::from_bytes(bytes.value()).map_err(|_| Damaged("sessions"))?;
        if session.left_ms(now_ms) > 0 {
            loaded.sessions.push((key, session));
        } else {
            ended.push(key);
        }
    }
    for key in ended {
        sessions.remove(&key.0[..])?;
    }
    for row in txn.open_table(PLACEMENTS)?.iter()? {
        let (conference, bytes) = row?;
        let conference = ConferenceId::new(conference.value()).map_err(|_| Damaged("placements"))?;
        let placed = postcard::from_bytes(bytes.value()).map_err(|_| Damaged("placements"))?;
        loaded.placements.push((conference, placed));
    }
    Ok(loaded)
}

/// Operations that wait, by position.
pub fn outbox(table: &impl ReadableTable<u64, &'static [u8]>) -> Result<Vec<(u64, Operation)>, StoreError> {
    let mut outbox = Vec::new();
    for row in table.iter()? {
        let (position, bytes) = row?;
        outbox.push((position.value(), Operation::decode(bytes.value()).map_err(|_| Damaged("outbox"))?));
    }
    Ok(outbox)
}

/// Number of the last record of the journal that the database has.
pub fn folded(txn: &WriteTransaction) -> Result<u64, StoreError> {
    Ok(txn.open_table(JOURNAL)?.get(FOLDED)?.map_or(0, |number| number.value()))
}

/// Puts operations of the journal into the outbox; up to this number the database has them then.
pub fn fold(txn: &WriteTransaction, records: &[Record], upto: u64) -> Result<(), StoreError> {
    let mut outbox = txn.open_table(OUTBOX)?;
    for record in records {
        outbox.insert(record.position, record.operation.as_slice())?;
    }
    txn.open_table(JOURNAL)?.insert(FOLDED, upto)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use schulhof_wire::node::EncodedOperation;

    #[test]
    fn an_entry_comes_back_with_what_it_changed() {
        let room = RoomId::new("7a").unwrap();
        let entry = Entry { index: LogIndex(7), operation: EncodedOperation(b"{}".to_vec()), rejected: None };
        let changes = vec![
            Change::Message { room: room.clone(), position: Position::Confirmed(LogIndex(7)) },
            Change::Read { room: room.clone(), account: AccountId::new("eva").unwrap(), upto: LogIndex(3) },
            Change::RoomGone { room, account: AccountId::new("ali").unwrap() },
        ];
        let stored = StoredEntry::decode(&StoredEntry::new(entry.clone(), &changes).encode()).unwrap();
        assert_eq!((stored.changes(), stored.entry), (changes, entry));
        assert!(StoredEntry::decode(b"\xff").is_err());
    }
}
