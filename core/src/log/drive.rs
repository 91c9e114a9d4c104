//! A disk in memory that loses power: what was written and not synced may be kept, lost, torn, or kept out of order.
//!
//! Bytes are durable when their file was synced, names when the folder was. Until then each piece of [`UNIT_LEN`] bytes of
//! a write, and each change of a name, is kept or lost by itself: any subset. A piece is whole or not there, as a sector
//! of a disk is (and sectors are longer).

use super::disk::{Disk, DiskFile};
use parking_lot::Mutex;
use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

/// Shorter than any sector: more ways to tear a write.
const UNIT_LEN: usize = 64;

/// A change of a file's bytes that was not synced.
#[derive(Clone)]
enum Change {
    Empty,
    Piece { offset: usize, bytes: Vec<u8> },
}

#[derive(Clone, Default)]
struct Bytes {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum NameChange {
    Create(String, u64),
    Rename(String, String),
    Remove(String),
}

#[derive(Clone, Default)]
struct State {
    files: BTreeMap<u64, Bytes>,
    durable: BTreeMap<String, u64>,
    pending: Vec<NameChange>,
    /// Operations that change or sync something, so far.
    operations: u64,
    /// With this operation the power goes.
    off_at: Option<u64>,
    off: bool,
    /// After this many more changes of bytes or names the disk is full.
    full: bool,
}

/// A folder on such a disk; clones are the same.
#[derive(Clone, Default)]
pub struct Drive(Arc<Mutex<State>>);

struct Open(Arc<Mutex<State>>, u64);

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Empty => bytes.clear(),
        Change::Piece { offset, bytes: piece } => {
            let end = offset + piece.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(piece);
        }
    }
}

fn rename(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Create(name, file) => drop(names.insert(name.clone(), *file)),
        NameChange::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        NameChange::Remove(name) => drop(names.remove(name)),
    }
}

impl State {
    /// Counts an operation. The one with which the power goes is begun: what it changes is pending for ever.
    fn step(&mut self, change: impl FnOnce(&mut Self)) -> io::Result<()> {
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        self.off = self.off_at == Some(self.operations);
        change(self);
        if self.off { Err(io::Error::other("the power went off")) } else { Ok(()) }
    }

    fn room(&self) -> io::Result<()> {
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn names(&self) -> BTreeMap<String, u64> {
        let mut names = self.durable.clone();
        self.pending.iter().for_each(|change| rename(&mut names, change));
        names
    }

    fn bytes(&self, file: u64) -> Vec<u8> {
        let held = &self.files[&file];
        let mut bytes = held.durable.clone();
        held.pending.iter().for_each(|change| apply(&mut bytes, change));
        bytes
    }
}

impl Drive {
    /// The power goes with the operation of this number, counted from now.
    pub fn off_after(&self, operations: u64) {
        let mut state = self.0.lock();
        state.off_at = Some(state.operations + operations);
    }

    pub fn is_off(&self) -> bool {
        self.0.lock().off
    }

    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// From now on there is no room, or there is again.
    pub fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// What is not synced: how many pieces and names may be lost each by itself.
    pub fn pending(&self) -> usize {
        let state = self.0.lock();
        let pieces = state.files.values().map(|bytes| bytes.pending.len()).sum::<usize>();
        pieces + state.pending.len()
    }

    /// The disk when the power is back: `kept` decides on each of the [`Drive::pending`] pieces and names.
    pub fn after_power_loss(&self, mut kept: impl FnMut() -> bool) -> Self {
        let mut state = self.0.lock().clone();
        for bytes in state.files.values_mut() {
            for change in std::mem::take(&mut bytes.pending) {
                if kept() {
                    apply(&mut bytes.durable, &change);
                }
            }
        }
        for change in std::mem::take(&mut state.pending) {
            if kept() {
                rename(&mut state.durable, &change);
            }
        }
        Self::again(state)
    }

    /// The disk after the process was killed: nothing is lost, and nothing is synced.
    pub fn after_kill(&self) -> Self {
        Self::again(self.0.lock().clone())
    }

    fn again(state: State) -> Self {
        Self(Arc::new(Mutex::new(State { operations: 0, off_at: None, off: false, ..state })))
    }
}

impl Disk for Drive {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names().into_keys().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.0.lock().names().get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Open(self.0.clone(), file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.room()?;
        let known = state.names().get(name).copied();
        let file = known.unwrap_or_else(|| state.files.last_key_value().map_or(0, |(last, _)| last + 1));
        state.step(|state| {
            state.files.entry(file).or_default().pending.push(Change::Empty);
            if known.is_none() {
                state.pending.push(NameChange::Create(name.to_owned(), file));
            }
        })?;
        Ok(Arc::new(Open(self.0.clone(), file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.lock().step(|state| state.pending.push(NameChange::Rename(from.to_owned(), to.to_owned())))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().step(|state| state.pending.push(NameChange::Remove(name.to_owned())))
    }

    fn sync(&self) -> io::Result<()> {
        self.0.lock().step(|state| {
            if !state.off {
                state.durable = state.names();
                state.pending.clear();
            }
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(name)
    }

    /// At once: a run is the same each time.
    fn beside(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}

impl DiskFile for Open {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().bytes(self.1))
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let held = self.read_all()?;
        let from = held.get(offset as usize..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        state.room()?;
        state.step(|state| {
            let pending = &mut state.files.get_mut(&self.1).expect("files are kept for ever").pending;
            let mut offset = offset as usize;
            let mut rest = bytes;
            while !rest.is_empty() {
                let len = (UNIT_LEN - offset % UNIT_LEN).min(rest.len());
                pending.push(Change::Piece { offset, bytes: rest[..len].to_vec() });
                (offset, rest) = (offset + len, &rest[len..]);
            }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.lock().step(|state| {
            if !state.off {
                let durable = state.bytes(self.1);
                state.files.insert(self.1, Bytes { durable, pending: Vec::new() });
            }
        })
    }
}
