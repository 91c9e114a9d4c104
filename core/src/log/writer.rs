//! The one thread that writes: everything that waits goes into one write and one sync.
//!
//! After the first failure nothing is written any more: what the disk holds is no longer known for sure
//! (a failed fsync may not be tried again), and every later submission is answered with the first error.

use super::{
    LogError,
    disk::{Disk, DiskFile},
    index::{Index, Place},
    record::{self, Record},
    segment::{self, Header},
};
use crate::raft::types::{Group, LogId, Vote};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Arc, mpsc},
    time::Instant,
};
use tokio::sync::OwnedSemaphorePermit;

/// One write takes at most about this much: a longer one would make those who wait behind it wait longer.
const WRITE_LEN_MAX: usize = 4 << 20;

pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What a record means for the writer.
pub enum Effect {
    Entry(LogId),
    Vote(Vote),
    Truncate,
    Purge(LogId),
}

pub struct Piece {
    pub group: Group,
    pub payload: Vec<u8>,
    pub effect: Effect,
}

/// Records that belong together; `done` is called when they are durable, or cannot be.
pub struct Submission {
    pub pieces: Vec<Piece>,
    pub done: Option<Done>,
    /// Gives back what the submission takes of the memory for waiting writes.
    pub _permit: Option<OwnedSemaphorePermit>,
}

pub enum Message {
    Write(Submission),
    Close,
}

/// What stands for a group at the beginning of each segment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint {
    pub vote: Option<Vote>,
    pub purged: Option<LogId>,
}

/// A segment, and the last entry of each group in it.
#[derive(Debug)]
pub struct Sealed {
    pub number: u64,
    pub last: BTreeMap<Group, u64>,
}

/// What the writer shares with readers.
#[derive(Default)]
pub struct Shared {
    pub indices: BTreeMap<Group, Arc<Mutex<Index>>>,
    /// Of all segments that are there.
    pub files: Mutex<BTreeMap<u64, Arc<dyn DiskFile>>>,
    /// Groups whose entries keep the oldest segment from being deleted.
    pub holding: Mutex<Vec<Group>>,
}

pub struct Writer {
    pub disk: Arc<dyn Disk>,
    pub segment_len: usize,
    pub shared: Arc<Shared>,
    pub checkpoints: BTreeMap<Group, Checkpoint>,
    pub sealed: VecDeque<Sealed>,
    pub current: Sealed,
    pub file: Arc<dyn DiskFile>,
    /// Where the next record goes.
    pub end: u32,
    /// A file of zeros, being prepared for the next segment.
    pub spare: Spare,
    pub failed: Option<String>,
}

/// Where the file comes from that the next segment will take.
pub type Spare = mpsc::Receiver<io::Result<Arc<dyn DiskFile>>>;

/// Starts making the file that the next segment will take.
pub fn prepare_spare(disk: &Arc<dyn Disk>, len: usize) -> Spare {
    let (made, spare) = mpsc::channel();
    let on = disk.clone();
    disk.beside(Box::new(move || drop(made.send(segment::prepare(&*on, len)))));
    spare
}

fn spare(made: &Spare) -> io::Result<Arc<dyn DiskFile>> {
    made.recv().unwrap_or_else(|_| Err(io::Error::other("preparing a log segment panicked")))
}

/// The first segment of a new log.
pub fn first_segment(disk: &dyn Disk, segment_len: usize) -> io::Result<Arc<dyn DiskFile>> {
    let file = segment::prepare(disk, segment_len)?;
    segment::create(disk, &*file, Header { number: 1, previous_end: 0 })?;
    Ok(file)
}

impl Writer {
    /// Until it is closed, or nobody is left who could submit.
    pub fn run(mut self, messages: &mpsc::Receiver<Message>) {
        while self.turn(messages) {}
        // Its file stays behind and is made anew at the next start.
        let _ = spare(&self.spare);
    }

    /// Waits for something and commits it with all that waits; false after the last time.
    pub fn turn(&mut self, messages: &mpsc::Receiver<Message>) -> bool {
        let Ok(message) = messages.recv() else { return false };
        let mut open = true;
        let mut waiting = Vec::new();
        let mut len = 0;
        let mut next = Some(message);
        while let Some(message) = next {
            match message {
                Message::Write(submission) => {
                    len += submission.pieces.iter().map(|p| record::framed_len(p.payload.len())).sum::<usize>();
                    waiting.push(submission);
                }
                Message::Close => open = false,
            }
            next = if open && len < WRITE_LEN_MAX { messages.try_recv().ok() } else { None };
        }
        self.commit(waiting, len);
        open
    }

    /// Writes what stands for each group: a node may have died after it began a segment and before that was in it.
    /// Makes durable with it what was found at the segment's end.
    pub fn write_checkpoints(&mut self) -> io::Result<()> {
        let mut pieces = Vec::new();
        let mut len = 0;
        for (&group, Checkpoint { vote, purged }) in &self.checkpoints {
            let payload = Record::Checkpoint { group, vote: *vote, purged: *purged }.encode()?;
            len += record::framed_len(payload.len());
            pieces.push(Piece { group, payload, effect: Effect::Truncate });
        }
        self.write(&[Submission { pieces, done: None, _permit: None }], len)
    }

