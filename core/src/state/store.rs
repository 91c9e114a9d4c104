//! One group's redb file.

use super::{
    file::{File, Work},
    io_error,
    kv::{Key, SchoolKv, Value},
    place::{self, Place},
    recent::Recent,
    stored, tail,
};
use crate::{
    meta::{self, View},
    raft::types::{Answer, Command, Entry, Group, LogId, META, OperationAnswer, StoredMembership},
};
use openraft::{EntryPayload, entry::RaftEntry};
use parking_lot::Mutex;
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use schulhof_school::view;
use schulhof_sync::Ordered;
use schulhof_wire::{
    LogIndex, SchoolId,
    node::{self, EncodedOperation},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, io, path::Path, sync::Arc, time::Instant};
use tokio::sync::watch;

/// (school, key of `schulhof_school`) -> value; and under names that no school can have what the group knows besides
/// ([`META_RECORDS`], [`place::PLACES`]), so that a snapshot carries all of it.
pub(super) const STATE: TableDefinition<Key, Value> = TableDefinition::new("state");
/// (school, index) -> postcard of [`node::Entry`] behind [`ENTRY_VERSION`]. The newest of each school, see
/// [`super::tail`].
pub(super) const ENTRIES: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("entries");
/// What belongs to the group and not to a school.
const META_TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const APPLIED: &str = "applied";
const MEMBERSHIP: &str = "membership";
const FORMAT: &str = "format";
const FORMAT_VERSION: u8 = 1;
const ENTRY_VERSION: u8 = 1;
/// In [`STATE`]: the records of the meta group.
const META_RECORDS: &str = "/meta";

/// What has become of a school.
struct Touched {
    head: LogIndex,
    /// The last of its entries.
    entries: Vec<node::Entry>,
}

#[derive(Default)]
struct Applied {
    answers: Vec<Answer>,
    touched: BTreeMap<SchoolId, Option<Touched>>,
    meta_changed: bool,
    work: Work,
}

/// State and entries of a group's schools. All methods that touch the disk block.
pub struct Store {
    pub(super) group: Group,
    pub(super) file: File,
    heads: Mutex<BTreeMap<SchoolId, watch::Sender<LogIndex>>>,
    /// Of the schools in `heads`.
    recent: Mutex<Recent>,
    /// What the meta group knows; empty in others.
    view: watch::Sender<Arc<View>>,
}

impl Store {
    /// Opens or creates the file. `cache_len` bounds redb's memory.
    pub fn open(path: &Path, group: Group, cache_len: usize) -> io::Result<Self> {
        let file = File::open(path, cache_len)?;
        file.alone(|txn| {
            let mut meta = txn.open_table(META_TABLE).map_err(io_error)?;
            let format = meta.get(FORMAT).map_err(io_error)?.map(|value| value.value().to_vec());
            match format.as_deref() {
                None => drop(meta.insert(FORMAT, [FORMAT_VERSION].as_slice()).map_err(io_error)?),
                Some([FORMAT_VERSION]) => {}
                Some(other) => {
                    let detail = format!("state file {}: format {other:?} is not known here", path.display());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
                }
            }
            txn.open_table(STATE).map_err(io_error)?;
            txn.open_table(ENTRIES).map_err(io_error)?;
            Ok(())
        })?;
        let (heads, recent, view) = (Mutex::default(), Mutex::default(), watch::Sender::default());
        let store = Self { group, file, heads, recent, view };
        store.publish_view()?;
        Ok(store)
    }

    /// Last applied log id and membership.
    pub fn applied(&self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Self::applied_in(&self.file.read()?)
    }

    pub(super) fn applied_in(txn: &ReadTransaction) -> io::Result<(Option<LogId>, StoredMembership)> {
        let meta = txn.open_table(META_TABLE).map_err(io_error)?;
        Ok((load(&meta, APPLIED)?.flatten(), load(&meta, MEMBERSHIP)?.unwrap_or_default()))
    }

