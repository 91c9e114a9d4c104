//! The box's end: takes operations from browsers, shows them at once, gets them into the log, follows the log.
//!
//! The shell's loop: after every call drain [`BoxSync::poll_transmit`], then wait until [`BoxSync::poll_timeout`] or an
//! event. While [`BoxSync::connect_at`] gives a time, connect then; on success send what [`BoxSync::connected`] gives, on
//! failure or loss call [`BoxSync::disconnected`]. If [`BoxSync::is_silent`], close.
//!
//! Durability is the shell's: the operation and position of [`Submit::Saved`] are committed before anyone is told so, and
//! what [`BoxSync::receive`] writes is committed together with the removal of [`Received::drop_outbox`]. If a commit fails,
//! or `receive` fails, roll back and make a new `BoxSync` from what is durable.
//!
//! A replica that holds nothing, or too little, gets the school's state in parts: each [`Received::staging`] is written to a
//! place beside the confirmed state, the first of them emptying it; with the last the staged state takes the place of the
//! confirmed one and [`BoxSync::switched`] is called, in one transaction.

use crate::{
    loading::{Damaged, Loading, Staging},
    outbox::{NUMBER_TAKEN, Outbox, Own, identity},
    uplink::Uplink,
};
use schulhof_school::{
    Actor, Applied, Change, Changes, Envelope, Kv, KvMut, Layered, MalformedOperation, Operation, Outcome, Position,
    Reject, apply_encoded, apply_unknown, check, view,
};
use schulhof_wire::{
    BlobHash, DeviceId, LogIndex, NodeName, SchoolId, Seq,
    api::DeviceMarks,
    node::{Entry, OPERATION_LEN_MAX, SYNC_VERSION, SYNC_VERSION_MIN, ToBox, ToCore},
};

use std::net::SocketAddr;

/// Answer to [`BoxSync::submit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submit {
    /// Accepted here. Make `(position, encoded)` durable, then tell the browser and whom `changes` interest.
    Saved { position: u64, encoded: Vec<u8>, changes: Vec<Change> },
    /// Submitted before, here or elsewhere.
    Duplicate,
    /// The device's numbers before it are missing here: it must send from `expected` on.
    Gap { expected: u64 },
    /// The rules forbid it. It took no number; if it was never submitted elsewhere the device may use the number again.
    Refused(Reject),
    /// Too much waits for the core: try later.
    Full,
}

/// An entry that was applied to the confirmed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    pub entry: Entry,
    /// `None`: of a kind unknown here.
    pub operation: Option<Operation>,
    pub changes: Vec<Change>,
}

/// An operation that was saved on this box, and that the core rejected when it came to its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedOwn {
    pub device: DeviceId,
    pub seq: Seq,
    pub actor: Actor,
    /// Code of a [`Reject`], or [`NUMBER_TAKEN`].
    pub reason: String,
}

/// Close, and connect to the leader if one is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    pub leader: Option<NodeName>,
    /// Where it is, if the core says so: it may be a node that the box has not heard of.
    pub address: Option<SocketAddr>,
}

/// What a frame brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    pub entries: Vec<Confirmed>,
    /// Positions to remove from the durable outbox, in the transaction of the entries.
    pub drop_outbox: Vec<u64>,
    pub rejected_own: Vec<RejectedOwn>,
    /// Of waiting operations that came into sight or went out of it because foreign entries came before them.
    pub overlay_changes: Vec<Change>,
    pub redirect: Option<Redirect>,
    /// Of a state that is loaded.
    pub staging: Option<Staging>,
    /// Entries before a loaded state that were rejected: to be kept for their writers.
    pub verdicts: Vec<Entry>,
    /// The core's newest index, as far as known.
    pub head: LogIndex,
}

