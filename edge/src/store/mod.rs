//! The box's store: the school's confirmed state, the outbox over it, sessions; one writer, many readers.
//!
//! One thread writes ([`writer`]). It takes whatever waits, makes it durable at once, and answers all: an answer "saved"
//! means that the operation is on the disk, in a box's [`journal`] or in the database. Entries from the core are committed without waiting for the disk: they can be
//! had again, and the next durable commit keeps them. State, cursor, outbox and kept entries of a frame change in one
//! transaction, so that a kill at any moment leaves them of one piece.
//!
//! Readers take a redb snapshot and the overlay under one lock, so they see both of the same moment. The lock is held for
//! writing only while the overlay changes, never during a sync to disk.

mod error;
mod frame;
pub mod journal;
mod kv;
mod logins;
mod reader;
mod replica;
mod space;
mod stage;
mod tables;
mod writer;

pub use error::{ReadError, StoreError, WriteError};
pub use reader::{Resume, Snapshot};
pub use space::{FreeSpace, Space};
pub use tables::StoredEntry;
pub use writer::OpenSession;

use crate::{
    clock::Monotonic,
    live::Notice,
    placement::Placed,
    session::{SessionKey, Sessions},
};
use parking_lot::{Mutex, RwLock};
use redb::Database;
use schulhof_school::Operation;
use schulhof_sync::{BoxSync, Received, SyncError};
use schulhof_wire::{
    BlobHash, ConferenceId, DeviceId, LogIndex, SchoolId,
    api::{DeviceMarks, SubmitAnswer},
    node::{ToBox, ToCore},
};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender},
    },
    thread::JoinHandle,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use writer::{Command, Files, Writer};

/// Submissions and frames waiting for the writer: two rounds of the largest batch; later ones are told to come back.
const COMMANDS_MAX: usize = 2_048;
/// Notices waiting for the hub; beyond it the writer waits, since none may be lost.
const NOTICES_MAX: usize = 4_096;
/// redb's page cache of a box, unless its configuration says otherwise.
pub const MEMORY_BYTES: usize = 16 << 20;

/// Opens or creates the database; called again after a disk error.
pub type Opener = Box<dyn Fn() -> Result<Database, redb::DatabaseError> + Send>;

/// The database in a file, with a page cache of so many bytes.
pub fn file(path: &Path, memory_bytes: usize) -> Opener {
    let path = path.to_owned();
    Box::new(move || Database::builder().set_cache_size(memory_bytes).create(&path))
}

/// Handle to the store. Dropping it stops the writer after a last durable commit.
pub struct Store {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
    placements: Vec<(ConferenceId, Placed)>,
    notices: SyncSender<Notice>,
    clock: Monotonic,
    closed: Mutex<Option<oneshot::Sender<usize>>>,
}

struct Shared {
    inner: RwLock<Inner>,
    sessions: Sessions,
    /// Something may be there to be sent to the core.
    link: Notify,
    online: AtomicBool,
    /// Blobs that are here and not in the core: what names them is held. Outlives `sync`, which is made anew after errors.
    waiting_blobs: Mutex<BTreeSet<BlobHash>>,
    /// How much may be written, as last seen.
    space: Mutex<FreeSpace>,
    /// Held all that the core had, once since it was opened.
    current: watch::Sender<bool>,
}

struct Inner {
    /// None while it is being opened again after a disk error.
    db: Option<Arc<Database>>,
    sync: BoxSync,
    /// Counts the making of `sync`: a connection of an earlier one is of no use.
    generation: u64,
}

/// What a frame from the core asks of the link.
pub type FrameAnswer = Result<Received, FrameError>;

/// Why the connection to the core must be closed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error(transparent)]
    Sync(#[from] SyncError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A frame on its way through the writer.
pub struct Taken(oneshot::Receiver<FrameAnswer>);

impl Taken {
    /// Can be asked again if it was not waited for to the end.
    pub async fn answer(&mut self, store: &Store) -> FrameAnswer {
        let received = (&mut self.0).await.map_err(|_| WriteError::Storage)?;
        store.set_online();
        received
    }
}

/// What the link needs to know between frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkState {
    pub generation: u64,
    pub connect_at: Option<u64>,
    pub timeout: Option<u64>,
    pub silent: bool,
    pub online: bool,
    /// The disk works.
    pub usable: bool,
}

impl Store {
    /// Opens the store and starts its writer. Notices come from the receiver; they must be taken.
    pub fn open(
        school: SchoolId,
        database: Opener,
        space: FreeSpace,
        clock: Monotonic,
    ) -> Result<(Self, Receiver<Notice>), StoreError> {
        Self::open_files(school, Files { database, journal: None }, space, clock)
    }

