//! Applies operations at their place: numbering per device, then rules and effects.
//!
//! An operation that the rules reject still takes its place in the log and its device's number; one that was seen before
//! ([`Applied::Duplicate`]) or whose predecessors are missing ([`Applied::Gap`]) takes neither.
//!
//! Two promises that `shared/sync` builds on: an operation's verdict and effect do not depend on the position it is given,
//! and what it writes holds no other position than its own. So a waiting operation may be confirmed in place, without
//! replaying those behind it.

use crate::{
    effect, key,
    op::{Actor, Envelope, MalformedOperation, Operation},
    record::{self, Device, Head},
    reject::Reject,
    store::{Changes, Kv, KvMut, Overlay},
};
use schulhof_wire::{AccountId, ConferenceId, Day, LogIndex, RoomId};

/// Where an operation stands: at its place in the log, or waiting (n-th of the box's outbox).
/// Pending positions sort after all confirmed ones in keys; they are never shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    Confirmed(LogIndex),
    Pending(u64),
}

impl Position {
    /// What a client may see of it.
    pub fn index(self) -> Option<LogIndex> {
        match self {
            Position::Confirmed(index) => Some(index),
            Position::Pending(_) => None,
        }
    }
}

/// What a change may interest: the box derives from it whom to tell what (see `view::audience`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Message {
        room: RoomId,
        position: Position,
    },
    Room {
        room: RoomId,
    },
    RoomGone {
        room: RoomId,
        account: AccountId,
    },
    Read {
        room: RoomId,
        account: AccountId,
        upto: LogIndex,
    },
    Conference {
        conference: ConferenceId,
    },
    Account {
        account: AccountId,
    },
    /// What everybody's timetable is made of.
    Timetable,
    /// The exam plan.
    Exams,
    /// Days on which something is other than the account knew it.
    Substituted {
        account: AccountId,
        days: Vec<Day>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Accepted,
    Rejected(Reject),
}

impl Outcome {
    /// As the log's entry says it: `None` is accepted.
    pub fn rejected(&self) -> Option<&'static str> {
        match self {
            Outcome::Accepted => None,
            Outcome::Rejected(reject) => Some(reject.code()),
        }
    }
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
///
/// # Panics
/// If a confirmed position does not follow on the store's head: then log and state are not of one piece.
pub fn apply(store: &mut impl KvMut, position: Position, op: &Operation) -> Applied {
    enter(store, position, (&op.device, op.seq.0, &op.actor), |store, changes| {
        effect::perform(store, position, op, changes)
    })
}

/// [`apply`] for an operation as it stands in the log.
///
/// What this version cannot decode, but whose envelope it can read, becomes an entry rejected as
/// [`Reject::UnknownOperation`]; the operation is then not given back. Versions that know a new kind must not be mixed
/// among the nodes that order one school with versions that don't; boxes follow the core's verdict (see `shared/sync`).
/// Without a readable envelope nothing happens: the door must have kept it out.
pub fn apply_encoded(
    store: &mut impl KvMut,
    position: Position,
    bytes: &[u8],
) -> Result<(Applied, Option<Operation>), MalformedOperation> {
    match Operation::decode(bytes) {
        Ok(op) => Ok((apply(store, position, &op), Some(op))),
        Err(_) => Ok((apply_unknown(store, position, &Envelope::decode(bytes)?), None)),
    }
}

/// Gives an operation its place and number, rejected as [`Reject::UnknownOperation`].
pub fn apply_unknown(store: &mut impl KvMut, position: Position, envelope: &Envelope) -> Applied {
    enter(store, position, (&envelope.device, envelope.seq.0, &envelope.actor), |_, _| Err(Reject::UnknownOperation))
}

/// Would it be accepted now? Writes nothing, and does not look at the device's numbering.
pub fn check(store: &impl Kv, op: &Operation) -> Result<(), Reject> {
    match record::load::<Device>(store, &key::device(&op.device)) {
        Some(device) if device.owner != op.actor => return Err(Reject::DeviceOfAnother),
        _ => {}
    }
    let mut scratch = Changes::default();
    let mut overlay = Overlay { base: store, changes: &mut scratch };
    effect::perform(&mut overlay, Position::Pending(u64::MAX), op, &mut Vec::new())
}

/// Numbering, head and device around what an operation does.
fn enter<S: KvMut>(
    store: &mut S,
    position: Position,
    (device, seq, actor): (&schulhof_wire::DeviceId, u64, &Actor),
    act: impl FnOnce(&mut S, &mut Vec<Change>) -> Result<(), Reject>,
) -> Applied {
    let known: Option<Device> = record::load(store, &key::device(device));
    let foreign = known.as_ref().is_some_and(|known| known.owner != *actor);
    // Another actor on this device counts by itself: a stranger's operation must not take a number that the owner may have
    // been given a receipt for.
    let counter_key = if foreign { key::device_of_another(device, actor) } else { key::device(device) };
    let last =
        if foreign { record::load::<Device>(store, &counter_key) } else { known }.map_or(0, |counter| counter.seq);
    if seq <= last {
        return Applied::Duplicate;
    }
    if seq != last + 1 {
        return Applied::Gap { expected: last + 1 };
    }
    if let Position::Confirmed(index) = position {
        let head = record::load::<Head>(store, key::HEAD).map_or(0, |head| head.0.0);
        assert_eq!(index.0, head + 1, "an entry must follow on the head of the state");
    }
    let mut changes = Vec::new();
    let done = if foreign { Err(Reject::DeviceOfAnother) } else { act(store, &mut changes) };
    record::save(store, &counter_key, &Device { seq, owner: actor.clone() });
    if let Position::Confirmed(index) = position {
        record::save(store, key::HEAD, &Head(index));
    }
    match done {
        Ok(()) => Applied::Entry { outcome: Outcome::Accepted, changes },
        Err(reject) => Applied::Entry { outcome: Outcome::Rejected(reject), changes: Vec::new() },
    }
}
