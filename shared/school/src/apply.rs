//! Rules and effects.

use crate::{
    op::Operation,
    store::{Kv, KvMut},
};
use schulhof_wire::{AccountId, ConferenceId, LogIndex, RoomId};

/// Where an operation stands: at its place in the log, or waiting (n-th of the box's outbox).
/// Pending positions sort after all confirmed ones in keys; they are never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    Confirmed(LogIndex),
    Pending(u64),
}

/// Why a rule forbids an operation. The code (kebab-case, [`Reject::code`]) is what the log and the clients keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    #[error("only members may do this in the room")]
    NotAMember,
    // the implementation adds the others
}

/// What a change may interest: the box derives from it whom to tell what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Message { room: RoomId, position: Position },
    Room { room: RoomId },
    RoomGone { room: RoomId, account: AccountId },
    Read { room: RoomId, account: AccountId, upto: LogIndex },
    Conference { conference: ConferenceId },
    Account { account: AccountId },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    Rejected(Reject),
}

/// What [`apply`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The operation takes a place in the log.
    Entry { outcome: Outcome, changes: Vec<Change> },
    /// Its number was seen before: nothing happened, no entry.
    Duplicate,
    /// Numbers before it are missing: nothing happened, no entry.
    Gap { expected: u64 },
}

/// Applies an operation at its place. The only function that writes.
pub fn apply(_store: &mut impl KvMut, _position: Position, _op: &Operation) -> Applied {
    unreachable!("placeholder of the first hour")
}

/// Would it be accepted now? Writes nothing.
pub fn check(_store: &impl Kv, _op: &Operation) -> Result<(), Reject> {
    unreachable!("placeholder of the first hour")
}