    /// Applies log entries; answers for each, in order.
    pub fn apply(&self, entries: &[Entry]) -> io::Result<Vec<Answer>> {
        let started = Instant::now();
        let applied = self.file.extend(|txn| {
            let applied = self.apply_in(txn, entries)?;
            let work = applied.work;
            Ok((applied, work))
        })?;
        metrics::counter!("schulhof_core_commits_total").increment(entries.len() as u64);
        metrics::histogram!("schulhof_core_apply_seconds").record(started.elapsed().as_secs_f64());
        for (school, touched) in applied.touched {
            match touched {
                Some(Touched { head, entries }) => self.publish(&school, head, entries),
                None => self.forget(&school),
            }
        }
        if applied.meta_changed {
            self.publish_view()?;
        }
        Ok(applied.answers)
    }

    fn apply_in(&self, txn: &WriteTransaction, entries: &[Entry]) -> io::Result<Applied> {
        let mut applied = Applied::default();
        let mut state = txn.open_table(STATE).map_err(io_error)?;
        let mut log = txn.open_table(ENTRIES).map_err(io_error)?;
        let mut meta = txn.open_table(META_TABLE).map_err(io_error)?;
        for entry in entries {
            let answer = match &entry.payload {
                EntryPayload::Blank => Answer::Nothing,
                EntryPayload::Normal(command) => {
                    applied.work.operations += command.operations();
                    applied.work.bytes += command.len_about();
                    applied.meta_changed |= matches!(command, Command::Meta(_));
                    self.apply_command(&mut state, &mut log, command, &mut applied.touched)?
                }
                EntryPayload::Membership(membership) => {
                    save(&mut meta, MEMBERSHIP, &StoredMembership::new(Some(entry.log_id()), membership.clone()))?;
                    Answer::Nothing
                }
            };
            applied.answers.push(answer);
        }
        if let Some(last) = entries.last() {
            save(&mut meta, APPLIED, &Some(last.log_id()))?;
        }
        Ok(applied)
    }

