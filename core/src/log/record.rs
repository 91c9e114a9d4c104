//! Records: what the log is made of on disk.
//!
//! ```text
//! length u32 | crc u32 | batch u32 | payload (length bytes) | zeros up to a multiple of 8     (little endian)
//! ```
//! The CRC-32 covers the segment's number, the record's offset, length, batch and payload, so that a block that a disk
//! wrote to the wrong place is no valid record. `batch` is the offset at which the write began that the record was
//! part of: everything before it had been synced when the record was written. Recovery tells by it a torn write (no record
//! of a later write follows) from damage (one does).
//!
//! The payload is a version byte and postcard.

use crate::raft::types::{Entry, Group, LogId, Vote};
use serde::{Deserialize, Serialize};
use std::io;

/// Records begin at multiples of this.
pub const ALIGN: usize = 8;
pub const HEADER_LEN: usize = 12;
/// Longest payload: a Raft entry holds at most one frame of operations, and a little around it.
pub const PAYLOAD_LEN_MAX: usize = 8 << 20;

/// First byte of each payload. A reader refuses what is newer.
const VERSION: u8 = 1;

/// Variants are stored by their number: add at the end, never reorder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    Entry {
        group: Group,
        entry: Entry,
    },
    Vote {
        group: Group,
        vote: Vote,
    },
    /// Entries from this index on are void; others will take their places.
    Truncate {
        group: Group,
        from: u64,
    },
    /// Entries up to this one are no longer needed.
    Purge {
        group: Group,
        upto: LogId,
    },
    /// Stands for each group at the beginning of each segment, so that older segments can go.
    Checkpoint {
        group: Group,
        vote: Option<Vote>,
        purged: Option<LogId>,
    },
}

impl Record {
    pub fn group(&self) -> Group {
        match self {
            Self::Entry { group, .. }
            | Self::Vote { group, .. }
            | Self::Truncate { group, .. }
            | Self::Purge { group, .. }
            | Self::Checkpoint { group, .. } => *group,
        }
    }

    /// Payload of a record.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let payload = postcard::to_extend(self, vec![VERSION]).map_err(io::Error::other)?;
        if payload.len() > PAYLOAD_LEN_MAX {
            return Err(io::Error::other(format!("a log record of {} bytes is too long", payload.len())));
        }
        Ok(payload)
    }

    pub fn decode(payload: &[u8]) -> io::Result<Self> {
        match payload.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("unreadable log record: {e}"))),
            Some((version, _)) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("log record of version {version}; this program reads version {VERSION}"),
            )),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "empty log record")),
        }
    }
}

/// Bytes that a payload takes on disk.
pub fn framed_len(payload_len: usize) -> usize {
    (HEADER_LEN + payload_len).next_multiple_of(ALIGN)
}

fn checksum(segment: u64, offset: u32, batch: u32, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&segment.to_le_bytes());
    crc.update(&offset.to_le_bytes());
    crc.update(&(payload.len() as u32).to_le_bytes());
    crc.update(&batch.to_le_bytes());
    crc.update(payload);
    crc.finalize()
}

/// Appends a record to what will be written from `base` of the segment on; `batch` is where the write begins.
pub fn frame(out: &mut Vec<u8>, segment: u64, base: u32, payload: &[u8]) {
    let offset = base + out.len() as u32;
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&checksum(segment, offset, base, payload).to_le_bytes());
    out.extend_from_slice(&base.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// The payload of a record that was read by itself, if it is unharmed.
pub fn check(bytes: &[u8], segment: u64, offset: u32) -> Option<&[u8]> {
    let header: &[u8; HEADER_LEN] = bytes.first_chunk()?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let payload = bytes.get(HEADER_LEN..)?;
    (word(0) as usize == payload.len() && checksum(segment, offset, word(8), payload) == word(4)).then_some(payload)
}

/// A record as found.
#[derive(Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    pub payload: &'a [u8],
    pub batch: u32,
    /// Where the next record begins.
    pub next: usize,
}

/// The record at `offset` of a segment's bytes, if a whole and unharmed one is there.
pub fn read(bytes: &[u8], segment: u64, offset: usize) -> Option<Framed<'_>> {
    let header: &[u8; HEADER_LEN] = bytes.get(offset..)?.first_chunk()?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (len, crc, batch) = (word(0) as usize, word(4), word(8));
    if len == 0 || len > PAYLOAD_LEN_MAX || batch as usize > offset {
        return None;
    }
    let start = offset + HEADER_LEN;
    let payload = bytes.get(start..start + len)?;
    let framed = Framed { payload, batch, next: offset + framed_len(len) };
    (checksum(segment, offset as u32, batch, payload) == crc).then_some(framed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_valid_at_its_own_place_only() {
        let mut out = Vec::new();
        frame(&mut out, 3, 32, b"first");
        frame(&mut out, 3, 32, b"second");
        let mut segment = vec![0; 32];
        segment.extend_from_slice(&out);
        let first = read(&segment, 3, 32).unwrap();
        assert_eq!((first.payload, first.batch), (&b"first"[..], 32));
        let second = read(&segment, 3, first.next).unwrap();
        assert_eq!((second.payload, second.batch), (&b"second"[..], 32));
        assert_eq!(read(&segment, 4, 32), None, "another segment");
        segment.splice(0..0, [0; 8]);
        assert_eq!(read(&segment, 3, 40), None, "another offset");
    }

    #[test]
    fn each_flipped_bit_is_noticed() {
        let mut out = Vec::new();
        frame(&mut out, 1, 0, b"what was said");
        let len = HEADER_LEN + b"what was said".len();
        for bit in 0..len * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped, 1, 0), None, "bit {bit}");
        }
    }

    #[test]
    fn a_record_of_another_version_is_refused() {
        let error = Record::decode(&[9, 1, 2, 3]).unwrap_err();
        assert!(error.to_string().contains("version 9"), "{error}");
    }
}