/// The connection cannot go on: roll back, close, and make it known.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error("the core sent entry {got} where {expected} follows")]
    NotGapless { expected: u64, got: u64 },
    #[error("entry {index} is {theirs} to the core but {ours} here: the box's state differs and must be rebuilt")]
    Diverged { index: u64, ours: String, theirs: String },
    #[error("entry {index} is of a kind that this version does not know: update the box")]
    NotUnderstood { index: u64 },
    #[error("entry {index}: {source}")]
    Malformed { index: u64, source: MalformedOperation },
    #[error("the core's head {head} is behind this box's cursor {cursor}: entries were lost there")]
    CoreBehind { head: u64, cursor: u64 },
    #[error("the core speaks version {0}, this box {SYNC_VERSION_MIN} to {SYNC_VERSION}")]
    Version(u16),
    #[error("the core's state of the school cannot be used: {0}")]
    Damaged(#[from] Damaged),
    #[error("the core refused: {code}: {detail}")]
    Refused { code: String, detail: String },
    #[error("the core sent {0} at the wrong time")]
    Unexpected(&'static str),
}

impl SyncError {
    /// Connecting again soon cannot help.
    fn is_lasting(&self) -> bool {
        !matches!(self, SyncError::Unexpected(_) | SyncError::NotGapless { .. })
    }
}

/// The box's end of sync for one school.
#[derive(Debug)]
pub struct BoxSync {
    school: SchoolId,
    /// Last entry applied to the confirmed state.
    cursor: LogIndex,
    head: LogIndex,
    outbox: Outbox,
    uplink: Uplink,
    loading: Option<Loading>,
    /// What is spoken on the connection, or offered on the next one.
    version: u16,
}

impl BoxSync {
    /// After start: from the durable outbox (position and operation) and the confirmed state, whose head is the cursor.
    pub fn new(school: SchoolId, outbox: impl IntoIterator<Item = (u64, Operation)>, confirmed: &impl Kv) -> Self {
        let cursor = view::head(confirmed);
        Self {
            school,
            cursor,
            head: cursor,
            outbox: Outbox::restore(outbox, confirmed),
            uplink: Uplink::new(),
            loading: None,
            version: SYNC_VERSION,
        }
    }

    /// An operation from a browser, with the actor from its session.
    pub fn submit(&mut self, confirmed: &impl Kv, op: Operation) -> Submit {
        if self.outbox.is_full() {
            return Submit::Full;
        }
        let state = self.read(confirmed);
        if view::device_owner(&state, &op.device).is_some_and(|owner| owner != op.actor) {
            return Submit::Refused(Reject::DeviceOfAnother);
        }
        let encoded = op.encode();
        if encoded.len() > OPERATION_LEN_MAX {
            return Submit::Refused(Reject::OperationTooLong);
        }
        match self.outbox.push(confirmed, op, encoded.len()) {
            (Applied::Entry { outcome: Outcome::Accepted, changes }, position) => {
                Submit::Saved { position, encoded, changes }
            }
            (Applied::Entry { outcome: Outcome::Rejected(reject), .. }, _) => Submit::Refused(reject),
            (Applied::Duplicate, _) => Submit::Duplicate,
            (Applied::Gap { expected }, _) => Submit::Gap { expected },
        }
    }

    /// Would the operation be accepted now, whatever its number?
    pub fn check(&self, confirmed: &impl Kv, op: &Operation) -> Result<(), Reject> {
        check(&self.read(confirmed), op)
    }

    /// What waits, to be laid over the confirmed state.
    pub fn changes(&self) -> &Changes {
        self.outbox.changes()
    }

    /// The state that people of this school see: confirmed, and over it what waits.
    pub fn read<'a, B: Kv>(&'a self, confirmed: &'a B) -> Layered<'a, B> {
        Layered { base: confirmed, changes: self.outbox.changes() }
    }

    pub fn marks(&self, confirmed: &impl Kv, device: &DeviceId) -> DeviceMarks {
        DeviceMarks {
            device: device.clone(),
            saved: view::device(&self.read(confirmed), device),
            secured: view::device(confirmed, device),
        }
    }

    /// Operations that wait for their place.
    pub fn pending(&self) -> usize {
        self.outbox.len()
    }

    pub fn cursor(&self) -> LogIndex {
        self.cursor
    }

    /// The core's newest index, as far as known.
    pub fn head(&self) -> LogIndex {
        self.head
    }

    /// Whether the core has welcomed us.
    pub fn online(&self) -> bool {
        self.uplink.is_up()
    }

    /// When to try to connect; `None` while connected.
    pub fn connect_at(&self) -> Option<u64> {
        self.uplink.connect_ms()
    }

    /// The core says nothing any more, or keeps back entries that it has: close the connection.
    pub fn is_silent(&self, now_ms: u64) -> bool {
        self.uplink.is_silent(now_ms)
    }

    /// A stream to a core node is open: send this first.
    pub fn connected(&mut self, now_ms: u64) -> ToCore {
        self.uplink.connected(now_ms);
        self.loading = None;
        ToCore::Hello {
            version: self.version,
            software: concat!("schulhof/", env!("CARGO_PKG_VERSION")).into(),
            school: self.school.clone(),
            after: self.cursor,
        }
    }

    /// The stream is closed, or could not be opened. `jitter` is any random number.
    pub fn disconnected(&mut self, now_ms: u64, jitter: u64) {
        if self.uplink.is_up() {
            // The next node may be newer, or this one when it is back.
            self.version = SYNC_VERSION;
        }
        self.uplink.disconnected(now_ms, jitter);
    }

    /// A blob is here that the core does not have: operations that name it are not sent until [`BoxSync::blob_arrived`].
    pub fn wait_for_blob(&mut self, blob: BlobHash) {
        self.uplink.held.wait_for(blob);
    }

    /// The core has the blob, for good.
    pub fn blob_arrived(&mut self, blob: &BlobHash) {
        self.uplink.held.arrived(blob);
    }

    pub fn poll_transmit(&mut self, now_ms: u64) -> Option<ToCore> {
        self.uplink.poll_transmit(now_ms, &self.outbox)
    }

    pub fn poll_timeout(&self) -> Option<u64> {
        self.uplink.poll_timeout(&self.outbox)
    }

    /// A frame from the core. Entries are applied to `confirmed`.
    pub fn receive(&mut self, now_ms: u64, confirmed: &mut impl KvMut, frame: ToBox) -> Result<Received, SyncError> {
        self.receive_all(now_ms, confirmed, [frame])
    }

    /// Frames that have come together, in order; all of them or none. What waits is laid over what they bring once, in the
    /// end: foreign entries cost a replay of what waits, and while that goes on more frames come. A [`ToBox::Snapshot`] comes
    /// alone.
    pub fn receive_all(
        &mut self,
        now_ms: u64,
        confirmed: &mut impl KvMut,
        frames: impl IntoIterator<Item = ToBox>,
    ) -> Result<Received, SyncError> {
        let mut received = Received::default();
        for frame in frames {
            if let Err(error) = self.receive_frame(now_ms, confirmed, frame, &mut received) {
                if error.is_lasting() {
                    self.uplink.discouraged();
                }
                return Err(error);
            }
        }
        received.overlay_changes = self.outbox.settle(confirmed);
        received.drop_outbox = self.outbox.take_dropped();
        received.head = self.head;
        Ok(received)
    }

    fn receive_frame(
        &mut self,
        now_ms: u64,
        confirmed: &mut impl KvMut,
        frame: ToBox,
        received: &mut Received,
    ) -> Result<(), SyncError> {
        self.uplink.heard(now_ms);
        match frame {
            ToBox::Refused { code, .. }
                if code == "version" && self.uplink.is_greeting() && self.version > SYNC_VERSION_MIN =>
            {
                // A core that is yet to be updated: at once again, in its version.
                self.version -= 1;
                self.uplink.redirected(true);
                received.redirect = Some(Redirect { leader: None, address: None });
            }
            ToBox::Refused { code, detail } => {
                self.version = SYNC_VERSION;
                return Err(SyncError::Refused { code, detail });
            }
            ToBox::Redirect { leader } if !self.uplink.is_down() => {
                self.uplink.redirected(leader.is_some());
                received.redirect = Some(Redirect { leader, address: None });
            }
            ToBox::RedirectTo { leader, address } if !self.uplink.is_down() => {
                self.uplink.redirected(true);
                received.redirect = Some(Redirect { leader: Some(leader), address: Some(address) });
            }
            ToBox::Welcome { version, head } if self.uplink.is_greeting() => self.welcome(now_ms, version, head)?,
            ToBox::Welcome { .. } => return Err(SyncError::Unexpected("a welcome")),
            _ if !self.uplink.is_up() => return Err(SyncError::Unexpected("a frame before its welcome")),
            ToBox::Snapshot { chunk } => received.staging = Some(self.stage(now_ms, &chunk)?),
            ToBox::Verdicts { entries } => {
                let fits = |entry: &Entry| entry.index <= self.cursor && entry.rejected.is_some();
                if !entries.iter().all(fits) {
                    return Err(SyncError::Unexpected("a verdict on what is not here"));
                }
                received.verdicts.extend(entries);
            }
            ToBox::Entries { .. } if self.loading.is_some() => {
                return Err(SyncError::Unexpected("entries amid the state that they follow on"));
            }
            ToBox::Entries { entries } => self.entries(now_ms, confirmed, entries, received)?,
            ToBox::Committed { batch } => self.uplink.committed(now_ms, batch),
            ToBox::Busy { batch, retry_after_ms } => self.uplink.busy(now_ms, batch, retry_after_ms),
            ToBox::Head { head } => {
                self.head = self.head.max(head);
                self.uplink.behind(now_ms, self.head > self.cursor, false);
            }
            ToBox::Redirect { .. } | ToBox::RedirectTo { .. } => return Err(SyncError::Unexpected("a redirect")),
        }
        Ok(())
    }

    fn welcome(&mut self, now_ms: u64, version: u16, head: LogIndex) -> Result<(), SyncError> {
        // The core speaks its own version and the one before, and answers in ours.
        if version != self.version {
            return Err(SyncError::Version(version));
        }
        if head < self.cursor {
            return Err(SyncError::CoreBehind { head: head.0, cursor: self.cursor.0 });
        }
        self.head = self.head.max(head);
        self.uplink.welcome(now_ms);
        self.uplink.behind(now_ms, self.head > self.cursor, false);
        Ok(())
    }

    fn stage(&mut self, now_ms: u64, chunk: &[u8]) -> Result<Staging, SyncError> {
        let (school, cursor) = (&self.school, self.cursor);
        let staging = Loading::take(&mut self.loading, school, cursor, chunk)?;
        if let Staging::Begin { head } = &staging {
            self.head = self.head.max(*head);
        }
        self.uplink.progress(now_ms);
        self.uplink.behind(now_ms, true, true);
        Ok(staging)
    }

    /// The staged state has taken the place of the confirmed one, which is this. To be called in the transaction of it.
    pub fn switched(&mut self, now_ms: u64, confirmed: &impl Kv) -> Received {
        self.cursor = view::head(confirmed);
        self.head = self.head.max(self.cursor);
        self.uplink.behind(now_ms, self.head > self.cursor, true);
        let overlay_changes = self.outbox.rebase(confirmed);
        let drop_outbox = self.outbox.take_dropped();
        Received { overlay_changes, drop_outbox, head: self.head, ..Received::default() }
    }

    fn entries(
        &mut self,
        now_ms: u64,
        confirmed: &mut impl KvMut,
        entries: Vec<Entry>,
        received: &mut Received,
    ) -> Result<(), SyncError> {
        // All of the frame or nothing.
        for (entry, expected) in entries.iter().zip(self.cursor.0 + 1..) {
            if entry.index.0 != expected {
                return Err(SyncError::NotGapless { expected, got: entry.index.0 });
            }
        }
        for entry in entries {
            let (operation, changes) = apply_entry(confirmed, &entry)?;
            let identity = match &operation {
                Some(operation) => identity(operation),
                None => {
                    let envelope = envelope(&entry)?;
                    (envelope.device, envelope.actor, envelope.seq)
                }
            };
            let reason = match self.outbox.entry(&identity, operation.as_ref(), entry.rejected.is_none()) {
                Own::Yes => entry.rejected.clone(),
                Own::Taken => Some(NUMBER_TAKEN.to_owned()),
                Own::No => None,
            };
            if let Some(reason) = reason {
                let (device, actor, seq) = identity;
                received.rejected_own.push(RejectedOwn { device, seq, actor, reason });
            }
            self.cursor = entry.index;
            received.entries.push(Confirmed { entry, operation, changes });
        }
        self.head = self.head.max(self.cursor);
        self.uplink.progress(now_ms);
        self.uplink.behind(now_ms, self.head > self.cursor, true);
        Ok(())
    }
}

fn envelope(entry: &Entry) -> Result<Envelope, SyncError> {
    Envelope::decode(&entry.operation.0).map_err(|source| SyncError::Malformed { index: entry.index.0, source })
}

/// Applies an entry, and demands the verdict that the core gave.
fn apply_entry(confirmed: &mut impl KvMut, entry: &Entry) -> Result<(Option<Operation>, Vec<Change>), SyncError> {
    let position = Position::Confirmed(entry.index);
    let unknown = Reject::UnknownOperation.code();
    let (applied, operation) = if entry.rejected.as_deref() == Some(unknown) {
        // The core did not know the kind when it ordered it; that verdict stands for newer versions too.
        let applied = apply_unknown(confirmed, position, &envelope(entry)?);
        (applied, Operation::decode(&entry.operation.0).ok())
    } else {
        apply_encoded(confirmed, position, &entry.operation.0)
            .map_err(|source| SyncError::Malformed { index: entry.index.0, source })?
    };
    let ours = match applied {
        Applied::Entry { outcome, changes } if outcome.rejected() == entry.rejected.as_deref() => {
            return Ok((operation, changes));
        }
        Applied::Entry { outcome: Outcome::Rejected(Reject::UnknownOperation), .. } => {
            return Err(SyncError::NotUnderstood { index: entry.index.0 });
        }
        Applied::Entry { outcome, .. } => outcome.rejected().unwrap_or("accepted").to_owned(),
        Applied::Duplicate => "a duplicate".to_owned(),
        Applied::Gap { expected } => format!("ahead of the device's number {expected}"),
    };
    let theirs = entry.rejected.clone().unwrap_or_else(|| "accepted".to_owned());
    Err(SyncError::Diverged { index: entry.index.0, ours, theirs })
}