    /// The same with a journal before the database: answers come sooner, for a file of [`journal::LEN`] bytes.
    pub fn open_journaled(
        school: SchoolId,
        database: Opener,
        journal: journal::BlocksOpener,
        space: FreeSpace,
        clock: Monotonic,
    ) -> Result<(Self, Receiver<Notice>), StoreError> {
        Self::open_files(school, Files { database, journal: Some(journal) }, space, clock)
    }

    fn open_files(
        school: SchoolId,
        files: Files,
        space: FreeSpace,
        clock: Monotonic,
    ) -> Result<(Self, Receiver<Notice>), StoreError> {
        let opened = writer::open(&files, &school)?;
        let shared = Arc::new(Shared {
            inner: RwLock::new(Inner { db: Some(Arc::new(opened.db)), sync: opened.sync, generation: 1 }),
            sessions: Sessions::new(opened.loaded.sessions),
            link: Notify::new(),
            online: AtomicBool::new(false),
            waiting_blobs: Mutex::default(),
            space: Mutex::new(space),
            current: watch::Sender::new(false),
        });
        let (commands, waiting) = mpsc::channel(COMMANDS_MAX);
        let (notices, told) = std::sync::mpsc::sync_channel(NOTICES_MAX);
        let files = (files, opened.journal);
        let writer = Writer::new(school, shared.clone(), waiting, notices.clone(), files, clock);
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run())
            .map_err(StoreError::Thread)?;
        let thread = Mutex::new(Some(thread));
        let placements = opened.loaded.placements;
        let closed = Mutex::default();
        Ok((Self { shared, commands, thread, placements, notices, clock, closed }, told))
    }

    /// Reads the present moment, here and now: for threads that may wait for a disk.
    pub fn read<T>(&self, work: impl FnOnce(&Snapshot<'_>) -> T) -> Result<T, ReadError> {
        let inner = self.shared.inner.read();
        let result = reader::read(inner.db.as_deref(), &inner.sync, work);
        if result.is_err() {
            // Whether it is the disk: the writer finds out, and opens it again.
            self.recover();
        }
        result
    }

    /// Reads the present moment on a thread that may wait.
    pub async fn read_async<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Snapshot<'_>) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.read(work)).await.unwrap_or(Err(ReadError::Interrupted))
    }

    /// Saves operations of one device, in order. Comes back when they are durable.
    pub async fn submit(&self, device: DeviceId, operations: Vec<Operation>) -> Result<SubmitAnswer, WriteError> {
        self.ask(|reply| Command::Submit { device, operations, reply }).await?
    }

    /// How far a device has come, as far as it is durable.
    pub async fn marks(&self, device: DeviceId) -> Result<DeviceMarks, WriteError> {
        self.ask(|reply| Command::Marks { device, reply }).await?
    }

    /// Begins a session; `false` if the account was locked or its password changed in the meantime.
    pub async fn open_session(&self, open: OpenSession) -> Result<bool, WriteError> {
        self.ask(|reply| Command::OpenSession { open, reply }).await?
    }

    /// Ends a session.
    pub async fn close_session(&self, key: SessionKey) -> Result<(), WriteError> {
        self.shared.sessions.remove(&key);
        self.ask(|reply| Command::CloseSession { key, reply }).await?
    }

    /// The session was used. Kept at the next occasion.
    pub fn touch_session(&self, key: SessionKey, now_ms: u64) {
        if self.shared.sessions.touch(&key, now_ms).is_some() {
            let _ = self.commands.try_send(Command::TouchSession { key });
        }
    }

    pub fn sessions(&self) -> &Sessions {
        &self.shared.sessions
    }

    /// Where conferences were when the store was opened.
    pub fn placements(&self) -> Vec<(ConferenceId, Placed)> {
        self.placements.clone()
    }

    /// Keeps where a conference is. Lost when the writer is overloaded, which costs a second placement at worst.
    pub fn put_placement(&self, conference: ConferenceId, placed: Option<Placed>) {
        let _ = self.commands.try_send(Command::PutPlacement { conference, placed });
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(command(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WriteError::Busy,
            mpsc::error::TrySendError::Closed(_) => WriteError::Storage,
        })?;
        answer.await.map_err(|_| WriteError::Storage)
    }

    /// Tells the sockets that something happened outside the log.
    pub fn tell(&self, notice: Notice) {
        if self.notices.try_send(notice).is_err() {
            tracing::warn!("too many notices wait for the hub");
        }
    }

    /// Whether the core has welcomed this box.
    pub fn is_online(&self) -> bool {
        self.shared.online.load(Ordering::Relaxed)
    }

    /// Resolves when the store has held all that the core had, once since it was opened.
    pub async fn until_current(&self) {
        // The sender lives as long as the store.
        let _ = self.shared.current.subscribe().wait_for(|current| *current).await;
    }

    /// Whether the store has held all that the core had, once since it was opened.
    pub fn current(&self) -> watch::Receiver<bool> {
        self.shared.current.subscribe()
    }

    /// Tells how many operations wait for the core in the file when the store is closed, which is after its last user has
    /// let it go.
    pub fn when_closed(&self) -> oneshot::Receiver<usize> {
        let (tell, told) = oneshot::channel();
        *self.closed.lock() = Some(tell);
        told
    }

    /// Highest confirmed index, operations that wait, and whether the disk is usable.
    pub fn status(&self) -> (LogIndex, usize, bool) {
        let inner = self.shared.inner.read();
        (inner.sync.cursor(), inner.sync.pending(), inner.db.is_some())
    }

    /// How much may be written to the disk.
    pub fn space(&self) -> Space {
        self.shared.space.lock().now(self.clock)
    }

    /// Operations that name the blob are held from now on, until [`Store::blob_arrived`].
    pub fn wait_for_blob(&self, blob: BlobHash) {
        self.shared.waiting_blobs.lock().insert(blob);
        self.shared.inner.write().sync.wait_for_blob(blob);
    }

    /// The core has the blob.
    pub fn blob_arrived(&self, blob: &BlobHash) {
        self.shared.waiting_blobs.lock().remove(blob);
        self.shared.inner.write().sync.blob_arrived(blob);
        self.shared.link.notify_one();
    }

    // For the link.

    /// Resolves when there may be something to send.
    pub async fn link_woken(&self) {
        self.shared.link.notified().await;
    }

    pub fn link_state(&self) -> LinkState {
        let now_ms = self.clock.now_ms();
        let inner = self.shared.inner.read();
        LinkState {
            generation: inner.generation,
            connect_at: inner.sync.connect_at(),
            timeout: inner.sync.poll_timeout(),
            silent: inner.sync.is_silent(now_ms),
            online: inner.sync.online(),
            usable: inner.db.is_some(),
        }
    }

    /// The first frame of a new connection.
    pub fn link_connected(&self) -> ToCore {
        let now_ms = self.clock.now_ms();
        self.shared.inner.write().sync.connected(now_ms)
    }

    pub fn link_disconnected(&self) {
        let now_ms = self.clock.now_ms();
        self.shared.inner.write().sync.disconnected(now_ms, rand::random());
        self.set_online();
    }

    pub fn link_transmit(&self) -> Option<ToCore> {
        let now_ms = self.clock.now_ms();
        self.shared.inner.write().sync.poll_transmit(now_ms)
    }

    /// Takes a frame and waits for what it did.
    pub async fn link_frame(&self, frame: ToBox) -> FrameAnswer {
        self.link_take(frame).await?.answer(self).await
    }

    /// Takes a frame. Those that are taken while the writer is busy are applied together.
    pub async fn link_take(&self, frame: ToBox) -> Result<Taken, FrameError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(Command::Frame { frame, reply }).await;
        sent.map_err(|_| WriteError::Storage)?;
        Ok(Taken(answer))
    }

    /// Has the writer look at the disk, and open the store again if it is closed.
    pub fn recover(&self) {
        let _ = self.commands.try_send(Command::Recover);
    }

    /// Tells browsers when the way to the core opens or closes.
    fn set_online(&self) {
        let (online, current) = {
            let inner = self.shared.inner.read();
            (inner.sync.online(), inner.sync.online() && inner.sync.cursor() >= inner.sync.head())
        };
        if current {
            self.shared.current.send_if_modified(|known| !std::mem::replace(known, true));
        }
        if self.shared.online.swap(online, Ordering::Relaxed) != online {
            // Of a gateway: how many of its schools.
            metrics::gauge!("schulhof_edge_core_online").increment(if online { 1.0 } else { -1.0 });
            // Without a head: this may overtake the writer's notice of entries that were just applied, and a socket skips
            // what stands at or below a head that it was told.
            self.tell(Notice { core_online: Some(online), ..Notice::default() });
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Ends the writer's loop once it has answered everything that waits.
        let (closed, _) = mpsc::channel(1);
        self.commands = closed;
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
        if self.shared.online.swap(false, Ordering::Relaxed) {
            metrics::gauge!("schulhof_edge_core_online").decrement(1.0);
        }
        let pending = {
            let mut inner = self.shared.inner.write();
            // Whoever opens the file next must not find it locked.
            inner.db = None;
            inner.sync.pending()
        };
        if let Some(tell) = self.closed.lock().take() {
            let _ = tell.send(pending);
        }
    }
}
