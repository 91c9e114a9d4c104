//! Operations that are durable on the box and wait for their place in the log, and what they look like over the confirmed
//! state.
//!
//! The overlay always equals a replay of the waiting operations over the confirmed state. When the core confirms exactly the
//! oldest ones, in order, with the verdict that they have here, and nothing foreign comes between, the replay is not needed:
//! the confirmed state now holds their effects, so their keys leave the overlay, and those behind are unchanged (see the
//! promises of `school::apply`). Anything else replays once per frame.
//!
//! An operation whose replay is rejected stays: the core decides, perhaps otherwise. It keeps its number, so that those
//! behind it on its device go on, but nothing of it is shown.

use schulhof_school::{
    Actor, Applied, Body, Change, Changes, Kv, Layered, Operation, Outcome, Overlay, Position, apply,
    view::direct_room_id,
};
use schulhof_wire::{DeviceId, Seq};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Most operations that wait on a box. A busy school makes 20,000 a day; ten such days without the core are some 300 MB of
/// memory. Past it the box refuses to take more.
pub const OUTBOX_LEN_MAX: usize = 200_000;

/// Reason given when the core holds another operation under the same device and number: the device lost its memory.
pub const NUMBER_TAKEN: &str = "number-taken";

#[derive(Debug)]
struct Waiting {
    position: u64,
    operation: Operation,
    /// Encoded, in bytes.
    len: usize,
    /// What it wrote in the overlay.
    keys: Vec<Arc<[u8]>>,
    shown: bool,
    /// Confirmed out of order; goes at the end of the frame.
    gone: bool,
}

/// A waiting operation on its way to the core.
#[derive(Debug, Clone, Copy)]
pub struct Next<'a> {
    pub position: u64,
    pub operation: &'a Operation,
    /// Encoded, in bytes.
    pub len: usize,
}

impl Waiting {
    fn next(&self) -> Next<'_> {
        Next { position: self.position, operation: &self.operation, len: self.len }
    }
}

type Identity = (DeviceId, Actor, Seq);

#[derive(Debug, Default)]
pub struct Outbox {
    /// By position.
    waiting: VecDeque<Waiting>,
    index: BTreeMap<Identity, u64>,
    changes: Changes,
    last_position: u64,
    /// A frame brought something else than the oldest waiting operations: the overlay must be replayed.
    disturbed: bool,
    /// To be dropped from the durable outbox with the next frame.
    dropped: Vec<u64>,
}

/// What an entry means to the outbox.
#[derive(Debug, PartialEq, Eq)]
pub enum Own {
    No,
    Yes,
    /// Same number, other content.
    Taken,
}

impl Outbox {
    /// From the durable outbox, by position. Those that are confirmed already (a crash came between) are dropped with the
    /// first frame.
    pub fn restore(waiting: impl IntoIterator<Item = (u64, Operation)>, confirmed: &impl Kv) -> Self {
        let mut outbox = Self::default();
        for (position, operation) in waiting {
            outbox.last_position = outbox.last_position.max(position);
            let len = operation.encode().len();
            outbox.enqueue(position, operation, len, Vec::new());
        }
        outbox.waiting.make_contiguous().sort_by_key(|waiting| waiting.position);
        outbox.replay(confirmed);
        outbox
    }

    fn enqueue(&mut self, position: u64, operation: Operation, len: usize, keys: Vec<Arc<[u8]>>) {
        self.index.insert(identity(&operation), position);
        self.waiting.push_back(Waiting { position, operation, len, keys, shown: true, gone: false });
    }

    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_full(&self) -> bool {
        self.waiting.len() >= OUTBOX_LEN_MAX
    }

    /// Tries the operation behind those that wait. Only an accepted one is taken. `len`: encoded, in bytes.
    pub fn push(&mut self, confirmed: &impl Kv, operation: Operation, len: usize) -> (Applied, u64) {
        let position = self.last_position + 1;
        let mut scratch = Changes::default();
        let layered = Layered { base: confirmed, changes: &self.changes };
        let mut overlay = Overlay { base: &layered, changes: &mut scratch };
        let applied = apply(&mut overlay, Position::Pending(position), &operation);
        if matches!(applied, Applied::Entry { outcome: Outcome::Accepted, .. }) {
            let keys = self.changes.absorb(scratch);
            self.last_position = position;
            self.enqueue(position, operation, len, keys);
        }
        (applied, position)
    }

