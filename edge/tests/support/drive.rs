//! A box's disk in memory that loses power: what was written and not synced may be kept, lost, torn, or kept out of order.

use parking_lot::Mutex;
use redb::StorageBackend;
use schulhof_edge::store::journal::{self, Blocks};
use std::{io, sync::Arc};

/// Each piece of a write that was not synced is kept or lost by itself, as a sector is.
const UNIT_LEN: usize = 512;

#[derive(Clone, Copy, Debug)]
pub enum File {
    Database,
    Journal,
}

#[derive(Clone, Debug)]
enum Change {
    Len(usize),
    Piece { offset: usize, bytes: Vec<u8> },
}

#[derive(Clone, Debug, Default)]
struct Bytes {
    durable: Vec<u8>,
    /// What the running process sees.
    seen: Vec<u8>,
    pending: Vec<Change>,
}

impl Bytes {
    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.pending.push(change);
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    files: [Bytes; 2],
    operations: u64,
    off_at: Option<u64>,
    off: bool,
}

/// Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Drive(Arc<Mutex<State>>);

#[derive(Debug)]
struct Open(Drive, File);

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Len(len) => bytes.resize(*len, 0),
        Change::Piece { offset, bytes: piece } => {
            let end = offset + piece.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(piece);
        }
    }
}

impl Drive {
    /// With a journal of zeros, as [`journal::file`] makes it.
    pub fn new() -> Self {
        let mut state = State::default();
        let zeros = vec![0; journal::LEN];
        state.files[File::Journal as usize] = Bytes { durable: zeros.clone(), seen: zeros, pending: Vec::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn database(&self) -> schulhof_edge::store::Opener {
        let drive = self.clone();
        Box::new(move || redb::Database::builder().create_with_backend(Open(drive.clone(), File::Database)))
    }

    pub fn journal(&self) -> journal::BlocksOpener {
        let drive = self.clone();
        Box::new(move || Ok(Box::new(Open(drive.clone(), File::Journal))))
    }

    /// The power goes with the operation of this number, counted from now.
    pub fn off_after(&self, operations: u64) {
        let mut state = self.0.lock();
        state.off_at = Some(state.operations + operations);
    }

    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// The disk when the power is back: `kept` decides on each piece that was not synced.
    pub fn after_power_loss(&self, mut kept: impl FnMut() -> bool) -> Self {
        let mut state = self.0.lock().clone();
        for bytes in &mut state.files {
            for change in std::mem::take(&mut bytes.pending) {
                if kept() {
                    apply(&mut bytes.durable, &change);
                }
            }
            bytes.seen.clone_from(&bytes.durable);
        }
        Self(Arc::new(Mutex::new(State { operations: 0, off_at: None, off: false, ..state })))
    }
}

impl Open {
    fn step(&self, change: impl FnOnce(&mut Bytes, bool)) -> io::Result<()> {
        let mut state = self.0.0.lock();
        if state.off {
            return Err(io::Error::other("the power is off"));
        }
        state.operations += 1;
        state.off = state.off_at == Some(state.operations);
        let off = state.off;
        change(&mut state.files[self.1 as usize], off);
        if off { Err(io::Error::other("the power went off")) } else { Ok(()) }
    }

    fn seen<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(&self.0.0.lock().files[self.1 as usize].seen)
    }

    fn put(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.step(|file, _| {
            let (mut offset, mut rest) = (offset as usize, data);
            while !rest.is_empty() {
                let len = (UNIT_LEN - offset % UNIT_LEN).min(rest.len());
                file.change(Change::Piece { offset, bytes: rest[..len].to_vec() });
                (offset, rest) = (offset + len, &rest[len..]);
            }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.step(|file, off| {
            if !off {
                for change in std::mem::take(&mut file.pending) {
                    apply(&mut file.durable, &change);
                }
            }
        })
    }
}

impl Blocks for Open {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        Ok(self.seen(<[u8]>::to_vec))
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.put(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }
}

impl StorageBackend for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(self.seen(<[u8]>::len) as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.seen(|seen| {
            let held = seen.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
            out.copy_from_slice(held.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(|file, _| file.change(Change::Len(len as usize)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.put(data, offset)
    }
}
