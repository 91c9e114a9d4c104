//! Fetches what people will look at next: the files of each room's newest messages, newest first, so that a box that is cut off
//! still shows them.
//!
//! One at a time, into half of the copies' room at most, and only while nobody needs the line: not while operations or uploads wait
//! for the core, and not while somebody waits for another file. What it must not do: fetch the same file again and again because
//! there is no room for it.

use super::Blobs;
use crate::stop::Stop;
use schulhof_school::view;
use schulhof_wire::{BlobHash, LogIndex};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Newest files of a room.
const PER_ROOM: usize = 20;
/// Files of all rooms together: a list of some 20 kB.
const FILES_MAX: usize = 500;
/// Between two looks for new messages, and at a line that is busy.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a failure; doubled each time.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(5);

/// Until the order to stop.
pub async fn run(blobs: Arc<Blobs>, mut stop: Stop) {
    tokio::select! {
        () = fetch(&blobs) => {}
        () = stop.ordered() => {}
    }
}

async fn fetch(blobs: &Blobs) {
    blobs.store.until_current().await;
    let (mut seen, mut failures) = (None, 0_u32);
    let mut next = Vec::new().into_iter();
    loop {
        let head = blobs.store.status().0;
        // New messages: what they bring goes before the rest of the old list.
        if seen != Some(head)
            && let Some(list) = list(blobs).await
        {
            next = missing(blobs, list).into_iter();
            seen = Some(head);
        }
        if next.len() == 0 || !blobs.is_line_free() {
            pause(LOOK_EVERY).await;
            continue;
        }
        let Some(blob) = next.next() else { continue };
        match blobs.source(blob).await {
            Ok(_) => {
                failures = 0;
                metrics::counter!("schulhof_edge_blobs_prefetched_total").increment(1);
            }
            Err(error) => {
                tracing::debug!(%blob, "not fetched ahead: {error}");
                pause(PAUSE_MIN.saturating_mul(1 << failures.min(16)).min(PAUSE_MAX)).await;
                failures += 1;
                // The line was it: the same again. The file was it: without it, until there are new messages.
                seen = seen.filter(|_| !error_of_line(&error));
            }
        }
    }
}

fn error_of_line(error: &super::BlobError) -> bool {
    use super::DepotError::{Busy, Unreachable};
    matches!(error, super::BlobError::Depot(Unreachable(_) | Busy { .. }))
}

async fn pause(about: Duration) {
    tokio::time::sleep(about.mul_f64(rand::random_range(0.5..=1.0))).await;
}

async fn list(blobs: &Blobs) -> Option<Vec<(BlobHash, u64)>> {
    let read = blobs.store.read_async(|snapshot| view::recent_blobs(&snapshot.kv(), PER_ROOM, FILES_MAX)).await;
    read.inspect_err(|error| tracing::debug!("the newest files cannot be listed: {error}")).ok()
}

/// What of the list is to be fetched, in its order.
fn missing(blobs: &Blobs, list: Vec<(BlobHash, u64)>) -> Vec<BlobHash> {
    let mut wanted = within(list, blobs.prefetch_len_max);
    wanted.retain(|blob| !blobs.shelf.has(blob));
    wanted
}

/// As many as have room, newest first; one that is too large leaves its room to others.
fn within(list: Vec<(BlobHash, u64)>, len_max: u64) -> Vec<BlobHash> {
    let (mut wanted, mut known, mut len) = (Vec::new(), BTreeSet::new(), 0);
    for (blob, size) in list {
        if len + size <= len_max && known.insert(blob) {
            len += size;
            wanted.push(blob);
        }
    }
    wanted
}

impl Blobs {
    /// Whether nothing else is under way to or from the core.
    pub fn is_line_free(&self) -> bool {
        let (LogIndex(_), waiting, usable) = self.store.status();
        usable
            && waiting == 0
            && self.store.is_online()
            && self.fetches.available_permits() == super::FETCHES_MAX
            && self.shelf.waiting().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_have_room_are_fetched_each_once() {
        let blob = |n| BlobHash([n; 32]);
        let list = vec![(blob(1), 40), (blob(2), 70), (blob(1), 40), (blob(3), 60), (blob(4), 1)];
        assert_eq!(within(list.clone(), 100), [blob(1), blob(3)]);
        assert_eq!(within(list.clone(), 101), [blob(1), blob(3), blob(4)]);
        assert_eq!(within(list, 0), []);
    }
}
