//! The box's journal: operations are durable here with one short write and one sync, before the database takes them along.
//!
//! What this is: a file of records in front of redb. A durable commit of redb syncs pages all over its file; an
//! acknowledgement needs only that the operation can be found again. So operations of the outbox go here, redb takes them
//! without waiting for the disk, and with its next durable commit they are *folded*: redb says up to which number, in that
//! commit, and the journal begins anew. At start what redb has not folded is put into the outbox again.
//!
//! ```text
//! file:    magic 8 bytes | version u32 | generation u64 | crc u32 | records | zeros                 (little endian)
//! record:  length u32 | crc u32 | number u64 | batch u64 | position u64 | operation | zeros up to a multiple of 8
//! ```
//! `number` counts records for ever; `batch` is the number of the first one of the same write; `generation` counts how often
//! the journal was opened. The CRC of a record covers the generation, the record's offset and everything behind the CRC:
//! what a torn write has left from an earlier life is no record. The file is filled with zeros once, so that a sync writes data and no journal of
//! the file system, and disk space is there when it is needed.
//!
//! A write that was under way when the power failed is cut off. If a record of a later write follows a bad one, something
//! acknowledged is gone: that is refused by name ([`JournalError::Damaged`]), never cut.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    os::unix::fs::FileExt,
    path::Path,
};

/// Room for a round of the largest operations; a school's day is 7 MB, and the database folds every few seconds.
pub const LEN: usize = 2 << 20;
const MAGIC: &[u8; 8] = b"SCHULBOX";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 32;
const ALIGN: usize = 8;

/// Where the journal's bytes are.
pub trait Blocks: Send {
    fn read_all(&self) -> io::Result<Vec<u8>>;
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
}

impl Blocks for File {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = self;
        file.rewind()?;
        file.take(LEN as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}

/// Opens the journal's bytes; called again after a disk error.
pub type BlocksOpener = Box<dyn Fn() -> io::Result<Box<dyn Blocks>> + Send>;

/// The journal in a file: made, filled with zeros and durable before it has its name.
pub fn file(path: &Path) -> BlocksOpener {
    let path = path.to_owned();
    Box::new(move || {
        if !path.exists() {
            let beside = path.with_extension("new");
            let made = File::options().create(true).truncate(true).write(true).open(&beside)?;
            FileExt::write_all_at(&made, &vec![0; LEN], 0)?;
            made.sync_all()?;
            std::fs::rename(&beside, &path)?;
        }
        // Also when it was there: a kill may have come between the rename and this.
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(Box::new(File::options().read(true).write(true).open(&path)?))
    })
}

/// Why the journal cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error(
        "the journal is damaged at offset {offset}: {detail}. Operations that were saved here are in it; browsers \
             still hold what is not secured, so it may be moved away"
    )]
    Damaged { offset: usize, detail: &'static str },
    #[error("the journal has version {0}; this program reads version {VERSION}")]
    Version(u32),
    #[error("the journal: {0}")]
    Io(#[from] io::Error),
}

/// A record: an operation and its position in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub number: u64,
    pub position: u64,
    pub operation: Vec<u8>,
}

pub struct Journal {
    blocks: Box<dyn Blocks>,
    generation: u64,
    /// Number of the last record that was ever written.
    last: u64,
    /// Where the next one goes.
    end: usize,
}

impl Journal {
    /// Reads the journal; gives the records that redb, which has folded up to `folded`, must put into the outbox again and
    /// fold durably. Then [`Journal::begin`] makes it ready.
    pub fn open(blocks: Box<dyn Blocks>, folded: u64) -> Result<(Self, Vec<Record>), JournalError> {
        let bytes = blocks.read_all()?;
        let generation = generation(&bytes)?;
        let records = read_all(&bytes, generation, folded)?;
        let last = records.last().map_or(folded, |record| record.number);
        Ok((Self { blocks, generation, last, end: LEN }, records))
    }

    /// Begins the next generation: redb has folded all of the one before.
    pub fn begin(&mut self) -> io::Result<()> {
        self.generation += 1;
        self.blocks.write_all_at(&header(self.generation), 0)?;
        self.blocks.sync_data()?;
        self.begin_anew();
        Ok(())
    }

    /// Number of the last record.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Whether operations of these lengths find room before it begins anew.
    pub fn fits(&self, lengths: impl Iterator<Item = usize>) -> bool {
        self.end + lengths.map(framed_len).sum::<usize>() <= LEN
    }