    fn commit(&mut self, waiting: Vec<Submission>, len: usize) {
        if waiting.is_empty() {
            return;
        }
        let result = match &self.failed {
            Some(first) => Err(io::Error::other(format!("the log failed before: {first}"))),
            None => self.write(&waiting, len),
        };
        if let (Err(e), None) = (&result, &self.failed) {
            tracing::error!("the log cannot be written: {e}");
            metrics::counter!("schulhof_core_log_failures_total").increment(1);
            self.failed = Some(e.to_string());
        }
        let mut purges = false;
        for submission in waiting {
            purges |= submission.pieces.iter().any(|piece| matches!(piece.effect, Effect::Purge(_)));
            if let Some(done) = submission.done {
                done(match &result {
                    Ok(()) => Ok(()),
                    Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
                });
            }
        }
        if purges && result.is_ok() {
            self.delete_purged();
        }
    }

    /// One write, one sync.
    fn write(&mut self, waiting: &[Submission], len: usize) -> io::Result<()> {
        if self.end as usize + len > self.segment_len && self.end as usize > segment::HEADER_LEN {
            self.roll()?;
        }
        let mut bytes = Vec::with_capacity(len);
        let mut placed = Vec::new();
        for piece in waiting.iter().flat_map(|submission| &submission.pieces) {
            let place = Place { segment: self.current.number, offset: self.end + bytes.len() as u32 };
            record::frame(&mut bytes, self.current.number, self.end, &piece.payload);
            let checkpoint = self.checkpoints.entry(piece.group).or_default();
            match &piece.effect {
                Effect::Entry(log_id) => {
                    self.current.last.insert(piece.group, log_id.index);
                    placed.push((piece.group, *log_id, place));
                }
                Effect::Vote(vote) => checkpoint.vote = Some(*vote),
                Effect::Truncate => {}
                Effect::Purge(upto) => checkpoint.purged = Some(*upto),
            }
        }
        let started = Instant::now();
        self.file.write_all_at(&bytes, u64::from(self.end))?;
        // Readable from the file now; memory may forget them.
        for (group, log_id, place) in placed.iter().copied() {
            if let Some(index) = self.shared.indices.get(&group) {
                index.lock().placed(log_id, place);
            }
        }
        self.file.sync_data()?;
        self.end += bytes.len() as u32;
        metrics::histogram!("schulhof_core_log_sync_seconds").record(started.elapsed().as_secs_f64());
        metrics::histogram!("schulhof_core_log_batch_size").record(placed.len() as f64);
        metrics::counter!("schulhof_core_log_bytes_total").increment(bytes.len() as u64);
        Ok(())
    }

    /// Goes on in a new segment, which begins with the checkpoints of all groups.
    fn roll(&mut self) -> io::Result<()> {
        let file = spare(&self.spare).or_else(|e| {
            // It was tried a segment ago: there may be room since.
            tracing::warn!("the next log segment was not prepared, and is made now: {e}");
            segment::prepare(&*self.disk, self.segment_len)
        })?;
        let number = self.current.number + 1;
        segment::create(&*self.disk, &*file, Header { number, previous_end: self.end })?;
        self.spare = prepare_spare(&self.disk, self.segment_len);
        self.shared.files.lock().insert(number, file.clone());
        self.file = file;
        self.sealed.push_back(std::mem::replace(&mut self.current, Sealed { number, last: BTreeMap::new() }));
        self.end = segment::HEADER_LEN as u32;
        let mut bytes = Vec::new();
        for (&group, checkpoint) in &self.checkpoints {
            let Checkpoint { vote, purged } = checkpoint.clone();
            let payload = Record::Checkpoint { group, vote, purged }.encode()?;
            record::frame(&mut bytes, number, self.end, &payload);
        }
        self.file.write_all_at(&bytes, u64::from(self.end))?;
        // Synced before any segment that it stands for may be deleted, and before it ceases to be the last write.
        self.file.sync_data()?;
        self.end += bytes.len() as u32;
        self.delete_purged();
        Ok(())
    }

    /// Deletes the oldest segments that no group needs.
    fn delete_purged(&mut self) {
        loop {
            metrics::gauge!("schulhof_core_log_segments").set(self.sealed.len() as f64 + 1.0);
            let holding = self.sealed.front().map_or_else(Vec::new, |sealed| self.holding(sealed));
            let idle = holding.is_empty();
            *self.shared.holding.lock() = holding;
            let Some(number) = self.sealed.front().map(|sealed| sealed.number).filter(|_| idle) else { return };
            self.shared.files.lock().remove(&number);
            if let Err(e) = segment::remove(&*self.disk, number) {
                // It is tried again at the next purge; reading what is purged anyway does no harm.
                tracing::warn!(segment = number, "a log segment that nobody needs cannot be deleted: {e}");
                return;
            }
            self.sealed.pop_front();
        }
    }

    fn holding(&self, sealed: &Sealed) -> Vec<Group> {
        let purged = |group: &Group| self.checkpoints.get(group).and_then(|c| c.purged).map(|id| id.index);
        sealed.last.iter().filter(|(group, last)| purged(group).is_none_or(|p| p < **last)).map(|(g, _)| *g).collect()
    }
}

impl From<LogError> for io::Error {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io(e) => e,
            damaged @ LogError::Damaged { .. } => io::Error::new(io::ErrorKind::InvalidData, damaged.to_string()),
        }
    }
}
