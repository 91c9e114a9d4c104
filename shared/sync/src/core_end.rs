//! The core's end: one [`CoreSession`] per connection of a box, and [`order`], which gives an operation its place.
//!
//! The shell's loop: [`CoreSession::accept`] with the first frame; each further one into [`CoreSession::receive`], a
//! [`Batch`] into the school's Raft group, its end into [`CoreSession::committed`] or [`CoreSession::busy`]; every growth of
//! the school's log into [`CoreSession::head_moved`]; then drain [`CoreSession::poll_transmit`] as fast as the stream takes
//! frames, which is all the flow control that entries need. While [`CoreSession::wants_snapshot`], it also opens a dump of the
//! school's state, and sends what [`CoreSession::snapshot`] makes of each chunk.

use schulhof_school::{Actor, Applied, Change, Envelope, KvMut, MalformedOperation, Position, apply_encoded, view};
use schulhof_wire::{
    LogIndex, SchoolId,
    chunk::SchoolChunk,
    node::{BATCH_LEN_MAX, EncodedOperation, Entry, OPERATION_LEN_MAX, SYNC_VERSION, SYNC_VERSION_MIN, ToBox, ToCore},
};
use std::collections::{BTreeSet, VecDeque};

/// Batches of one connection that are on their way through Raft. Twice a box's window: it may take batches back.
pub const SESSION_BATCHES_MAX: usize = 8;
/// What a box is told that floods: an election's time.
pub const FLOOD_RETRY_MS: u32 = 1_000;
/// Most entries in one frame, and bytes of operations after which a frame ends.
pub const ENTRIES_LEN_MAX: usize = 1_000;
pub const ENTRIES_BYTES_MAX: usize = 1 << 20;

/// An empty replica that would need more entries than this gets the state instead: less to send and nothing to apply.
pub const SNAPSHOT_LAG_MIN: u64 = 2_000;

/// Who speaks, by certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    Box(SchoolId),
    /// May name any school, and act as [`Actor::Operator`].
    Operator,
    /// May name any school, and acts as the accounts that are signed in there, never as [`Actor::Operator`].
    Gateway,
}

/// Send the frame, then close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub ToBox);

fn refusal(code: &str, detail: impl Into<String>) -> Refusal {
    Refusal(ToBox::Refused { code: code.into(), detail: detail.into() })
}

/// Operations to be proposed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub batch: u64,
    pub operations: Vec<EncodedOperation>,
}

#[derive(Debug)]
pub struct CoreSession {
    school: SchoolId,
    version: u16,
    operator: bool,
    /// The replica has yet to get the school's state.
    wants_snapshot: bool,
    /// Last entry sent.
    cursor: LogIndex,
    head: LogIndex,
    /// Answers that wait for the stream: at most one per open batch, a welcome and a head.
    answers: VecDeque<ToBox>,
    open: BTreeSet<u64>,
}

impl CoreSession {
    /// The first frame of a stream, on the node that leads the school's group. `head` is the school's last index applied
    /// here; read it after a linearizable read, or a fresh leader looks as if it had lost entries. `first` is the first entry
    /// that is kept here, one above the head if there is none.
    pub fn accept(hello: &ToCore, peer: &Peer, first: LogIndex, head: LogIndex) -> Result<Self, Refusal> {
        let ToCore::Hello { version, school, after, .. } = hello else {
            return Err(refusal("malformed", "the first frame must be a hello"));
        };
        if !(SYNC_VERSION_MIN..=SYNC_VERSION).contains(version) {
            let detail = format!("this core speaks versions {SYNC_VERSION_MIN} to {SYNC_VERSION}, not {version}");
            return Err(refusal("version", detail));
        }
        match peer {
            Peer::Box(certified) if certified != school => {
                return Err(refusal("wrong-school", format!("the certificate is for {certified}, not {school}")));
            }
            _ => {}
        }
        if *after > head {
            return Err(refusal("ahead", format!("the box holds entry {}, the core's last is {}", after.0, head.0)));
        }
        let operator = *peer == Peer::Operator;
        let not_kept = after.0 + 1 < first.0;
        if not_kept && *version < 2 && !operator {
            let detail =
                format!("the box holds entry {}, the core keeps those from {} on: update it", after.0, first.0);
            return Err(refusal("behind", detail));
        }
        let far = after.0 == 0 && head.0 > SNAPSHOT_LAG_MIN;
        Ok(Self {
            school: school.clone(),
            version: *version,
            operator,
            wants_snapshot: !operator && *version >= 2 && (not_kept || far),
            // An operator holds no replica; what is not kept is of no use to it.
            cursor: if not_kept { LogIndex(first.0 - 1) } else { *after },
            head,
            answers: VecDeque::from([ToBox::Welcome { version: *version, head }]),
            open: BTreeSet::new(),
        })
    }

    /// What is spoken on this stream.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The replica is to be loaded from the school's state before it gets entries.
    pub fn wants_snapshot(&self) -> bool {
        self.wants_snapshot
    }

    /// The next chunk of a dump of the state alone, from its first to its last.
    pub fn snapshot(&mut self, chunk: &SchoolChunk) -> ToBox {
        if let SchoolChunk::End(summary) = chunk {
            self.wants_snapshot = false;
            self.cursor = summary.head;
            self.head = self.head.max(summary.head);
        }
        ToBox::Snapshot { chunk: chunk.encode() }
    }