    /// `touched`: `None` if the school is not served here any more, or not yet.
    fn apply_command(
        &self,
        state: &mut Table<'_, Key, Value>,
        log: &mut Table<'_, (&'static str, u64), &'static [u8]>,
        command: &Command,
        touched: &mut BTreeMap<SchoolId, Option<Touched>>,
    ) -> io::Result<Answer> {
        match command {
            Command::Operations { school, epoch, operations } => {
                if !place::read(state, school)?.serves(*epoch) {
                    return Ok(Answer::Moved);
                }
                let before = touched.remove(school).flatten().map_or_else(Vec::new, |before| before.entries);
                let (after, answers) = apply_batch(state, log, school, operations, before)?;
                touched.insert(school.clone(), Some(after));
                Ok(Answer::Operations(answers))
            }
            Command::Load { school, epoch, number, chunk } => {
                let (answer, head) = place::load(state, log, school, *epoch, *number, chunk)?;
                if !matches!(answer, Answer::Moved) {
                    touched.insert(school.clone(), head.map(|head| Touched { head, entries: Vec::new() }));
                }
                Ok(answer)
            }
            Command::Seal { school, epoch } => place::seal(state, school, *epoch),
            Command::Drop { school, epoch } => {
                let answer = place::drop(state, log, school, *epoch)?;
                if answer == Answer::Dropped {
                    touched.insert(school.clone(), None);
                }
                Ok(answer)
            }
            Command::Trim { school, epoch, first } => tail::trim(state, log, school, *epoch, *first),
            Command::Stored { school, epoch, follows, snapshot } => {
                stored::note(state, school, *epoch, *follows, snapshot)
            }
            Command::Meta(_) if self.group != META => Ok(Answer::Moved),
            Command::Meta(command) => {
                let mut kv = SchoolKv::named(state, META_RECORDS);
                let answer = meta::apply(&mut kv, command);
                kv.finish().map_err(io_error)?;
                Ok(Answer::Meta(answer))
            }
        }
    }

    /// Makes durable what was applied; returns up to where. The log may be purged up to there.
    pub fn make_durable(&self) -> io::Result<(Option<LogId>, StoredMembership)> {
        self.file.alone(|txn| {
            let mut meta = txn.open_table(META_TABLE).map_err(io_error)?;
            let reached = (load(&meta, APPLIED)?.flatten(), load(&meta, MEMBERSHIP)?.unwrap_or_default());
            // Written again, so that the transaction is not empty and takes those before it along.
            save(&mut meta, APPLIED, &reached.0)?;
            Ok(reached)
        })
    }

    /// To be called now and then: what was applied becomes durable although nothing follows.
    pub fn make_durable_if_due(&self) -> io::Result<()> {
        if self.file.is_due() { self.make_durable().map(drop) } else { Ok(()) }
    }

    /// Replaces everything by what `fill` writes, in one durable transaction.
    pub(super) fn replace(
        &self,
        applied: Option<LogId>,
        membership: &StoredMembership,
        fill: impl FnOnce(&WriteTransaction) -> io::Result<()>,
    ) -> io::Result<()> {
        self.file.alone(|txn| {
            txn.delete_table(STATE).map_err(io_error)?;
            txn.delete_table(ENTRIES).map_err(io_error)?;
            fill(txn)?;
            let mut meta = txn.open_table(META_TABLE).map_err(io_error)?;
            save(&mut meta, APPLIED, &applied)?;
            save(&mut meta, MEMBERSHIP, membership)
        })?;
        self.recent.lock().clear();
        let schools: Vec<(SchoolId, LogIndex)> =
            self.heads.lock().iter().map(|(school, head)| (school.clone(), *head.borrow())).collect();
        for (school, before) in schools {
            match self.read_head(&school)? {
                // It was moved away.
                head if head < before => self.forget(&school),
                head => self.publish(&school, head, Vec::new()),
            }
        }
        self.publish_view()
    }

    /// `entries`: the last ones before the head, if they are known.
    pub(super) fn publish(&self, school: &SchoolId, head: LogIndex, entries: Vec<node::Entry>) {
        if let Some(sender) = self.heads.lock().get(school) {
            if sender.receiver_count() > 0 {
                self.recent.lock().push(school, entries);
            }
            sender.send_replace(head);
        }
    }

    /// Whoever watches the school's head learns that there is none to watch.
    fn forget(&self, school: &SchoolId) {
        self.heads.lock().remove(school);
        self.recent.lock().forget(school);
    }

    fn publish_view(&self) -> io::Result<()> {
        if self.group == META {
            let view = self.with_records(|records| View::read(records))?;
            self.view.send_replace(Arc::new(view));
        }
        Ok(())
    }

    /// What the meta group knows, now and from now on. Empty in other groups.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// The meta group's records, as of now.
    pub fn with_records<R>(&self, read: impl FnOnce(&dyn schulhof_school::Kv) -> R) -> io::Result<R> {
        self.with_named(META_RECORDS, read)
    }

    /// Whether the school is served in this group, as far as is applied here.
    pub fn place(&self, school: &SchoolId) -> io::Result<Place> {
        let txn = self.file.read()?;
        place::read(&txn.open_table(STATE).map_err(io_error)?, school)
    }

    fn read_head(&self, school: &SchoolId) -> io::Result<LogIndex> {
        self.with_school(school, |kv| view::head(kv))
    }

    /// The school's last applied index, now and from now on.
    pub fn head(&self, school: &SchoolId) -> io::Result<watch::Receiver<LogIndex>> {
        let mut heads = self.heads.lock();
        if let Some(sender) = heads.get(school) {
            return Ok(sender.subscribe());
        }
        // Under the lock: what is applied meanwhile is published after it, or is seen here.
        let (sender, receiver) = watch::channel(self.read_head(school)?);
        heads.insert(school.clone(), sender);
        Ok(receiver)
    }

    /// A school's confirmed state, as of now.
    pub fn with_school<R>(&self, school: &SchoolId, read: impl FnOnce(&dyn schulhof_school::Kv) -> R) -> io::Result<R> {
        self.with_named(school.as_str(), read)
    }

    fn with_named<R>(&self, name: &str, read: impl FnOnce(&dyn schulhof_school::Kv) -> R) -> io::Result<R> {
        let txn = self.file.read()?;
        let table = txn.open_table(STATE).map_err(io_error)?;
        let kv = SchoolKv::named(&table, name);
        let result = read(&kv);
        kv.finish().map_err(io_error)?;
        Ok(result)
    }

    /// The same as [`Self::entries`] if they are in memory, which the last ones of a school are whose head is watched. Does not
    /// block.
    pub fn recent(
        &self,
        school: &SchoolId,
        after: LogIndex,
        count_max: usize,
        bytes_max: usize,
    ) -> Option<Vec<node::Entry>> {
        self.recent.lock().after(school, after, count_max, bytes_max)
    }

    /// Entries that follow on an index: at most so many, and not many more bytes than that, but one at least if there is one.
    pub fn entries(
        &self,
        school: &SchoolId,
        after: LogIndex,
        count_max: usize,
        bytes_max: usize,
    ) -> io::Result<Vec<node::Entry>> {
        let txn = self.file.read()?;
        let table = txn.open_table(ENTRIES).map_err(io_error)?;
        let (from, to) = ((school.as_str(), after.0.saturating_add(1)), (school.as_str(), u64::MAX));
        let mut entries = Vec::new();
        let mut bytes = 0;
        for item in table.range(from..to).map_err(io_error)?.take(count_max) {
            let (_, value) = item.map_err(io_error)?;
            bytes += value.value().len();
            entries.push(decode_entry(value.value())?);
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(entries)
    }
}

