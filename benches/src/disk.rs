//! The disk alone: what one append with one sync costs without anything around it.

use crate::measure::Turn;
use anyhow::{Context as _, ensure};
use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    time::{Duration, Instant},
};

/// The file is filled with zeros first, as our log's segments are: a sync then writes data and no journal.
const FILE_LEN: usize = 16 << 20;
const TMPFS_MAGIC: i64 = 0x0102_1994;
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// A folder of its own on the disk that holds `parent`, or the folder for temporary files.
pub fn folder(parent: Option<&Path>) -> anyhow::Result<tempfile::TempDir> {
    let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
    ensure!(!is_memory(&parent)?, "{} is in memory: name a folder on a disk with --dir", parent.display());
    tempfile::tempdir_in(&parent).with_context(|| parent.display().to_string())
}

/// Whether a folder's file system has no disk.
fn is_memory(folder: &Path) -> anyhow::Result<bool> {
    let kind = rustix::fs::statfs(folder)?.f_type;
    Ok([TMPFS_MAGIC, RAMFS_MAGIC].contains(&(kind as i64)))
}

/// Appends, each synced by fdatasync, for a while.
pub fn appends(path: &Path, len: usize, turn: Duration) -> anyhow::Result<Turn> {
    let file = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
    file.write_all_at(&vec![0; FILE_LEN], 0)?;
    file.sync_all()?;
    let bytes = vec![0x5a; len];
    let mut measured = Turn::default();
    let begun = Instant::now();
    let mut at = 0;
    while begun.elapsed() < turn {
        let started = Instant::now();
        file.write_all_at(&bytes, at)?;
        file.sync_data()?;
        measured.latencies_us.push(started.elapsed().as_micros() as u32);
        at += len as u64;
        if at as usize + len > FILE_LEN {
            at = 0;
        }
    }
    measured.elapsed = begun.elapsed();
    std::fs::remove_file(path)?;
    Ok(measured)
}