    pub fn school(&self) -> &SchoolId {
        &self.school
    }

    /// Last entry sent to the box.
    pub fn cursor(&self) -> LogIndex {
        self.cursor
    }

    /// Entries that the box has yet to get; none before it has the state that they follow on.
    pub fn lag(&self) -> u64 {
        if self.wants_snapshot { 0 } else { self.head.0 - self.cursor.0 }
    }

    /// A further frame. A batch is checked as far as can be said without the school's state.
    pub fn receive(&mut self, frame: ToCore) -> Result<Option<Batch>, Refusal> {
        match frame {
            ToCore::Hello { .. } => Err(refusal("malformed", "a second hello")),
            ToCore::Ping => {
                if !self.answers.iter().any(|answer| matches!(answer, ToBox::Head { .. })) {
                    self.answers.push_back(ToBox::Head { head: self.head });
                }
                Ok(None)
            }
            ToCore::Submit { batch, operations } => {
                self.admit(&operations)?;
                if self.open.len() + self.answers.len() >= SESSION_BATCHES_MAX + 2 {
                    return Err(refusal("malformed", "more batches than a window holds"));
                }
                if self.open.len() >= SESSION_BATCHES_MAX {
                    self.answers.push_back(ToBox::Busy { batch, retry_after_ms: FLOOD_RETRY_MS });
                    return Ok(None);
                }
                if !self.open.insert(batch) {
                    return Err(refusal("malformed", format!("batch {batch} is still open")));
                }
                Ok(Some(Batch { batch, operations }))
            }
        }
    }

    fn admit(&self, operations: &[EncodedOperation]) -> Result<(), Refusal> {
        if operations.is_empty() || operations.len() > BATCH_LEN_MAX {
            return Err(refusal("malformed", format!("a batch of {} operations", operations.len())));
        }
        for operation in operations {
            if operation.0.len() > OPERATION_LEN_MAX {
                return Err(refusal("malformed", format!("an operation of {} bytes", operation.0.len())));
            }
            let envelope = Envelope::decode(&operation.0).map_err(|error| refusal("malformed", error.to_string()))?;
            if envelope.actor == Actor::Operator && !self.operator {
                return Err(refusal("malformed", "only an operator acts as operator"));
            }
        }
        Ok(())
    }

    /// All operations of the batch are in the log, or were duplicates.
    pub fn committed(&mut self, batch: u64) {
        if self.open.remove(&batch) {
            self.answers.push_back(ToBox::Committed { batch });
        }
    }

    /// Nothing of the batch was taken.
    pub fn busy(&mut self, batch: u64, retry_after_ms: u32) {
        if self.open.remove(&batch) {
            self.answers.push_back(ToBox::Busy { batch, retry_after_ms });
        }
    }

    /// The school's log has grown.
    pub fn head_moved(&mut self, head: LogIndex) {
        self.head = self.head.max(head);
    }

    /// After a snapshot: entries before its head that were rejected. Older ones are left out when they become too many.
    pub fn verdicts(&mut self, mut entries: Vec<Entry>) -> ToBox {
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.operation.0.len();
            bytes <= ENTRIES_BYTES_MAX
        };
        let kept = entries.iter().rev().take(ENTRIES_LEN_MAX).take_while(fits).count();
        entries.drain(..entries.len() - kept);
        ToBox::Verdicts { entries }
    }

    /// The next frame. `read` gives committed entries that follow on an index, at most so many; fewer or none is fine.
    pub fn poll_transmit(&mut self, read: impl FnOnce(LogIndex, usize) -> Vec<Entry>) -> Option<ToBox> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        if self.wants_snapshot || self.cursor >= self.head {
            return None;
        }
        let mut entries = read(self.cursor, ENTRIES_LEN_MAX);
        let mut bytes = 0;
        let fits = entries
            .iter()
            .zip(self.cursor.0 + 1..)
            .take(ENTRIES_LEN_MAX)
            .take_while(|(entry, expected)| {
                let fits = bytes == 0 || bytes + entry.operation.0.len() <= ENTRIES_BYTES_MAX;
                bytes += entry.operation.0.len();
                fits && entry.index.0 == *expected
            })
            .count();
        entries.truncate(fits);
        self.cursor = entries.last()?.index;
        // What was read may be newer than what was said to be there.
        self.head = self.head.max(self.cursor);
        Some(ToBox::Entries { entries })
    }
}

/// What [`order`] made of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ordered {
    Entry {
        entry: Entry,
        changes: Vec<Change>,
    },
    /// Was there before: no entry.
    Duplicate,
    /// The device's numbers before it are missing: no entry. Its box sends again.
    Gap {
        expected: u64,
    },
}

/// Gives an operation the next place in its school's log and applies it to the school's state. Deterministic: every node
/// of the group does the same. The door ([`CoreSession::receive`]) keeps out what has no readable envelope.
pub fn order(store: &mut impl KvMut, operation: EncodedOperation) -> Result<Ordered, MalformedOperation> {
    let index = LogIndex(view::head(store).0 + 1);
    let (applied, _) = apply_encoded(store, Position::Confirmed(index), &operation.0)?;
    Ok(match applied {
        Applied::Entry { outcome, changes } => Ordered::Entry {
            entry: Entry { index, operation, rejected: outcome.rejected().map(str::to_owned) },
            changes,
        },
        Applied::Duplicate => Ordered::Duplicate,
        Applied::Gap { expected } => Ordered::Gap { expected },
    })
}