    /// Waiting operations behind a position, in order.
    pub fn after(&self, position: u64) -> impl Iterator<Item = Next<'_>> {
        let start = self.waiting.partition_point(|waiting| waiting.position <= position);
        self.waiting.range(start..).map(Waiting::next)
    }

    /// A waiting operation, if it still waits.
    pub fn at(&self, position: u64) -> Option<Next<'_>> {
        let place = self.waiting.binary_search_by_key(&position, |waiting| waiting.position).ok()?;
        Some(self.waiting[place].next())
    }

    pub fn has_after(&self, position: u64) -> bool {
        self.waiting.back().is_some_and(|waiting| waiting.position > position)
    }

    /// An entry was applied to the confirmed state: an operation (`None`: of an unknown kind) with its verdict.
    pub fn entry(&mut self, identity: &Identity, operation: Option<&Operation>, accepted: bool) -> Own {
        if !self.disturbed
            && let Some(front) = self.waiting.front()
            && operation == Some(&front.operation)
            && front.shown == accepted
        {
            for key in &front.keys {
                self.changes.release(key);
            }
            self.dropped.push(front.position);
            self.waiting.pop_front();
            self.index.remove(identity);
            return Own::Yes;
        }
        self.disturbed = true;
        let Some(position) = self.index.remove(identity) else { return Own::No };
        let place = self.waiting.partition_point(|waiting| waiting.position < position);
        let waiting = &mut self.waiting[place];
        waiting.gone = true;
        self.dropped.push(position);
        // An unknown kind cannot be compared; the number alone is the identity then.
        if operation.is_none_or(|operation| *operation == waiting.operation) { Own::Yes } else { Own::Taken }
    }

    /// After a frame: replays if it must. Gives the changes of operations that came into sight or went out of it.
    pub fn settle(&mut self, confirmed: &impl Kv) -> Vec<Change> {
        if !self.disturbed {
            return Vec::new();
        }
        self.disturbed = false;
        self.waiting.retain(|waiting| !waiting.gone);
        self.replay(confirmed)
    }

    /// The confirmed state is another one: all is replayed. What it holds already leaves the outbox; which verdict it got is
    /// not known.
    pub fn rebase(&mut self, confirmed: &impl Kv) -> Vec<Change> {
        self.disturbed = true;
        self.settle(confirmed)
    }

    /// Positions that may leave the durable outbox.
    pub fn take_dropped(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.dropped)
    }

    fn replay(&mut self, confirmed: &impl Kv) -> Vec<Change> {
        let mut moved = Vec::new();
        self.changes.clear();
        for waiting in &mut self.waiting {
            let mut scratch = Changes::default();
            let layered = Layered { base: confirmed, changes: &self.changes };
            let mut overlay = Overlay { base: &layered, changes: &mut scratch };
            match apply(&mut overlay, Position::Pending(waiting.position), &waiting.operation) {
                Applied::Entry { outcome, changes } => {
                    waiting.keys = self.changes.absorb(scratch);
                    let shown = outcome == Outcome::Accepted;
                    match (waiting.shown, shown) {
                        (false, true) => moved.extend(changes),
                        (true, false) => moved.extend(withdrawn(&waiting.operation)),
                        _ => {}
                    }
                    waiting.shown = shown;
                }
                Applied::Duplicate => {
                    waiting.gone = true;
                    self.index.remove(&identity(&waiting.operation));
                    self.dropped.push(waiting.position);
                }
                // Its predecessor is neither here nor confirmed. Not shown; the core decides.
                Applied::Gap { .. } => {
                    waiting.keys = Vec::new();
                    waiting.shown = false;
                }
            }
        }
        self.waiting.retain(|waiting| !waiting.gone);
        moved
    }
}

pub fn identity(operation: &Operation) -> Identity {
    (operation.device.clone(), operation.actor.clone(), operation.seq)
}

/// What should be looked at anew when an operation is no longer shown.
fn withdrawn(operation: &Operation) -> Option<Change> {
    match &operation.body {
        Body::MessagePost { room, .. }
        | Body::ReadMark { room, .. }
        | Body::RoomCreate { room, .. }
        | Body::RoomMembers { room, .. }
        | Body::ConferenceOpen { room, .. } => Some(Change::Room { room: room.clone() }),
        Body::RoomDirect { with } => match &operation.actor {
            Actor::Account(account) => Some(Change::Room { room: direct_room_id(account, with) }),
            Actor::Operator => None,
        },
        Body::ConferenceClose { conference } => Some(Change::Conference { conference: conference.clone() }),
        Body::AccountCreate { account, .. }
        | Body::AccountPassword { account, .. }
        | Body::AccountLock { account, .. } => Some(Change::Account { account: account.clone() }),
        Body::GroupCreate { group, .. } | Body::GroupMembers { group, .. } => {
            group.as_str().parse().ok().map(|room| Change::Room { room })
        }
        // Many at once: each that changed is told of by what applies or undoes it.
        Body::SchoolName { .. }
        | Body::ImportPart { .. }
        | Body::ImportApply { .. }
        | Body::ImportUndo { .. }
        | Body::TimetablePart { .. }
        | Body::TimetableScreen { .. }
        | Body::TimetableWatch { .. } => None,
        Body::ExamRules { .. } | Body::ExamPlan { .. } | Body::ExamChange { .. } | Body::ExamCancel { .. } => {
            Some(Change::Exams)
        }
        Body::TimetableSettings { .. }
        | Body::TimetableApply { .. }
        | Body::TimetableRemove { .. }
        | Body::TimetableDay { .. }
        | Body::TimetableEdit { .. }
        | Body::TimetableChange { .. }
        | Body::TimetableTeacher { .. } => Some(Change::Timetable),
    }
}
