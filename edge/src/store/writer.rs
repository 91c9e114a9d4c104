//! The writer: one thread that owns every change.

use super::{
    Inner, Opener, Shared, StoreError, WriteError,
    error::ReadError,
    kv::WriteKv,
    space::{FreeSpace, Space},
    tables::{self, ENTRIES, Loaded, OUTBOX, PLACEMENTS, SESSIONS, STATE, StoredEntry},
};
use crate::{
    clock::{Monotonic, unix_ms},
    live::{Changed, Notice},
    placement::Placed,
    session::{Session, SessionKey, password_mark},
    store::{FrameAnswer, FrameError},
};
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, WriteTransaction};
use schulhof_school::{Change, Kv, Operation, view};
use schulhof_sync::{BoxSync, Received, Submit, SyncError};
use schulhof_wire::{
    AccountId, ConferenceId, DeviceId, SchoolId,
    api::{DeviceMarks, SubmitAnswer, SubmitResult, SubmitState},
    live::RESUME_LEN_MAX,
    node::ToBox,
};
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc::SyncSender},
    time::Instant,
};
use tokio::sync::{mpsc, oneshot};

/// Commands of one commit. More would make the first ones wait for long.
const ROUND_MAX: usize = 1_024;
/// Entries kept for browsers that were away: what a resume may ask for, and what comes while it reads.
const ENTRIES_KEPT: u64 = RESUME_LEN_MAX + 1_000;
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
    pub login: String,
    /// The browser's session before.
    pub replaces: Option<SessionKey>,
}

pub(super) struct Opened {
    pub db: Database,
    pub sync: BoxSync,
    pub loaded: Loaded,
}

/// Opens the database and makes the box's end of sync from what is durable.
pub(super) fn open(opener: &Opener, school: &SchoolId) -> Result<Opened, StoreError> {
    let db = opener()?;
    let txn = db.begin_write()?;
    let loaded = tables::load(&txn, unix_ms())?;
    txn.commit()?;
    let sync = restore(&db, school)?;
    Ok(Opened { db, sync, loaded })
}

fn restore(db: &Database, school: &SchoolId) -> Result<BoxSync, StoreError> {
    let txn = db.begin_read()?;
    let outbox = tables::outbox(&txn.open_table(OUTBOX)?)?;
    let confirmed = super::kv::ReadKv::new(txn.open_table(STATE)?);
    let sync = catch_unwind(AssertUnwindSafe(|| BoxSync::new(school.clone(), outbox, &confirmed)));
    confirmed.check()?;
    sync.map_err(|_| StoreError::Panicked)
}

/// What a commit has to do, and what is said afterwards.
#[derive(Default)]
struct Staged {
    durable: bool,
    soft: bool,
    notice: Notice,
    replies: Vec<Box<dyn FnOnce(Result<(), WriteError>)>>,
}

