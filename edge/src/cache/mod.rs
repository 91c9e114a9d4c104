//! The read cache: rendered pages of history that can no longer change.
//!
//! Never the only copy of anything: every page can be rendered again from the store, so a cache that fails, is damaged or
//! too large is wiped and fills again. A page is keyed by room, upper end and length; it may be kept when all of its
//! messages are confirmed and its upper end is not past the confirmed head. Messages have no operation that changes them;
//! one that did would have to raise [`GENERATION`]. Who may read is asked of the store each time, not of the cache.

mod on_sled;

pub use on_sled::SledCache;

use schulhof_wire::{LogIndex, RoomId};

/// Part of every key: pages that an older program rendered differently are not found.
const GENERATION: u8 = 1;
/// Largest page that is kept.
pub const PAGE_BYTES_MAX: usize = 256 * 1024;

/// Names a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageKey {
    pub room: RoomId,
    pub before: LogIndex,
    pub limit: u32,
}

impl PageKey {
    fn bytes(&self) -> Vec<u8> {
        let room = self.room.as_str().as_bytes();
        let mut key = Vec::with_capacity(room.len() + 14);
        key.push(GENERATION);
        key.extend_from_slice(room);
        key.push(0);
        key.extend_from_slice(&self.before.0.to_be_bytes());
        key.extend_from_slice(&self.limit.to_be_bytes());
        key
    }
}

/// Keeps pages as long as it likes.
pub trait PageCache: Send + Sync + 'static {
    fn get(&self, key: &PageKey) -> Option<Vec<u8>>;
    fn put(&self, key: &PageKey, page: &[u8]);
}

/// Keeps nothing: for a box whose cache folder cannot be used.
#[derive(Debug, Clone, Copy)]
pub struct NoCache;

impl PageCache for NoCache {
    fn get(&self, _: &PageKey) -> Option<Vec<u8>> {
        None
    }

    fn put(&self, _: &PageKey, _: &[u8]) {}
}
