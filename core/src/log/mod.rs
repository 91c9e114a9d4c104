//! The write-ahead log of a node: one for all its Raft groups, so that one sync serves them all.
//!
//! What this is: segments of records on disk, an index in memory, recent entries kept beside it, and openraft's log
//! storage on top ([`GroupLog`]). What it must not do: know what entries mean, or mend what is damaged.
//!
//! - `disk`: the file operations underneath
//! - `record`, `segment`: the format on disk
//! - `recovery`: reading it at start; telling a torn end from damage
//! - `writer`: the one thread that writes and deletes
//! - `index`: where each entry of a group is
//! - `group`: openraft's traits

mod disk;
mod group;
mod index;
mod record;
mod recovery;
mod segment;
mod writer;

pub use group::GroupLog;

use crate::raft::types::Group;
use disk::{Disk, Folder};
use index::Index;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::JoinHandle,
};
use tokio::sync::Semaphore;
use writer::{Message, Sealed, Shared, Writer};

/// Entries in memory for followers that are close behind, over all groups.
const CACHED_LEN_MAX: usize = 64 << 20;
/// Writes that wait for the disk, in KiB: a disk that hangs must not fill the memory.
const WAITING_KIB_MAX: usize = 64 << 10;

/// Why the log cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("damaged log record at {}, offset {offset}: {detail}. This node has lost what it once acknowledged and must \
             not start with this folder: move its data folder away and let it join as a fresh node", path.display())]
    Damaged { path: PathBuf, offset: usize, detail: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LogError {
    fn damaged(disk: &dyn Disk, segment: u64, offset: usize, detail: String) -> Self {
        Self::Damaged { path: segment::path(disk, segment), offset, detail }
    }
}

/// Dimensions of a log.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bytes of a segment: what is deleted at once. Two of them are there from the start.
    pub segment_len: usize,
    /// Bytes of entries in memory per group.
    pub cached_len_max: usize,
}

impl Options {
    /// For a node with this many groups.
    pub fn for_groups(groups: usize) -> Self {
        Self { segment_len: 16 << 20, cached_len_max: CACHED_LEN_MAX / groups.max(1) }
    }
}

/// An open log. Close it before the folder is opened again.
pub struct Log {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Message>,
    waiting: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// Reads what is there, for the given groups; what the folder holds of others is kept.
    pub fn open(dir: &Path, groups: impl IntoIterator<Item = Group>, options: Options) -> Result<Self, LogError> {
        let (log, writer, messages) = Self::build(Arc::new(Folder::create(dir)?), groups, options)?;
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || writer.run(&messages))?;
        *log.thread.lock() = Some(thread);
        Ok(log)
    }

    /// The log on any disk, and its writer, which somebody must run.
    fn build(
        disk: Arc<dyn Disk>,
        groups: impl IntoIterator<Item = Group>,
        options: Options,
    ) -> Result<(Self, Writer, mpsc::Receiver<Message>), LogError> {
        let mut recovered = recovery::recover(&*disk, options.cached_len_max)?;
        for group in groups {
            recovered.indices.entry(group).or_insert_with(|| Index::new(options.cached_len_max));
        }
        let (current, end) = match recovered.open.take() {
            Some(open) => open,
            None => {
                let file = writer::first_segment(&*disk, options.segment_len)?;
                recovered.files.insert(1, file);
                (Sealed { number: 1, last: BTreeMap::new() }, segment::HEADER_LEN as u32)
            }
        };
        let shared = Arc::new(Shared {
            indices: recovered.indices.into_iter().map(|(g, index)| (g, Arc::new(Mutex::new(index)))).collect(),
            files: Mutex::new(recovered.files),
            holding: Mutex::default(),
        });
        let file = shared.files.lock()[&current.number].clone();
        let mut writer = Writer {
            spare: writer::prepare_spare(&disk, options.segment_len),
            disk,
            segment_len: options.segment_len,
            shared: shared.clone(),
            checkpoints: recovered.checkpoints,
            sealed: recovered.sealed,
            current,
            file,
            end,
            failed: None,
        };
        writer.write_checkpoints()?;
        let (sender, receiver) = mpsc::channel();
        let waiting = Arc::new(Semaphore::new(WAITING_KIB_MAX));
        Ok((Self { shared, sender, waiting, thread: Mutex::default() }, writer, receiver))
    }

    /// One group's part of the log.
    ///
    /// # Panics
    /// If the log was not opened with the group.
    pub fn group(&self, group: Group) -> GroupLog {
        let index = self.shared.indices[&group].clone();
        GroupLog::new(group, index, self.shared.clone(), self.sender.clone(), self.waiting.clone())
    }

    /// How many segments there are, and which groups keep the oldest from being deleted (as of the last purge).
    pub fn segments(&self) -> (usize, Vec<Group>) {
        (self.shared.files.lock().len(), self.shared.holding.lock().clone())
    }

    /// Writes what waits, then ends; later writes fail. Blocks.
    pub fn close(&self) {
        let _ = self.sender.send(Message::Close);
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = self.sender.send(Message::Close);
    }
}

#[cfg(test)]
mod drive;
#[cfg(test)]
mod power_tests;
#[cfg(test)]
pub(crate) mod tests;
