//! One school's state and kept entries as a stream of chunks, as of one moment; and the way back.
//!
//! For whoever needs a school and not its group: a box that is far behind, another group that the school moves to, the
//! snapshot in the object store, a backup. Reading holds one read transaction of redb, so writing goes on meanwhile.
//!
//! A stream is `Begin`, any number of `State`, then of `Entries`, then `End`. [`load_chunk`] takes them one by one and keeps
//! nothing between them but what it wrote: the chunks may come in different transactions, with a crash between. `End` is
//! checked against what stands in the tables then, so that a part which is lost, doubled or of another school is found.
//!
//! Chunks end where a key's checksum says so, not after so many bytes: a later dump of the same school repeats the
//! chunks in which nothing has changed, byte by byte, and a store by content keeps them once.
//!
//! The chunks themselves are `schulhof_wire::chunk`: replicas are loaded from them, too.

use super::{
    Store, io_error,
    kv::{Key, SchoolKv, Value},
    store::{ENTRIES, STATE, decode_entry},
};
use redb::{ReadOnlyTable, ReadableTable, Table};
use schulhof_school::view::{self, StateHasher};
pub use schulhof_wire::chunk::{CHUNK_LEN_MAX, CHUNK_VERSION, SchoolChunk, Summary};
use schulhof_wire::{LogIndex, SchoolId, node};
use std::{
    io,
    ops::Bound::{Excluded, Included, Unbounded},
};

/// A chunk does not end before it is this long, so that few are tiny.
const CHUNK_LEN_MIN: usize = 64 << 10;
/// It ends here at the latest: a fraction of a frame, and of what a receiver holds in memory. Well below [`CHUNK_LEN_MAX`].
const CHUNK_LEN: usize = 512 << 10;
/// A key whose CRC-32 ends with these bits zero ends a chunk: one of 512.
const CUT_MASK: u32 = 511;

/// Why a school could not be loaded. A damaged stream is the same on every replica, a disk's failure is not.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the dump of {school} cannot be used: {detail}")]
    Damaged { school: SchoolId, detail: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a dump holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// What a replica needs that goes on from `head`.
    State,
    /// What a group needs that orders the school, and serves those behind.
    StateAndEntries,
}

/// A view of one school at one moment, read chunk by chunk. While it lives redb keeps the pages of that moment.
pub struct SchoolDump {
    school: SchoolId,
    state: ReadOnlyTable<Key, Value>,
    entries: ReadOnlyTable<(&'static str, u64), &'static [u8]>,
    head: LogIndex,
    first: LogIndex,
    records: u64,
    state_hasher: StateHasher,
    entries_hasher: StateHasher,
    next: Next,
}

enum Next {
    Begin,
    /// After this key.
    State(Option<Vec<u8>>),
    /// From this index.
    Entries(u64),
    End,
    Nothing,
}

impl SchoolDump {
    fn open(store: &Store, school: &SchoolId, parts: Parts) -> io::Result<Self> {
        let txn = store.file.read()?;
        let state = txn.open_table(STATE).map_err(io_error)?;
        let entries = txn.open_table(ENTRIES).map_err(io_error)?;
        let kv = SchoolKv::new(&state, school);
        let head = view::head(&kv);
        kv.finish().map_err(io_error)?;
        let first = match parts {
            Parts::State => LogIndex(head.0 + 1),
            Parts::StateAndEntries => first_entry(&entries, school, head)?,
        };
        Ok(Self {
            school: school.clone(),
            state,
            entries,
            head,
            first,
            records: 0,
            state_hasher: StateHasher::default(),
            entries_hasher: StateHasher::default(),
            next: Next::Begin,
        })
    }

    /// The state is that after this entry.
    pub fn head(&self) -> LogIndex {
        self.head
    }

    /// The next chunk; `None` after the end. Blocks.
    pub fn next_chunk(&mut self) -> io::Result<Option<SchoolChunk>> {
        let chunk = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Begin => {
                self.next = Next::State(None);
                SchoolChunk::Begin { school: self.school.clone(), head: self.head, first: self.first }
            }
            Next::State(last) => self.state_chunk(last.as_deref())?,
            Next::Entries(from) => self.entries_chunk(from)?,
            Next::End => SchoolChunk::End(Summary {
                head: self.head,
                first: self.first,
                records: self.records,
                state_hash: self.state_hasher.clone().finish(),
                entries_hash: self.entries_hasher.clone().finish(),
            }),
            Next::Nothing => return Ok(None),
        };
        Ok(Some(chunk))
    }

    fn state_chunk(&mut self, last: Option<&[u8]>) -> io::Result<SchoolChunk> {
        let school = self.school.as_str();
        let from = last.map_or(Included((school, &[][..])), |key| Excluded((school, key)));
        let (mut records, mut len) = (Vec::new(), 0);
        self.next = Next::Entries(self.first.0);
        for item in self.state.range::<(&str, &[u8])>((from, Unbounded)).map_err(io_error)? {
            let (key, value) = item.map_err(io_error)?;
            let ((of, key), value) = (key.value(), value.value());
            if of != school {
                break;
            }
            self.state_hasher.record(key, value);
            len += key.len() + value.len();
            records.push((key.to_vec(), value.to_vec()));
            if is_cut(len, key) {
                self.next = Next::State(Some(key.to_vec()));
                break;
            }
        }
        self.records += records.len() as u64;
        Ok(SchoolChunk::State(records))
    }

