//! A replica gets the school's state: one dump per stream, chunk by chunk as the stream takes them.
//!
//! The dump is of one moment; operations are ordered meanwhile, and their entries follow it. The pages of that moment stay in
//! the state file as long as the dump lives, and a chunk of it in memory, so there are few at a time.

use crate::{
    raft::GroupHandle,
    state::school::{Parts, SchoolChunk, SchoolDump},
};
use schulhof_wire::SchoolId;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Dumps of one node at a time: as many as keep disk and line busy.
pub const DUMPS_MAX: usize = 16;
/// A replica that is not served in this time tries again later; longer, and it would take the silence for a dead core.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A dump on its way.
pub struct Sending {
    /// None when all was sent.
    dump: Option<SchoolDump>,
    _place: OwnedSemaphorePermit,
}

impl Sending {
    /// `None`: too many replicas are loaded already.
    pub async fn begin(places: &Arc<Semaphore>, handle: &GroupHandle, school: &SchoolId) -> io::Result<Option<Self>> {
        let Ok(Ok(place)) = timeout(WAIT_MAX, places.clone().acquire_owned()).await else { return Ok(None) };
        let (store, school) = (handle.store.clone(), school.clone());
        let open = tokio::task::spawn_blocking(move || store.dump_school(&school, Parts::State));
        let dump = open.await.map_err(io::Error::other)??;
        metrics::counter!("schulhof_core_replicas_loaded_total").increment(1);
        Ok(Some(Self { dump: Some(dump), _place: place }))
    }

    /// The next chunk; `None` after the last.
    pub async fn next(&mut self) -> io::Result<Option<SchoolChunk>> {
        let Some(mut dump) = self.dump.take() else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || dump.next_chunk().map(|chunk| (chunk, dump)));
        let (chunk, dump) = read.await.map_err(io::Error::other)??;
        self.dump = chunk.is_some().then_some(dump);
        Ok(chunk)
    }
}
