//! One dump on one stream: a thread reads and encodes, the stream takes as fast as the operator does.

use super::End;
use crate::state::{Store, school::Parts};
use schulhof_net::quic::FrameWriter;
use schulhof_wire::{SchoolId, backup::FromCore};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

/// Chunks that are read ahead of the stream: at most 2 MiB each, mostly a quarter of that.
const AHEAD: usize = 2;
/// An operator that takes no chunk for this long is given up.
const WRITE_MAX: Duration = Duration::from_secs(30);
/// A dump that takes longer is given up: redb keeps what is overwritten meanwhile.
const DUMP_MAX: Duration = Duration::from_hours(1);

pub async fn send(store: Arc<Store>, school: &SchoolId, writer: &mut FrameWriter<FromCore>) -> End {
    let (chunks, mut read) = mpsc::channel::<io::Result<Vec<u8>>>(AHEAD);
    let named = school.clone();
    tokio::task::spawn_blocking(move || {
        let dump = match store.dump_school(&named, Parts::StateAndEntries) {
            Ok(dump) => dump,
            Err(e) => return drop(chunks.blocking_send(Err(e))),
        };
        for chunk in dump {
            let failed = chunk.is_err();
            // The other side has ended, or is told of the failure and ends.
            if chunks.blocking_send(chunk.map(|chunk| chunk.encode())).is_err() || failed {
                return;
            }
        }
    });
    let until = Instant::now() + DUMP_MAX;
    let mut sent = 0;
    while let Ok(chunk) = timeout_at(until, read.recv()).await {
        match chunk {
            None => {
                metrics::counter!("schulhof_core_dumps_total").increment(1);
                tracing::info!(%school, bytes = sent, "a school was dumped");
                return Some(FromCore::Whole);
            }
            Some(Ok(bytes)) => {
                sent += bytes.len();
                match timeout(WRITE_MAX, writer.write(&FromCore::Chunk { bytes })).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return None,
                }
            }
            Some(Err(e)) => {
                tracing::error!(%school, "the state cannot be read: {e}");
                return Some(FromCore::Redirect { leader: None });
            }
        }
    }
    tracing::warn!(%school, bytes = sent, "a dump took too long and was given up");
    None
}
