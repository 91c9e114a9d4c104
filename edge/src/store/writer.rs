//! The writer: one thread that owns every change.

use super::{
    FrameAnswer, FrameError, Inner, Opener, Shared, StoreError, WriteError,
    error::ReadError,
    frame::{Applied, apply_frames},
    journal::{BlocksOpener, Journal, JournalError},
    space::Space,
    stage::{Staged, stage},
    tables::{self, Loaded, OUTBOX, STATE},
};
use crate::{
    clock::{Monotonic, unix_ms},
    live::Notice,
    placement::Placed,
    session::{Session, SessionKey},
};
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, WriteTransaction};
use schulhof_school::Operation;
use schulhof_sync::{BoxSync, Received};
use schulhof_wire::{
    ConferenceId, DeviceId, SchoolId,
    api::{DeviceMarks, SubmitAnswer},
    node::ToBox,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc::SyncSender},
    time::Instant,
};
use tokio::sync::{mpsc, oneshot};

/// Commands of one commit. More would make the first ones wait for long.
const ROUND_MAX: usize = 1_024;
/// Commits that wait for a durable one, and how long: redb cannot reuse pages that they freed.
const SOFT_COMMITS_MAX: u32 = 256;
const SOFT_AGE_MAX_MS: u64 = 5_000;
/// After a disk error the store is opened again, at most this often.
const REOPEN_EVERY_MS: u64 = 1_000;

pub(super) enum Command {
    Submit { device: DeviceId, operations: Vec<Operation>, reply: oneshot::Sender<Result<SubmitAnswer, WriteError>> },
    Marks { device: DeviceId, reply: oneshot::Sender<Result<DeviceMarks, WriteError>> },
    OpenSession { open: OpenSession, reply: oneshot::Sender<Result<bool, WriteError>> },
    CloseSession { key: SessionKey, reply: oneshot::Sender<Result<(), WriteError>> },
    TouchSession { key: SessionKey },
    PutPlacement { conference: ConferenceId, placed: Option<Placed> },
    Frame { frame: ToBox, reply: oneshot::Sender<FrameAnswer> },
    Recover,
}

/// A session to begin.
pub struct OpenSession {
    pub key: SessionKey,
    pub session: Session,
    /// The browser's session before.
    pub replaces: Option<SessionKey>,
    /// Over restarts. A pass is not: it can be shown again.
    pub kept: bool,
}

pub(super) struct Opened {
    pub db: Database,
    pub sync: BoxSync,
    pub loaded: Loaded,
    pub journal: Option<Journal>,
}

/// Where the store's files are; asked again after a disk error.
pub(super) struct Files {
    pub database: Opener,
    pub journal: Option<BlocksOpener>,
}

/// Opens the database, folds the journal into it, and makes the box's end of sync from what is durable.
pub(super) fn open(files: &Files, school: &SchoolId) -> Result<Opened, StoreError> {
    let db = (files.database)()?;
    let txn = db.begin_write()?;
    let loaded = tables::load(&txn, unix_ms())?;
    let journal = match &files.journal {
        Some(blocks) => {
            let blocks = blocks().map_err(JournalError::from)?;
            let (journal, records) = Journal::open(blocks, tables::folded(&txn)?)?;
            tables::fold(&txn, &records, journal.last())?;
            Some(journal)
        }
        None => None,
    };
    txn.commit()?;
    let begin = |mut journal: Journal| journal.begin().map(|()| journal);
    let journal = journal.map(begin).transpose().map_err(JournalError::from)?;
    let sync = restore(&db, school)?;
    Ok(Opened { db, sync, loaded, journal })
}

fn restore(db: &Database, school: &SchoolId) -> Result<BoxSync, StoreError> {
    let txn = db.begin_read()?;
    let outbox = tables::outbox(&txn.open_table(OUTBOX)?)?;
    let confirmed = super::kv::ReadKv::new(txn.open_table(STATE)?);
    let sync = catch_unwind(AssertUnwindSafe(|| BoxSync::new(school.clone(), outbox, &confirmed)));
    confirmed.check()?;
    sync.map_err(|_| StoreError::Panicked)
}

pub(super) struct Writer {
    school: SchoolId,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    notices: SyncSender<Notice>,
    files: Files,
    /// None: operations become durable with the database. Also while that is closed.
    journal: Option<Journal>,
    clock: Monotonic,
    soft_commits: u32,
    durable_ms: u64,
    reopen_ms: u64,
}

impl Writer {
    pub fn new(
        school: SchoolId,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        notices: SyncSender<Notice>,
        (files, journal): (Files, Option<Journal>),
        clock: Monotonic,
    ) -> Self {
        let durable_ms = clock.now_ms();
        let (soft_commits, reopen_ms) = (0, 0);
        Self { school, shared, commands, notices, files, journal, clock, soft_commits, durable_ms, reopen_ms }
    }