pub(super) struct Writer {
    school: SchoolId,
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    notices: SyncSender<Notice>,
    opener: Opener,
    space: FreeSpace,
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
        opener: Opener,
        space: FreeSpace,
        clock: Monotonic,
    ) -> Self {
        let durable_ms = clock.now_ms();
        Self { school, shared, commands, notices, opener, space, clock, soft_commits: 0, durable_ms, reopen_ms: 0 }
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
        let mut writes = Vec::new();
        for command in commands {
            match command {
                Command::Frame { frame, reply } => {
                    let answer = self.frame(frame);
                    // Nobody waits any more: the link was closed.
                    let _ = reply.send(answer);
                }
                Command::Recover => self.look(),
                write => writes.push(write),
            }
        }
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
        match open(&self.opener, &self.school) {
            Ok(opened) => {
                let db = Arc::new(opened.db);
                let mut inner = self.shared.inner.write();
                *inner = Inner { db: Some(db.clone()), sync: opened.sync, generation: inner.generation + 1 };
                drop(inner);
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

    /// Closes the database after an error: redb takes nothing more, and what was staged must go.
    fn failed(&mut self, error: &StoreError) {
        metrics::counter!("schulhof_edge_store_failures_total").increment(1);
        tracing::error!(%error, "the store failed and is opened again");
        self.shared.inner.write().db = None;
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
    }

    /// One frame from the core: state, kept entries and outbox change in one transaction, under the lock of the overlay.
    fn frame(&mut self, frame: ToBox) -> FrameAnswer {
        if self.space.now(self.clock) == Space::Empty {
            return Err(WriteError::DiskFull.into());
        }
        let db = self.db()?;
        let now_ms = self.clock.now_ms();
        let shared = self.shared.clone();
        let mut inner = shared.inner.write();
        let applied = catch_unwind(AssertUnwindSafe(|| apply_frame(&db, &mut inner.sync, &shared, now_ms, frame)));
        let failure = match applied {
            Ok(Ok(Ok(Applied { received, notice, committed }))) => {
                drop(inner);
                self.soft_commits += u32::from(committed);
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
                    Ok(sync) => {
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
        let space = self.space.now(self.clock);
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
            commit(txn, &staged).map_err(Some)
        });
        match result {
            Ok(()) => {
                if staged.durable {
                    self.durable();
                    metrics::histogram!("schulhof_edge_commit_seconds").record(started.elapsed().as_secs_f64());
                    metrics::histogram!("schulhof_edge_commit_size").record(staged.replies.len() as f64);
                } else {
                    self.soft_commits += u32::from(staged.soft);
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

    fn announce(&self, mut notice: Notice) {
        if !notice.is_empty() {
            notice.head = self.shared.inner.read().sync.cursor();
            // The hub is gone only when the box stops.
            let _ = self.notices.send(notice);
        }
    }
}

struct Applied {
    received: Received,
    notice: Notice,
    committed: bool,
}

fn apply_frame(
    db: &Database,
    sync: &mut BoxSync,
    shared: &Shared,
    now_ms: u64,
    frame: ToBox,
) -> Result<Result<Applied, SyncError>, StoreError> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::None)?;
    let mut notice = Notice::default();
    let received = {
        let mut kv = WriteKv::new(txn.open_table(STATE)?);
        let received = sync.receive(now_ms, &mut kv, frame);
        kv.check()?;
        let received = match received {
            Ok(received) => received,
            Err(error) => return Ok(Err(error)),
        };
        let mut devices = BTreeSet::new();
        for confirmed in &received.entries {
            let index = Some(confirmed.entry.index);
            notice.changes.extend(confirmed.changes.iter().map(|change| Changed { index, change: change.clone() }));
            devices.extend(confirmed.operation.as_ref().map(|operation| operation.device.clone()));
        }
        let overlay = received.overlay_changes.iter().map(|change| Changed { index: None, change: change.clone() });
        notice.changes.extend(overlay);
        notice.marks = devices.iter().map(|device| sync.marks(&kv, device)).collect();
        let rejected = received.rejected_own.iter();
        notice.rejected = rejected.map(|own| (own.device.clone(), own.seq, own.reason.clone())).collect();
        let accounts = changed_accounts(&notice.changes);
        notice.ended = end_sessions(&txn, &sync.read(&kv), shared, &accounts)?;
        kv.check()?;
        received
    };
    let committed = !received.entries.is_empty() || !received.drop_outbox.is_empty();
    if committed {
        keep_entries(&txn, &received)?;
        let mut outbox = txn.open_table(OUTBOX)?;
        for position in &received.drop_outbox {
            outbox.remove(position)?;
        }
        drop(outbox);
        txn.commit()?;
    } else {
        txn.abort()?;
    }
    Ok(Ok(Applied { received, notice, committed }))
}

fn keep_entries(txn: &WriteTransaction, received: &Received) -> Result<(), StoreError> {
    let mut entries = txn.open_table(ENTRIES)?;
    for confirmed in &received.entries {
        let stored = StoredEntry::new(confirmed.entry.clone(), &confirmed.changes);
        entries.insert(confirmed.entry.index.0, stored.encode().as_slice())?;
    }
    let newest = received.entries.last().map_or(0, |confirmed| confirmed.entry.index.0);
    let oldest_kept = newest.saturating_sub(ENTRIES_KEPT);
    while entries.first()?.is_some_and(|(index, _)| index.value() < oldest_kept) {
        entries.pop_first()?;
    }
    Ok(())
}

fn commit(mut txn: WriteTransaction, staged: &Staged) -> Result<(), StoreError> {
    match (staged.durable, staged.soft) {
        (true, _) => txn.commit()?,
        (false, true) => {
            txn.set_durability(Durability::None)?;
            txn.commit()?;
        }
        (false, false) => txn.abort()?,
    }
    Ok(())
}

fn stage(
    txn: &WriteTransaction,
    sync: &mut BoxSync,
    shared: &Arc<Shared>,
    space: Space,
    commands: Vec<Command>,
    staged: &mut Staged,
) -> Result<(), StoreError> {
    let state = WriteKv::new(txn.open_table(STATE)?);
    for command in commands {
        match command {
            Command::Submit { reply, .. } if space < Space::Plenty => {
                let _ = reply.send(Err(WriteError::DiskFull));
            }
            Command::Submit { device, operations, reply } => {
                let answer = submit(txn, &state, sync, shared, device, operations, staged)?;
                staged.after(reply, answer);
            }
            Command::Marks { device, reply } => {
                let marks = sync.marks(&state, &device);
                staged.after(reply, Ok(marks));
            }
            Command::OpenSession { reply, .. } if space == Space::Empty => {
                let _ = reply.send(Err(WriteError::DiskFull));
            }
            Command::OpenSession { open, reply } => {
                let opened = open_session(txn, &sync.read(&state), shared, open, staged)?;
                staged.after(reply, Ok(opened));
            }
            Command::CloseSession { key, reply } => {
                end_session(txn, shared, key, &mut staged.notice.ended)?;
                staged.durable = true;
                staged.after(reply, Ok(()));
            }
            Command::TouchSession { key } => {
                if let Some(session) = shared.sessions.touch(&key, 0) {
                    put_session(txn, &key, &session)?;
                    staged.soft = true;
                }
            }
            Command::PutPlacement { conference, placed } => {
                let mut table = txn.open_table(PLACEMENTS)?;
                match placed.map(|placed| postcard::to_stdvec(&placed).expect("a placement is always encodable")) {
                    Some(bytes) => table.insert(conference.as_str(), bytes.as_slice())?,
                    None => table.remove(conference.as_str())?,
                };
                staged.durable = true;
            }
            Command::Frame { .. } | Command::Recover => unreachable!("taken out before"),
        }
        state.check()?;
    }
    Ok(())
}

impl Staged {
    /// Answers after the commit.
    fn after<T: 'static>(&mut self, reply: oneshot::Sender<Result<T, WriteError>>, answer: Result<T, WriteError>) {
        self.replies.push(Box::new(move |committed| {
            // Whoever asked may be gone.
            let _ = reply.send(committed.and(answer));
        }));
    }
}

fn submit(
    txn: &WriteTransaction,
    state: &WriteKv<'_>,
    sync: &mut BoxSync,
    shared: &Shared,
    device: DeviceId,
    operations: Vec<Operation>,
    staged: &mut Staged,
) -> Result<Result<SubmitAnswer, WriteError>, StoreError> {
    let mut results = Vec::with_capacity(operations.len());
    let mut changes = Vec::new();
    let mut outbox = txn.open_table(OUTBOX)?;
    let mut full = false;
    for operation in operations {
        let seq = operation.seq;
        let result = |state, reason: Option<&str>| SubmitResult { seq, state, reason: reason.map(str::to_owned) };
        results.push(match sync.submit(state, operation) {
            Submit::Saved { position, encoded, changes: new } => {
                outbox.insert(position, encoded.as_slice())?;
                staged.durable = true;
                changes.extend(new.into_iter().map(|change| Changed { index: None, change }));
                result(SubmitState::Saved, None)
            }
            Submit::Duplicate => result(SubmitState::Duplicate, None),
            Submit::Gap { .. } => result(SubmitState::Gap, None),
            Submit::Refused(reject) => {
                metrics::counter!("schulhof_edge_refused_total", "code" => reject.code()).increment(1);
                result(SubmitState::Refused, Some(reject.code()))
            }
            // The rest has no result: the device sends it again.
            Submit::Full => {
                full = true;
                break;
            }
        });
    }
    drop(outbox);
    if full && results.is_empty() {
        return Ok(Err(WriteError::Busy));
    }
    let saved = results.iter().filter(|result| result.state == SubmitState::Saved).count();
    metrics::counter!("schulhof_edge_operations_total").increment(saved as u64);
    let accounts = changed_accounts(&changes);
    staged.notice.ended.extend(end_sessions(txn, &sync.read(state), shared, &accounts)?);
    staged.notice.changes.extend(changes);
    let marks = sync.marks(state, &device);
    if saved > 0 {
        staged.notice.marks.retain(|before| before.device != device);
        staged.notice.marks.push(marks.clone());
    }
    Ok(Ok(SubmitAnswer { results, marks }))
}

fn changed_accounts(changes: &[Changed]) -> BTreeSet<AccountId> {
    let accounts = changes.iter().filter_map(|changed| match &changed.change {
        Change::Account { account } => Some(account.clone()),
        _ => None,
    });
    accounts.collect()
}

fn open_session(
    txn: &WriteTransaction,
    state: &impl Kv,
    shared: &Arc<Shared>,
    open: OpenSession,
    staged: &mut Staged,
) -> Result<bool, StoreError> {
    let OpenSession { key, session, login, replaces } = open;
    let stands = view::credentials(state, &login).is_some_and(|credentials| {
        credentials.account == session.account
            && !credentials.locked
            && password_mark(&credentials.password) == session.password_mark
    });
    if !stands {
        return Ok(false);
    }
    for gone in shared.sessions.crowded_out(&session.account, unix_ms()).into_iter().chain(replaces) {
        end_session(txn, shared, gone, &mut staged.notice.ended)?;
    }
    put_session(txn, &key, &session)?;
    staged.durable = true;
    // Known from here on, so that a lock or another password in the same commit ends it too. Nobody has the token yet.
    shared.sessions.insert(key, session);
    let shared = shared.clone();
    staged.replies.push(Box::new(move |committed| {
        if committed.is_err() {
            shared.sessions.remove(&key);
        }
    }));
    Ok(true)
}

fn put_session(txn: &WriteTransaction, key: &SessionKey, session: &Session) -> Result<(), StoreError> {
    let bytes = postcard::to_stdvec(session).expect("a session is always encodable");
    txn.open_table(SESSIONS)?.insert(&key.0[..], bytes.as_slice())?;
    Ok(())
}

fn end_session(
    txn: &WriteTransaction,
    shared: &Shared,
    key: SessionKey,
    ended: &mut Vec<SessionKey>,
) -> Result<(), StoreError> {
    // At once, whether or not the commit succeeds: an ended session must not be used.
    shared.sessions.remove(&key);
    txn.open_table(SESSIONS)?.remove(&key.0[..])?;
    ended.push(key);
    Ok(())
}

/// Ends the sessions of accounts that are locked, gone, or have another password.
fn end_sessions(
    txn: &WriteTransaction,
    state: &impl Kv,
    shared: &Shared,
    accounts: &BTreeSet<AccountId>,
) -> Result<Vec<SessionKey>, StoreError> {
    let mut ended = Vec::new();
    for account in accounts {
        let known = view::account(state, account).and_then(|known| view::credentials(state, &known.login));
        let mark = known.filter(|known| !known.locked).map(|known| password_mark(&known.password));
        for (key, session) in shared.sessions.of_account(account) {
            if mark != Some(session.password_mark) {
                end_session(txn, shared, key, &mut ended)?;
            }
        }
    }
    Ok(ended)
}