    /// Appends operations with one write and one sync. After an error it must be opened again.
    pub fn append(&mut self, operations: &[(u64, Vec<u8>)]) -> io::Result<()> {
        let batch = self.last + 1;
        let mut bytes = Vec::with_capacity(operations.iter().map(|(_, bytes)| framed_len(bytes.len())).sum());
        for (number, (position, operation)) in (batch..).zip(operations) {
            frame(&mut bytes, (self.generation, self.end), number, batch, *position, operation);
        }
        self.blocks.write_all_at(&bytes, self.end as u64)?;
        self.blocks.sync_data()?;
        self.last += operations.len() as u64;
        self.end += bytes.len();
        Ok(())
    }

    /// redb has folded all of it, durably: the next record stands at the beginning. What stands there still has lower
    /// numbers and counts no more.
    pub fn begin_anew(&mut self) {
        self.end = HEADER_LEN;
    }
}

fn header(generation: u64) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&generation.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..20]);
    bytes[20..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// 0 for a new file, also one whose first header was torn: then nothing was written behind it.
fn generation(bytes: &[u8]) -> Result<u64, JournalError> {
    let damaged = |detail| JournalError::Damaged { offset: 0, detail };
    if bytes.len() < LEN {
        return Err(damaged("it is shorter than it was made"));
    }
    if &bytes[..8] == MAGIC && u32_at(bytes, 20) == crc32fast::hash(&bytes[..20]) {
        return match u32_at(bytes, 8) {
            VERSION => Ok(u64_at(bytes, 12)),
            other => Err(JournalError::Version(other)),
        };
    }
    if bytes[HEADER_LEN..].iter().all(|byte| *byte == 0) {
        return Ok(0);
    }
    Err(damaged("its header is damaged"))
}

fn framed_len(operation_len: usize) -> usize {
    (RECORD_HEADER_LEN + operation_len).next_multiple_of(ALIGN)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn checksum((generation, offset): (u64, usize), rest: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&generation.to_le_bytes());
    crc.update(&(offset as u64).to_le_bytes());
    crc.update(&(rest.len() as u64).to_le_bytes());
    crc.update(rest);
    crc.finalize()
}

/// Appends a record to what will be written in a generation from an offset on.
fn frame(out: &mut Vec<u8>, at: (u64, usize), number: u64, batch: u64, position: u64, operation: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&(operation.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    for value in [number, batch, position] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    out.extend_from_slice(operation);
    let crc = checksum((at.0, at.1 + start), &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + framed_len(operation.len()), 0);
}

/// A record as found.
struct Found {
    record: Record,
    batch: u64,
    /// Where the next one begins.
    next: usize,
}

/// The record at an offset, if a whole and unharmed one of the generation is there.
fn read(bytes: &[u8], generation: u64, offset: usize) -> Option<Found> {
    let header = bytes.get(offset..offset + RECORD_HEADER_LEN)?;
    let len = u32_at(header, 0) as usize;
    let end = offset.checked_add(RECORD_HEADER_LEN)?.checked_add(len)?;
    let rest = bytes.get(offset + 8..end)?;
    if checksum((generation, offset), rest) != u32_at(header, 4) {
        return None;
    }
    let (number, batch, position) = (u64_at(header, 8), u64_at(header, 16), u64_at(header, 24));
    let operation = bytes[offset + RECORD_HEADER_LEN..end].to_vec();
    Some(Found { record: Record { number, position, operation }, batch, next: offset + framed_len(len) })
}

/// The records above `folded`.
fn read_all(bytes: &[u8], generation: u64, folded: u64) -> Result<Vec<Record>, JournalError> {
    let mut records = Vec::new();
    let mut offset = HEADER_LEN;
    // Number and batch of the record before.
    let mut before: Option<(u64, u64)> = None;
    while let Some(Found { record, batch, next }) = read(bytes, generation, offset) {
        match before {
            // What was left from before it began anew, or from another write.
            Some((number, of)) if record.number != number + 1 || (batch != of && batch != record.number) => break,
            // The first record follows on what was folded when it began anew; it cannot be further on.
            None if record.number > folded + 1 => {
                return Err(JournalError::Damaged { offset, detail: "records before this one are missing" });
            }
            _ => {}
        }
        before = Some((record.number, batch));
        if record.number > folded {
            records.push(record);
        }
        offset = next;
    }
    let expected = before.map_or(0, |(number, _)| number).max(folded) + 1;
    if later_write(bytes, generation, offset, expected) {
        return Err(JournalError::Damaged { offset, detail: "a record of a later write follows" });
    }
    Ok(records)
}

/// Whether behind a bad place stands a record of a write that came after the one that is expected there.
fn later_write(bytes: &[u8], generation: u64, bad: usize, expected: u64) -> bool {
    (bad..bytes.len().saturating_sub(RECORD_HEADER_LEN))
        .step_by(ALIGN)
        // The length of a record is never zero.
        .filter(|&at| bytes[at..at + 4] != [0; 4])
        .any(|at| read(bytes, generation, at).is_some_and(|found| found.batch > expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the store does it: what was found counts as folded.
    fn begin(folder: &Path, folded: u64) -> (Journal, Vec<Record>) {
        let (mut journal, found) = open(folder, folded).unwrap();
        journal.begin().unwrap();
        (journal, found)
    }

    fn open(folder: &Path, folded: u64) -> Result<(Journal, Vec<Record>), JournalError> {
        Journal::open(file(&folder.join("journal"))()?, folded)
    }

    fn append(journal: &mut Journal, texts: &[&str]) {
        let operations: Vec<_> = (100_u64..).zip(texts).map(|(at, text)| (at, text.as_bytes().to_vec())).collect();
        journal.append(&operations).unwrap();
    }

    fn texts(records: Vec<Record>) -> Vec<String> {
        records.into_iter().map(|record| String::from_utf8(record.operation).unwrap()).collect()
    }

    fn flip(folder: &Path, offset: usize) {
        let file = File::options().read(true).write(true).open(folder.join("journal")).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset as u64).unwrap();
        FileExt::write_all_at(&file, &[byte[0] ^ 0x10], offset as u64).unwrap();
    }

    #[test]
    fn what_was_not_folded_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, found) = begin(folder.path(), 0);
        assert_eq!(found, []);
        append(&mut journal, &["a", "b"]);
        append(&mut journal, &["c"]);
        assert_eq!(journal.last(), 3);
        let (_, found) = open(folder.path(), 1).unwrap();
        assert_eq!(found[0], Record { number: 2, position: 101, operation: b"b".to_vec() });
        assert_eq!(texts(found), ["b", "c"]);
        journal.begin_anew();
        append(&mut journal, &["d"]);
        // "b" and "c" stand behind it still, and count no more.
        let (mut journal, found) = begin(folder.path(), 3);
        assert_eq!(texts(found), ["d"]);
        assert_eq!(journal.last(), 4);
        append(&mut journal, &["e"]);
        assert_eq!(texts(open(folder.path(), 4).unwrap().1), ["e"]);
        assert_eq!(texts(open(folder.path(), 5).unwrap().1), [""; 0]);
    }

    #[test]
    fn what_a_torn_write_left_in_an_earlier_life_never_follows_on_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = begin(folder.path(), 0);
        append(&mut journal, &["torn", "left"]);
        flip(folder.path(), HEADER_LEN + RECORD_HEADER_LEN);
        let (mut journal, found) = begin(folder.path(), 0);
        assert_eq!(found, []);
        append(&mut journal, &["next"]);
        assert_eq!(texts(open(folder.path(), 0).unwrap().1), ["next"]);
    }

    #[test]
    fn it_says_when_it_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = begin(folder.path(), 0);
        let operation = vec![b'x'; 60 << 10];
        let mut written = 0;
        while journal.fits(std::iter::once(operation.len())) {
            journal.append(&[(written, operation.clone())]).unwrap();
            written += 1;
        }
        assert_eq!(written as usize, (LEN - HEADER_LEN) / framed_len(operation.len()));
        assert_eq!(open(folder.path(), 0).unwrap().1.len() as u64, written);
        assert_eq!(std::fs::metadata(folder.path().join("journal")).unwrap().len(), LEN as u64);
    }

    #[test]
    fn a_flipped_bit_before_a_later_write_is_refused_and_in_the_last_write_cut() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = begin(folder.path(), 0);
        let mut starts = Vec::new();
        for text in ["one", "two", "three"] {
            starts.push(journal.end);
            append(&mut journal, &[text]);
        }
        for start in &starts[..2] {
            for byte in [0, 4, 9, 17, 25, 32] {
                flip(folder.path(), start + byte);
                let error = open(folder.path(), 0).err().expect("it must not open");
                assert!(matches!(error, JournalError::Damaged { offset, .. } if offset == *start), "{error}");
                flip(folder.path(), start + byte);
            }
        }
        flip(folder.path(), 3);
        assert!(matches!(open(folder.path(), 0), Err(JournalError::Damaged { offset: 0, .. })));
        flip(folder.path(), 3);
        flip(folder.path(), starts[2] + 33);
        assert_eq!(texts(open(folder.path(), 0).unwrap().1), ["one", "two"]);
    }

    #[test]
    fn a_database_that_is_older_than_the_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = begin(folder.path(), 0);
        append(&mut journal, &["folded"]);
        journal.begin_anew();
        append(&mut journal, &["next"]);
        assert!(matches!(open(folder.path(), 0), Err(JournalError::Damaged { .. })));
        assert_eq!(texts(open(folder.path(), 1).unwrap().1), ["next"]);
    }
}