    /// Until the store is dropped.
    pub fn run(mut self) {
        while let Some(first) = self.commands.blocking_recv() {
            let mut round = vec![first];
            while round.len() < ROUND_MAX
                && let Ok(next) = self.commands.try_recv()
            {
                round.push(next);
            }
            self.round(round);
        }
        self.flush();
    }

    fn round(&mut self, commands: Vec<Command>) {
        let (mut writes, mut frames) = (Vec::new(), Vec::new());
        for command in commands {
            match command {
                Command::Frame { frame, reply } => frames.push((frame, reply)),
                Command::Recover => self.look(),
                write => writes.push(write),
            }
        }
        self.frames(frames);
        if !writes.is_empty() {
            self.writes(writes);
        }
        let due = self.soft_commits > 0 && self.clock.now_ms() >= self.durable_ms + SOFT_AGE_MAX_MS;
        if due || self.soft_commits >= SOFT_COMMITS_MAX {
            self.flush();
        }
    }

    /// The database, opened again if it had to be closed.
    fn db(&mut self) -> Result<Arc<Database>, WriteError> {
        if let Some(db) = self.shared.inner.read().db.clone() {
            return Ok(db);
        }
        let now_ms = self.clock.now_ms();
        if now_ms < self.reopen_ms {
            return Err(WriteError::Storage);
        }
        self.reopen_ms = now_ms + REOPEN_EVERY_MS;
        match open(&self.files, &self.school) {
            Ok(opened) => {
                let (db, mut sync) = (Arc::new(opened.db), opened.sync);
                self.hold(&mut sync);
                let mut inner = self.shared.inner.write();
                *inner = Inner { db: Some(db.clone()), sync, generation: inner.generation + 1 };
                drop(inner);
                self.journal = opened.journal;
                self.soft_commits = 0;
                self.shared.link.notify_one();
                tracing::info!("the store is open again");
                Ok(db)
            }
            Err(error) => {
                tracing::error!(%error, "the store cannot be opened again");
                Err(WriteError::Storage)
            }
        }
    }

    /// A new end of sync does not know yet what waits for blobs.
    fn hold(&self, sync: &mut BoxSync) {
        for blob in self.shared.waiting_blobs.lock().iter() {
            sync.wait_for_blob(*blob);
        }
    }

    /// Closes the database after an error: redb takes nothing more, and what was staged must go.
    fn failed(&mut self, error: &StoreError) {
        metrics::counter!("schulhof_edge_store_failures_total").increment(1);
        tracing::error!(%error, "the store failed and is opened again");
        self.shared.inner.write().db = None;
        self.journal = None;
        self.shared.link.notify_one();
        let _ = self.db();
    }

    /// A reader has met an error: is it the disk's?
    fn look(&mut self) {
        let Ok(db) = self.db() else { return };
        let tried = (|| -> Result<(), ReadError> {
            let table = db.begin_read()?.open_table(STATE)?;
            table.first()?;
            Ok(())
        })();
        if let Err(ReadError::Store(error)) = tried {
            drop(db);
            self.failed(&error);
        }
    }

    /// Makes durable what was committed without.
    fn flush(&mut self) {
        if self.soft_commits == 0 {
            return;
        }
        let Ok(db) = self.db() else { return };
        let committed = db.begin_write().map_err(StoreError::from).and_then(|txn| Ok(txn.commit()?));
        drop(db);
        match committed {
            Ok(()) => self.durable(),
            Err(error) => self.failed(&error),
        }
    }

    fn durable(&mut self) {
        self.soft_commits = 0;
        self.durable_ms = self.clock.now_ms();
        if let Some(journal) = &mut self.journal {
            journal.begin_anew();
        }
    }

    /// Frames that have come together are applied together; a part of a state by itself.
    fn frames(&mut self, frames: Vec<(ToBox, oneshot::Sender<FrameAnswer>)>) {
        let is_part = |frame: &ToBox| matches!(frame, ToBox::Snapshot { .. });
        // A link that was closed asks for them again.
        let mut frames = frames.into_iter().filter(|(_, reply)| !reply.is_closed()).peekable();
        while let Some((first, reply)) = frames.next() {
            let alone = is_part(&first);
            let (mut together, mut replies) = (vec![first], vec![reply]);
            while !alone && let Some((frame, reply)) = frames.next_if(|(frame, _)| !is_part(frame)) {
                together.push(frame);
                replies.push(reply);
            }
            let answer = self.frame(together);
            // An error is told first, what they brought last. Nobody may wait any more: the link was closed.
            let told = if answer.is_err() { 0 } else { replies.len() - 1 };
            let mut answer = Some(answer);
            for (place, reply) in replies.into_iter().enumerate() {
                let answer = if place == told { answer.take() } else { None };
                let _ = reply.send(answer.unwrap_or_else(|| Ok(Received::default())));
            }
        }
    }

