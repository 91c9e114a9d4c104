//! A group's whole state as a stream of chunks, for a node whose missing entries are purged.
//!
//! The sender reads it from a view of the moment, straight onto the wire; the receiver keeps it in a file until it is
//! whole, then replaces its own state in one transaction. In the file a chunk stands as
//! `length u32 | CRC-32 u32 | postcard` (little endian); [`Chunk::End`] says how many records there were.

use super::{
    Store, io_error,
    kv::{Key, Value},
    store::{ENTRIES, STATE},
};
use crate::raft::types::{Group, LogId, SnapshotMeta, StoredMembership};
use redb::ReadOnlyTable;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Chunks are about this long: a fraction of a frame.
const CHUNK_LEN: usize = 512 << 10;
/// Longest chunk that is read: one value may be larger than the usual length.
const CHUNK_LEN_MAX: usize = 16 << 20;
const VERSION: u16 = 1;

/// Part of a snapshot. Add variants at the end only.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chunk {
    Begin {
        version: u16,
        group: Group,
    },
    /// (school, key, value)
    State(Vec<(String, Vec<u8>, Vec<u8>)>),
    /// (school, index, entry)
    Entries(Vec<(String, u64, Vec<u8>)>),
    End {
        records: u64,
    },
}

/// What openraft passes around as a snapshot.
pub enum SnapshotData {
    /// Of this node, to be sent.
    Own(Box<Dump>),
    /// Of another node, to be installed.
    Received(Received),
}

/// A view of the moment, read chunk by chunk.
pub struct Dump {
    group: Group,
    state: ReadOnlyTable<Key, Value>,
    entries: ReadOnlyTable<(&'static str, u64), &'static [u8]>,
    next: Next,
    records: u64,
}

enum Next {
    Begin,
    /// After this key.
    State(Option<(String, Vec<u8>)>),
    Entries(Option<(String, u64)>),
    End,
    Nothing,
}

impl Dump {
    /// As of now.
    pub(super) fn new(store: &Store) -> io::Result<(SnapshotMeta, Self)> {
        let txn = store.file.read()?;
        let (applied, membership): (Option<LogId>, StoredMembership) = Store::applied_in(&txn)?;
        let dump = Self {
            group: store.group,
            state: txn.open_table(STATE).map_err(io_error)?,
            entries: txn.open_table(ENTRIES).map_err(io_error)?,
            next: Next::Begin,
            records: 0,
        };
        Ok((SnapshotMeta { last_log_id: applied, last_membership: membership }, dump))
    }

    /// The next chunk. Blocks.
    pub fn next_chunk(&mut self) -> io::Result<Option<Chunk>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let chunk = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Begin => {
                self.next = Next::State(None);
                Chunk::Begin { version: VERSION, group: self.group }
            }
            Next::State(last) => {
                let from = last.as_ref().map_or(Unbounded, |(school, key)| Excluded((school.as_str(), key.as_slice())));
                let (mut records, mut len) = (Vec::new(), 0);
                for item in self.state.range::<(&str, &[u8])>((from, Unbounded)).map_err(io_error)? {
                    let (key, value) = item.map_err(io_error)?;
                    let ((school, key), value) = (key.value(), value.value());
                    len += school.len() + key.len() + value.len();
                    records.push((school.to_owned(), key.to_vec(), value.to_vec()));
                    if len >= CHUNK_LEN {
                        break;
                    }
                }
                self.records += records.len() as u64;
                self.next = match records.last() {
                    Some((school, key, _)) => Next::State(Some((school.clone(), key.clone()))),
                    None => Next::Entries(None),
                };
                Chunk::State(records)
            }
            Next::Entries(last) => {
                let from = last.as_ref().map_or(Unbounded, |(school, index)| Excluded((school.as_str(), *index)));
                let (mut records, mut len) = (Vec::new(), 0);
                for item in self.entries.range::<(&str, u64)>((from, Unbounded)).map_err(io_error)? {
                    let (key, value) = item.map_err(io_error)?;
                    let ((school, index), value) = (key.value(), value.value());
                    len += school.len() + value.len();
                    records.push((school.to_owned(), index, value.to_vec()));
                    if len >= CHUNK_LEN {
                        break;
                    }
                }
                self.records += records.len() as u64;
                self.next = match records.last() {
                    Some((school, index, _)) => Next::Entries(Some((school.clone(), *index))),
                    None => Next::End,
                };
                Chunk::Entries(records)
            }
            Next::End => Chunk::End { records: self.records },
            Next::Nothing => return Ok(None),
        };
        Ok(Some(chunk))
    }
}

/// A snapshot that another node sent, in a file that goes away with this.
pub struct Received {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Received {
    /// An empty one in the folder.
    pub fn create(dir: &Path) -> io::Result<Self> {
        // Names that no other transfer of this process has.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = dir.join(format!("{}.received", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(Self { path, file: BufWriter::new(file) })
    }

    /// Takes the next chunk. Blocks.
    pub fn write(&mut self, chunk: &Chunk) -> io::Result<()> {
        let bytes = postcard::to_stdvec(chunk).map_err(io::Error::other)?;
        self.file.write_all(&(bytes.len() as u32).to_le_bytes())?;
        self.file.write_all(&crc32fast::hash(&bytes).to_le_bytes())?;
        self.file.write_all(&bytes)
    }

    /// Replaces the store's state by the snapshot's, which must be whole. Blocks.
    pub(super) fn install(mut self, meta: &SnapshotMeta, store: &Store) -> io::Result<()> {
        self.file.flush()?;
        let mut file = self.file.get_ref();
        file.rewind()?;
        let mut reader = BufReader::new(file);
        store.replace(meta.last_log_id, &meta.last_membership, |txn| {
            let mut state = txn.open_table(STATE).map_err(io_error)?;
            let mut entries = txn.open_table(ENTRIES).map_err(io_error)?;
            let mut seen = 0;
            if read_chunk(&mut reader)? != (Chunk::Begin { version: VERSION, group: store.group }) {
                return Err(invalid("it is of another version or group"));
            }
            loop {
                match read_chunk(&mut reader)? {
                    Chunk::Begin { .. } => return Err(invalid("it begins twice")),
                    Chunk::State(records) => {
                        seen += records.len() as u64;
                        for (school, key, value) in &records {
                            let key = (school.as_str(), key.as_slice());
                            state.insert(key, value.as_slice()).map_err(io_error)?;
                        }
                    }
                    Chunk::Entries(records) => {
                        seen += records.len() as u64;
                        for (school, index, value) in &records {
                            entries.insert((school.as_str(), *index), value.as_slice()).map_err(io_error)?;
                        }
                    }
                    Chunk::End { records } if records == seen => return Ok(()),
                    Chunk::End { records } => return Err(invalid(&format!("{seen} of {records} records"))),
                }
            }
        })
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // A left-over is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn invalid(detail: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a received snapshot cannot be used: {detail}"))
}

fn read_chunk(reader: &mut impl Read) -> io::Result<Chunk> {
    let mut header = [0; 8];
    reader.read_exact(&mut header).map_err(|_| invalid("it is cut"))?;
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if len > CHUNK_LEN_MAX {
        return Err(invalid("a chunk is too long"));
    }
    let mut bytes = vec![0; len];
    reader.read_exact(&mut bytes).map_err(|_| invalid("it is cut"))?;
    if crc32fast::hash(&bytes).to_le_bytes() != header[4..] {
        return Err(invalid("a chunk is damaged"));
    }
    postcard::from_bytes(&bytes).map_err(|e| invalid(&e.to_string()))
}