    fn entries_chunk(&mut self, from: u64) -> io::Result<SchoolChunk> {
        let (mut records, mut len) = (Vec::new(), 0);
        self.next = Next::End;
        let range = (self.school.as_str(), from)..=(self.school.as_str(), self.head.0);
        for item in self.entries.range(range).map_err(io_error)? {
            let (key, value) = item.map_err(io_error)?;
            let (index, value) = (key.value().1, value.value());
            self.entries_hasher.record(&index.to_be_bytes(), value);
            len += value.len();
            records.push((index, value.to_vec()));
            if is_cut(len, &index.to_be_bytes()) {
                self.next = Next::Entries(index + 1);
                break;
            }
        }
        self.records += records.len() as u64;
        Ok(SchoolChunk::Entries(records))
    }
}

impl Iterator for SchoolDump {
    type Item = io::Result<SchoolChunk>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_chunk().transpose()
    }
}

fn is_cut(len: usize, key: &[u8]) -> bool {
    len >= CHUNK_LEN || (len >= CHUNK_LEN_MIN && crc32fast::hash(key) & CUT_MASK == 0)
}

type Entries = (&'static str, u64);

pub(super) fn first_entry(
    entries: &impl ReadableTable<Entries, &'static [u8]>,
    school: &SchoolId,
    head: LogIndex,
) -> io::Result<LogIndex> {
    let mut range = entries.range((school.as_str(), 0)..=(school.as_str(), u64::MAX)).map_err(io_error)?;
    let first = range.next().transpose().map_err(io_error)?;
    Ok(LogIndex(first.map_or(head.0 + 1, |(key, _)| key.value().1)))
}

/// Takes one chunk of a dump into the tables, in the transaction that they belong to. `Begin` removes what the school had
/// there; `End` gives the summary if what stands in the tables is what was dumped. After [`LoadError::Damaged`] the school
/// is not whole: roll back, or [`drop_school`].
pub fn load_chunk(
    state: &mut Table<'_, Key, Value>,
    entries: &mut Table<'_, Entries, &'static [u8]>,
    school: &SchoolId,
    chunk: &SchoolChunk,
) -> Result<Option<Summary>, LoadError> {
    match chunk {
        SchoolChunk::Begin { school: of, .. } if of != school => Err(damaged(school, format!("it is of {of}"))),
        SchoolChunk::Begin { .. } => {
            drop_school(state, entries, school)?;
            Ok(None)
        }
        SchoolChunk::State(records) => {
            for (key, value) in records {
                state.insert((school.as_str(), key.as_slice()), value.as_slice()).map_err(io_error)?;
            }
            Ok(None)
        }
        SchoolChunk::Entries(records) => {
            for (index, value) in records {
                entries.insert((school.as_str(), *index), value.as_slice()).map_err(io_error)?;
            }
            Ok(None)
        }
        SchoolChunk::End(expected) => {
            let found = summary(state, entries, school)?;
            if found == *expected {
                return Ok(Some(found));
            }
            Err(damaged(school, format!("{found:?} came of {expected:?}")))
        }
    }
}

fn damaged(school: &SchoolId, detail: String) -> LoadError {
    LoadError::Damaged { school: school.clone(), detail }
}

/// Removes the school's state and entries.
pub fn drop_school(
    state: &mut Table<'_, Key, Value>,
    entries: &mut Table<'_, Entries, &'static [u8]>,
    school: &SchoolId,
) -> io::Result<()> {
    // Keys of `schulhof_school` begin with a letter, so the end of its keys is the end of the school's.
    state.retain_in((school.as_str(), &[][..])..(school.as_str(), &[0xff][..]), |_, _| false).map_err(io_error)?;
    entries.retain_in((school.as_str(), 0)..=(school.as_str(), u64::MAX), |_, _| false).map_err(io_error)
}

/// What stands in the tables.
fn summary(
    state: &impl ReadableTable<Key, Value>,
    entries: &impl ReadableTable<Entries, &'static [u8]>,
    school: &SchoolId,
) -> Result<Summary, LoadError> {
    let kv = SchoolKv::new(state, school);
    let head = view::head(&kv);
    kv.finish().map_err(io_error)?;
    let (mut state_hasher, mut entries_hasher) = (StateHasher::default(), StateHasher::default());
    let mut records = 0;
    for item in
        state.range::<(&str, &[u8])>((school.as_str(), &[][..])..(school.as_str(), &[0xff][..])).map_err(io_error)?
    {
        let (key, value) = item.map_err(io_error)?;
        state_hasher.record(key.value().1, value.value());
        records += 1;
    }
    let first = first_entry(entries, school, head)?;
    let mut expected = first.0;
    for item in entries.range((school.as_str(), 0)..=(school.as_str(), u64::MAX)).map_err(io_error)? {
        let (key, value) = item.map_err(io_error)?;
        let index = key.value().1;
        if index != expected || index > head.0 {
            return Err(damaged(school, format!("entry {index} where {expected} follows, head {}", head.0)));
        }
        expected += 1;
        entries_hasher.record(&index.to_be_bytes(), value.value());
        records += 1;
    }
    if expected != head.0 + 1 {
        return Err(damaged(school, format!("the entries end at {}, the head is {}", expected - 1, head.0)));
    }
    let (state_hash, entries_hash) = (state_hasher.finish(), entries_hasher.finish());
    Ok(Summary { head, first, records, state_hash, entries_hash })
}

impl Store {
    /// A view of the school as of now. Blocks.
    pub fn dump_school(&self, school: &SchoolId, parts: Parts) -> io::Result<SchoolDump> {
        SchoolDump::open(self, school, parts)
    }

    /// First entry that is kept, one above the head if there is none. Blocks.
    pub fn first_kept(&self, school: &SchoolId) -> io::Result<LogIndex> {
        let txn = self.file.read()?;
        let state = txn.open_table(STATE).map_err(io_error)?;
        let kv = SchoolKv::new(&state, school);
        let head = view::head(&kv);
        kv.finish().map_err(io_error)?;
        first_entry(&txn.open_table(ENTRIES).map_err(io_error)?, school, head)
    }

    /// Of the `count` entries up to an index those that were rejected, in order. Blocks.
    pub fn rejected_before(&self, school: &SchoolId, upto: LogIndex, count: u64) -> io::Result<Vec<node::Entry>> {
        let txn = self.file.read()?;
        let entries = txn.open_table(ENTRIES).map_err(io_error)?;
        let from = (upto.0 + 1).saturating_sub(count);
        let mut rejected = Vec::new();
        for item in entries.range((school.as_str(), from)..=(school.as_str(), upto.0)).map_err(io_error)? {
            let (_, value) = item.map_err(io_error)?;
            let entry = decode_entry(value.value())?;
            rejected.extend(entry.rejected.is_some().then_some(entry));
        }
        Ok(rejected)
    }

    /// Puts a dumped school in the place of what is here under its name, in one durable transaction, or changes nothing.
    /// For a group that runs, the chunks must come through its log: see [`load_chunk`].
    pub fn load_school(
        &self,
        school: &SchoolId,
        chunks: impl IntoIterator<Item = io::Result<SchoolChunk>>,
    ) -> Result<Summary, LoadError> {
        let mut failed = None;
        let loaded = self.file.alone(|txn| {
            let load = || -> Result<Summary, LoadError> {
                let mut loaded = None;
                let mut state = txn.open_table(STATE).map_err(io_error)?;
                let mut entries = txn.open_table(ENTRIES).map_err(io_error)?;
                let mut begun = false;
                for chunk in chunks {
                    let chunk = chunk?;
                    let is_begin = matches!(chunk, SchoolChunk::Begin { .. });
                    if is_begin == begun || loaded.is_some() {
                        return Err(damaged(school, "its chunks are not in order".into()));
                    }
                    begun = true;
                    loaded = load_chunk(&mut state, &mut entries, school, &chunk)?;
                }
                loaded.ok_or_else(|| damaged(school, "it is cut".into()))
            };
            load().map_err(|e| {
                failed = Some(e);
                io::Error::other("it is not loaded")
            })
        });
        let summary = loaded.map_err(|e| failed.take().unwrap_or(LoadError::Io(e)))?;
        self.publish(school, summary.head, Vec::new());
        Ok(summary)
    }

    /// Removes the school in one durable transaction. For a group that runs it must come through its log.
    pub fn drop_school(&self, school: &SchoolId) -> io::Result<()> {
        self.file.alone(|txn| {
            let mut state = txn.open_table(STATE).map_err(io_error)?;
            let mut entries = txn.open_table(ENTRIES).map_err(io_error)?;
            drop_school(&mut state, &mut entries, school)
        })?;
        self.publish(school, LogIndex(0), Vec::new());
        Ok(())
    }

    /// The school's head and its first kept entry (one above the head if none is kept).
    pub fn kept(&self, school: &SchoolId) -> io::Result<(LogIndex, LogIndex)> {
        let txn = self.file.read()?;
        let state = txn.open_table(STATE).map_err(io_error)?;
        let kv = SchoolKv::new(&state, school);
        let head = view::head(&kv);
        kv.finish().map_err(io_error)?;
        let entries = txn.open_table(ENTRIES).map_err(io_error)?;
        Ok((head, first_entry(&entries, school, head)?))
    }

    /// The state hash of the school, as of now. Reads all of it.
    pub fn state_hash(&self, school: &SchoolId) -> io::Result<[u8; 32]> {
        self.with_school(school, |kv| view::state_hash(kv))
    }
}
