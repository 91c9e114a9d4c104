//! States of schools in the object store: written by whichever node leads a school's group, read when a replica is loaded.
//!
//! What this is for: a first load of a gateway or a burnt box reads objects, and then the entries since; not the live state,
//! whose old pages redb would have to keep for as long as a slow line takes. What it must not do: give what is not what its name
//! says. A chunk that is damaged on all nodes is found by its hash; from then on the live state is read, until the next one
//! is stored whole.
//!
//! Which there are stands in the group's log ([`crate::state::stored`]). Chunks in which nothing has changed since the one
//! before are not written again. What no stored state names goes away after a while, on each node by itself.

use crate::{
    meta::School,
    objects::{ObjectError, Objects, check},
    raft::{
        Groups, ProposeError,
        types::{Answer, Command, Group},
    },
    state::{
        school::{Parts, SchoolChunk, SchoolDump},
        stored::SchoolSnapshot,
    },
    tail,
};
use futures_util::TryStreamExt;
use parking_lot::Mutex;
use schulhof_wire::{
    BlobHash, LogIndex, SchoolId,
    blob::{ObjectKey, Space},
};
use std::{
    collections::BTreeSet,
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Between two looks at schools that are led here ([`tail::SCHOOLS_PER_LOOK`] of them): a few look-ups for each.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A school in which anything happens is stored this often at least.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// A stored state is used while it is at most so many times [`Snapshots::every`] entries old: those are sent after it.
const STALE_MAX: u64 = 2;
/// Chunks of one state: 4 GiB at least. The list goes through the group's log.
const CHUNKS_MAX: usize = 1 << 16;
/// Between two looks for objects that nobody needs.
const SWEEP_EVERY: Duration = Duration::from_hours(1);
/// Objects younger than this may be of a state that is not noted yet; longer than any takes to be written.
pub const GRACE: Duration = Duration::from_hours(2);
/// A state that is not written by then is given up.
const WRITE_MAX: Duration = Duration::from_hours(1);

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("the state cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error("it has more than {CHUNKS_MAX} chunks")]
    TooLarge,
    #[error("it took too long")]
    TooSlow,
    #[error("{key}: {detail}")]
    Unreadable { key: ObjectKey, detail: String },
}

/// What the driver and the sync door share.
pub struct Snapshots {
    groups: Arc<Groups>,
    objects: Objects,
    /// Entries after which a school is stored anew.
    every: u64,
    /// Schools whose newest stored state cannot be read.
    damaged: Mutex<BTreeSet<SchoolId>>,
}

impl Snapshots {
    pub fn new(groups: Arc<Groups>, objects: Objects, every: u64) -> Self {
        Self { groups, objects, every, damaged: Mutex::default() }
    }

    /// The stored state that a replica of the school may begin with; `None`: read the live one. `first`, `head`: what is kept of
    /// the log here.
    pub async fn usable(&self, group: Group, school: &SchoolId, first: LogIndex, head: LogIndex) -> Option<Reading> {
        if self.damaged.lock().contains(school) {
            return None;
        }
        let newest = self.known(group, school).await.ok()?.pop()?;
        let fresh = newest.head.0 + 1 >= first.0 && head.0.saturating_sub(newest.head.0) <= self.every * STALE_MAX;
        fresh.then(|| Reading {
            objects: self.objects.clone(),
            school: school.clone(),
            chunks: newest.chunks.into_iter(),
        })
    }

    /// The newest stored state of the school could not be read.
    pub fn cannot_use(&self, school: &SchoolId, why: &SnapshotError) {
        metrics::counter!("schulhof_core_snapshots_damaged_total").increment(1);
        tracing::error!(%school, "a stored state cannot be used, the live one is read: {why}");
        self.damaged.lock().insert(school.clone());
    }

    async fn known(&self, group: Group, school: &SchoolId) -> Result<Vec<SchoolSnapshot>, SnapshotError> {
        let (store, school) = (self.groups.store(group)?.clone(), school.clone());
        Ok(tokio::task::spawn_blocking(move || store.snapshots(&school)).await.map_err(io::Error::other)??)
    }

    /// Stores what is due and removes what nobody needs, until it is dropped.
    pub async fn drive(self: Arc<Self>) {
        let mut swept = Instant::now();
        let mut after = None;
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let view = self.groups.view().borrow().clone();
            let ready = self.groups.all_current() && self.groups.space().has_room();
            let may = |place: &School| ready && self.groups.leads(place.group) && place.moving.is_none();
            for (school, place) in tail::turn(&view.schools, &mut after, may) {
                if let Err(e) = self.store_if_due(school, place).await {
                    tracing::warn!(%school, "a state is stored later: {e}");
                }
            }
            if swept.elapsed() >= SWEEP_EVERY {
                self.sweep(GRACE).await;
                swept = Instant::now();
            }
        }
    }

    async fn store_if_due(&self, school: &SchoolId, place: &School) -> Result<(), SnapshotError> {
        let (store, named) = (self.groups.store(place.group)?.clone(), school.clone());
        let head = tokio::task::spawn_blocking(move || store.kept(&named)).await.map_err(io::Error::other)??.0;
        let newest = self.known(place.group, school).await?.pop();
        let (since, taken_ms) = newest.as_ref().map_or((0, u64::MAX), |newest| (newest.head.0, newest.taken_ms));
        let new = head.0.saturating_sub(since);
        let due = new >= self.every || (new > 0 && now_ms().saturating_sub(taken_ms) >= DAY_MS);
        if !due {
            return Ok(());
        }
        let taken = tokio::time::timeout(WRITE_MAX, self.write(school, place.group, newest.as_ref()));
        let snapshot = taken.await.map_err(|_| SnapshotError::TooSlow)??;
        let (head, chunks) = (snapshot.head, snapshot.chunks.len());
        let command = Command::Stored {
            school: school.clone(),
            epoch: place.epoch,
            follows: newest.map(|newest| newest.head),
            snapshot: Arc::new(snapshot),
        };
        if self.groups.propose(place.group, command).await? == (Answer::Noted { noted: true }) {
            self.damaged.lock().remove(school);
            metrics::counter!("schulhof_core_snapshots_stored_total").increment(1);
            tracing::info!(%school, head = head.0, chunks, "a state was stored");
        }
        Ok(())
    }

    /// Writes the school's state as of now; all of it if the one before cannot be read.
    async fn write(
        &self,
        school: &SchoolId,
        group: Group,
        before: Option<&SchoolSnapshot>,
    ) -> Result<SchoolSnapshot, SnapshotError> {
        let trusted = before.filter(|_| !self.damaged.lock().contains(school));
        let there: BTreeSet<BlobHash> = trusted.into_iter().flat_map(|before| before.chunks.iter().copied()).collect();
        let (store, named) = (self.groups.store(group)?.clone(), school.clone());
        let open = tokio::task::spawn_blocking(move || store.dump_school(&named, Parts::State));
        let mut dump = open.await.map_err(io::Error::other)??;
        let mut snapshot = SchoolSnapshot { head: dump.head(), taken_ms: now_ms(), chunks: Vec::new() };
        loop {
            let read = tokio::task::spawn_blocking(move || next(dump)).await.map_err(io::Error::other)??;
            let Some((bytes, rest)) = read else { return Ok(snapshot) };
            dump = rest;
            if snapshot.chunks.len() == CHUNKS_MAX {
                return Err(SnapshotError::TooLarge);
            }
            let key = key(school, check::hash(&bytes));
            if !there.contains(&key.hash) {
                self.objects.put(&key, bytes.into()).await?;
            }
            snapshot.chunks.push(key.hash);
        }
    }

    /// Removes this node's objects that no stored state names and that are older than `grace`; those in a bucket, which is
    /// everybody's, only where the school's group is led.
    pub async fn sweep(&self, grace: Duration) {
        let view = self.groups.view().borrow().clone();
        let mut removed = 0;
        for (school, place) in &view.schools {
            match self.sweep_school(school, place.group, grace).await {
                Ok(objects) => removed += objects,
                Err(e) => tracing::warn!(%school, "old parts of stored states are removed later: {e}"),
            }
        }
        metrics::counter!("schulhof_core_snapshot_objects_removed_total").increment(removed);
    }

    async fn sweep_school(&self, school: &SchoolId, group: Group, grace: Duration) -> Result<u64, SnapshotError> {
        if self.objects.replicas().is_none() {
            match self.groups.confirm(group).await {
                Err(ProposeError::NotLeader(_)) => return Ok(0),
                confirmed => confirmed?,
            }
        }
        // What is noted after this look is younger than the grace.
        let known = self.known(group, school).await?;
        let needed: BTreeSet<BlobHash> = known.into_iter().flat_map(|snapshot| snapshot.chunks).collect();
        let mut listed = self.objects.local().list(Space::Snapshot, school);
        let mut removed = 0;
        while let Some(object) = listed.try_next().await? {
            let age = SystemTime::now().duration_since(object.written).unwrap_or_default();
            if age >= grace && !needed.contains(&object.key.hash) {
                self.objects.delete_here(&object.key).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// A stored state that is being read.
pub struct Reading {
    objects: Objects,
    school: SchoolId,
    chunks: std::vec::IntoIter<BlobHash>,
}

impl Reading {
    /// The next chunk; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<SchoolChunk>, SnapshotError> {
        let Some(hash) = self.chunks.next() else { return Ok(None) };
        let key = key(&self.school, hash);
        let bytes = self.objects.get(&key).await?;
        let chunk = SchoolChunk::decode(&bytes);
        chunk.map(Some).map_err(|detail| SnapshotError::Unreadable { key, detail })
    }
}

fn key(school: &SchoolId, hash: BlobHash) -> ObjectKey {
    ObjectKey { school: school.clone(), space: Space::Snapshot, hash }
}

fn next(mut dump: SchoolDump) -> io::Result<Option<(Vec<u8>, SchoolDump)>> {
    Ok(dump.next_chunk()?.map(|chunk| (chunk.encode(), dump)))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
