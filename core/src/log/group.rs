//! openraft's log storage over one group's part of the log.

use super::{
    disk::DiskFile,
    index::{Index, Place, Source},
    record::{self, Record},
    writer::{Effect, Message, Piece, Shared, Submission},
};
use crate::raft::types::{Entry, Group, LogId, TypeConfig, Vote};
use futures_util::{Stream, stream};
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::{Arc, mpsc},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Entries for a follower or for applying are handed out in portions of about this many bytes.
const PORTION_LEN: usize = 2 << 20;
/// Appends are passed to the writer in portions of about this many bytes.
const SUBMISSION_LEN: usize = 2 << 20;

/// A group's log; clones share it.
#[derive(Clone)]
pub struct GroupLog {
    group: Group,
    index: Arc<Mutex<Index>>,
    shared: Arc<Shared>,
    sender: mpsc::Sender<Message>,
    waiting: Arc<Semaphore>,
}

/// An entry in memory, or where to read it.
enum Fetch {
    Memory(Entry),
    Disk { file: Arc<dyn DiskFile>, place: Place, log_id: LogId },
}

impl GroupLog {
    pub(super) fn new(
        group: Group,
        index: Arc<Mutex<Index>>,
        shared: Arc<Shared>,
        sender: mpsc::Sender<Message>,
        waiting: Arc<Semaphore>,
    ) -> Self {
        Self { group, index, shared, sender, waiting }
    }

    /// Whether nothing was ever written: neither entries nor a vote.
    pub fn is_empty(&self) -> bool {
        let index = self.index.lock();
        index.vote.is_none() && index.last().is_none()
    }

    /// Permission to let this much wait for the disk.
    async fn permit(&self, len: usize) -> io::Result<OwnedSemaphorePermit> {
        let kib = len.div_ceil(1024).min(super::WAITING_KIB_MAX) as u32;
        self.waiting.clone().acquire_many_owned(kib).await.map_err(io::Error::other)
    }

    fn submit(&self, submission: Submission) -> io::Result<()> {
        self.sender.send(Message::Write(submission)).map_err(|_| io::Error::other("the log is closed"))
    }

    /// Writes one record and waits until it is durable.
    async fn write(&self, record: &Record, effect: Effect) -> io::Result<()> {
        let payload = record.encode()?;
        let permit = Some(self.permit(payload.len()).await?);
        let (done, synced) = oneshot::channel();
        self.submit(Submission {
            pieces: vec![Piece { group: self.group, payload, effect }],
            done: Some(Box::new(move |result| drop(done.send(result)))),
            _permit: permit,
        })?;
        synced.await.unwrap_or_else(|_| Err(io::Error::other("the log is closed")))
    }

    /// What is there of a range, as of now: files stay open although their segment may be deleted.
    fn locate(&self, range: impl RangeBounds<u64>, len_max: usize) -> io::Result<Vec<Fetch>> {
        let index = self.index.lock();
        let sources = index.sources(range, len_max);
        let files = self.shared.files.lock();
        let fetch = |source| match source {
            Source::Memory(entry) => Ok(Fetch::Memory(entry)),
            Source::Disk { place, log_id } => match files.get(&place.segment) {
                Some(file) => Ok(Fetch::Disk { file: file.clone(), place, log_id }),
                None => Err(io::Error::other(format!("log segment {} is gone", place.segment))),
            },
        };
        sources.into_iter().map(fetch).collect()
    }

    async fn read(&self, range: impl RangeBounds<u64>, len_max: usize) -> io::Result<Vec<Entry>> {
        let located = self.locate(range, len_max)?;
        if located.iter().all(|fetch| matches!(fetch, Fetch::Memory(_))) {
            return located.into_iter().map(fetch).collect();
        }
        let read = move || located.into_iter().map(fetch).collect();
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }
}

fn fetch(fetch: Fetch) -> io::Result<Entry> {
    let (file, place, log_id) = match fetch {
        Fetch::Memory(entry) => return Ok(entry),
        Fetch::Disk { file, place, log_id } => (file, place, log_id),
    };
    let bad = |detail: &str| {
        let at = format!("segment {}, offset {}", place.segment, place.offset);
        io::Error::new(io::ErrorKind::InvalidData, format!("damaged log record at {at}: {detail}"))
    };
    let mut header = [0; record::HEADER_LEN];
    file.read_exact_at(&mut header, u64::from(place.offset))?;
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if len > record::PAYLOAD_LEN_MAX {
        return Err(bad("its length is impossible"));
    }
    let mut bytes = vec![0; record::HEADER_LEN + len];
    file.read_exact_at(&mut bytes, u64::from(place.offset))?;
    let payload = record::check(&bytes, place.segment, place.offset).ok_or_else(|| bad("wrong checksum"))?;
    match Record::decode(payload)? {
        Record::Entry { entry, .. } if entry.log_id() == log_id => Ok(entry),
        _ => Err(bad("another record stands there")),
    }
}

impl RaftLogReader<TypeConfig> for GroupLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.read(range, usize::MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.index.lock().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start..end, PORTION_LEN).await
    }

    /// In portions: after a restart much may have to be applied.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let from = match range.start_bound() {
            Bound::Included(&from) => from,
            Bound::Excluded(&before) => before + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&to) => to,
            Bound::Unbounded => u64::MAX,
        };
        let log = self.clone();
        stream::try_unfold((from, VecDeque::new()), move |(next, mut portion)| {
            let log = log.clone();
            async move {
                if portion.is_empty() {
                    portion = VecDeque::from(log.read(next..to, PORTION_LEN).await?);
                }
                Ok(portion.pop_front().map(|entry: Entry| {
                    let next = entry.log_id().index + 1;
                    (entry, (next, portion))
                }))
            }
        })
    }
}

impl RaftLogStorage<TypeConfig> for GroupLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let index = self.index.lock();
        Ok(LogState { last_purged_log_id: index.purged(), last_log_id: index.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.write(&Record::Vote { group: self.group, vote: *vote }, Effect::Vote(*vote)).await?;
        self.index.lock().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut entries = entries.into_iter().peekable();
        let mut callback = Some(callback);
        while callback.is_some() {
            let mut pieces = Vec::new();
            let mut appended = Vec::new();
            let mut len = 0;
            while len < SUBMISSION_LEN
                && let Some(entry) = entries.next()
            {
                let log_id = entry.log_id();
                let record = Record::Entry { group: self.group, entry };
                let payload = record.encode()?;
                let Record::Entry { entry, .. } = record else { unreachable!("it was made one line above") };
                appended.push((entry, payload.len() as u32));
                len += record::framed_len(payload.len());
                pieces.push(Piece { group: self.group, payload, effect: Effect::Entry(log_id) });
            }
            let permit = Some(self.permit(len).await?);
            {
                let mut index = self.index.lock();
                for (entry, len) in appended {
                    index.append(entry, len)?;
                }
            }
            // The writer keeps the order: when the last portion is durable, all are.
            let done: Option<super::writer::Done> = match entries.peek() {
                Some(_) => None,
                None => callback.take().map(|callback| Box::new(move |result| callback.io_completed(result)) as _),
            };
            self.submit(Submission { pieces, done, _permit: permit })?;
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        let from = last_log_id.map_or(0, |id| id.index + 1);
        self.index.lock().truncate(from);
        self.write(&Record::Truncate { group: self.group, from }, Effect::Truncate).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.write(&Record::Purge { group: self.group, upto }, Effect::Purge(upto)).await?;
        self.index.lock().purge(upto);
        Ok(())
    }
}