fn apply_batch(
    state: &mut Table<'_, Key, Value>,
    log: &mut Table<'_, (&'static str, u64), &'static [u8]>,
    school: &SchoolId,
    operations: &[EncodedOperation],
    mut entries: Vec<node::Entry>,
) -> io::Result<(Touched, Vec<OperationAnswer>)> {
    let mut kv = SchoolKv::new(state, school);
    let mut answers = Vec::with_capacity(operations.len());
    for operation in operations {
        let result = schulhof_sync::order(&mut kv, operation.clone());
        answers.push(match result {
            Ok(Ordered::Entry { entry, .. }) => {
                let bytes = postcard::to_extend(&entry, vec![ENTRY_VERSION]).map_err(io::Error::other)?;
                log.insert((school.as_str(), entry.index.0), bytes.as_slice()).map_err(io_error)?;
                let outcome = if entry.rejected.is_some() { "rejected" } else { "accepted" };
                metrics::counter!("schulhof_core_operations_total", "outcome" => outcome).increment(1);
                let answer = OperationAnswer::Entry { index: entry.index, rejected: entry.rejected.clone() };
                entries.push(entry);
                answer
            }
            Ok(Ordered::Duplicate) => OperationAnswer::Duplicate,
            Ok(Ordered::Gap { expected }) => OperationAnswer::Gap { expected },
            Err(_) => OperationAnswer::Malformed,
        });
    }
    let head = view::head(&kv);
    kv.finish().map_err(io_error)?;
    Ok((Touched { head, entries }, answers))
}

pub(super) fn decode_entry(bytes: &[u8]) -> io::Result<node::Entry> {
    let bad = |detail: String| io::Error::new(io::ErrorKind::InvalidData, format!("unreadable log entry: {detail}"));
    match bytes.split_first() {
        Some((&ENTRY_VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| bad(e.to_string())),
        first => Err(bad(format!("version {:?}", first.map(|(version, _)| version)))),
    }
}

fn load<T: DeserializeOwned>(meta: &impl ReadableTable<&'static str, Value>, key: &str) -> io::Result<Option<T>> {
    let Some(value) = meta.get(key).map_err(io_error)? else { return Ok(None) };
    postcard::from_bytes(value.value())
        .map(Some)
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("unreadable {key:?} in the state: {e}")))
}

fn save(meta: &mut Table<'_, &'static str, Value>, key: &str, value: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(value).map_err(io::Error::other)?;
    meta.insert(key, bytes.as_slice()).map_err(io_error)?;
    Ok(())
}
