//! Segment files: a header, then records, then zeros.
//!
//! ```text
//! magic 8 bytes | version u32 | previous_end u32 | number u64 | zeros u32 | crc u32        (little endian)
//! ```
//! Files are filled with zeros before use, so that a sync writes data only and no file system journal. `previous_end` is
//! where the records of the segment before end: a lost end there is noticed.

use super::disk::{Disk, DiskFile};
use std::{io, path::PathBuf, sync::Arc};

/// Records begin here.
pub const HEADER_LEN: usize = 32;
const MAGIC: &[u8; 8] = b"SCHULLOG";
const VERSION: u32 = 1;
const SUFFIX: &str = "segment";
const SPARE: &str = "spare.new";
/// Zeros are written in pieces of this length.
const ZEROS_LEN: usize = 1 << 20;

/// What stands at the beginning of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub number: u64,
    pub previous_end: u32,
}

impl Header {
    fn encode(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.previous_end.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `Err` says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let bytes: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or("it is shorter than its header")?;
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if &bytes[..8] != MAGIC || word(28) != crc32fast::hash(&bytes[..28]) {
            return Err("its header is damaged".into());
        }
        if word(8) != VERSION {
            return Err(format!("it has version {}; this program reads version {VERSION}", word(8)));
        }
        let number = u64::from(word(16)) | u64::from(word(20)) << 32;
        Ok(Self { number, previous_end: word(12) })
    }
}

pub fn name(number: u64) -> String {
    format!("{number:012}.{SUFFIX}")
}

pub fn path(disk: &dyn Disk, number: u64) -> PathBuf {
    disk.path(&name(number))
}

/// Numbers of the segments in the folder, ascending.
pub fn list(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let number = |name: &String| name.strip_suffix(SUFFIX)?.strip_suffix('.')?.parse().ok();
    let mut numbers: Vec<u64> = disk.names()?.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

pub fn open(disk: &dyn Disk, number: u64) -> io::Result<Arc<dyn DiskFile>> {
    disk.open(&name(number))
}

/// Makes a file of zeros aside, synced, for [`create`] to take.
pub fn prepare(disk: &dyn Disk, len: usize) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(SPARE)?;
    zero(&*file, 0, len)?;
    file.sync_data()?;
    Ok(file)
}

/// Turns the prepared file into a segment: header, name, and both durable.
pub fn create(disk: &dyn Disk, spare: &dyn DiskFile, header: Header) -> io::Result<()> {
    spare.write_all_at(&header.encode(), 0)?;
    spare.sync_data()?;
    disk.rename(SPARE, &name(header.number))?;
    disk.sync()
}

pub fn remove(disk: &dyn Disk, number: u64) -> io::Result<()> {
    match disk.remove(&name(number)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => disk.sync(),
    }
}

/// Writes zeros over a range.
pub fn zero(file: &dyn DiskFile, mut from: usize, to: usize) -> io::Result<()> {
    let zeros = vec![0; ZEROS_LEN.min(to.saturating_sub(from))];
    while from < to {
        let len = zeros.len().min(to - from);
        file.write_all_at(&zeros[..len], from as u64)?;
        from += len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_damage_is_noticed() {
        let header = Header { number: 1 << 40 | 7, previous_end: 4711 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        for byte in 0..24 {
            let mut damaged = bytes;
            damaged[byte] ^= 1;
            assert!(Header::decode(&damaged).is_err(), "byte {byte}");
        }
        assert!(Header::decode(&bytes[..31]).is_err());
    }
}