    /// State, kept entries and outbox change in one transaction, under the lock of the overlay.
    fn frame(&mut self, frames: Vec<ToBox>) -> FrameAnswer {
        if self.shared.space.lock().now(self.clock) == Space::Empty {
            return Err(WriteError::DiskFull.into());
        }
        let db = self.db()?;
        let now_ms = self.clock.now_ms();
        let shared = self.shared.clone();
        let mut inner = shared.inner.write();
        let applied = catch_unwind(AssertUnwindSafe(|| apply_frames(&db, &mut inner.sync, &shared, now_ms, frames)));
        let failure = match applied {
            Ok(Ok(Ok(Applied { received, notice, committed, durable }))) => {
                drop(inner);
                self.soft_commits += u32::from(committed);
                if durable {
                    self.durable();
                }
                if committed {
                    metrics::counter!("schulhof_edge_entries_total").increment(received.entries.len() as u64);
                }
                self.announce(notice);
                return Ok(received);
            }
            Ok(Ok(Err(error))) => {
                // Rolled back; the overlay may be half changed.
                tracing::warn!(%error, "a frame from the core was refused");
                match restore(&db, &self.school) {
                    Ok(mut sync) => {
                        self.hold(&mut sync);
                        inner.sync = sync;
                        inner.generation += 1;
                        return Err(error.into());
                    }
                    Err(error) => error,
                }
            }
            Ok(Err(error)) => error,
            Err(_) => StoreError::Panicked,
        };
        drop((inner, db));
        self.failed(&failure);
        Err(FrameError::Write(WriteError::Storage))
    }

    /// Everything else: staged one after the other, one commit, then all answers.
    fn writes(&mut self, commands: Vec<Command>) {
        let space = self.shared.space.lock().now(self.clock);
        let db = self.db();
        let shared = self.shared.clone();
        let mut staged = Staged::default();
        let started = Instant::now();
        let result = db.map_err(|_| None).and_then(|db| {
            let mut inner = shared.inner.write();
            let staging = catch_unwind(AssertUnwindSafe(|| {
                let txn = db.begin_write()?;
                stage(&txn, &mut inner.sync, &shared, space, commands, &mut staged)?;
                Ok(txn)
            }));
            // Readers may go on while the disk works: what is staged is in the overlay already, and pending either way.
            drop(inner);
            let txn = staging.unwrap_or(Err(StoreError::Panicked)).map_err(Some)?;
            self.commit(txn, &staged).map_err(Some)
        });
        match result {
            Ok(committed) => {
                match committed {
                    Committed::Durable => self.durable(),
                    Committed::Soft => self.soft_commits += 1,
                    Committed::Nothing => {}
                }
                if staged.durable || !staged.saved.is_empty() {
                    metrics::histogram!("schulhof_edge_commit_seconds").record(started.elapsed().as_secs_f64());
                    metrics::histogram!("schulhof_edge_commit_size").record(staged.replies.len() as f64);
                }
                self.announce(std::mem::take(&mut staged.notice));
                staged.replies.into_iter().for_each(|reply| reply(Ok(())));
                self.shared.link.notify_one();
            }
            Err(failure) => {
                // Commands that were not staged drop their reply, which says the same.
                staged.replies.into_iter().for_each(|reply| reply(Err(WriteError::Storage)));
                if let Some(error) = failure {
                    self.failed(&error);
                }
            }
        }
    }

    /// Makes durable what an answer promises: operations alone by the journal, if it has room; else by the database.
    fn commit(&mut self, mut txn: WriteTransaction, staged: &Staged) -> Result<Committed, StoreError> {
        let journal = self.journal.as_mut().filter(|_| !staged.durable && !staged.saved.is_empty());
        let lengths = staged.saved.iter().map(|(_, operation)| operation.len());
        if let Some(journal) = journal.filter(|journal| journal.fits(lengths)) {
            journal.append(&staged.saved).map_err(JournalError::from)?;
            tables::fold(&txn, &[], journal.last())?;
        } else if staged.durable || !staged.saved.is_empty() {
            txn.commit()?;
            return Ok(Committed::Durable);
        } else if !staged.soft {
            txn.abort()?;
            return Ok(Committed::Nothing);
        }
        txn.set_durability(Durability::None)?;
        txn.commit()?;
        Ok(Committed::Soft)
    }

    fn announce(&self, mut notice: Notice) {
        if !notice.is_empty() {
            notice.head = self.shared.inner.read().sync.cursor();
            // The hub is gone only when the box stops.
            let _ = self.notices.send(notice);
        }
    }
}

/// What the database has of a commit.
enum Committed {
    /// It is on the disk, with all before it.
    Durable,
    /// It will be with the next durable one.
    Soft,
    Nothing,
}
