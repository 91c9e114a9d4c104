//! Brings what waits to the core, one after the other, again and again until it is there.

use super::{Blobs, DepotError, depot::ReadPart};
use crate::stop::Stop;
use schulhof_wire::BlobHash;
use std::{sync::Arc, time::Duration};

/// Pauses after failures; doubled each time, jittered.
const PAUSE_MIN_MS: u64 = 500;
const PAUSE_MAX_MS: u64 = 30_000;
/// Longest time that a busy core is believed.
const BUSY_MAX_MS: u64 = 60_000;

/// Until the order to stop.
pub async fn run(blobs: Arc<Blobs>, mut stop: Stop) {
    tokio::select! {
        () = carry(&blobs) => {}
        () = stop.ordered() => {}
    }
}

async fn carry(blobs: &Blobs) {
    let mut failures = 0_u32;
    loop {
        let woken = blobs.work.notified();
        let waiting = blobs.shelf.waiting();
        if waiting.is_empty() {
            failures = 0;
            woken.await;
            continue;
        }
        let mut pause_ms = 0;
        for blob in waiting {
            match bring(blobs, blob).await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    let backoff_ms = (PAUSE_MIN_MS << failures.min(16)).min(PAUSE_MAX_MS);
                    let wanted_ms = match error {
                        DepotError::Busy { retry_after_ms } => u64::from(retry_after_ms).min(BUSY_MAX_MS),
                        _ => 0,
                    };
                    pause_ms = backoff_ms.max(wanted_ms);
                    tracing::warn!(%blob, "not brought to the core yet: {error}");
                    // Nothing gets through: no use in trying the others now. What is wrong with one is not with all.
                    if !matches!(error, DepotError::Refused(_) | DepotError::Source(_)) {
                        break;
                    }
                }
            }
        }
        if pause_ms > 0 {
            let jittered_ms = pause_ms / 2 + rand::random_range(0..=pause_ms / 2);
            tokio::time::sleep(Duration::from_millis(jittered_ms)).await;
        }
    }
}

async fn bring(blobs: &Blobs, blob: BlobHash) -> Result<(), DepotError> {
    let Some(parts) = blobs.shelf.waiting_source(&blob)? else {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "damaged on the box").into());
    };
    let recipe = parts.recipe.clone();
    let source = super::Source::File(parts);
    let read: ReadPart = Arc::new(move |n| source.read(n));
    blobs.depot.put(blobs.school(), recipe.clone(), read).await?;
    // First it is a copy: killed in between, it is merely sent once more, which the core answers from what it has.
    blobs.shelf.settle(&recipe)?;
    blobs.arrived(blob);
    metrics::counter!("schulhof_edge_blobs_brought_total").increment(1);
    Ok(())
}
